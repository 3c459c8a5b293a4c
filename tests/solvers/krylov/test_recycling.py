"""Deflation removes what it is given; recycling finds it by itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.krylov.deflated import Deflation, deflated_cg
from conjugo.solvers.krylov.recycling import RecyclingCG
from conjugo.solvers.result import Status

type Matrix = NDArray[np.float64]

N, SMALL = 300, 5


def system(seed: int = 0) -> tuple[Matrix, Matrix]:
    """A matrix with a few small eigenvalues (first columns of Q are their vectors)."""
    values = np.r_[np.logspace(-5, -3, SMALL), np.linspace(0.1, 1, N - SMALL)]
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((N, N)))[0]
    A = (Q * values) @ Q.T
    return (A + A.T) / 2, Q


def test_deflated_cg_meets_the_bound_of_the_remaining_spectrum() -> None:
    A, Q = system()
    b = np.random.default_rng(1).standard_normal(N)
    result = deflated_cg(A, b, W=Q[:, :SMALL], rtol=1e-8).check()
    root = np.sqrt(1 / 0.1)
    # energy error <= 2 q^k, and the residual is within sqrt(kappa) of it
    bound = np.log(2 * root / 1e-8) / np.log((root + 1) / (root - 1))
    assert result.iterations <= bound
    assert cg(A, b, rtol=1e-8).iterations > 2 * result.iterations
    np.testing.assert_allclose(A @ result.x, b, atol=1e-7 * np.linalg.norm(b))


def test_empty_subspace_is_plain_cg() -> None:
    A, _ = system()
    b = np.random.default_rng(2).standard_normal(N)
    assert deflated_cg(A, b, W=np.zeros((N, 0)), rtol=1e-6).iterations == cg(A, b, rtol=1e-6).iterations


def test_full_subspace_needs_no_iteration() -> None:
    A = np.diag(np.arange(1.0, 9.0))
    assert deflated_cg(A, np.ones(8), np.full(8, 3.0), W=np.eye(8), rtol=1e-10).check().iterations == 0


def test_dependent_columns_are_dropped() -> None:
    A, Q = system()
    deflation = Deflation(A, np.concatenate([Q[:, :3], Q[:, :3] @ np.ones((3, 2)), np.zeros((N, 1))], axis=1))
    assert deflation.W.shape == (N, 3)
    np.testing.assert_allclose(deflation.W.T @ A @ deflation.W, np.eye(3), atol=1e-6)
    assert deflation.nbytes == 2 * 3 * N * 8


def test_deflation_is_set_up_once() -> None:
    A, Q = system()
    deflation = Deflation(A, Q[:, :SMALL])
    for seed in range(2):
        result = deflated_cg(A, np.random.default_rng(seed).standard_normal(N), W=deflation, rtol=1e-8).check()
        assert "setup_seconds" not in result.details
        assert result.details["deflated"] == SMALL


@pytest.mark.parametrize(
    ("W", "message"),
    [(np.ones((3, 1)), "W has shape"), (np.ones(N), "W has shape"), (np.full((N, 1), np.nan), "W holds NaN")],
)
def test_wrong_bases_are_refused(W: Matrix, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deflated_cg(system()[0], np.ones(N), W=W)


def test_indefinite_subspace_is_named() -> None:
    result = deflated_cg(np.diag([-1.0, 1.0, 2.0]), np.ones(3), W=np.eye(3)[:, :1])
    assert result.status is Status.INDEFINITE
    assert "W^H A W" in result.message


def test_recycling_learns_the_small_eigenvectors_from_one_solve() -> None:
    A, Q = system()
    rng, solver = np.random.default_rng(3), RecyclingCG(k=8)
    first = solver.solve(A, rng.standard_normal(N), rtol=1e-8).check().iterations
    second = solver.solve(A, rng.standard_normal(N), rtol=1e-8).check().iterations
    exact = deflated_cg(A, rng.standard_normal(N), W=Q[:, :SMALL], rtol=1e-8).iterations
    assert second < first / 2
    assert second <= exact + 2
    W = np.linalg.qr(np.asarray(solver.W))[0]
    assert np.linalg.norm(Q[:, :SMALL] - W @ (W.T @ Q[:, :SMALL])) < 1e-2


def test_recycling_follows_a_matrix_that_changes_slowly_with_a_preconditioner() -> None:
    A, _ = system()
    rng, solver, M = np.random.default_rng(4), RecyclingCG(k=8), np.diag(1 / np.diag(A))
    counts, plain = [], []
    for _ in range(4):
        noise = 1e-7 * rng.standard_normal((N, N))
        A, b = A + noise + noise.T, rng.standard_normal(N)
        result = solver.solve(A, b, M=M, rtol=1e-8).check()
        assert np.linalg.norm(b - A @ result.x) <= 1e-8 * np.linalg.norm(b)
        counts.append(result.iterations)
        plain.append(cg(A, b, M=M, rtol=1e-8).iterations)
    assert max(counts[1:]) < min(plain) / 2


def test_recycling_blocks_and_forgetting() -> None:
    A, _ = system()
    rng, solver = np.random.default_rng(5), RecyclingCG(k=8)
    B = rng.standard_normal((N, 3))
    first = solver.solve(A, B, rtol=1e-8).check()
    second = solver.solve(A, B, rtol=1e-8).check()
    assert second.iterations < first.iterations / 2
    assert solver.nbytes == 2 * 8 * N * 8
    solver.W = None
    assert solver.solve(A, B, rtol=1e-8).iterations == first.iterations


def test_recycling_complex_hermitian() -> None:
    rng = np.random.default_rng(6)
    Q = np.linalg.qr(rng.standard_normal((N, N)) + 1j * rng.standard_normal((N, N)))[0]
    A = (Q * np.r_[1e-4, 1e-3, np.linspace(0.2, 1, N - 2)]) @ Q.conj().T
    solver, b = RecyclingCG(k=4), rng.standard_normal(N) + 1j * rng.standard_normal(N)
    first, second = (solver.solve(A, b, rtol=1e-8).check() for _ in range(2))
    assert second.iterations < first.iterations / 1.5


def test_a_failed_solve_leaves_a_subspace_that_works() -> None:
    A, _ = system()
    b, solver = np.random.default_rng(7).standard_normal(N), RecyclingCG(k=4)
    first = solver.solve(A, b, rtol=1e-8).check()

    class M:
        shape, left = (N, N), 10

        def __matmul__(self, r: Matrix) -> Matrix:
            self.left -= r.ndim == 1
            return r if self.left > 0 else r * np.nan

    assert solver.solve(A, b, M=M(), rtol=1e-8).status is Status.NONFINITE
    assert np.all(np.isfinite(np.asarray(solver.W)))
    assert solver.solve(A, b, rtol=1e-8).check().iterations < first.iterations


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="k = 0"):
        RecyclingCG(k=0)
    with pytest.raises(ValueError, match="window = 0"):
        RecyclingCG(window=0)
