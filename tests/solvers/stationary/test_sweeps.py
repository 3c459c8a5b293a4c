"""Sweeps against the dense formulas, for stencils and matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from tests.solvers.stationary.model_problems import NONSYMMETRIC, STENCILS, periodic, poisson, variable

from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.stationary.csr_rows import CSRRows
from conjugo.solvers.stationary.red_black import red_black_sor
from conjugo.solvers.stationary.rows import rows_of
from conjugo.solvers.stationary.sor import sor

ALL: dict[str, Any] = {**STENCILS, **{f"nonsymmetric {name}": A for name, A in NONSYMMETRIC.items()}}


def start(A: Any, dtype: Any = np.float64, seed: int = 1) -> tuple[Any, Any, Any]:
    """Dense A, a right-hand side and a first guess."""
    rng = np.random.default_rng(seed)
    n = A.shape[0]
    return A.tocsr().toarray(), rng.standard_normal(n).astype(dtype), rng.standard_normal(n).astype(dtype)


@pytest.mark.parametrize("form", ["stencil", "csr", "dense"])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("omega", "backward"), [(1.0, False), (1.6, False), (1.6, True)])
def test_sweep_is_the_dense_formula(name: str, form: str, omega: float, backward: bool) -> None:
    A = ALL[name]
    dense, b, x = start(A)
    operator = {"stencil": A, "csr": A.tocsr(), "dense": dense}[form]
    triangle = np.triu(dense, 1) if backward else np.tril(dense, -1)
    expected = x + np.linalg.solve(np.diag(dense.diagonal() / omega) + triangle, b - dense @ x)
    rows_of(operator, b.dtype, "sor").sweep(x, b, omega, backward)
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("form", ["stencil", "csr"])
def test_residual_of_a_sweep_is_the_true_one(name: str, form: str) -> None:
    A = ALL[name]
    dense, b, x = start(A)
    rows = rows_of(A if form == "stencil" else A.tocsr(), b.dtype, "sor")
    assert rows.residual_square(x, b) == pytest.approx(np.sum((b - dense @ x) ** 2), rel=1e-12)
    if rows.coloured:
        square = rows.relax_colours(x, b, 1.3)
        assert square == pytest.approx(np.sum((b - dense @ x) ** 2), rel=1e-10)


@pytest.mark.parametrize("shape", [(9,), (6, 7), (4, 5, 6)])
def test_red_black_is_gauss_seidel_in_another_order(shape: tuple[int, ...]) -> None:
    A = variable(shape, (False,) * len(shape))
    dense, b, x = start(A)
    parity = np.indices(shape).sum(axis=0).ravel() % 2
    order = np.argsort(parity, kind="stable")
    permuted = dense[np.ix_(order, order)]
    y = x[order] + np.linalg.solve(np.tril(permuted), b[order] - permuted @ x[order])
    rows_of(A, b.dtype, "red_black_sor").relax_colours(x, b, 1.0)
    np.testing.assert_allclose(x[order], y, rtol=0, atol=1e-12)


def test_greedy_colours_separate_neighbours() -> None:
    matrix = sp.random_array((80, 80), density=0.05, rng=np.random.default_rng(0), format="csr") + sp.eye_array(80)
    rows = CSRRows(sp.csr_array(matrix), np.dtype(np.float64))
    assert np.array_equal(np.sort(rows.by_colour), np.arange(80))
    coupled = (matrix != 0).toarray() & ~np.eye(80, dtype=bool)
    for lo, hi in rows.colours:
        members = rows.by_colour[lo:hi]
        assert not coupled[np.ix_(members, members)].any()


def test_a_stencil_matrix_takes_two_colours() -> None:
    rows = CSRRows(poisson(6).tocsr(), np.dtype(np.float64))
    assert len(rows.colours) == 2


@pytest.mark.parametrize("name", ["2d", "variable 3d"])
def test_single_precision_stays_single(name: str) -> None:
    A = STENCILS[name].astype(np.float32)
    b = np.ones(A.shape[0], np.float32)
    for method in (sor, red_black_sor):
        result = method(A, b, rtol=1e-4).check()
        assert result.x.dtype == np.float32
        assert np.linalg.norm(b - A.tocsr() @ result.x) <= 1.01e-4 * np.linalg.norm(b)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from conjugo.solvers.parallel import threads
    from conjugo.solvers.stationary import csr_rows, stencil_rows

    monkeypatch.setattr(stencil_rows, "PARALLEL_SIZE", 1)
    monkeypatch.setattr(csr_rows, "PARALLEL_SIZE", 1)
    operators: list[Any] = [poisson(24), poisson(24).tocsr(), STENCILS["variable 3d"]]
    for A in operators:
        b = np.random.default_rng(0).standard_normal(A.shape[0])
        one = red_black_sor(A, b, omega=1.5, maxiter=20)
        with threads(3):
            three = red_black_sor(A, b, omega=1.5, maxiter=20)
        assert np.array_equal(one.x, three.x)
        np.testing.assert_allclose(one.residuals, three.residuals, rtol=1e-12)


def test_red_meets_red_on_an_odd_circle() -> None:
    A = SeparableStencil([periodic(5), periodic(6)], 1.0)
    with pytest.raises(ValueError, match="red meets red"):
        red_black_sor(A, np.ones(30))
    assert red_black_sor(A.tocsr(), np.ones(30)).converged
