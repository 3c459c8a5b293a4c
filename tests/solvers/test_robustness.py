"""Every method in every awkward situation: which status it ends in. One table, so that a new method is one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from conjugo.solvers.adapters.direct import splu
from conjugo.solvers.adapters.scipy import bicgstab, gcrotmk, gmres, lgmres
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.krylov.deflated import deflated_cg
from conjugo.solvers.krylov.fcg import fcg
from conjugo.solvers.krylov.fgmres import fgmres
from conjugo.solvers.krylov.minres import minres
from conjugo.solvers.krylov.recycling import RecyclingCG
from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.solve import solve
from conjugo.solvers.stationary.chebyshev import chebyshev
from conjugo.solvers.stationary.gauss_seidel import gauss_seidel
from conjugo.solvers.stationary.jacobi import jacobi_iteration
from conjugo.solvers.stationary.red_black import red_black_sor
from conjugo.solvers.stationary.sor import sor
from conjugo.solvers.stationary.ssor import ssor_iteration

N = 12


def _petsc(A: Any, b: Any, *args: Any, **rule: Any) -> SolveResult:
    pytest.importorskip("petsc4py")
    from conjugo.solvers.adapters.petsc import petsc

    options = "-ksp_type cg" if rule.get("M") is not None else "-ksp_type cg -pc_type jacobi"
    return petsc(A, b, *args, options=options, **rule)


def _amg(A: Any, b: Any, *args: Any, **rule: Any) -> SolveResult:
    pytest.importorskip("pyamg")
    from conjugo.solvers.adapters.pyamg import ruge_stuben

    return ruge_stuben(A, max_coarse=5).solve(b, *args, **rule)


def _deflated(A: Any, b: Any, *args: Any, **rule: Any) -> SolveResult:
    return deflated_cg(A, b, *args, W=np.linspace(-1, 1, len(b))[:, None], **rule)


METHODS: dict[str, Callable[..., SolveResult]] = {
    "cg": cg,
    "fcg": fcg,
    "minres": minres,
    "fgmres": fgmres,
    "deflated_cg": _deflated,
    "recycling_cg": lambda A, b, *args, **rule: RecyclingCG(4).solve(A, b, *args, **rule),
    "gmres": gmres,
    "bicgstab": bicgstab,
    "lgmres": lgmres,
    "gcrotmk": gcrotmk,
    "splu": lambda A, b, *args, **rule: splu(A).solve(b, *args, **rule),
    "ruge_stuben": _amg,
    "petsc": _petsc,
}
DEFINITE = {"cg", "fcg", "deflated_cg", "recycling_cg", "ruge_stuben", "petsc"}
OWN_M = {"splu", "ruge_stuben"}
"""Methods that bring their own preconditioner."""
CHECKED_AT_SETUP = {"splu", "ruge_stuben"}
"""Factories that read the entries of A refuse NaN with a ValueError."""

SWEEPS: dict[str, Callable[..., SolveResult]] = {
    "jacobi_iteration": jacobi_iteration,
    "gauss_seidel": gauss_seidel,
    "sor": sor,
    "ssor_iteration": ssor_iteration,
    "red_black_sor": red_black_sor,
    "chebyshev": chebyshev,
    "solve": lambda A, b, x0=None, **rule: solve(A, b, x0=x0, **rule),
}
"""The stationary methods, and the choice of a method."""

every = pytest.mark.parametrize("name", list(METHODS))


def laplacian(*, neumann: bool = False) -> sp.csr_array:
    diag = np.full(N, 2.0)
    if neumann:
        diag[[0, -1]] = 1.0
    one = sp.diags_array([-np.ones(N - 1), diag, -np.ones(N - 1)], offsets=[-1, 0, 1])
    return sp.csr_array(sp.kronsum(one, one))


def right_hand_side() -> Any:
    return np.random.default_rng(0).standard_normal(N * N)


class Operator:
    """A matrix-free operator from a function."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.shape = function, (N * N, N * N)

    def __matmul__(self, r: Any) -> Any:
        return self.function(r)


@every
def test_zero_right_hand_side_gives_zero(name: str) -> None:
    b = np.zeros(N * N)
    result = METHODS[name](laplacian(), b, np.ones(N * N))
    assert result.status is Status.CONVERGED
    assert result.iterations == 0
    assert not np.any(result.x)
    assert result.x is not b


@every
def test_exact_first_guess_takes_no_iteration(name: str) -> None:
    A, x = laplacian(), right_hand_side()
    result = METHODS[name](A, A @ x, x)
    assert (result.status, result.iterations) == (Status.CONVERGED, 0)
    np.testing.assert_allclose(result.x, x, rtol=1e-12)  # deflation may add rounding


@every
def test_nan_in_the_matrix(name: str) -> None:
    A = laplacian()
    A.data[7] = np.nan
    if name in CHECKED_AT_SETUP:
        with pytest.raises(ValueError, match="A holds NaN"):
            METHODS[name](A, right_hand_side())
        return
    result = METHODS[name](A, right_hand_side())
    assert result.status is Status.NONFINITE
    assert result.iterations <= 30  # at once, not after ten times the rows
    assert result.info < 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", [name for name in METHODS if name not in OWN_M])
def test_nan_from_the_preconditioner(name: str, bad: float) -> None:
    M = Operator(lambda r: r * 0 + bad)
    result = METHODS[name](laplacian(), right_hand_side(), M=M, rtol=1e-8)
    if name in ("fcg", "fgmres"):  # learned parts propose, numerics dispose
        assert result.converged
        assert result.details["rejected"] > 0
    else:
        assert result.status is Status.NONFINITE


@every
def test_one_iteration_is_not_enough(name: str) -> None:
    result = METHODS[name](laplacian(), right_hand_side(), rtol=1e-12, maxiter=1)
    if name == "splu":
        assert result.converged
        return
    assert result.status is Status.MAX_ITERATIONS
    assert result.info > 0
    assert result.residuals[-1] == pytest.approx(np.linalg.norm(right_hand_side() - laplacian() @ result.x), rel=1e-10)
    with pytest.raises(RuntimeError, match="maxiter"):
        result.check()


@every
def test_indefinite_matrix(name: str) -> None:
    A = sp.csr_array(laplacian() - 1.3 * sp.eye_array(N * N))
    b = right_hand_side()
    result = METHODS[name](A, b, rtol=1e-8, maxiter=4000)
    if name in DEFINITE:
        assert result.status in (Status.INDEFINITE, Status.BREAKDOWN)
        assert result.iterations < N * N
    elif name in ("minres", "splu"):
        assert result.converged
    elif result.converged:  # the restarted and the short-recurrence methods may or may not
        assert np.linalg.norm(b - A @ result.x) <= 1.01e-8 * np.linalg.norm(b)


@every
def test_inconsistent_singular_system_is_never_success(name: str) -> None:
    A, b = laplacian(neumann=True), right_hand_side()
    result = METHODS[name](A, b - b.mean() + 1.0, rtol=1e-8)
    assert not result.converged
    assert result.iterations < 10 * N * N
    if name == "minres":
        assert "least-squares" in result.message
        assert result.residuals[-1] == pytest.approx(N, rel=1e-6)  # the part of b along the null space


@every
def test_declared_null_space_names_the_inconsistency(name: str) -> None:
    matrix = laplacian(neumann=True)
    A: Any = Operator(lambda x: matrix @ x)
    A.tocsr, A.nullspace = lambda: matrix, np.full((N * N, 1), 1 / N)
    b = right_hand_side()
    result = METHODS[name](A, b - b.mean() + 1.0)
    assert (result.status, result.iterations) == (Status.STAGNATED, 0)
    assert "inconsistent" in result.message
    assert METHODS[name](A, b - b.mean(), rtol=1e-8).converged


@every
@pytest.mark.parametrize("how", ["returns", "raises"])
def test_callback_stops(name: str, how: str) -> None:
    seen = []

    def callback(x: Any) -> bool:
        seen.append(x.shape)
        if how == "raises":
            raise StopIteration
        return True

    result = METHODS[name](laplacian(), right_hand_side(), rtol=1e-12, callback=callback)
    assert len(seen) == 1
    assert seen[0] == (N * N,)
    assert result.status is (Status.CONVERGED if name == "splu" else Status.STOPPED)
    assert np.all(np.isfinite(result.x))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "splu"])
def test_interrupt_keeps_what_was_reached(name: str) -> None:
    calls = iter(range(1000))

    def callback(x: Any) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt

    options = {"restart": 5} if name == "gmres" else {"inner_m": 5} if name == "lgmres" else {}
    options |= {"m": 5} if name == "gcrotmk" else {}
    b = right_hand_side()
    result = METHODS[name](laplacian(), b, rtol=1e-12, callback=callback, **options)
    assert result.status is Status.STOPPED
    assert "interrupted" in result.message
    assert result.residuals[-1] == pytest.approx(np.linalg.norm(b - laplacian() @ result.x), rel=1e-10)
    assert result.residuals[-1] < np.linalg.norm(b)


@every
def test_inputs_stay_as_they_were(name: str) -> None:
    A, b, x0 = laplacian(), right_hand_side(), np.ones(N * N)
    B = np.stack([b, b[::-1]], axis=1)
    before = [v.copy() for v in (A.data, A.indices, A.indptr, b, x0, B)]
    METHODS[name](A, b, x0, rtol=1e-8)
    METHODS[name](A, B, rtol=1e-8)
    for value, old in zip((A.data, A.indices, A.indptr, b, x0, B), before, strict=True):
        np.testing.assert_array_equal(value, old)


@every
def test_single_precision_does_not_claim_what_it_cannot_reach(name: str) -> None:
    A, b = laplacian().astype(np.float32), right_hand_side().astype(np.float32)
    result = METHODS[name](A, b, rtol=1e-9)
    assert result.status in (Status.STAGNATED, Status.BREAKDOWN) if name == "bicgstab" else Status.STAGNATED
    assert not result.converged
    assert float(result.residuals[-1]) < 1e-4 * float(np.linalg.norm(b))  # but what can be reached is reached


@every
def test_blocks_give_the_answers_of_their_columns(name: str) -> None:
    A, rng = laplacian(), np.random.default_rng(1)
    B = rng.standard_normal((N * N, 3))
    B[:, 1] = 1e-3 * (A @ np.ones(N * N))  # converges sooner
    block = METHODS[name](A, B, rtol=1e-8).check()
    assert block.residuals.shape == (block.iterations + 1, 3)
    for i in range(3):
        single = METHODS[name](A, B[:, i], rtol=1e-8)
        bound = 2e-8 * np.linalg.norm(B[:, i])
        assert np.linalg.norm(A @ (block.x[:, i] - single.x)) <= bound
        assert np.linalg.norm(B[:, i] - A @ block.x[:, i]) <= bound


@pytest.mark.parametrize("name", [name for name in METHODS if name not in OWN_M])
def test_preconditioner_of_another_size_is_refused(name: str) -> None:
    M: LinearOperator = np.eye(3)
    with pytest.raises(ValueError, match="M has shape"):
        METHODS[name](laplacian(), right_hand_side(), M=M)


@pytest.mark.parametrize("name", [*METHODS, *SWEEPS])
def test_lists_integers_and_slow_formats_are_as_good_as_arrays(name: str) -> None:
    A, method = laplacian(), (METHODS | SWEEPS)[name]
    b = np.rint(10 * right_hand_side())
    wanted = np.linalg.solve(A.toarray(), b)
    integers, ones = b.astype(int), [1] * (N * N)
    systems: list[tuple[Any, ...]] = [
        (A.tocoo(), integers.tolist(), ones),
        (A.astype(int), integers),
        (A.toarray().tolist(), integers.astype(np.int8)),
        (A.toarray().view(np.matrix), integers[:, None].view(np.matrix)),
        (A.todok(), b.astype(np.float16)),
    ]
    for system in systems:
        result = method(*system, rtol=1e-10).check()
        assert result.x.dtype == np.float64
        np.testing.assert_allclose(np.ravel(result.x), wanted, atol=1e-7)
