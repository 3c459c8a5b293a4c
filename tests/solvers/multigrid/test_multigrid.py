"""Multigrid as solver and preconditioner: statuses, blocks, precision, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from tests.solvers.multigrid.grids import line, noise, stencil

from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.result import Status


@pytest.fixture(scope="module")
def A() -> SeparableStencil:  # noqa: N802
    return stencil(line(40), line(33))


def test_preconditioned_cg_needs_no_more_iterations_than_theory(A: SeparableStencil) -> None:
    M = Multigrid(A, symmetric=True)
    result = cg(A, noise(A), rtol=1e-8, M=M).check()
    assert result.iterations <= 9


def test_residuals_are_true_and_details_are_there(A: SeparableStencil) -> None:
    b = noise(A)
    kept = b.copy()
    M = Multigrid(A)
    result = M.solve(b, rtol=1e-10).check()
    assert result.residuals[-1] == pytest.approx(np.linalg.norm(b - A.tocsr() @ result.x), rel=1e-6)
    assert {"setup_seconds", "bytes", "cycle", "levels"} <= result.details.keys()
    assert np.all(np.diff(result.residuals) < 0)
    np.testing.assert_array_equal(b, kept)
    again = M.solve(b, rtol=1e-10)
    np.testing.assert_array_equal(result.x, again.x)


def test_first_guess_block_and_zero(A: SeparableStencil) -> None:
    M = Multigrid(A)
    B = np.stack([noise(A, 1), np.zeros(A.shape[0]), noise(A, 2)], axis=1)
    result = M.solve(B, rtol=1e-9).check()
    assert result.x.shape == B.shape
    assert result.residuals.shape == (result.iterations + 1, 3)
    assert not result.x[:, 1].any()
    assert M.solve(B, result.x, rtol=1e-8).iterations == 0
    np.testing.assert_allclose((M @ B)[:, 2], M @ B[:, 2])


def test_float32_right_hand_side_is_judged_by_what_is_returned(A: SeparableStencil) -> None:
    b = noise(A).astype(np.float32)
    M = Multigrid(A)
    result = M.solve(b, rtol=1e-4).check()
    assert result.x.dtype == np.float32
    strict = M.solve(b, rtol=1e-9)
    assert strict.status is Status.STAGNATED
    assert "float64" in strict.message


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_scales_that_float32_cannot_hold(A: SeparableStencil, scale: float) -> None:
    b = noise(A)
    M = Multigrid(A)
    result = M.solve(b * scale, rtol=1e-8).check()
    np.testing.assert_allclose(result.x / scale, M.solve(b, rtol=1e-8).x, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose((M @ (b * scale)) / scale, M @ b, rtol=1e-4, atol=1e-9)


def test_singular_problem_stays_orthogonal_to_its_null_space() -> None:
    A = stencil(line(32, "nn", "cell"), line(33, "nn", "cell"))
    result = Multigrid(A).solve(noise(A), rtol=1e-9).check()
    assert abs(result.x.mean()) < 1e-9 * np.abs(result.x).max()
    assert Multigrid(A).solve(np.ones(A.shape[0])).status is Status.STAGNATED


def test_endings(A: SeparableStencil) -> None:
    M, b = Multigrid(A), noise(A)
    assert M.solve(b, rtol=1e-8, maxiter=2).status is Status.MAX_ITERATIONS
    assert M.solve(b, rtol=1e-20).status is Status.STAGNATED
    assert M.solve(b, rtol=1e-8, callback=lambda x: True).status is Status.STOPPED


def test_description(A: SeparableStencil) -> None:
    M = Multigrid(A)
    assert M.levels[0] == (40, 33)
    assert "40 x 33" in M.describe()
    large = Multigrid(stencil(line(300), line(301)))
    assert large.nbytes + 8 * large.shape[0] < 35 * large.shape[0]


def test_bad_input(A: SeparableStencil) -> None:
    with pytest.raises(ValueError, match="ruge_stuben"):
        Multigrid(A.tocsr())
    with pytest.raises(ValueError, match="cycle = 'X'"):
        Multigrid(A, cycle="X")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sweeps = 0"):
        Multigrid(A, sweeps=0)
    M = Multigrid(A)
    with pytest.raises(ValueError, match="NaN"):
        M.solve(np.full(A.shape[0], np.nan))
    with pytest.raises(ValueError, match="flatten"):
        M @ np.ones((40, 33))
    with pytest.raises(ValueError, match="real NumPy"):
        M.solve(np.ones(A.shape[0], dtype=complex))
