"""SciPy's methods: its signatures, our stopping rule and statuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.solvers.adapters.direct import splu
from conjugo.solvers.adapters.scipy import bicgstab, gcrotmk, gmres, lgmres
from conjugo.solvers.result import SolveResult, Status

METHODS: dict[str, Callable[..., SolveResult]] = {
    "gmres": gmres,
    "bicgstab": bicgstab,
    "lgmres": lgmres,
    "gcrotmk": gcrotmk,
}
every = pytest.mark.parametrize("name", list(METHODS))


def convection(n: int = 16) -> sp.csr_array:
    one = sp.diags_array([np.full(n - 1, -1.4), np.full(n, 2.0), np.full(n - 1, -0.6)], offsets=[-1, 0, 1])
    return sp.csr_array(sp.kronsum(one, one))


def right_hand_side(n: int = 256) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal(n)


@every
def test_signature_holds_scipys(name: str) -> None:
    ours = inspect.signature(METHODS[name]).parameters
    theirs = inspect.signature(getattr(spla, name)).parameters
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in ours.values())
    assert set(theirs) <= set(ours) or open_ended
    for keyword in ("rtol", "atol", "maxiter", "M", "callback"):
        assert ours[keyword].default == theirs[keyword].default


@every
def test_scipys_script_runs_unchanged(name: str) -> None:
    A, b = convection(), right_hand_side()
    M = spla.LinearOperator(A.shape, spla.spilu(sp.csc_array(A)).solve)
    x, info = METHODS[name](A, b, rtol=1e-9, M=M)
    assert info == 0
    assert np.linalg.norm(b - A @ x) <= 1e-9 * np.linalg.norm(b)


@every
def test_last_residual_is_the_true_one_and_products_are_counted(name: str) -> None:
    A, b, calls = convection(), right_hand_side(), [0]

    class Counted:
        shape = A.shape

        def __matmul__(self, x: Any) -> Any:
            calls[0] += 1
            return A @ x

    result = METHODS[name](Counted(), b, rtol=1e-7)
    assert result.residuals[-1] == pytest.approx(np.linalg.norm(b - A @ result.x), rel=1e-12)
    assert calls[0] == result.details["products"]


def test_gmres_history_is_the_true_residual_in_every_inner_iteration() -> None:
    A, b = convection(), right_hand_side()
    M = sp.diags_array(np.linspace(0.5, 2, 256)).tocsr()  # a left preconditioner would change the norm
    result = gmres(A, b, rtol=1e-8, restart=12, M=M).check()
    for k in (5, 12, 17):
        from conjugo.solvers.krylov.fgmres import fgmres

        partial = fgmres(A, b, rtol=1e-30, restart=12, M=M, maxiter=k)
        assert result.residuals[k] == pytest.approx(np.linalg.norm(b - A @ partial.x), rel=1e-6)


def test_gmres_callback_types() -> None:
    A, b = convection(), right_hand_side()
    norms: list[float] = []
    result = gmres(A, b, restart=20, callback=norms.append, callback_type="pr_norm")
    assert len(norms) == result.iterations
    np.testing.assert_allclose(norms, result.residuals[1:] / np.linalg.norm(b), rtol=1e-6)
    shapes: list[tuple[int, ...]] = []
    gmres(A, b, restart=20, callback=lambda x: shapes.append(x.shape), callback_type="x")
    assert shapes == [(256,)] * -(-result.iterations // 20)
    with pytest.raises(ValueError, match="callback_type = 'y': expected 'x', 'pr_norm' or 'legacy'"):
        gmres(A, b, callback_type="y")


def test_gmres_stops_where_restarts_do_not_help() -> None:
    A, b = np.roll(np.eye(40), 1, axis=0), np.eye(40)[0]
    result = gmres(A, b, restart=10)
    assert result.status is Status.STAGNATED
    assert result.iterations <= 60


def test_bicgstab_is_started_again_where_scipy_stops_too_early() -> None:
    rng = np.random.default_rng(1)
    A = np.diag(np.logspace(-7, 0, 60)) @ (np.eye(60) + 0.02 * rng.standard_normal((60, 60)))
    b = A @ rng.standard_normal(60)
    result = bicgstab(A, b, rtol=1e-13, maxiter=5000)
    true = np.linalg.norm(b - A @ result.x)
    assert result.converged == bool(true <= 1e-13 * np.linalg.norm(b))
    assert result.residuals[-1] == pytest.approx(true, rel=1e-6)


def test_lgmres_takes_scipys_own_options() -> None:
    A, b = convection(), right_hand_side()
    few, many = lgmres(A, b, rtol=1e-8, inner_m=10, outer_k=1).check(), lgmres(A, b, rtol=1e-8, inner_m=80).check()
    assert many.iterations < few.iterations
    with pytest.raises(TypeError, match="unexpected keyword"):
        lgmres(A, b, inner_n=3)


@pytest.mark.parametrize("name", ["gmres", "bicgstab", "lgmres"])
def test_a_preconditioner_that_changes_is_refused(name: str) -> None:
    class M:
        shape, linear = (256, 256), False

        def __matmul__(self, r: Any) -> Any:
            return r

    with pytest.raises(ValueError, match="use fgmres or fcg"):
        METHODS[name](convection(), right_hand_side(), M=M())


@every
def test_errors_of_the_users_operator_come_through(name: str) -> None:
    calls = iter(range(100))

    class Broken:
        shape = (256, 256)

        def __matmul__(self, x: Any) -> Any:
            if next(calls) == 3:
                raise RuntimeError("the user's own bug")
            return 2 * x + np.roll(x, 1)

    with pytest.raises(RuntimeError, match="the user's own bug"):
        METHODS[name](Broken(), right_hand_side(), rtol=1e-12)


def test_lists_and_integers_are_taken() -> None:
    A: Any = [[2, 1], [-1, 1]]
    x, info = gmres(A, [3, 0], rtol=1e-10)
    np.testing.assert_allclose(x, [1, 1])
    assert info == 0


def test_splu_solves_refines_and_preconditions() -> None:
    A, b = convection(), right_hand_side()
    factors = splu(A)
    assert factors.solve(b, rtol=1e-13).check().iterations == 1
    assert factors.nbytes > 0
    assert factors.setup_seconds > 0
    assert not factors.symmetric
    assert gmres(A, b, M=factors, rtol=1e-10).iterations == 1
    single = splu(A.astype(np.float32))  # refinement in double precision on the float32 matrix
    result = single.solve(b, rtol=1e-13)
    assert 2 <= result.check().iterations <= 4


def test_splu_pins_a_declared_null_space() -> None:
    n = 40
    diag = np.full(n, 2.0)
    diag[[0, -1]] = 1.0
    matrix = sp.csr_array(sp.diags_array([-np.ones(n - 1), diag, -np.ones(n - 1)], offsets=[-1, 0, 1]))

    class Neumann:
        shape, nullspace = (n, n), np.full((n, 1), n**-0.5)

        def __matmul__(self, x: Any) -> Any:
            return matrix @ x

        def tocsr(self) -> Any:
            return matrix

    b = right_hand_side(n)
    b -= b.mean()
    result = splu(Neumann()).solve(b, rtol=1e-10).check()
    assert abs(result.x.mean()) < 1e-12
    assert splu(sp.csr_array(np.diag([1.0, 0.0]))).solve(np.ones(2)).status is Status.BREAKDOWN


def test_splu_refuses_what_has_no_entries() -> None:
    with pytest.raises(ValueError, match="without entries"):
        splu(spla.aslinearoperator(np.eye(3)))
    with pytest.raises(ValueError, match="expected a square matrix"):
        splu(np.ones((2, 3)))
