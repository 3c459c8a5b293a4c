"""SciPy scripts run unchanged, and where SciPy claims success wrongly we do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from conjugo.solvers import Status, cg

N = 32


def poisson() -> sp.csr_array:
    """Two-dimensional Laplacian with Dirichlet ends, as SciPy users assemble it."""
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(N, N))
    eye = sp.eye_array(N)
    return sp.csr_array(sp.kron(T, eye) + sp.kron(eye, T))


A = poisson()
B = np.random.default_rng(0).standard_normal(N * N)


def script(solver: Any) -> tuple[Any, int, int]:
    """What a SciPy user writes."""
    steps = []
    ilu = spla.LinearOperator(A.shape, matvec=lambda r: r / A.diagonal(), dtype=float)
    x, info = solver(
        A, B, x0=np.ones(N * N), rtol=1e-8, atol=0.0, maxiter=500, M=ilu, callback=lambda xk: steps.append(1)
    )
    return x, info, len(steps)


def test_the_same_script_gives_the_same_answer() -> None:
    theirs, ours = script(spla.cg), script(cg)
    assert ours[1] == theirs[1] == 0
    assert abs(ours[2] - theirs[2]) <= 1
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize(
    "form",
    [
        lambda A: A,
        lambda A: sp.csr_matrix(A),
        lambda A: sp.coo_array(A),
        lambda A: A.tolil(),
        lambda A: A.toarray(),
        lambda A: np.asmatrix(A.toarray()),
        lambda A: A.toarray().tolist(),
        spla.aslinearoperator,
    ],
    ids=["csr_array", "csr_matrix", "coo", "lil", "ndarray", "np.matrix", "list", "LinearOperator"],
)
def test_every_form_of_matrix(form: Any) -> None:
    x, info = cg(form(A), B, rtol=1e-8)
    assert info == 0
    assert x.shape == B.shape
    assert np.linalg.norm(B - A @ x) <= 1e-8 * np.linalg.norm(B)


@pytest.mark.parametrize(
    "b", [[1] * (N * N), np.ones(N * N, dtype=int), np.ones(N * N, bool)], ids=["list", "int", "bool"]
)
def test_integer_right_hand_sides(b: Any) -> None:
    x, info = cg(A, b)
    assert info == 0
    assert x.dtype == np.float64


def test_positional_x0_and_defaults() -> None:
    x, info = cg(A, B, np.zeros(N * N))
    theirs, _ = spla.cg(A, B, np.zeros(N * N))
    assert info == 0
    np.testing.assert_allclose(x, theirs, atol=1e-4)


def test_zero_right_hand_side_is_not_aliased() -> None:
    b = np.zeros(N * N)
    x, info = cg(A, b, x0=np.ones(N * N))
    assert info == 0
    assert x is not b
    assert not np.any(x)


def true(A: Any, x: Any, b: Any) -> float:
    """Relative residual in double precision."""
    return float(np.linalg.norm(b - A.astype(float) @ x.astype(float)) / np.linalg.norm(b))


def test_float32_below_its_accuracy_is_not_a_success() -> None:
    """SciPy returns info 0 here with a true residual some 70 times the tolerance."""
    low, b = A.astype(np.float32), B.astype(np.float32)
    x, info = spla.cg(low, b, rtol=1e-7)
    assert info == 0
    assert true(A, x, b) > 1e-6
    result = cg(low, b, rtol=1e-7)
    assert result.status is Status.STAGNATED
    assert result.info > 0
    assert "attainable" in result.message
    assert true(A, result.x, b) <= 2 * true(A, x, b)


def test_bad_scaling_is_not_a_success() -> None:
    """Diagonal scaling to a condition number near 1e10: SciPy's recurrence drifts from the truth."""
    D = sp.diags_array(10 ** np.random.default_rng(1).uniform(-1.9, 1.9, N * N))
    K = sp.csr_array(D @ A @ D)
    x, info = spla.cg(K, B, rtol=1e-10, maxiter=10_000)
    result = cg(K, B, rtol=1e-10, maxiter=10_000)
    assert result.converged == (true(K, result.x, B) <= 1e-10)
    assert not (info == 0 and result.converged and true(K, x, B) < true(K, result.x, B) / 10)


def test_nan_ends_at_once() -> None:
    """SciPy does 10 n iterations."""
    bad = A.copy()
    bad.data[7] = np.nan
    assert cg(bad, B).status is Status.NONFINITE
    with pytest.raises(ValueError, match="b holds NaN"):
        cg(A, B * np.nan)


def test_indefinite_is_named() -> None:
    """SciPy returns info 0 without a hint."""
    result = cg(A - sp.eye_array(N * N), B, rtol=1e-8)
    assert result.status is Status.INDEFINITE
    assert result.info < 0


def test_incompatible_neumann_is_named() -> None:
    """SciPy runs to maxiter while |x| grows to 1e17."""
    T = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(N, N)).tolil()
    T[0, 0] = T[N - 1, N - 1] = 1.0
    singular = sp.csr_array(sp.kron(T, sp.eye_array(N)) + sp.kron(sp.eye_array(N), T))
    result = cg(singular, B, rtol=1e-8)
    assert result.status is Status.BREAKDOWN
    assert "singular" in result.message
    assert result.iterations < N * N
