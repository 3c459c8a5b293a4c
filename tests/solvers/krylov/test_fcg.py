"""Flexible CG: equal to cg for a fixed M, optimal for any, and never misled by a bad one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.krylov.fcg import fcg
from conjugo.solvers.result import Status


def poisson(n: int = 24) -> sp.csr_array:
    one = sp.diags_array([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], offsets=[-1, 0, 1])
    return sp.csr_array(sp.kronsum(one, one))


class Proposal:
    """A preconditioner from a function of the residual."""

    linear = False

    def __init__(self, n: int, function: Any) -> None:
        self.shape, self.function = (n, n), function

    def __matmul__(self, r: Any) -> Any:
        return self.function(r)


@pytest.mark.parametrize("window", [1, 2, None])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_equals_cg_for_a_fixed_preconditioner(window: int | None, preconditioned: bool) -> None:
    scale = sp.diags_array(np.linspace(1, 3, 576))
    A = sp.csr_array(scale @ poisson() @ scale)
    b = np.random.default_rng(0).standard_normal(576)
    M = sp.diags_array(1 / A.diagonal()).tocsr() if preconditioned else None
    ours, theirs = fcg(A, b, M=M, window=window, rtol=1e-8), cg(A, b, M=M, rtol=1e-8)
    np.testing.assert_allclose(ours.residuals[:40], theirs.residuals[:40], rtol=1e-8)
    if window is None:  # rounding makes cg lose conjugacy, and the kept directions do not
        assert theirs.iterations - 10 < ours.iterations <= theirs.iterations
    else:
        assert abs(ours.iterations - theirs.iterations) <= 1
    np.testing.assert_allclose(ours.x, theirs.x, atol=1e-6 * np.abs(theirs.x).max())


def test_all_directions_kept_end_in_n_steps_whatever_is_proposed() -> None:
    n, rng = 30, np.random.default_rng(1)
    B = rng.standard_normal((n, n))
    A, b = B @ B.T + np.eye(n), rng.standard_normal(n)
    result = fcg(A, b, M=Proposal(n, lambda r: rng.standard_normal(n)), window=None, rtol=1e-10)
    assert result.converged
    assert result.iterations <= n


def test_energy_error_never_grows() -> None:
    A, rng = poisson(12), np.random.default_rng(2)
    exact = rng.standard_normal(144)
    errors: list[float] = []

    def energy(x: NDArray[np.float64]) -> None:
        errors.append(float((x - exact) @ (A @ (x - exact))))

    fcg(A, A @ exact, M=Proposal(144, lambda r: np.abs(r) * rng.standard_normal(144)), callback=energy, maxiter=60)
    assert len(errors) == 60
    assert np.all(np.diff(errors) <= 1e-12 * errors[0])


def dcdm(A: Any, b: NDArray[np.float64], network: Any, steps: int) -> list[float]:
    """Algorithm 1 of Kaneda et al. (2023), line by line."""
    x, r = np.zeros_like(b), b.copy()
    directions: list[NDArray[np.float64]] = []
    history = [float(np.linalg.norm(r))]
    for _ in range(steps):
        d = network(r / np.linalg.norm(r))
        for old in directions[-2:]:
            d = d - (d @ (A @ old)) / (old @ (A @ old)) * old
        alpha = (r @ d) / (d @ (A @ d))
        x = x + alpha * d
        r = b - A @ x
        directions.append(d)
        history.append(float(np.linalg.norm(r)))
    return history


def test_window_two_is_dcdm() -> None:
    A, rng = poisson(10), np.random.default_rng(3)
    b, W = rng.standard_normal(100), np.eye(100) + 0.05 * rng.standard_normal((100, 100))

    def network(r: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.tanh(W @ r) + 0.5 * r)

    M = Proposal(100, lambda r: np.linalg.norm(r) * network(r / np.linalg.norm(r)))
    result = fcg(A, b, M=M, window=2, rtol=1e-12, maxiter=40)
    np.testing.assert_allclose(result.residuals[:41], dcdm(A, b, network, 40), rtol=1e-6)


def test_unsymmetric_preconditioner_helps() -> None:
    A = poisson()
    b = np.random.default_rng(4).standard_normal(576)
    L = sp.linalg.splu(sp.csc_array(sp.tril(A)), permc_spec="NATURAL")  # a forward Gauss-Seidel sweep
    M = Proposal(576, L.solve)
    assert fcg(A, b, M=M, window=None, rtol=1e-8).check().iterations < 0.8 * cg(A, b, rtol=1e-8).iterations


def test_a_proposal_that_is_sometimes_useless_costs_little() -> None:
    A = poisson(12)
    b, calls = np.random.default_rng(5).standard_normal(144), iter(range(10_000))

    def flaky(r: NDArray[np.float64]) -> NDArray[np.float64]:
        return [r, np.full_like(r, np.nan), 0 * r, r][next(calls) % 4]

    result = fcg(A, b, M=Proposal(144, flaky), rtol=1e-8).check()
    assert result.details["rejected"] == pytest.approx(result.iterations / 2, abs=2)
    assert result.iterations <= cg(A, b, rtol=1e-8).iterations + 2


def test_repeating_a_kept_direction_is_noticed() -> None:
    A, b, fixed = poisson(12), np.random.default_rng(6).standard_normal(144), np.ones(144)
    result = fcg(A, b, M=Proposal(144, lambda r: fixed), window=None, rtol=1e-8)
    assert result.converged
    assert result.details["rejected"] >= result.iterations - 1


def test_negative_curvature_is_named() -> None:
    result = fcg(np.diag([1.0, -1.0, 2.0]), np.array([0.1, 1.0, 0.1]))
    assert result.status is Status.INDEFINITE
    assert "minres" in result.message


def test_complex_hermitian_block() -> None:
    rng = np.random.default_rng(7)
    B = rng.standard_normal((40, 40)) + 1j * rng.standard_normal((40, 40))
    A, b = B @ B.conj().T + np.eye(40), rng.standard_normal((40, 3)) + 1j * rng.standard_normal((40, 3))
    result = fcg(A, b, M=Proposal(40, lambda r: r * (1 + 0.1j)), window=2, rtol=1e-10).check()
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), atol=1e-8)


def test_window_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="window = 0: expected at least 1"):
        fcg(np.eye(2), np.ones(2), window=0)
