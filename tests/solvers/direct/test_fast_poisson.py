"""Fast direct solves against sparse elimination, for every combination of boundary conditions."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.sparse.linalg as spla
from numpy.typing import NDArray
from tests.solvers.multigrid.grids import line, stretched

from conjugo.solvers.direct.fast_poisson import FastPoisson, fast_poisson
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.parallel import threads
from conjugo.solvers.result import Status

ENDS = {
    ("dd", "vertex"): "dst-1",
    ("dn", "vertex"): "dst-3",
    ("nd", "vertex"): "dct-3",
    ("nn", "vertex"): "dct-1",
    ("dd", "cell"): "dst-2",
    ("dn", "cell"): "dst-4",
    ("nd", "cell"): "dct-4",
    ("nn", "cell"): "dct-2",
    ("p", "cell"): "fft",
}


def reference(A: SeparableStencil, b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sparse elimination."""
    x: NDArray[np.float64] = spla.spsolve(A.tocsr().tocsc(), b)
    return x


@pytest.mark.parametrize(("kind", "other"), list(product(ENDS, ENDS)))
def test_every_pair_of_boundary_conditions(kind: tuple[str, str], other: tuple[str, str]) -> None:
    A = SeparableStencil((line(9, *kind), line(12, *other)), shift=3.0)
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    solver = FastPoisson(A)
    assert solver.transforms == (ENDS[kind], ENDS[other])
    np.testing.assert_allclose(solver @ b, reference(A, b), rtol=1e-9, atol=1e-12)
    if kind[0] != "p" or other[0] != "p":
        np.testing.assert_allclose(FastPoisson(A, method="thomas") @ b, reference(A, b), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["transform", "thomas"])
def test_three_dimensions_and_stretched_axes(method: str) -> None:
    A = SeparableStencil((line(7, "p"), stretched(8, growth=2.0), line(6, "nn", "vertex")))
    b = np.random.default_rng(1).standard_normal(A.shape[0])
    result = fast_poisson(A, b, rtol=1e-11, method=method)  # type: ignore[arg-type]
    assert result.check().iterations == 1
    np.testing.assert_allclose(result.x, reference(A, b), rtol=1e-9)
    np.testing.assert_allclose(result.residuals[-1], np.linalg.norm(b - A.tocsr() @ result.x), atol=1e-11)


@pytest.mark.parametrize("method", ["transform", "thomas"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
def test_singular_problem_gets_the_solution_of_least_norm(method: str, centring: str) -> None:
    axes = line(10, "nn", centring), line(11, "nn", centring)
    constant = np.full((110, 1), 110**-0.5)
    A = SeparableStencil(axes, nullspace=constant)
    b = A.tocsr() @ np.random.default_rng(2).standard_normal(110)
    result = fast_poisson(A, b, rtol=1e-10, method=method)  # type: ignore[arg-type]
    result.check()
    np.testing.assert_allclose(result.x, np.linalg.lstsq(A.tocsr().toarray(), b)[0], atol=1e-10)


def test_inconsistent_singular_problem_is_no_success() -> None:
    A = SeparableStencil((line(10, "nn", "cell"),), nullspace=np.full((10, 1), 10**-0.5))
    assert FastPoisson(A).solve(np.ones(10)).status is Status.STAGNATED


def test_blocks_threads_and_unchanged_input() -> None:
    A = SeparableStencil((line(400), line(400)))
    b = np.random.default_rng(3).standard_normal((A.shape[0], 2))
    kept = b.copy()
    for method in ("transform", "thomas"):
        solver = FastPoisson(A, method=method)
        one = solver.solve(b, rtol=1e-9).check()
        with threads(2):
            np.testing.assert_array_equal(one.x, solver.solve(b, rtol=1e-9).x)
        assert one.residuals.shape == (2, 2)
    np.testing.assert_array_equal(b, kept)


def test_unreachable_tolerance_and_bad_input() -> None:
    A = SeparableStencil((line(63), line(63)))
    result = FastPoisson(A).solve(np.ones(A.shape[0]), rtol=1e-18)
    assert result.status is Status.STAGNATED
    assert "loosen rtol" in result.message
    with pytest.raises(ValueError, match="splu"):
        FastPoisson(A.tocsr())
    with pytest.raises(ValueError, match="method='transform'"):
        FastPoisson(SeparableStencil((line(8, "p"),)), method="thomas")
    with pytest.raises(ValueError, match="flatten"):
        FastPoisson(A) @ np.ones((63, 63))
