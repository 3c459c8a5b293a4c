"""The compiled loops do what the plain ones do: same iterates, same residuals, same answer, same complaints."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from conjugo.pde import poisson
from conjugo.solvers import cg
from conjugo.solvers.krylov import split_cg
from conjugo.solvers.krylov.five_point import five_point
from conjugo.solvers.krylov.split_cg import mic_cg, small_cg, ssor_cg
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.preconditioners.incomplete import mic
from conjugo.solvers.preconditioners.ssor import ssor
from conjugo.solvers.result import Status

SHAPES = ((2, 2), (3, 17), (8, 9), (9, 8), (16, 16), (40, 7), (25, 33))


def _system(shape: tuple[int, int], seed: int = 0) -> tuple[VariableStencil, Any, Any]:
    A = poisson(shape, coefficient="inclusions", contrast=50.0).A
    matrix = sp.csr_array(A.tocsr())
    matrix.sort_indices()
    return A, matrix, np.random.default_rng(seed).standard_normal(A.shape[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("omega", [0.7, 1.0, 1.8])
def test_ssor_cg_walks_the_path_of_cg_with_ssor(shape: tuple[int, int], omega: float) -> None:
    A, matrix, b = _system(shape)
    x0 = np.random.default_rng(1).standard_normal(len(b))
    plain = cg(A, b, x0, M=ssor(A, omega), rtol=1e-9)
    for operator in (A, matrix):
        fast = ssor_cg(operator, b, x0, omega=omega, rtol=1e-9)
        assert fast.converged
        assert abs(fast.iterations - plain.iterations) <= 1  # the last step may fall on either side of the tolerance
        some = min(fast.iterations, plain.iterations, 8)
        np.testing.assert_allclose(fast.residuals[:some], plain.residuals[:some], rtol=1e-7)
        assert np.linalg.norm(b - matrix @ fast.x) == pytest.approx(fast.residuals[-1], rel=1e-6)
        np.testing.assert_allclose(fast.x, spsolve(matrix.tocsc(), b), rtol=1e-5, atol=1e-6 * np.abs(plain.x).max())


def test_the_loop_over_any_sparse_matrix_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    A, matrix, b = _system((20, 30))
    monkeypatch.setattr(split_cg, "five_point", lambda A: None)
    fast, plain = ssor_cg(matrix, b, omega=1.6, rtol=1e-9), cg(A, b, M=ssor(A, 1.6), rtol=1e-9)
    np.testing.assert_allclose(fast.residuals[:20], plain.residuals[:20], rtol=1e-8)
    assert abs(fast.iterations - plain.iterations) <= 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("relaxation", [0.0, 0.97, 1.0])
def test_mic_cg_walks_the_path_of_cg_with_mic(shape: tuple[int, int], relaxation: float) -> None:
    A, _, b = _system(shape)
    plain, fast = cg(A, b, M=mic(A, relaxation), rtol=1e-9), mic_cg(A, b, relaxation=relaxation, rtol=1e-9)
    assert abs(fast.iterations - plain.iterations) <= 1
    some = min(fast.iterations, plain.iterations, 8)
    np.testing.assert_allclose(fast.residuals[:some], plain.residuals[:some], rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_small_cg_walks_the_path_of_cg(shape: tuple[int, int]) -> None:
    A, matrix, b = _system(shape)
    plain = cg(A, b, rtol=1e-9)
    for operator in (A, matrix):
        fast = small_cg(operator, b, rtol=1e-9)
        some = min(fast.iterations, plain.iterations, 8)
        np.testing.assert_allclose(fast.residuals[:some], plain.residuals[:some], rtol=1e-7)
        assert fast.converged


@pytest.mark.parametrize("solve", [small_cg, ssor_cg, mic_cg])
def test_separable_stencils_and_single_precision(solve: Callable[..., Any]) -> None:
    A = poisson((12, 10)).A
    b = np.random.default_rng(0).standard_normal(120)
    exact = spsolve(A.tocsr().tocsc(), b)
    np.testing.assert_allclose(solve(A, b, rtol=1e-10).x, exact, rtol=1e-7)
    low = solve(A.astype(np.float32), b.astype(np.float32), rtol=1e-4)
    assert low.converged
    assert low.x.dtype == np.float32
    block = solve(A, np.stack([b, 2 * b], axis=1), rtol=1e-10)
    np.testing.assert_allclose(block.x[:, 1], 2 * exact, rtol=1e-6)


def test_one_level_of_fill_takes_fewer_iterations_and_keeps_the_row_sums() -> None:
    A = poisson((30, 30)).A
    b = np.random.default_rng(0).standard_normal(900)
    none, one = (cg(A, b, M=mic(A, 1.0, level=level), rtol=1e-8).iterations for level in (0, 1))
    assert one < 0.85 * none
    ones = np.ones(900)
    np.testing.assert_allclose(mic(A, 1.0, level=1) @ (A @ ones), ones, rtol=1e-10)  # (M^{-1} - A) 1 = 0
    with pytest.raises(ValueError, match=r"level = 2: expected 0 \(no fill\) or 1"):
        mic(A, level=2)


@pytest.mark.parametrize("solve", [small_cg, ssor_cg, mic_cg])
def test_the_ends_of_a_solve(solve: Callable[..., Any]) -> None:
    A, _, b = _system((9, 11))
    assert solve(A, np.zeros(99), np.ones(99)).x.max() == 0
    short = solve(A, b, rtol=1e-10, maxiter=3)
    assert (short.status, short.iterations) == (Status.MAX_ITERATIONS, 3)
    again = solve(A, b, solve(A, b, rtol=1e-10).x, rtol=1e-8)
    assert (again.iterations, again.converged) == (0, True)
    assert solve(A, b, rtol=1e-18).status in (Status.STAGNATED, Status.MAX_ITERATIONS, Status.INDEFINITE)
    kept, first = b.copy(), np.ones(99)
    solve(A, b, first, rtol=1e-8)
    np.testing.assert_array_equal(b, kept)
    np.testing.assert_array_equal(first, np.ones(99))


def test_an_indefinite_matrix_is_a_status() -> None:
    A, _, b = _system((9, 11))
    shifted = VariableStencil(A.diag - 0.6 * A.diag.max(), A.upper)
    assert small_cg(shifted, b).status is Status.INDEFINITE


def test_bad_input_is_named() -> None:
    A, _, b = _system((5, 5))
    with pytest.raises(ValueError, match="omega = 2"):
        ssor_cg(A, b, omega=2.0)
    with pytest.raises(ValueError, match=r"relaxation = 1\.5: expected 0"):
        mic_cg(A, b, relaxation=1.5)
    with pytest.raises(ValueError, match="rtol = -1"):
        ssor_cg(A, b, rtol=-1.0)
    with pytest.raises(ValueError, match="maxiter = -2"):
        small_cg(A, b, maxiter=-2)
    with pytest.raises(ValueError, match="NaN"):
        small_cg(A, np.full(25, np.nan))
    with pytest.raises(ValueError, match="diagonal"):
        ssor_cg(VariableStencil(-A.diag, A.upper), b)


def test_what_is_no_five_point_stencil() -> None:
    A = poisson((6, 7)).A
    assert five_point(poisson((6, 6, 6)).A) is None
    assert five_point(A.astype(np.float32)) is None
    assert five_point(VariableStencil(np.full((4, 4), 5.0), [-np.ones((4, 4))] * 2)) is None  # periodic
    wrapped = sp.lil_array(A.tocsr())
    wrapped[6, 7] = wrapped[7, 6] = -1.0  # from the end of a row to the next one
    assert five_point(sp.csr_array(wrapped)) is None
    lopsided = sp.csr_array(A.tocsr())
    lopsided.data = lopsided.data.copy()
    lopsided[0, 1] *= 2
    assert five_point(lopsided) is None


@pytest.mark.slow
def test_an_iteration_of_ssor_cg_costs_little_more_than_one_of_cg() -> None:
    A = poisson((99, 99), coefficient="inclusions", contrast=10.0).A
    b = np.random.default_rng(0).standard_normal(9801)

    def cost(solve: Callable[..., Any]) -> float:
        times = []
        for _ in range(7):
            started = time.perf_counter()
            iterations = solve().iterations
            times.append((time.perf_counter() - started) / iterations)
        return float(min(times))

    assert cost(lambda: ssor_cg(A, b, omega=1.8, rtol=1e-8)) < 2.0 * cost(lambda: cg(A, b, rtol=1e-8))
