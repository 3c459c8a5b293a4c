"""Every method x problem x library x precision against a direct solve, the residual recomputed independently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conjugo.solvers.adapters.direct import splu
from conjugo.solvers.adapters.scipy import bicgstab, gcrotmk, gmres, lgmres
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.krylov.deflated import deflated_cg
from conjugo.solvers.krylov.fcg import fcg
from conjugo.solvers.krylov.fgmres import fgmres
from conjugo.solvers.krylov.minres import minres
from conjugo.solvers.krylov.recycling import RecyclingCG
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.result import SolveResult

# --- problems: 100 to 300 unknowns --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """A system with its dense matrix in double precision, and what may be assumed of it."""

    A: Any
    kind: str  # "spd", "hermitian" (indefinite) or "general"
    singular: bool = False
    complex: bool = False

    @property
    def dense(self) -> NDArray[Any]:
        return self.A if isinstance(self.A, np.ndarray) else self.A.tocsr().toarray()

    @property
    def stencil(self) -> bool:
        return not isinstance(self.A, np.ndarray)


def axis(n: int, *, wind: float = 0.0, neumann: bool = False) -> Axis:
    lower, upper, diag = np.full(n, -1.0 - wind), np.full(n, -1.0 + wind), np.full(n, 2.0)
    lower[0] = upper[-1] = 0.0
    if neumann:
        diag[[0, -1]] = 1.0
    return Axis(lower, diag, upper, np.ones(n))


def constant() -> Problem:
    return Problem(SeparableStencil((axis(14), axis(17))), "spd")


def cube() -> Problem:
    return Problem(SeparableStencil((axis(6), axis(5), axis(7))), "spd")


def variable() -> Problem:
    k = np.exp(np.random.default_rng(1).standard_normal((14, 13)))
    upper = [np.zeros_like(k), np.zeros_like(k)]
    upper[0][:-1] = -2 / (1 / k[:-1] + 1 / k[1:])
    upper[1][:, :-1] = -2 / (1 / k[:, :-1] + 1 / k[:, 1:])
    diag = -sum(u + np.roll(u, 1, a) for a, u in enumerate(upper)) + 0.1 * k
    return Problem(VariableStencil(diag, upper), "spd")


def convection() -> Problem:
    return Problem(SeparableStencil((axis(13, wind=0.3), axis(12, wind=-0.2))), "general")


def helmholtz() -> Problem:
    return Problem(SeparableStencil((axis(11), axis(12)), shift=-0.8), "hermitian")


def dense() -> Problem:
    B = np.random.default_rng(2).standard_normal((120, 120))
    return Problem(B @ B.T / 120 + 0.2 * np.eye(120), "spd")


def hermitian() -> Problem:
    rng = np.random.default_rng(3)
    B = rng.standard_normal((100, 100)) + 1j * rng.standard_normal((100, 100))
    return Problem(B @ B.conj().T / 100 + 0.5 * np.eye(100), "spd", complex=True)


def neumann() -> Problem:
    shape = (11, 12)
    null = np.full((132, 1), 132**-0.5)
    axes = [axis(n, neumann=True) for n in shape]
    return Problem(SeparableStencil(axes, nullspace=null), "spd", singular=True)


PROBLEMS = {f.__name__: f for f in (constant, cube, variable, convection, helmholtz, dense, hermitian, neumann)}

# --- methods: (A, b, rtol) -> SolveResult, and what A must be; add a row for a new method -------------------------


def deflated(A: Any, b: Any, **rule: Any) -> SolveResult:
    W = np.stack([np.ones(A.shape[0]), np.linspace(-1, 1, A.shape[0])], axis=1)
    return deflated_cg(A, b, W=W[:, 1:] if hasattr(A, "nullspace") else W, **rule)


def recycling(A: Any, b: Any, **rule: Any) -> SolveResult:
    solver = RecyclingCG(k=4)
    solver.solve(A, b, rtol=1e-2)
    return solver.solve(A, b, **rule)


def factorised(A: Any, b: Any, **rule: Any) -> SolveResult:
    return splu(A).solve(b, **rule)


def by_pyamg(name: str, accel: str) -> Callable[..., SolveResult]:
    def method(A: Any, b: Any, **rule: Any) -> SolveResult:
        pytest.importorskip("pyamg")
        from conjugo.solvers.adapters import pyamg

        return getattr(pyamg, name)(A).solve(b, accel=accel, **rule)  # type: ignore[no-any-return]

    return method


def by_petsc(options: str) -> Callable[..., SolveResult]:
    def method(A: Any, b: Any, **rule: Any) -> SolveResult:
        pytest.importorskip("petsc4py")
        from conjugo.solvers.adapters.petsc import petsc

        return petsc(A, b, options=options, **rule)

    return method


METHODS: dict[str, tuple[Callable[..., SolveResult], str]] = {
    "cg": (cg, "spd"),
    "fcg": (fcg, "spd"),
    "fcg_all": (lambda A, b, **rule: fcg(A, b, window=None, **rule), "spd"),
    "deflated_cg": (deflated, "spd"),
    "recycling_cg": (recycling, "spd"),
    "minres": (minres, "hermitian"),
    "fgmres": (lambda A, b, **rule: fgmres(A, b, restart=60, **rule), "general"),
    "gmres": (lambda A, b, **rule: gmres(A, b, restart=60, **rule), "general"),
    "bicgstab": (bicgstab, "general"),
    "lgmres": (lgmres, "general"),
    "gcrotmk": (gcrotmk, "general"),
    "splu": (factorised, "general"),
    "ruge_stuben": (by_pyamg("ruge_stuben", "cg"), "spd"),
    "smoothed_aggregation": (by_pyamg("smoothed_aggregation", "cg"), "spd"),
    "petsc_gamg": (by_petsc("-ksp_type cg -pc_type gamg"), "spd"),
    "petsc_ilu": (by_petsc("-ksp_type gmres -ksp_gmres_restart 60 -pc_type ilu"), "general"),
    "petsc_mumps": (by_petsc("-ksp_type preonly -pc_type lu -pc_factor_mat_solver_type mumps"), "general"),
}

ACCEPTS = {"spd": {"spd"}, "hermitian": {"spd", "hermitian"}, "general": {"spd", "hermitian", "general"}}


PRECISIONS = ("float32", "float64")


def reason_to_skip(method: str, name: str, precision: str = "float64") -> str | None:
    """Cells that are left out, each with its reason."""
    problem, needs = PROBLEMS[name](), METHODS[method][1]
    if problem.kind not in ACCEPTS[needs]:
        return f"{method} needs a matrix that is {needs}, {name} is {problem.kind}"
    if method.startswith("petsc") and problem.complex:
        return "this PETSc is built for real numbers"
    if method in ("ruge_stuben", "smoothed_aggregation", "petsc_gamg") and not problem.stencil:
        return "algebraic multigrid is meant for elliptic matrices, not for dense random ones"
    if method == "petsc_mumps" and problem.singular:
        return "a factorisation of a singular matrix; splu pins the null space instead"
    if (method, name, precision) == ("smoothed_aggregation", "neumann", "float32"):
        return "PyAMG's pseudo-inverse of the singular coarsest matrix is indefinite in single precision"
    if name == "helmholtz" and method == "bicgstab":
        return "BiCGStab is known to stagnate on indefinite matrices"
    return None


CELLS = [
    pytest.param(method, name, precision, id=f"{method}-{name}-{precision}")
    for method in METHODS
    for name in PROBLEMS
    for precision in PRECISIONS
    if reason_to_skip(method, name, precision) is None
]

# --- libraries and precisions -------------------------------------------------------------------------------------


class TorchMatrix:
    """A dense tensor that carries the null space."""

    def __init__(self, matrix: Any, nullspace: Any) -> None:
        self.matrix, self.shape = matrix, tuple(matrix.shape)
        if nullspace is not None:
            self.nullspace = nullspace

    def __matmul__(self, x: Any) -> Any:
        return self.matrix @ x

    def to_dense(self) -> Any:
        return self.matrix

    def tocsr(self) -> Any:
        import scipy.sparse as sp

        return sp.csr_array(self.matrix.numpy())


@cache
def oracle(name: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]:
    """The dense matrix, a consistent right-hand side, the least-norm solution, and the norm of the inverse."""
    problem, rng = PROBLEMS[name](), np.random.default_rng(4)
    A = problem.dense
    b = rng.standard_normal(len(A)) + (1j * rng.standard_normal(len(A)) if problem.complex else 0.0)
    if problem.singular:
        b -= b.mean()
    x, *_, singular = np.linalg.lstsq(A, b, rcond=1e-12)
    return A, b, x, 1 / float(np.min(singular[singular > 1e-10 * singular[0]]))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("method", "name", "precision"), CELLS)
def test_solution(method: str, name: str, precision: str, library: str) -> None:
    problem = PROBLEMS[name]()
    matrix, rhs, exact, inverse = oracle(name)
    dtype = {"float32": "complex64", "float64": "complex128"}[precision] if problem.complex else precision
    rtol = 1e-4 if precision == "float32" else 1e-8
    A: Any = problem.A.astype(dtype)
    b: Any = rhs.astype(dtype)
    if library == "torch":
        torch = pytest.importorskip("torch")
        A = TorchMatrix(torch.from_numpy(problem.dense.astype(dtype)), getattr(problem.A, "nullspace", None))
        b = torch.from_numpy(b)
    result = METHODS[method][0](A, b, rtol=rtol).check()
    assert type(result.x) is type(b)
    assert result.x.dtype == b.dtype
    x = np.asarray(result.x).astype(np.complex128 if problem.complex else np.float64)
    # float32: what is measured in single precision is off by eps ||A|| ||x|| from the residual in double precision
    rounding = 10 * float(np.finfo(dtype).eps) * np.linalg.norm(matrix, 2) * np.linalg.norm(x)
    bound = rtol * np.linalg.norm(rhs) + rounding
    residual = float(np.linalg.norm(rhs - matrix @ x))
    assert residual <= bound
    assert abs(residual - float(result.residuals[-1])) <= rounding
    if problem.singular:
        x = x - x.mean()
    assert np.linalg.norm(x - exact) <= inverse * bound * 1.01  # ||x - exact|| <= ||A^-1|| ||r||


@pytest.mark.parametrize("method", [name for name in METHODS if not name.startswith("petsc")])
def test_blocks_on_torch_are_numpys(method: str) -> None:
    torch = pytest.importorskip("torch")
    matrix = oracle("constant")[0]
    B = np.random.default_rng(5).standard_normal((len(matrix), 3))
    B[:, 2] = 0.0
    result = METHODS[method][0](TorchMatrix(torch.from_numpy(matrix), None), torch.from_numpy(B), rtol=1e-9).check()
    assert isinstance(result.x, torch.Tensor)
    ours = METHODS[method][0](matrix, B, rtol=1e-9).check()
    assert result.residuals.shape[1] == 3
    assert abs(result.iterations - ours.iterations) <= 1
    np.testing.assert_allclose(result.x.numpy(), np.linalg.solve(matrix, B), atol=1e-6)


def test_skips_are_few_and_reasoned() -> None:
    cells = [(method, name, precision) for method in METHODS for name in PROBLEMS for precision in PRECISIONS]
    reasons = {cell: reason for cell in cells if (reason := reason_to_skip(*cell)) is not None}
    assert len(reasons) < len(cells) / 4
    assert {name for _, name, _ in reasons} <= {"convection", "helmholtz", "dense", "hermitian", "neumann"}
