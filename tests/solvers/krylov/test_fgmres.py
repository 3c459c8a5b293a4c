"""Flexible GMRES: SciPy's residuals without M, any M, restarts and breakdowns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.solvers.krylov.fgmres import fgmres
from conjugo.solvers.result import Status


def convection(n: int = 18) -> sp.csr_array:
    one = sp.diags_array([np.full(n - 1, -1.4), np.full(n, 2.0), np.full(n - 1, -0.6)], offsets=[-1, 0, 1])
    return sp.csr_array(sp.kronsum(one, one))


@pytest.mark.parametrize("restart", [7, 20, 400])
def test_residuals_are_scipys(restart: int) -> None:
    A, b = convection(), np.random.default_rng(0).standard_normal(324)
    theirs: list[float] = []
    spla.gmres(A, b, rtol=1e-6, restart=restart, maxiter=400, callback=theirs.append, callback_type="pr_norm")
    ours = fgmres(A, b, rtol=1e-6, restart=restart).check()
    shared = min(ours.iterations, len(theirs))
    assert abs(ours.iterations - len(theirs)) <= 1
    np.testing.assert_allclose(ours.residuals[1:shared], np.array(theirs[: shared - 1]) * np.linalg.norm(b), rtol=1e-6)


def test_a_preconditioner_that_changes() -> None:
    A = convection()
    b, rng = np.random.default_rng(1).standard_normal(324), np.random.default_rng(2)
    solve = spla.splu(sp.csc_array(A)).solve

    class M:
        shape, linear = (324, 324), False

        def __matmul__(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(solve(r) * (1 + 0.3 * rng.standard_normal(324)))

    result = fgmres(A, b, M=M(), rtol=1e-10, restart=50).check()
    assert result.iterations < fgmres(A, b, rtol=1e-10, restart=50).iterations
    assert np.linalg.norm(b - A @ result.x) <= 1e-10 * np.linalg.norm(b)


def test_history_is_the_true_residual() -> None:
    A, b = convection(10), np.random.default_rng(3).standard_normal(100)
    true: list[float] = []
    result = fgmres(A, b, rtol=1e-8, restart=9, callback=lambda x: true.append(float(np.linalg.norm(b - A @ x))))
    assert result.converged
    np.testing.assert_allclose(result.residuals[1:], true, rtol=1e-6)


def test_happy_breakdown_is_convergence() -> None:
    A = np.diag(np.repeat([1.0, 2.0, -3.0], 8)) + 0.0
    assert fgmres(A, np.random.default_rng(4).standard_normal(24), rtol=1e-12).check().iterations == 3


def cyclic(n: int = 40) -> tuple[Any, Any]:
    return np.roll(np.eye(n), 1, axis=0), np.eye(n)[0]


def test_restarts_that_do_not_help_are_called_stagnation() -> None:
    A, b = cyclic()  # GMRES does nothing for n - 1 steps, then everything
    result = fgmres(A, b, restart=10)
    assert result.status is Status.STAGNATED
    assert result.iterations == 30
    assert "raise restart = 10" in result.message
    assert fgmres(A, b, restart=40).check().iterations == 40


def test_singular_matrix_breaks_down_without_harm() -> None:
    A, b = np.diag([1.0, 2.0, 0.0, 4.0]), np.ones(4)
    result = fgmres(A, b, rtol=1e-10)
    assert result.status is Status.BREAKDOWN
    assert result.residuals[-1] <= np.linalg.norm(b)
    assert result.residuals[-1] == pytest.approx(1.0, rel=1e-6)  # the part that A cannot reach


def test_block_with_one_column_that_ends_early() -> None:
    A, rng = convection(10), np.random.default_rng(5)
    B = np.stack([rng.standard_normal(100), np.zeros(100), A @ np.ones(100)], axis=1)
    result = fgmres(A, B, rtol=1e-9, restart=15).check()
    np.testing.assert_array_equal(result.x[:, 1], 0)
    np.testing.assert_allclose(result.x, np.linalg.solve(A.toarray(), B), atol=1e-6)


def test_complex_with_complex_preconditioner() -> None:
    rng = np.random.default_rng(6)
    A = rng.standard_normal((50, 50)) + 1j * rng.standard_normal((50, 50)) + 12 * np.eye(50)
    b = rng.standard_normal(50) + 1j * rng.standard_normal(50)
    M = np.diag(1 / np.diag(A))
    np.testing.assert_allclose(fgmres(A, b, M=M, rtol=1e-12).check().x, np.linalg.solve(A, b), atol=1e-10)


def test_restart_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="restart = 0: expected at least 1"):
        fgmres(np.eye(2), np.ones(2), restart=0)
