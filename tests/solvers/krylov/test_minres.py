"""MINRES: smallest residual over the Krylov space, stopped by the true one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.solvers.krylov.minres import minres
from conjugo.solvers.result import Status


def poisson(n: int = 24) -> sp.csr_array:
    one = sp.diags_array([-np.ones(n - 1), np.full(n, 2.0), -np.ones(n - 1)], offsets=[-1, 0, 1])
    return sp.csr_array(sp.kronsum(one, one))


def test_residuals_are_the_least_over_each_krylov_space() -> None:
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    A, b = (Q * np.linspace(-2, 3, 30)) @ Q.T, rng.standard_normal(30)
    result = minres(A, b, rtol=1e-10)
    basis: list[NDArray[np.float64]] = []
    for k in range(1, 12):
        v = b if not basis else A @ basis[-1]
        for u in basis:
            v = v - (u @ v) * u
        basis.append(v / np.linalg.norm(v))
        image = A @ np.stack(basis, axis=1)
        least = np.linalg.norm(b - image @ np.linalg.lstsq(image, b)[0])
        assert result.residuals[k] == pytest.approx(least, rel=1e-6)


def test_stops_on_the_true_residual_where_scipy_does_not() -> None:
    pyamg = pytest.importorskip("pyamg")
    A = poisson(64)
    b = np.random.default_rng(1).standard_normal(64 * 64)
    M = pyamg.smoothed_aggregation_solver(A).aspreconditioner()
    x, info = spla.minres(A, b, rtol=1e-8, M=M)
    assert info == 0  # SciPy claims success
    assert np.linalg.norm(b - A @ x) > 1e-8 * np.linalg.norm(b)
    result = minres(A, b, rtol=1e-8, M=M)
    assert result.converged
    assert np.linalg.norm(b - A @ result.x) <= 1e-8 * np.linalg.norm(b)
    assert result.iterations < 15


def test_recurrence_follows_the_true_residual_with_a_preconditioner() -> None:
    A = sp.csr_array(poisson() - 0.5 * sp.eye_array(576))
    b, scale = np.random.default_rng(2).standard_normal(576), np.linspace(0.5, 2, 576)
    true: list[float] = []
    result = minres(
        A,
        b,
        M=sp.diags_array(scale).tocsr(),
        rtol=1e-8,
        callback=lambda x: true.append(float(np.linalg.norm(b - A @ x))),
    )
    assert result.converged
    np.testing.assert_allclose(result.residuals[1:], true, rtol=1e-5)


def test_few_distinct_eigenvalues_need_few_steps() -> None:
    A = np.diag(np.repeat([-3.0, 1.0, 2.0, 5.0], 10))
    assert minres(A, np.random.default_rng(3).standard_normal(40), rtol=1e-10).check().iterations == 4


def test_singular_consistent_system() -> None:
    A = np.diag(np.r_[0.0, 0.0, np.linspace(-1, 2, 38)])
    b = np.r_[0.0, 0.0, np.random.default_rng(4).standard_normal(38)]
    result = minres(A, b, rtol=1e-10).check()
    np.testing.assert_array_equal(result.x[:2], 0)  # the least-norm solution


def test_inconsistent_system_gives_a_least_squares_solution() -> None:
    A = np.diag(np.r_[0.0, np.linspace(1, 2, 20)])
    b = np.ones(21)
    result = minres(A, b)
    assert result.status is Status.STAGNATED
    assert "least-squares" in result.message
    np.testing.assert_allclose(A @ result.x, np.r_[0.0, np.ones(20)], atol=1e-8)


@pytest.mark.parametrize("small", [1e-4, 1e-6, 1e-8])
def test_a_small_eigenvalue_is_not_taken_for_a_null_space(small: float) -> None:
    rng = np.random.default_rng(5)
    Q = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    A = (Q * np.r_[small, np.linspace(0.1, 1, 59)]) @ Q.T
    assert minres((A + A.T) / 2, rng.standard_normal(60), rtol=1e-6).converged


def test_complex_hermitian_indefinite_block() -> None:
    rng = np.random.default_rng(6)
    B = rng.standard_normal((40, 40)) + 1j * rng.standard_normal((40, 40))
    A, b = B + B.conj().T, rng.standard_normal((40, 2)) + 1j * rng.standard_normal((40, 2))
    result = minres(A, b, rtol=1e-10).check()
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), atol=1e-7)


def test_indefinite_preconditioner_is_named() -> None:
    result = minres(poisson(6), np.ones(36), M=-np.eye(36))
    assert result.status is Status.INDEFINITE
    assert "M is not positive definite" in result.message


def test_indefinite_preconditioner_is_named_in_a_block() -> None:
    scale = np.r_[-1.0, np.ones(35)]
    B = np.stack([np.eye(36)[0], np.ones(36)], axis=1)
    assert minres(poisson(6), B, M=np.diag(scale)).status is Status.INDEFINITE


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-3), ("float64", 1e-10)])
def test_slow_convergence_is_not_taken_for_inconsistency(dtype: str, rtol: float) -> None:
    n = 100
    s = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    noise = 1e-3 * np.random.default_rng(7).standard_normal(n * n)
    b = (np.outer(s, s).ravel() + noise).astype(dtype)  # the residual is soon the lowest eigenvector alone
    assert minres(poisson(n).astype(dtype), b, rtol=rtol).converged


def test_unsymmetric_preconditioner_is_refused() -> None:
    class M:
        shape, symmetric = (36, 36), False

        def __matmul__(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
            return r

    with pytest.raises(ValueError, match="symmetric = False but minres needs a fixed SPD M: use fgmres"):
        minres(poisson(6), np.ones(36), M=M())
