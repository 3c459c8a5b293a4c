"""PyAMG's hierarchies as preconditioners and solvers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

pytest.importorskip("pyamg")

from conjugo.solvers.adapters.pyamg import ruge_stuben, smoothed_aggregation
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.operators.separable import Axis, SeparableStencil

both = pytest.mark.parametrize("factory", [ruge_stuben, smoothed_aggregation])


def stencil(n: int = 31) -> SeparableStencil:
    lower, upper = np.full(n, -1.0), np.full(n, -1.0)
    lower[0] = upper[-1] = 0.0
    one = Axis(lower, np.full(n, 2.0), upper, np.ones(n))
    return SeparableStencil((one, one))


@both
@pytest.mark.parametrize("accel", ["cg", "fcg", "minres", "fgmres", "gmres", "bicgstab", None])
def test_solves_with_every_accelerator(factory: Any, accel: str | None) -> None:
    A = stencil()
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    ml = factory(A)
    result = ml.solve(b, rtol=1e-8, accel=accel).check()
    assert np.linalg.norm(b - A @ result.x) <= 1.01e-8 * np.linalg.norm(b)
    assert result.iterations <= 14
    assert result.method == (f"{ml.name}+{accel}" if accel else ml.name)
    assert result.details["setup_seconds"] == ml.setup_seconds
    assert result.details["bytes"] == ml.nbytes > A.tocsr().data.nbytes


@both
def test_cycle_is_symmetric_positive_definite(factory: Any) -> None:
    ml, rng = factory(stencil(15)), np.random.default_rng(1)
    assert ml.symmetric
    M = np.stack([ml @ e for e in np.eye(225)], axis=1)
    np.testing.assert_allclose(M, M.T, atol=1e-12)
    assert np.linalg.eigvalsh(M).min() > 0
    R = rng.standard_normal((225, 3))
    np.testing.assert_allclose(ml @ R, M @ R, atol=1e-12)


def test_unsymmetric_smoothing_says_so_and_cg_refuses_it() -> None:
    forward = ("gauss_seidel", {"sweep": "forward"})
    ml = ruge_stuben(stencil(15), presmoother=forward, postsmoother=forward)
    assert not ml.symmetric
    with pytest.raises(ValueError, match="fcg"):
        ml.solve(np.ones(225))
    assert ml.solve(np.ones(225), accel="fcg", rtol=1e-8).converged


def test_iterations_do_not_depend_on_the_size() -> None:
    counts = []
    for n in (15, 31, 63):
        A = stencil(n)
        b = np.random.default_rng(2).standard_normal(n * n)
        counts.append(cg(A, b, M=ruge_stuben(A), rtol=1e-8).check().iterations)
    assert max(counts) - min(counts) <= 3


@both
def test_the_users_matrix_stays_as_it_was(factory: Any) -> None:
    csr = stencil(9).tocsr()  # its indices are not sorted
    before = [v.copy() for v in (csr.data, csr.indices, csr.indptr)]
    factory(csr)
    for value, old in zip((csr.data, csr.indices, csr.indptr), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a square matrix"):
        ruge_stuben(np.ones((2, 3)))
    with pytest.raises(ValueError, match="A holds NaN"):
        ruge_stuben(np.diag([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"A\[1, 1\] = 0"):
        ruge_stuben(sp.csr_array(np.array([[1.0, 1.0], [1.0, 0.0]])))
    with pytest.raises(ValueError, match="accel = 'qmr'"):
        ruge_stuben(stencil(5)).solve(np.ones(25), accel="qmr")


def test_missing_extra_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyamg", None)
    with pytest.raises(ImportError, match=r"pip install conjugo\[amg\]"):
        ruge_stuben(stencil(5))
