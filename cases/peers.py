"""Other libraries' solvers, called as their own documentation does, and the FFT solve that anchors all ratios.

Each is a `Method` whose result is judged by the true residual, whatever the library says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.cases.conditions import constant, symmetric
from conjugo.cases.methods import Method, Solve
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.result import SolveResult, Status

type Answer = tuple[NDArray[np.float64], int]
type Inner = Callable[[NDArray[np.float64], float], Answer]

MOST = 20_000
"""Iterations after which a peer gives up."""


def peer(name: str, prepare: Callable[[LinearProblem], Inner], *, compressed: bool = True) -> Callable[..., Solve]:
    """Wrap a library's solve(b, rtol) -> (x, iterations) as a set-up of the cases.

    Parameters
    ----------
    name : str
        For the result.
    prepare : callable
        The library's set-up: takes the problem (on active unknowns, with A in CSR, if `compressed`).
    compressed : bool
        Whether the library takes an assembled matrix.
    """

    def setup(problem: LinearProblem) -> Solve:
        small = problem.compress() if compressed else problem
        inner = prepare(small)

        def solve(b: Any, *, rtol: float, maxiter: int | None = None, callback: Any = None) -> SolveResult:
            start = time.perf_counter()
            part = b if problem.active is None or not compressed else b[problem.active]
            x, iterations = inner(part, rtol)
            seconds = time.perf_counter() - start
            x = problem.expand(x) if compressed else x
            return _result(name, problem, b, x, iterations, seconds, rtol)

        return solve

    return setup


def _result(
    name: str, problem: LinearProblem, b: Any, x: Any, iterations: int, seconds: float, rtol: float
) -> SolveResult:
    size, last = float(np.linalg.norm(b)), float(np.linalg.norm(b - problem.A @ x))
    residuals = np.linspace(size, last, iterations + 1) if iterations else np.array([last])
    # a library's own recurrence may end a little above: a tenth is let pass, and the table shows the residual
    status = Status.CONVERGED if last <= 1.1 * rtol * size else Status.MAX_ITERATIONS
    return SolveResult(x, status, residuals, seconds, name)


def scipy_cg(problem: LinearProblem) -> Inner:
    """SciPy's conjugate gradients on the CSR matrix."""

    def solve(b: NDArray[np.float64], rtol: float) -> Answer:
        count = [0]

        def step(_: object) -> None:
            count[0] += 1

        x, _ = spla.cg(problem.A, b, rtol=rtol, atol=0.0, maxiter=MOST, callback=step)
        return x, count[0]

    return solve


def pyamg_solver(name: str) -> Callable[[LinearProblem], Inner]:
    """PyAMG's hierarchy with its defaults, accelerated by its conjugate gradients."""

    def prepare(problem: LinearProblem) -> Inner:
        import pyamg

        A = sp.csr_matrix(problem.A)  # PyAMG's examples pass matrices
        hierarchy = getattr(pyamg, name)(A)

        def solve(b: NDArray[np.float64], rtol: float) -> Answer:
            history: list[float] = []
            x = hierarchy.solve(b, tol=rtol, accel="cg", residuals=history, maxiter=500)
            return x, len(history) - 1

        return solve

    return prepare


def petsc_ksp(pc: str) -> Callable[[LinearProblem], Inner]:
    """PETSc's conjugate gradients with one of its preconditioners, stopped at the true residual."""

    def prepare(problem: LinearProblem) -> Inner:
        from mpi4py import MPI

        from petsc4py import PETSc

        A = problem.A
        csr = (A.indptr.astype(PETSc.IntType), A.indices.astype(PETSc.IntType), A.data)
        matrix = PETSc.Mat().createAIJ(A.shape, csr=csr, comm=MPI.COMM_SELF)
        matrix.setOption(PETSc.Mat.Option.SPD, True)
        ksp = PETSc.KSP().create(MPI.COMM_SELF)
        ksp.setOperators(matrix)
        ksp.setType("cg")
        ksp.getPC().setType(pc)
        ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
        ksp.setUp()
        x, rhs = matrix.createVecs()

        def solve(b: NDArray[np.float64], rtol: float) -> Answer:
            rhs.setArray(b)
            ksp.setTolerances(rtol=rtol, atol=0.0, max_it=MOST)
            ksp.solve(rhs, x)
            return x.getArray().copy(), ksp.getIterationNumber()

        return solve

    return prepare


def petsc_grid(problem: LinearProblem) -> Inner:
    """PETSc's geometric multigrid on a DMDA (Galerkin, one SSOR sweep a level) inside conjugate gradients."""
    from mpi4py import MPI

    from conjugo.cases.dmda import BoxPoisson
    from conjugo.cases.mpi_solves import MULTIGRID

    shape = problem.grid.shape if problem.grid is not None else ()
    box = BoxPoisson([n + 1 for n in shape], MPI.COMM_SELF)
    ksp = box.solver(MULTIGRID, 1e-8)
    x = box.vector()

    def solve(b: NDArray[np.float64], rtol: float) -> Answer:
        rhs = box.vector(box.h**2 * b.reshape(shape))
        ksp.setTolerances(rtol=rtol, atol=0.0, max_it=500)
        ksp.solve(rhs, x)
        return box.gather(x).ravel(), ksp.getIterationNumber()

    return solve


def sine_transform(problem: LinearProblem) -> Inner:
    """Divide by the eigenvalues between two sine transforms of SciPy: the direct solve that anchors all ratios."""
    assert problem.grid is not None
    shape, spacing = problem.grid.shape, problem.grid.spacing
    eigenvalues = np.zeros(shape)
    for axis, (n, h) in enumerate(zip(shape, spacing, strict=True)):
        waves = (2.0 * np.sin(0.5 * np.pi * np.arange(1, n + 1) / (n + 1)) / h) ** 2
        eigenvalues += waves.reshape([-1 if a == axis else 1 for a in range(len(shape))])

    def solve(b: NDArray[np.float64], rtol: float) -> Answer:
        transformed = scipy.fft.dstn(b.reshape(shape), type=1)
        transformed /= eigenvalues
        return scipy.fft.idstn(transformed, type=1, overwrite_x=True).ravel(), 0

    return solve


def dirichlet_box(problem: LinearProblem) -> bool:
    """Whether the problem is -Δu on a box of grid points with u = 0 around."""
    if not constant(problem) or problem.grid is None or problem.grid.centring != "vertex" or problem.A.shift != 0:
        return False
    return all(
        not axis.periodic and np.allclose(axis.diag, 2.0 / h**2)
        for axis, h in zip(problem.A.axes, problem.grid.spacing, strict=True)
    )


def halving_box(problem: LinearProblem) -> bool:
    """Whether it is, besides, a unit cube whose cells can be halved three times."""
    if not dirichlet_box(problem) or problem.grid is None:
        return False
    cells = {n + 1 for n in problem.grid.shape}
    return len(cells) == 1 and next(iter(cells)) % 8 == 0 and len(set(problem.grid.spacing)) == 1


DST = "scipy DST"
"""Name of the anchor."""

PEERS: tuple[Method, ...] = (
    Method(DST, "direct", peer(DST, sine_transform, compressed=False), dirichlet_box),
    Method("scipy cg", "Krylov", peer("scipy cg", scipy_cg), symmetric),
    Method("pyamg RS + cg", "algebraic multigrid", peer("RS", pyamg_solver("ruge_stuben_solver")), symmetric, "pyamg"),
    Method("pyamg SA + cg", "algebraic multigrid",
           peer("SA", pyamg_solver("smoothed_aggregation_solver")), symmetric, "pyamg"),
    Method("petsc cg + gamg", "PETSc", peer("gamg", petsc_ksp("gamg")), symmetric, "petsc4py"),
    Method("petsc cg + icc", "PETSc", peer("icc", petsc_ksp("icc")), symmetric, "petsc4py"),
    Method("petsc cg + dmda mg", "PETSc", peer("dmda mg", petsc_grid, compressed=False), halving_box, "petsc4py"),
)  # fmt: skip
"""Peers by name; no key of `methods.METHODS` is among them."""
