"""The front door: methods by name, and the automatic choice with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from tests.solvers.stationary.model_problems import NONSYMMETRIC, STENCILS, dirichlet, neumann, poisson, variable

import conjugo
from conjugo.solvers import auto
from conjugo.solvers.auto import Choice, candidates
from conjugo.solvers.methods import METHODS, PRECONDITIONERS, describe_methods, find
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.result import Status
from conjugo.solvers.solve import solve


@dataclass
class Problem:
    """What solve() asks of a problem."""

    A: Any
    b: Any


def right_hand_side(A: Any) -> Any:
    return np.random.default_rng(0).standard_normal(A.shape[0])


def exists(home: str) -> bool:
    """Whether a module of the package, and what it wraps, is there."""
    extras = {"adapters.pyamg": "pyamg", "adapters.petsc": "petsc4py"}
    if home in extras and find_spec(extras[home]) is None:
        return False
    return find_spec(f"conjugo.solvers.{home}") is not None


SETTINGS: dict[str, dict[str, Any]] = {
    "deflated_cg": {"W": np.linalg.qr(np.random.default_rng(1).standard_normal((256, 2)))[0]},
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_by_name(name: str) -> None:
    if not exists(METHODS[name].home):
        pytest.skip(f"{METHODS[name].home} is not there")
    problem = Problem(poisson(16), right_hand_side(poisson(16)))
    if name == "full_multigrid":  # it stops at the discretisation error of smooth data
        problem.b = np.ones(256)
    result = solve(problem, method=name, rtol=1e-3, maxiter=2000, **SETTINGS.get(name, {}))
    if name != "full_multigrid":
        assert result.converged, result.message
    accuracy = 0.02 if name == "full_multigrid" else 1.01e-3
    assert np.linalg.norm(problem.b - problem.A @ result.x) <= accuracy * np.linalg.norm(problem.b)


@pytest.mark.parametrize("name", PRECONDITIONERS)
def test_every_preconditioner_by_name(name: str) -> None:
    if not exists(PRECONDITIONERS[name][0]):
        pytest.skip(f"{PRECONDITIONERS[name][0]} is not there")
    A = variable((16, 16), (False, False))
    result = solve(A, right_hand_side(A), "fgmres", M=name, rtol=1e-8)
    assert result.converged
    assert result.details["setup_seconds"] >= 0


def test_the_table_names_what_exists() -> None:
    for method in METHODS.values():
        if exists(method.home):
            assert callable(find(method.home, method.name))
    for home, name, _ in PRECONDITIONERS.values():
        if exists(home):
            assert callable(find(home, name))
    assert [name for name, _ in describe_methods()] == ["auto", *METHODS]


AUTO: dict[str, tuple[Any, str]] = {
    "constant box": (poisson(16), "constant coefficients"),
    "variable": (variable((16, 16), (False, False)), "variable coefficients"),
    "variable line": (variable((40,), (False,)), "incomplete Cholesky"),
    "nonsymmetric stencil": (NONSYMMETRIC["3d"], "not symmetric"),
    "indefinite stencil": (SeparableStencil([dirichlet(9)] * 2, -1.0), "transforms"),
    "matrix": (poisson(12).tocsr(), "factors are cheap"),
    "nonsymmetric matrix": (NONSYMMETRIC["1d"].tocsr(), "not symmetric"),
    "dense": (poisson(5).tocsr().toarray(), "factors are cheap"),
    "saddle": (sp.csr_array(np.array([[2.0, 1.0], [1.0, 0.0]])), "not known to be definite"),
    "products": (spla.aslinearoperator(poisson(8).tocsr()), "only products"),
}


@pytest.mark.parametrize("name", AUTO)
def test_auto_solves_and_says_why(name: str) -> None:
    A, reason = AUTO[name]
    first = candidates(A, right_hand_side(A))[0]
    b = right_hand_side(A)
    result = solve(A, b, rtol=1e-8)
    assert result.converged, result.message
    assert reason in result.details["why"]
    assert first.why in result.details["why"]
    assert np.linalg.norm(b - A @ result.x) <= 1e-8 * np.linalg.norm(b)


def test_auto_prefers_what_the_operator_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    b = np.ones(256)

    def names(A: Any, **rest: Any) -> list[str]:
        return [choice.method for choice in candidates(A, np.ones(A.shape[0]), **rest)]

    assert names(poisson(16)) == ["fast_poisson", "cg"]
    assert names(variable((16, 16), (False, False))) == ["multigrid_cg", "ic0_cg"]
    assert names(variable((4, 16), (False, False))) == ["ic0_cg", "cg"]
    monkeypatch.setattr(auto, "LARGE", 100)
    assert names(poisson(16)) == ["multigrid_cg", "fast_poisson"]
    monkeypatch.setattr(auto, "SMALL", 10)
    monkeypatch.setattr(auto, "find_spec", lambda name: None)
    assert names(poisson(16).tocsr()) == ["ic0_cg", "minres"]
    monkeypatch.setattr(auto, "find_spec", lambda name: object())
    assert names(poisson(16).tocsr()) == ["ruge_stuben", "ic0_cg"]
    assert names(sp.csr_array(NONSYMMETRIC["1d"].tocsr() * 1j)) == ["splu", "fgmres"]
    assert [c.method for c in candidates(spla.aslinearoperator(np.eye(256)), b)] == ["fgmres"]


def test_auto_for_dense_and_complex_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "SMALL_DENSE", 10)
    rng = np.random.default_rng(0)
    B = rng.standard_normal((30, 30))
    for A, method in ((B @ B.T + 30 * np.eye(30), "cg"), (B + B.T, "minres"), (B + 30 * np.eye(30), "fgmres")):
        result = solve(A, np.ones(30), rtol=1e-8)
        assert result.converged
        assert result.method == method
    complex_b = rng.standard_normal(36) + 1j * rng.standard_normal(36)
    for operator in (poisson(6), NONSYMMETRIC["3d"]):
        b = np.resize(complex_b, operator.shape[0])
        result = solve(operator, b, rtol=1e-8)
        assert result.converged
        assert np.linalg.norm(b - operator.tocsr() @ result.x) <= 1e-8 * np.linalg.norm(b)


def test_a_given_preconditioner_decides() -> None:
    A = poisson(16)
    b = right_hand_side(A)
    result = solve(A, b, M="mic", rtol=1e-8)
    assert result.method == "cg"
    assert "given M" in result.details["why"]

    class Bent:
        shape, linear, symmetric = (256, 256), False, True

        def __matmul__(self, r: Any) -> Any:
            return r * (1 + 0.01 * np.tanh(np.linalg.norm(r)))

    assert solve(A, b, M=Bent()).method == "fcg"
    assert solve(A, b, M="ilu").method == "fgmres"


def test_auto_falls_back_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    A = sp.csr_array(np.diag([1.0, 2.0, 3.0]) + 5 * (np.ones((3, 3)) - np.eye(3)))  # indefinite, positive diagonal
    monkeypatch.setattr(auto, "SMALL", 1)
    monkeypatch.setattr(auto, "find_spec", lambda name: None)
    result = solve(A, np.array([1.0, 0.0, -1.0]), rtol=1e-8)
    assert result.converged
    assert result.method == "minres"
    assert "but ic0_cg" in result.details["why"]
    assert "so minres" in result.details["why"]


def test_what_is_not_installed_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from conjugo.solvers import solve as module

    def listed(A: Any, b: Any, M: Any = None) -> list[Choice]:
        return [Choice("nowhere", None, "a dream"), Choice("cg", None, "plain")]

    monkeypatch.setitem(METHODS, "nowhere", METHODS["cg"]._replace(home="krylov.nowhere"))
    monkeypatch.setattr(sys.modules["conjugo.solvers.solve"], "candidates", listed)
    assert module is not None
    result = solve(poisson(6), np.ones(36))
    assert result.method == "cg"
    assert "nowhere could not be set up" in result.details["why"]


def test_a_stopped_solve_is_not_repeated() -> None:
    A = variable((40,), (False,), contrast=1e3)
    result = solve(A, right_hand_side(A), rtol=1e-14, M="jacobi", callback=lambda x: True)
    assert result.status is Status.STOPPED
    assert result.iterations == 1


def test_problem_or_matrix_and_vector() -> None:
    A = poisson(6)
    b = right_hand_side(A)
    one, two = solve(Problem(A, b), method="cg"), solve(A, b, "cg")
    assert np.array_equal(one.x, two.x)
    other = solve(Problem(A, b), 2 * b, "cg")
    np.testing.assert_allclose(other.x, 2 * one.x)
    with pytest.raises(ValueError, match="b is missing"):
        solve(A)


def test_lists_integers_and_single_precision() -> None:
    A = poisson(6).tocsr()
    for b in ([1] * 36, np.ones(36, int), np.ones(36, np.float32)):
        result = solve(A, b, rtol=1e-10)
        assert result.converged
        assert result.x.dtype == np.float64
    assert solve(A.astype(np.float32), np.ones(36, np.float32), rtol=1e-4).x.dtype == np.float32


def test_singular_problems_project() -> None:
    n = 10
    A = SeparableStencil([neumann(n), neumann(n)], nullspace=np.full((n * n, 1), 1 / n))
    b = right_hand_side(A)
    b -= b.mean()
    for operator in (A, STENCILS["variable 2d periodic"]):
        rhs = b if operator is A else right_hand_side(operator)
        result = solve(operator, rhs, rtol=1e-8)
        assert result.converged, result.message


def test_torch_right_hand_sides() -> None:
    torch = pytest.importorskip("torch")
    A = torch.tensor(poisson(6).tocsr().toarray())
    result = solve(A, torch.ones(36, dtype=torch.float64), rtol=1e-8)
    assert result.converged
    assert isinstance(result.x, torch.Tensor)


def test_refusals() -> None:
    A, b = poisson(4), np.ones(16)
    with pytest.raises(ValueError, match=r"method = 'magic': expected one of auto, cg,"):
        solve(A, b, "magic")
    with pytest.raises(ValueError, match="M = 'magic': expected an operator or one of jacobi"):
        solve(A, b, "cg", M="magic")
    with pytest.raises(ValueError, match="takes no preconditioner"):
        solve(A, b, "sor", M="jacobi")
    with pytest.raises(ValueError, match="takes no preconditioner"):
        solve(A, b, "ic0_cg", M="jacobi")
    with pytest.raises(ValueError, match="options omega belong to a method"):
        solve(A, b, omega=1.5)
    with pytest.raises(ValueError, match="b has 15 rows"):
        solve(A, np.ones(15))
    with pytest.raises(ValueError, match="b holds NaN"):
        solve(A, np.full(16, np.nan))


def test_importing_solve_loads_nothing_heavy() -> None:
    code = (
        "import sys, conjugo.solvers.solve; "
        "print([m for m in ('numba', 'torch', 'pyamg', 'petsc4py', 'matplotlib') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(conjugo.__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert out.stdout.strip() == "[]"
