"""Conjugate gradients: theory, every library and form, and every way to fail."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given, settings
from hypothesis import strategies as st

from conjugo.solvers import cg
from conjugo.solvers.krylov.cg import generic_cg
from conjugo.solvers.krylov.lanczos import extreme_eigenvalues
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.result import Status


def axis(n: int, ends: float = 2.0) -> Axis:
    """Second difference; `ends` is 2 for Dirichlet, 1 for Neumann (cell-centred)."""
    lower, diag = -np.ones(n), np.full(n, 2.0)
    lower[0], diag[0], diag[-1] = 0.0, ends, ends
    return Axis(lower, diag, lower[::-1].copy(), np.ones(n))


def laplacian(*shape: int, dtype: type = np.float64) -> SeparableStencil:
    """Dirichlet Laplacian, scaled by h^2."""
    return SeparableStencil([axis(n) for n in shape], dtype=dtype)


def variable(n: int, dtype: type = np.float64) -> VariableStencil:
    """Two-dimensional diffusion with a random coefficient of contrast 100."""
    k = 10 ** np.random.default_rng(0).uniform(0, 2, (2, n + 1, n + 1))
    diag = k[0, :-1, :n] + k[0, 1:, :n] + k[1, :n, :-1] + k[1, :n, 1:]
    upper = [-k[0, 1:, :n].copy(), -k[1, :n, 1:].copy()]
    upper[0][-1], upper[1][:, -1] = 0, 0
    return VariableStencil(diag.astype(dtype), [u.astype(dtype) for u in upper])


def rhs(n: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(n)


def test_error_stays_below_the_kappa_bound() -> None:
    A = laplacian(15, 15)
    values = np.linalg.eigvalsh(A.tocsr().toarray())
    root = np.sqrt(values[-1] / values[0])
    exact = rhs(225)
    errors = [np.sqrt(exact @ (A @ exact))]
    cg(A, A @ exact, rtol=1e-10, callback=lambda x: errors.append(np.sqrt((x - exact) @ (A @ (x - exact)))))
    bound = 2 * ((root - 1) / (root + 1)) ** np.arange(len(errors)) * errors[0]
    assert np.all(np.array(errors) <= bound * (1 + 1e-8) + 1e-12)
    assert np.all(np.diff(errors) <= 1e-12)  # the A-norm of the error never grows


@pytest.mark.parametrize("distinct", [1, 3, 7])
def test_ends_after_as_many_iterations_as_distinct_eigenvalues(distinct: int) -> None:
    values = np.repeat(np.linspace(1.0, 3.0, distinct), 5)
    result = cg(np.diag(values), rhs(values.size), rtol=1e-10)
    assert result.converged
    assert result.iterations == distinct


@pytest.mark.parametrize("A", [laplacian(31), laplacian(15, 17), laplacian(5, 6, 7), variable(17)], ids=repr)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_fused_equals_generic(A: Any, dtype: type) -> None:
    A = A.astype(dtype)
    b = rhs(A.shape[0]).astype(dtype)
    rtol = 1e-8 if dtype is np.float64 else 1e-3
    fused = cg(A, b, rtol=rtol)
    generic = generic_cg(Monitor("cg", A, b, rtol=rtol), None)
    assert fused.converged
    assert generic.converged
    assert abs(fused.iterations - generic.iterations) <= 1
    early = min(fused.iterations, 20)
    np.testing.assert_allclose(
        fused.residuals[:early], generic.residuals[:early], rtol=1e-10 if dtype is np.float64 else 1e-2
    )
    np.testing.assert_allclose(fused.x, generic.x, atol=20 * rtol * np.max(np.abs(generic.x)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_a_direct_solve(dtype: type) -> None:
    A = variable(20, dtype)
    b = rhs(400).astype(dtype)
    rtol = 1e-10 if dtype is np.float64 else 1e-5
    exact = spla.spsolve(A.tocsr().astype(float).tocsc(), b.astype(float))
    for operator in (A, A.tocsr(), A.tocsr().toarray()):
        result = cg(operator, b, rtol=rtol).check()
        assert result.x.dtype == dtype
        # the error is at most kappa times the relative residual; kappa is about 1e4 here
        assert np.linalg.norm(result.x - exact) <= 1e4 * rtol * np.linalg.norm(exact)
        assert np.linalg.norm(b - A @ result.x) <= 1.01 * rtol * np.linalg.norm(b)


def test_block_equals_columns_and_frozen_columns_stay() -> None:
    A = laplacian(12, 13).tocsr()
    B = np.stack([rhs(156), np.zeros(156), A @ np.ones(156), 1e5 * rhs(156, 1)], axis=1)
    block = cg(A, B, rtol=1e-8)
    assert block.converged
    for j in range(4):
        single = cg(A, B[:, j], rtol=1e-8)
        np.testing.assert_allclose(block.x[:, j], single.x, atol=1e-9 * (1 + np.max(np.abs(single.x))))
        np.testing.assert_allclose(block.residuals[: single.iterations, j], single.residuals[:-1], rtol=1e-6)
        np.testing.assert_array_equal(np.diff(block.residuals[single.iterations : -1, j]), 0.0)
    column = cg(A, B[:, :1], rtol=1e-8)
    assert column.x.shape == (156, 1)


@pytest.mark.parametrize("shape", [(30,), (30, 2)])
def test_complex_hermitian(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    H = rng.standard_normal((30, 30)) + 1j * rng.standard_normal((30, 30))
    H = H @ H.conj().T + 10 * np.eye(30)
    b = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    result = cg(H, b, rtol=1e-10, M=np.diag(1 / np.diag(H))).check()
    np.testing.assert_allclose(H @ result.x, b, atol=1e-8)
    assert cg(H, b.real).x.dtype == np.complex128


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128"])
def test_torch_equals_numpy(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    A = laplacian(10, 11)
    matrix = torch.tensor(A.tocsr().toarray(), dtype=getattr(torch, dtype))
    B = rhs(330).reshape(110, 3).astype(dtype)
    rtol = 1e-4 if dtype == "float32" else 1e-8
    for b in (B, B[:, 0].copy()):
        expected = cg(A.tocsr().astype(dtype), b, rtol=rtol)
        for operator in (matrix, A) if dtype != "complex128" else (matrix,):
            result = cg(operator, torch.tensor(b), rtol=rtol)
            assert result.converged
            assert isinstance(result.x, torch.Tensor)
            assert result.x.dtype == matrix.dtype
            assert abs(result.iterations - expected.iterations) <= 1
            np.testing.assert_allclose(result.x.numpy(), expected.x, atol=100 * rtol)


def test_torch_failures_are_named() -> None:
    torch = pytest.importorskip("torch")
    b = torch.ones(4, dtype=torch.float64)
    assert cg(-torch.eye(4, dtype=torch.float64), b).status is Status.INDEFINITE
    assert cg(torch.full((4, 4), torch.nan, dtype=torch.float64), b).status is Status.NONFINITE


def jacobi(A: Any) -> Any:
    return sp.diags_array(1 / A.diagonal())


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_preconditioners_of_every_kind_give_the_same() -> None:
    A = variable(16).tocsr()
    b = rhs(256)
    inverse = jacobi(A)
    counts = set()
    for M in (inverse, spla.aslinearoperator(inverse), inverse.toarray(), np.asmatrix(inverse.toarray())):
        result = cg(A, b, rtol=1e-8, M=M).check()
        counts.add(result.iterations)
        assert np.linalg.norm(b - A @ result.x) <= 1e-8 * np.linalg.norm(b)
    assert len(counts) == 1
    assert counts.pop() < cg(A, b, rtol=1e-8).iterations


def test_condition_estimate() -> None:
    A = laplacian(15, 15)
    exact = (1 / np.tan(np.pi / 32)) ** 2
    assert cg(A, rhs(225), rtol=1e-12).details["condition"] == pytest.approx(exact, rel=1e-6)
    assert cg(A.tocsr(), rhs(225), rtol=1e-12).details["condition"] == pytest.approx(exact, rel=1e-6)
    assert extreme_eigenvalues([], []) is None


def test_inputs_are_not_changed() -> None:
    A = laplacian(6, 7)
    b, x0 = rhs(42), rhs(42, 1)
    for operator in (A, A.tocsr()):
        copies = b.copy(), x0.copy()
        result = cg(operator, b, x0, M=None, rtol=1e-8)
        np.testing.assert_array_equal(b, copies[0])
        np.testing.assert_array_equal(x0, copies[1])
        assert result.x is not x0
    assert cg(A, b, x0=cg(A, b, rtol=1e-12).x, rtol=1e-8).iterations == 0


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), factor=st.floats(1e-6, 1e6), n=st.integers(2, 12))
def test_scaling_and_permutation(seed: int, factor: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    Q = rng.standard_normal((n, n))
    A, b = Q @ Q.T + n * np.eye(n), rng.standard_normal(n)
    plain = cg(A, b, rtol=1e-9)
    scaled = cg(factor * A, factor * b, rtol=1e-9)
    np.testing.assert_allclose(scaled.x, plain.x, rtol=1e-6, atol=1e-8 * np.linalg.norm(b))
    order = rng.permutation(n)
    permuted = cg(A[np.ix_(order, order)], b[order], rtol=1e-9)
    np.testing.assert_allclose(permuted.x, plain.x[order], rtol=1e-6, atol=1e-8 * np.linalg.norm(b))


class Flagged:
    """A preconditioner that declares what it is."""

    shape = (25, 25)

    def __init__(self, **facts: bool) -> None:
        self.__dict__.update(facts)

    def __matmul__(self, r: Any) -> Any:
        raise AssertionError("a product was formed")


@pytest.mark.parametrize(
    ("M", "message"),
    [(Flagged(linear=False), "linear = False .* use fcg"), (Flagged(symmetric=False), r"symmetric=True\)")],
)
def test_unfit_preconditioners_are_refused(M: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cg(laplacian(5, 5), np.ones(25), M=M)


class ForwardGaussSeidel:
    """Unsymmetric, and does not say so."""

    def __init__(self, A: Any) -> None:
        self.shape = A.shape
        self._solve = spla.splu(sp.csc_array(sp.tril(A)), permc_spec="NATURAL").solve

    def __matmul__(self, r: Any) -> Any:
        return self._solve(r)


def test_unsymmetric_preconditioner_is_found_and_named() -> None:
    A = laplacian(24, 24).tocsr()
    result = cg(A, rhs(576), M=ForwardGaussSeidel(A), rtol=1e-8)
    assert result.details["asymmetry"] > 1e-2
    assert "use fcg" in result.message
    assert result.status in (Status.BREAKDOWN, Status.INDEFINITE)


@pytest.mark.parametrize("fused", [True, False])
def test_indefinite_and_negative_operators(fused: bool) -> None:
    A = SeparableStencil([axis(16), axis(16)], shift=-1.0)
    result = cg(A if fused else A.tocsr(), rhs(256), rtol=1e-8)
    assert result.status is Status.INDEFINITE
    assert "use minres" in result.message
    assert np.all(np.isfinite(result.x))


def test_indefinite_preconditioner() -> None:
    result = cg(np.eye(4), np.ones(4), M=-np.eye(4))
    assert result.status is Status.INDEFINITE
    assert "fcg" in result.message


@pytest.mark.parametrize("columns", [None, 2])
def test_nan_from_either_operator_ends_at_once(columns: int | None) -> None:
    bad = np.eye(4)
    bad[2, 2] = np.nan
    b = np.ones(4) if columns is None else np.ones((4, columns))
    for result, culprit in ((cg(bad, b), "check A"), (cg(np.eye(4), b, M=bad), "check M")):
        assert result.status is Status.NONFINITE
        assert result.iterations == 0
        assert culprit in result.message
        assert np.all(np.isfinite(result.x))


def neumann(n: int) -> SeparableStencil:
    return SeparableStencil([axis(n, 1.0), axis(n, 1.0)])


@pytest.mark.parametrize("fused", [True, False])
def test_undeclared_inconsistent_system_is_flagged(fused: bool) -> None:
    A = neumann(24)
    started = time.perf_counter()
    result = cg(A if fused else A.tocsr(), rhs(576), rtol=1e-8)
    assert result.status is Status.BREAKDOWN
    assert "may be singular" in result.message
    assert result.iterations < 576
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("fused", [True, False])
def test_declared_null_space(fused: bool) -> None:
    A = neumann(24)
    A.nullspace = np.full((576, 1), 1 / 24)
    b = rhs(576)
    inconsistent = cg(A, b)
    assert inconsistent.status is Status.STAGNATED
    assert inconsistent.iterations == 0
    assert "inconsistent" in inconsistent.message
    b -= b.mean()
    monitor = Monitor("cg", A, b, rtol=1e-12)
    result = cg(A, b, rtol=1e-12) if fused else generic_cg(monitor, None)
    assert result.converged
    assert abs(result.x.mean()) < 1e-10 * np.max(np.abs(result.x))
    preconditioned = cg(A, b, rtol=1e-12, M=jacobi(A.tocsr()))
    assert preconditioned.converged


def test_callback_maxiter_and_stop() -> None:
    A = laplacian(16, 16)
    for operator in (A, A.tocsr()):
        assert cg(operator, rhs(256), maxiter=3).status is Status.MAX_ITERATIONS
        assert cg(operator, rhs(256), maxiter=3).info == 3
        seen: list[Any] = []
        result = cg(operator, rhs(256), callback=lambda x: seen.append(x.copy()))  # noqa: B023
        assert len(seen) == result.iterations
        np.testing.assert_array_equal(seen[-1], result.x)
        assert cg(operator, rhs(256), callback=lambda x: True).status is Status.STOPPED


def test_numbers_that_underflow_end_with_a_word() -> None:
    result = cg(np.eye(3), np.full(3, 1e-170), M=1e-20 * np.eye(3))
    assert result.status in (Status.BREAKDOWN, Status.INDEFINITE)
    assert not result.converged


def test_nan_in_a_stencil_ends_the_fused_loop() -> None:
    A = variable(8)
    diag = A.diag.copy()
    diag[3, 3] = np.nan
    result = cg(VariableStencil(diag, A.upper), rhs(64))
    assert result.status is Status.NONFINITE
    assert np.all(np.isfinite(result.x))


@pytest.mark.parametrize("fused", [True, False])
def test_interrupt_in_the_loop_keeps_the_iterate(fused: bool) -> None:
    def interrupt(x: Any) -> None:
        raise KeyboardInterrupt

    A = laplacian(9, 9)
    result = cg(A if fused else A.tocsr(), rhs(81), callback=interrupt)
    assert result.status is Status.STOPPED
    assert np.any(result.x)
    assert result.residuals[-1] == pytest.approx(np.linalg.norm(rhs(81) - A @ result.x))


def test_inactive_nodes_keep_their_values() -> None:
    A = variable(8)
    active = np.ones((8, 8), bool)
    active[2:4, 2:4] = False
    diag = np.where(active, A.diag, 1.0)
    upper = [u * active * np.roll(active, -1, axis) for axis, u in enumerate(A.upper)]
    b = rhs(64)
    result = cg(VariableStencil(diag, upper, active=active), b, rtol=1e-12).check()
    np.testing.assert_allclose(result.x[~active.ravel()], b[~active.ravel()], rtol=1e-9)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_fused_block_equals_its_columns(preconditioned: bool) -> None:
    rng = np.random.default_rng(0)
    upper = [-rng.uniform(0.5, 2.0, (40, 30)) for _ in range(2)]
    upper[0][-1], upper[1][:, -1] = 0.0, 0.0
    A = VariableStencil(np.full((40, 30), 9.0), upper)
    B = rng.standard_normal((1200, 4))
    B[:, 1] = 0.0
    B[:, 2] = A @ (A @ np.ones(1200))
    M = Multigrid(A, symmetric=True) if preconditioned else None
    seen: list[float] = []
    block = cg(A, B, rtol=1e-10, M=M, callback=lambda x: seen.append(x[0, 0])).check()
    assert "asymmetry" not in block.details
    assert len(seen) == block.iterations
    for j in range(4):
        single = cg(A, B[:, j].copy(), rtol=1e-10, M=M)
        k = single.iterations
        np.testing.assert_allclose(block.x[:, j], single.x, atol=1e-8)
        np.testing.assert_allclose(block.residuals[:k, j], single.residuals[:k], rtol=1e-5)
        np.testing.assert_array_equal(np.diff(block.residuals[k:-1, j]), 0.0)


def test_fused_block_of_an_indefinite_stencil_says_so() -> None:
    A = VariableStencil(np.array([1.0, -1.0, 2.0]), [np.zeros(3)])
    result = cg(A, np.eye(3)[:, :2])
    assert result.status is Status.INDEFINITE
    np.testing.assert_allclose(result.residuals[-1], np.linalg.norm(np.eye(3)[:, :2] - A @ result.x, axis=0))
