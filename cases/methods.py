"""Every method that the cases can run, by name: a set-up that is done once, and the solve that it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from conjugo import solvers
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.result import SolveResult


class Solve(Protocol):
    """A method that is set up: it takes a right-hand side and the options of one solve."""

    def __call__(self, b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
        """Solve for b."""


AUTOMATIC = "automatic"
"""Family of the method that picks another."""

type Setup = Callable[[LinearProblem], Solve]
type Condition = Callable[[LinearProblem], bool]


@dataclass(frozen=True, slots=True)
class Method:
    """A method by name.

    Parameters
    ----------
    name : str
        As in tables and on the command line.
    family : str
        Its colour in plots (`plotting.COLOURS`).
    setup : callable
        Takes a problem and returns what solves it; its time is the set-up.
    suits : callable
        Says whether the method makes sense for a problem.
    package : str
        Module of an optional extra that it needs.
    """

    name: str
    family: str
    setup: Setup
    suits: Condition = lambda problem: True
    package: str = "numpy"

    @property
    def installed(self) -> bool:
        """Whether the extra that it needs is there."""
        return find_spec(self.package) is not None


def on_grid(problem: LinearProblem) -> bool:
    """Whether A is one of our stencils."""
    return isinstance(problem.A, SeparableStencil | VariableStencil | CompactStencil)


def constant(problem: LinearProblem) -> bool:
    """Whether A is symmetric with constant coefficients on a whole box."""
    return isinstance(problem.A, SeparableStencil) and symmetric(problem)


def symmetric(problem: LinearProblem) -> bool:
    """Whether A is, or claims to be, symmetric."""
    return bool(getattr(problem.A, "symmetric", True))


def symmetric_grid(problem: LinearProblem) -> bool:
    """Whether A is a symmetric stencil."""
    return on_grid(problem) and symmetric(problem)


def learned_grid(problem: LinearProblem) -> bool:
    """Whether A is a symmetric stencil with varying coefficients, of a dimension with shipped weights."""
    if not (isinstance(problem.A, VariableStencil | CompactStencil) and symmetric(problem)):
        return False
    home = find_spec("conjugo.learned")
    folder = Path(home.origin).parent / "weights" if home is not None and home.origin else Path()
    return (folder / f"stencil{len(problem.A.grid_shape)}d.safetensors").is_file()


def needs_symmetry(method: Method) -> bool:
    """Whether a method suits symmetric problems only."""
    return method.suits in (symmetric, symmetric_grid, learned_grid, connected)


def connected(problem: LinearProblem) -> bool:
    """Whether A is symmetric and singular once at most: PETSc's ICC never ends its set-up on closed pockets."""
    return symmetric(problem) and (problem.nullspace is None or problem.nullspace.shape[1] == 1)


def regular(problem: LinearProblem) -> bool:
    """Whether A declares no null space."""
    return problem.nullspace is None


def not_applicable(problem: LinearProblem) -> list[Method]:
    """Return the methods that do not suit a problem, such as those that need symmetry where A has none.

    Parameters
    ----------
    problem : LinearProblem
        What is to be solved.

    Returns
    -------
    list of Method

    Examples
    --------
    >>> from conjugo.pde import convection_diffusion
    >>> "cg" in {method.name for method in not_applicable(convection_diffusion((8, 8)))}
    True
    """
    return [method for method in METHODS if not method.suits(problem)]


def choose(names: Sequence[str], problem: LinearProblem) -> list[Method]:
    """Return the methods of these names, or all that suit the problem and are installed.

    Parameters
    ----------
    names : sequence of str
        Names of methods, or families; empty for all but auto.
    problem : LinearProblem
        What is to be solved.

    Returns
    -------
    list of Method

    Raises
    ------
    ValueError
        For a name that does not exist.
    ImportError
        If a method that was asked for by name needs an extra that is not installed.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> [method.name for method in choose(["cg"], poisson((8, 8)))]
    ['cg']
    """
    if not names:
        concrete = (method for method in METHODS if method.family != AUTOMATIC)
        return [method for method in concrete if method.installed and method.suits(problem)]
    known = {method.name for method in METHODS} | {method.family for method in METHODS}
    for name in names:
        if name not in known:
            raise ValueError(f"method {name!r} is unknown; these exist: {', '.join(m.name for m in METHODS)}")
    chosen = [m for m in METHODS if m.name in names or m.family in names]
    for method in chosen:
        if not method.installed and method.name in names:
            extra = {"pyamg": "amg", "torch": "learned"}.get(method.package, "fem")
            raise ImportError(f"method {method.name!r} needs {method.package}: pip install conjugo[{extra}]")
    return [method for method in chosen if method.installed]


def krylov(name: str, preconditioner: Callable[[Any], Any] | None = None, **options: Any) -> Setup:
    """Set up one of our Krylov methods, by name, with a preconditioner made from A."""

    def setup(problem: LinearProblem) -> Solve:
        M = None if preconditioner is None else preconditioner(problem.A)
        solve: Solve = partial(getattr(solvers, name), problem.A, M=M, **options)
        return solve

    return setup


def solvers_named(name: str, **options: Any) -> Callable[[Any], Any]:
    """Return the preconditioner factory of this name, looked up when it is called."""
    return lambda A: getattr(solvers, name)(A, **options)


def deflated(preconditioner: Callable[[Any], Any]) -> Setup:
    """Set up conjugate gradients that are deflated by the blocks of the grid."""

    def setup(problem: LinearProblem) -> Solve:
        from conjugo.cases.subdomains import subdomain_vectors
        from conjugo.solvers.krylov.deflated import Deflation

        deflation = Deflation(problem.A, subdomain_vectors(problem))
        solve: Solve = partial(solvers.deflated_cg, problem.A, M=preconditioner(problem.A), W=deflation)
        return solve

    return setup


def stationary(name: str, **options: Any) -> Setup:
    """Set up one of our stationary iterations."""

    def setup(problem: LinearProblem) -> Solve:
        solve: Solve = partial(getattr(solvers, name), problem.A, **options)
        return solve

    return setup


def multigrid(**options: Any) -> Setup:
    """Set up multigrid as a solver."""

    def setup(problem: LinearProblem) -> Solve:
        cycle = solvers.Multigrid(problem.A, **options)

        def solve(b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
            result: SolveResult = cycle.solve(b, rtol=rtol, maxiter=maxiter or 200, callback=callback)
            return result

        return solve

    return setup


def cycle(**options: Any) -> Callable[[Any], Any]:
    """Return the set-up of a multigrid cycle as a preconditioner."""
    return lambda A: solvers.Multigrid(A, **options)


def learned_cycle(A: Any) -> Any:
    """Set up the learned V-cycle with the shipped weights; torch is imported only here."""
    from conjugo.learned.preconditioners.learned_multigrid import LearnedMultigrid

    return LearnedMultigrid(A)


def fast_poisson(**options: Any) -> Setup:
    """Set up the direct solve by transforms."""

    def setup(problem: LinearProblem) -> Solve:
        direct_solve = solvers.FastPoisson(problem.A, **options)

        def solve(b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
            result: SolveResult = direct_solve.solve(b, rtol=rtol)
            return result

        return solve

    return setup


def full_multigrid(problem: LinearProblem) -> Solve:
    """Set up full multigrid, which stops at the discretisation's accuracy and not at a tolerance."""

    def solve(b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
        result: SolveResult = solvers.full_multigrid(problem.A, b)
        return result

    return solve


def on_matrix(factory: Callable[[Any], Solve]) -> Setup:
    """Set up a solver of assembled matrices on the active unknowns only."""

    def setup(problem: LinearProblem) -> Solve:
        small = problem.compress()
        inner = factory(small.A)

        def solve(b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
            part = b if problem.active is None else b[problem.active]
            result = inner(part, rtol=rtol, maxiter=maxiter, callback=callback)
            return replace(result, x=problem.expand(result.x))

        return solve

    return setup


def automatic(problem: LinearProblem) -> Solve:
    """Let `solve` pick the method."""

    def run(b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
        result: SolveResult = solvers.solve(replace(problem, b=b), rtol=rtol, maxiter=maxiter, callback=callback)
        return result

    return run


def direct(name: str, **options: Any) -> Setup:
    """Set up an object of ours with `.solve(b, ...)`: a factorisation or an algebraic hierarchy."""

    def setup(problem: LinearProblem) -> Solve:
        solve: Solve = getattr(solvers, name)(problem.A, **options).solve
        return solve

    return setup


def petsc(options: str) -> Callable[[Any], Solve]:
    """Return the set-up of a PETSc solver with these options."""
    return lambda A: solvers.PetscSolver(A, options=options).solve


METHODS: tuple[Method, ...] = (
    Method("auto", AUTOMATIC, automatic),
    Method("fast poisson", "direct", fast_poisson(), constant),
    Method("fast poisson thomas", "direct", fast_poisson(method="thomas"), constant),
    Method("full multigrid", "multigrid", full_multigrid, constant),
    Method("multigrid", "multigrid", multigrid(), symmetric_grid),
    Method("multigrid W", "multigrid", multigrid(cycle="W"), symmetric_grid),
    Method("multigrid F", "multigrid", multigrid(cycle="F"), symmetric_grid),
    Method("multigrid chebyshev", "multigrid", multigrid(smoother="chebyshev"), symmetric_grid),
    Method("multigrid float64", "multigrid", multigrid(precision="float64"), symmetric_grid),
    Method("cg + multigrid", "multigrid + Krylov", krylov("cg", cycle(symmetric=True)), symmetric_grid),
    Method("cg + multigrid x2", "multigrid + Krylov", krylov("cg", cycle(symmetric=True, sweeps=2)), symmetric_grid),
    Method("fcg + multigrid", "multigrid + Krylov", krylov("fcg", cycle()), symmetric_grid),
    Method("fgmres + multigrid", "multigrid + Krylov", krylov("fgmres", cycle()), symmetric_grid),
    Method("cg + learned multigrid", "learned", krylov("cg", learned_cycle), learned_grid, "torch"),
    Method("splu", "direct", on_matrix(lambda A: solvers.splu(A).solve)),
    Method("ruge-stuben", "algebraic multigrid", on_matrix(lambda A: solvers.ruge_stuben(A).solve), symmetric, "pyamg"),
    Method("smoothed aggregation", "algebraic multigrid",
           on_matrix(lambda A: solvers.smoothed_aggregation(A).solve), symmetric, "pyamg"),
    Method("petsc cg + gamg", "PETSc", on_matrix(petsc("-ksp_type cg -pc_type gamg")), symmetric, "petsc4py"),
    Method("petsc cg + icc", "PETSc", on_matrix(petsc("-ksp_type cg -pc_type icc")), connected, "petsc4py"),
    Method("petsc mumps", "PETSc", on_matrix(petsc("-ksp_type preonly -pc_type lu -pc_factor_mat_solver_type mumps")),
           package="petsc4py"),
    Method("cg + mic", "preconditioned CG", krylov("cg", solvers_named("mic")), symmetric),
    Method("cg + ic0", "preconditioned CG", krylov("cg", solvers_named("ic0")), symmetric),
    Method("deflated cg + ic0", "preconditioned CG", deflated(solvers_named("ic0")), symmetric_grid),
    Method("cg + ssor", "preconditioned CG", krylov("cg", solvers_named("ssor", omega=1.5)), symmetric),
    Method("cg + chebyshev", "preconditioned CG", krylov("cg", solvers_named("chebyshev_preconditioner")), symmetric),
    Method("cg + jacobi", "preconditioned CG", krylov("cg", solvers_named("jacobi")), symmetric),
    Method("cg", "Krylov", krylov("cg"), symmetric),
    Method("minres", "Krylov", krylov("minres"), symmetric),
    Method("fgmres", "Krylov", krylov("fgmres")),
    Method("gmres", "Krylov", krylov("gmres")),
    Method("lgmres", "Krylov", krylov("lgmres")),
    Method("gcrotmk", "Krylov", krylov("gcrotmk")),
    Method("bicgstab", "Krylov", krylov("bicgstab")),
    Method("chebyshev", "stationary", stationary("chebyshev"), symmetric),
    Method("red-black sor", "stationary", stationary("red_black_sor"), symmetric_grid),
    Method("sor", "stationary", stationary("sor"), symmetric),
    Method("ssor", "stationary", stationary("ssor_iteration", omega=1.5), symmetric),
    Method("gauss-seidel", "stationary", stationary("gauss_seidel")),
    Method("jacobi", "stationary", stationary("jacobi_iteration")),
)  # fmt: skip
"""All methods, fast families first; a new one is a new line here."""
