"""What every stationary method promises: the signature, the history, the errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from tests.solvers.stationary.model_problems import STENCILS, poisson

from conjugo.solvers.result import Status
from conjugo.solvers.stationary.chebyshev import chebyshev
from conjugo.solvers.stationary.gauss_seidel import gauss_seidel
from conjugo.solvers.stationary.jacobi import jacobi_iteration
from conjugo.solvers.stationary.optimal_omega import optimal_omega
from conjugo.solvers.stationary.red_black import red_black_sor
from conjugo.solvers.stationary.sor import sor
from conjugo.solvers.stationary.ssor import ssor_iteration

METHODS = [jacobi_iteration, gauss_seidel, sor, ssor_iteration, red_black_sor, chebyshev]
SWEEPS = [gauss_seidel, sor, ssor_iteration, red_black_sor]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["stencil", "csr", "csc", "dense"])
@pytest.mark.parametrize("columns", [None, 3])
def test_solves_and_reports_the_truth(method: Any, form: str, columns: int | None) -> None:
    A = STENCILS["variable 2d"]
    operator = {"stencil": A, "csr": A.tocsr(), "csc": A.tocsr().tocsc(), "dense": A.tocsr().toarray()}[form]
    n = A.shape[0]
    rng = np.random.default_rng(0)
    b = rng.standard_normal(n if columns is None else (n, columns))
    x0 = rng.standard_normal(b.shape)
    kept = b.copy(), x0.copy()
    seen: list[Any] = []
    result = method(
        operator, b, x0, rtol=1e-8, maxiter=2000, callback=lambda x: seen.append(np.linalg.norm(b - A @ x, axis=0))
    )
    assert np.array_equal(b, kept[0])
    assert np.array_equal(x0, kept[1])
    assert result.converged
    assert result.x.shape == b.shape
    np.testing.assert_allclose(result.x, spla.spsolve(A.tocsr().tocsc(), b), rtol=0, atol=1e-6)
    np.testing.assert_allclose(result.residuals[1:], np.array(seen), rtol=1e-6, atol=1e-13)
    assert result.residuals.shape == (result.iterations + 1, *b.shape[1:])


@pytest.mark.parametrize("method", METHODS)
def test_zero_right_hand_side_and_limits(method: Any) -> None:
    A = poisson(8)
    zero = method(A, np.zeros(64))
    assert zero.converged
    assert not zero.x.any()
    assert method(A, np.ones(64), maxiter=2).status is Status.MAX_ITERATIONS
    stopped = method(A, np.ones(64), callback=lambda x: True)
    assert stopped.status is Status.STOPPED
    assert stopped.iterations == 1


@pytest.mark.parametrize("method", [jacobi_iteration, sor, ssor_iteration, red_black_sor])
@pytest.mark.parametrize("omega", [0.0, 2.0, -1.0, float("nan")])
def test_omega_outside_its_range(method: Any, omega: float) -> None:
    with pytest.raises(ValueError, match=r"omega = .*: expected 0 < omega < 2"):
        method(poisson(4), np.ones(16), omega=omega)


@pytest.mark.parametrize("method", METHODS)
def test_zero_diagonal_names_the_row(method: Any) -> None:
    A = sp.csr_array(np.array([[2.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"diagonal of A is 0\.0 in row 1"):
        method(A, np.ones(3))


@pytest.mark.parametrize("method", SWEEPS)
def test_products_alone_are_not_enough(method: Any) -> None:
    A = spla.aslinearoperator(poisson(4).tocsr())
    with pytest.raises(ValueError, match="offers only products"):
        method(A, np.ones(16))


@pytest.mark.parametrize("method", SWEEPS)
def test_what_cannot_be_swept(method: Any) -> None:
    A = poisson(4)
    with pytest.raises(ValueError, match="expects float32 or float64"):
        method(A, np.ones(16, dtype=complex))
    with pytest.raises(ValueError, match="expects real entries"):
        method(A.tocsr() * 1j, np.ones(16))
    with pytest.raises(ValueError, match="b has 15 rows"):
        method(A, np.ones(15))
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"sweeps over NumPy arrays.*jacobi_iteration"):
        method(A, torch.ones(16))


def test_chebyshev_needs_no_entries() -> None:
    A = poisson(12)
    b = np.ones(144)
    result = chebyshev(spla.aslinearoperator(A.tocsr()), b, rtol=1e-8)
    assert result.converged
    assert np.linalg.norm(b - A @ result.x) <= 1e-8 * np.linalg.norm(b)


@pytest.mark.parametrize("method", [jacobi_iteration, chebyshev])
def test_torch_gets_what_numpy_gets(method: Any) -> None:
    torch = pytest.importorskip("torch")
    dense = poisson(6).tocsr().toarray()
    b = np.random.default_rng(0).standard_normal((36, 2))
    ours = method(torch.tensor(dense), torch.tensor(b), rtol=1e-8)
    assert isinstance(ours.x, torch.Tensor)
    np.testing.assert_allclose(ours.x.numpy(), method(dense, b, rtol=1e-8).x, rtol=0, atol=1e-10)


def test_complex_systems_by_chebyshev() -> None:
    rng = np.random.default_rng(0)
    B = rng.standard_normal((20, 20)) + 1j * rng.standard_normal((20, 20))
    A = B @ B.conj().T + 20 * np.eye(20)
    b = rng.standard_normal(20) + 1j * rng.standard_normal(20)
    np.testing.assert_allclose(chebyshev(A, b, rtol=1e-10).x, np.linalg.solve(A, b), rtol=1e-7)


def test_chebyshev_refuses() -> None:
    A = poisson(4)
    with pytest.raises(ValueError, match="expected 0 < smallest < largest"):
        chebyshev(A, np.ones(16), bounds=(2.0, 1.0))
    with pytest.raises(ValueError, match="use minres"):
        chebyshev(np.diag([1.0, 2.0]) + np.array([[0.0, 3.0], [3.0, 0.0]]), np.ones(2))

    class Crooked:
        shape, linear, symmetric = (16, 16), True, False

        def __matmul__(self, r: Any) -> Any:
            return r

    with pytest.raises(ValueError, match="use fcg or fgmres"):
        chebyshev(A, np.ones(16), M=Crooked())


def test_youngs_formula_refuses_indefinite_matrices() -> None:
    A = np.array([[1.0, 3.0], [3.0, 1.0]])
    with pytest.raises(ValueError, match="expects a positive definite A"):
        optimal_omega(A)
    rotation = np.array([[1.0, 2.0], [-2.0, 1.0]])
    with pytest.raises(ValueError, match="pass omega yourself"):
        optimal_omega(rotation)


def test_divergence_is_a_status() -> None:
    A = np.array([[1.0, 3.0], [3.0, 1.0]])
    result = jacobi_iteration(A, np.ones(2), np.array([1.0, -1.0]), maxiter=500)
    assert result.status in (Status.BREAKDOWN, Status.STAGNATED)
    assert not result.converged


def test_integers_and_lists_are_welcome() -> None:
    nested: Any = [[2, -1], [-1, 2]]
    assert gauss_seidel(nested, [1, 1], maxiter=60).x == pytest.approx([1, 1], abs=1e-4)
