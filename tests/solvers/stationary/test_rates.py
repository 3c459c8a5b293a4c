"""Convergence rates against theory: Young, Varga and Chebyshev on the model problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.solvers.stationary.model_problems import STENCILS, dirichlet, neumann, periodic, poisson, variable

from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.stationary.chebyshev import chebyshev
from conjugo.solvers.stationary.gauss_seidel import gauss_seidel
from conjugo.solvers.stationary.jacobi import jacobi_iteration
from conjugo.solvers.stationary.optimal_omega import optimal_omega
from conjugo.solvers.stationary.red_black import red_black_sor
from conjugo.solvers.stationary.sor import sor
from conjugo.solvers.stationary.spectrum import jacobi_bounds, lanczos_bounds
from conjugo.solvers.stationary.ssor import ssor_iteration

N = 24
RHO_JACOBI = np.cos(np.pi / (N + 1))


def rate(result: SolveResult, last: int = 60) -> float:
    """Mean reduction of the residual over the last iterations."""
    return float((result.residuals[-1] / result.residuals[-1 - last]) ** (1 / last))


def right_hand_side(A: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(A.shape[0])


def test_jacobi_and_gauss_seidel() -> None:
    A = poisson(N)
    b = right_hand_side(A)
    assert rate(jacobi_iteration(A, b, rtol=0, maxiter=600)) == pytest.approx(RHO_JACOBI, rel=1e-3)
    for method in (gauss_seidel, lambda A, b, **rule: red_black_sor(A, b, omega=1.0, **rule)):
        assert 1 - rate(method(A, b, rtol=0, maxiter=400)) == pytest.approx(1 - RHO_JACOBI**2, rel=0.03)


def test_damped_jacobi() -> None:
    A = poisson(N)
    result = jacobi_iteration(A, right_hand_side(A), omega=0.8, rtol=0, maxiter=600)
    assert 1 - rate(result) == pytest.approx(0.8 * (1 - RHO_JACOBI), rel=0.01)


@pytest.mark.parametrize("method", [sor, red_black_sor])
def test_sor_at_the_optimal_omega(method: Any) -> None:
    A = poisson(N)
    result = method(A, right_hand_side(A), rtol=0, maxiter=110)
    omega = 2 / (1 + np.sin(np.pi / (N + 1)))
    assert result.details["omega"] == pytest.approx(omega, rel=1e-12)
    # the eigenvalue omega - 1 is double and defective, so that the residual falls like k (omega - 1)^k
    assert rate(result) == pytest.approx(omega - 1, rel=0.04)


def test_ssor_never_oscillates() -> None:
    A = poisson(N)
    result = ssor_iteration(A, right_hand_side(A), omega=1.5, rtol=0, maxiter=120)
    assert rate(result) < rate(gauss_seidel(A, right_hand_side(A), rtol=0, maxiter=120))
    assert np.all(np.diff(result.residuals) < 0)


@pytest.mark.parametrize("name", ["2d", "2d periodic", "3d", "variable 2d", "variable 3d periodic"])
def test_optimal_omega_is_youngs(name: str) -> None:
    A = STENCILS[name]
    matrix = A.tocsr().toarray()
    jacobi = np.eye(len(matrix)) - matrix / matrix.diagonal()[:, None]
    mu = np.max(np.linalg.eigvals(jacobi).real)
    assert optimal_omega(A) == pytest.approx(2 / (1 + np.sqrt(1 - mu**2)), rel=1e-3)
    assert optimal_omega(A.tocsr()) == pytest.approx(optimal_omega(A), rel=1e-3)


def test_optimal_omega_of_a_long_grid_by_lanczos() -> None:
    A = poisson(100)
    assert 2 - optimal_omega(A.tocsr()) == pytest.approx(2 - optimal_omega(A), rel=0.03)


def test_optimal_omega_beats_its_neighbours() -> None:
    A = variable((20, 20), (False, False), contrast=100.0)
    b = right_hand_side(A)
    best = optimal_omega(A)
    steps = {omega: sor(A, b, omega=omega, rtol=1e-8).iterations for omega in (best - 0.15, best, (best + 2) / 2)}
    assert steps[best] == min(steps.values())


def test_optimal_omega_of_a_nonsymmetric_matrix() -> None:
    n = 20
    A = np.diag(np.full(n, 2.0)) - np.diag(np.full(n - 1, 1.2), 1) - np.diag(np.full(n - 1, 0.8), -1)
    mu = 2 * np.sqrt(1.2 * 0.8) / 2 * np.cos(np.pi / (n + 1))  # eigenvalues of a tridiagonal Toeplitz matrix
    assert optimal_omega(A) == pytest.approx(2 / (1 + np.sqrt(1 - mu**2)), rel=0.02)


@pytest.mark.parametrize("axes", [(dirichlet(8), neumann(7)), (periodic(8), periodic(6)), (dirichlet(5),) * 3])
def test_bounds_are_exact_for_the_model(axes: Any) -> None:
    A = SeparableStencil(axes, 0.1)
    matrix = A.tocsr().toarray()
    values = np.sort(np.linalg.eigvals(matrix / matrix.diagonal()[:, None]).real)
    assert jacobi_bounds(A, A.diagonal()) == pytest.approx((values[0], values[-1]), rel=1e-10)


def test_lanczos_ends_lie_inside_and_close() -> None:
    A = poisson(16).tocsr()
    smallest, largest = lanczos_bounds(A, None, np.ones(256), accuracy=1e-6)
    exact = 4 * np.sin(np.pi / 34) ** 2 * 2
    assert exact <= smallest * (1 + 1e-10)
    assert smallest == pytest.approx(exact, rel=1e-4)
    assert largest == pytest.approx(8 - exact, rel=1e-4)


def test_chebyshev_keeps_its_promise() -> None:
    A = poisson(N)
    result = chebyshev(A, right_hand_side(A), bounds=(1 - RHO_JACOBI, 1 + RHO_JACOBI), rtol=0, maxiter=250)
    root = np.sqrt((1 + RHO_JACOBI) / (1 - RHO_JACOBI))
    assert rate(result) == pytest.approx((root - 1) / (root + 1), rel=0.01)


def test_chebyshev_improves_a_bound_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    from conjugo.solvers.stationary import chebyshev as module

    A = poisson(40).tocsr()
    b = right_hand_side(A)
    exact = chebyshev(poisson(40), b, rtol=1e-8)
    monkeypatch.setattr(module, "LANCZOS_STEPS", 20)
    adapted = chebyshev(A, b, rtol=1e-8)
    assert adapted.converged
    assert adapted.iterations < 2 * exact.iterations


def test_singular_systems() -> None:
    n = 12
    null = np.full((n * n, 1), 1 / n)
    A = SeparableStencil([neumann(n), neumann(n)])
    weights = A.weights().ravel()
    b = right_hand_side(A)
    b -= b.mean()  # the range of a symmetric A is orthogonal to the constant
    singular = SeparableStencil([neumann(n), neumann(n)], nullspace=null)
    assert np.allclose(A @ np.ones(n * n), 0)
    assert weights.min() == 0.25
    for method in (gauss_seidel, sor, red_black_sor, chebyshev):
        assert method(singular, b, rtol=1e-8).converged
    stuck = jacobi_iteration(singular, b, rtol=1e-10)  # the chessboard mode has eigenvalue -1
    assert stuck.status is Status.STAGNATED
    assert "omega=0.8" in stuck.message
    assert jacobi_iteration(singular, b, omega=0.8, rtol=1e-8).converged
