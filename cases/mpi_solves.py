"""Distributed Poisson solves on any communicator, and the program that mpiexec starts.

    mpiexec -n 2 python -m conjugo.cases.mpi_solves --cells 64 --per-rank 128 --rtol 1e-12

prints one line of JSON from rank 0: the difference to the answer of one process, and the seconds of a problem that
grows with the number of ranks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.cases.dmda import BoxPoisson

MULTIGRID = {"ksp_type": "cg", "pc_type": "mg", "pc_mg_galerkin": "both", "mg_levels_ksp_type": "richardson",
             "mg_levels_ksp_max_it": 1, "mg_levels_pc_type": "sor"}  # fmt: skip
"""Conjugate gradients with PETSc's geometric multigrid on the grid's own levels."""

ALGEBRAIC = {"ksp_type": "cg", "pc_type": "gamg"}
"""Conjugate gradients with PETSc's algebraic multigrid."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """A distributed solve; `values` is whole on rank 0, in an order that no number of ranks changes."""

    values: NDArray[np.float64]
    unknowns: int
    iterations: int
    setup_seconds: float
    seconds: float
    converged: bool


def solve_dmda(comm: Any, cells: tuple[int, int], rtol: float) -> Solved:
    """Solve -Δu = 2 π² sin(πx) sin(πy) with u = 0 on the sides, by five points on PETSc's structured grid.

    Parameters
    ----------
    comm : mpi4py communicator
        Who shares the work.
    cells : (int, int)
        Squares along x and y.
    rtol : float
        Relative tolerance of the true residual.
    """
    start = time.perf_counter()
    box = BoxPoisson(cells, comm)
    x, y = box.coordinates()
    inside = (x > 0) & (x < cells[0] * box.h * (1 - 1e-12)) & (y > 0) & (y < 1 - 1e-12)
    f = np.where(inside, 2.0 * np.pi**2 * np.sin(np.pi * x) * np.sin(np.pi * y), 0.0)
    b, u = box.vector(), box.vector()
    b.setArray((box.h**2 * f).ravel(order="F"))
    ksp = box.solver(MULTIGRID, rtol)
    return _timed(comm, ksp, b, u, start, box.unknowns, lambda: box.gather(u).ravel())


def solve_dolfinx(comm: Any, cells: tuple[int, int], rtol: float) -> Solved:
    """Solve the same equation by linear finite elements on a dolfinx mesh of triangles.

    Parameters
    ----------
    comm, cells, rtol
        As for `solve_dmda`; every square is cut into two triangles.
    """
    import dolfinx.fem.petsc as fem_petsc
    import dolfinx.mesh
    import ufl
    from dolfinx import fem
    from petsc4py import PETSc

    start = time.perf_counter()
    corner = np.array([cells[0] / cells[1], 1.0])
    mesh = dolfinx.mesh.create_rectangle(comm, [np.zeros(2), corner], list(cells))
    V = fem.functionspace(mesh, ("Lagrange", 1))
    mesh.topology.create_connectivity(1, 2)
    facets = dolfinx.mesh.exterior_facet_indices(mesh.topology)
    fixed = fem.dirichletbc(0.0, fem.locate_dofs_topological(V, 1, facets), V)
    u, v, place = ufl.TrialFunction(V), ufl.TestFunction(V), ufl.SpatialCoordinate(mesh)
    load = 2.0 * ufl.pi**2 * ufl.sin(ufl.pi * place[0]) * ufl.sin(ufl.pi * place[1])
    form, source = fem.form(ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx), fem.form(load * v * ufl.dx)
    A = fem_petsc.assemble_matrix(form, bcs=[fixed])
    A.assemble()
    b = fem_petsc.assemble_vector(source)
    fem_petsc.apply_lifting(b, [form], bcs=[[fixed]])
    b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
    fem_petsc.set_bc(b, [fixed])
    x = b.duplicate()
    ksp = _algebraic(comm, A, rtol)
    owned = V.dofmap.index_map.size_local
    return _timed(
        comm, ksp, b, x, start, V.dofmap.index_map.size_global,
        lambda: _by_place(comm, V.tabulate_dof_coordinates()[:owned], x.getArray()[:owned]),
    )  # fmt: skip


SOLVES: dict[str, Callable[[Any, tuple[int, int], float], Solved]] = {"dmda": solve_dmda, "dolfinx": solve_dolfinx}
"""What is solved, by name."""


def compare_with_serial(comm: Any, name: str, cells: int, rtol: float) -> dict[str, Any]:
    """Solve together and on rank 0 alone, and return the largest relative difference (rank 0's return counts)."""
    from mpi4py import MPI

    together = SOLVES[name](comm, (cells, cells), rtol)
    facts = {"problem": name, "ranks": comm.size, "unknowns": together.unknowns, "iterations": together.iterations}
    if comm.rank != 0:
        return facts
    alone = SOLVES[name](MPI.COMM_SELF, (cells, cells), rtol)
    difference = float(np.max(np.abs(together.values - alone.values)) / np.max(np.abs(alone.values)))
    both = together.converged and alone.converged
    return {**facts, "serial_iterations": alone.iterations, "difference": difference, "converged": both}


def weak_step(comm: Any, name: str, per_rank: int, rtol: float) -> dict[str, Any]:
    """Solve on a box as many times longer as there are ranks, so that each has `per_rank` squared cells."""
    solved = SOLVES[name](comm, (per_rank * comm.size, per_rank), rtol)
    return {
        "problem": name,
        "ranks": comm.size,
        "unknowns": solved.unknowns,
        "iterations": solved.iterations,
        "setup_seconds": solved.setup_seconds,
        "seconds": solved.seconds,
        "converged": solved.converged,
    }


def _timed(
    comm: Any, ksp: Any, b: Any, x: Any, start: float, unknowns: int, gather: Callable[[], NDArray[np.float64]]
) -> Solved:
    comm.Barrier()
    ready = time.perf_counter()
    ksp.solve(b, x)
    comm.Barrier()
    done = time.perf_counter()
    converged = ksp.getConvergedReason() > 0
    return Solved(gather(), unknowns, ksp.getIterationNumber(), ready - start, done - ready, converged)


def _algebraic(comm: Any, A: Any, rtol: float) -> Any:
    from petsc4py import PETSc

    ksp = PETSc.KSP().create(comm)
    ksp.setOperators(A)
    ksp.setType(ALGEBRAIC["ksp_type"])
    ksp.getPC().setType(ALGEBRAIC["pc_type"])
    ksp.setTolerances(rtol=rtol, atol=0.0, max_it=500)
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    ksp.setUp()
    return ksp


def _by_place(comm: Any, places: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gather values on rank 0, sorted by where they are."""
    parts = comm.gather((places, values), root=0)
    if parts is None:
        return np.zeros(0)
    where = np.round(np.concatenate([part[0] for part in parts]), 9)
    return np.asarray(np.concatenate([part[1] for part in parts])[np.lexsort(where.T)])


def program() -> None:
    """Run under mpiexec; rank 0 prints the facts."""
    from mpi4py import MPI

    parser = argparse.ArgumentParser(description="Distributed Poisson solves; rank 0 prints one line of JSON.")
    parser.add_argument("--cells", type=int, required=True, help="squares along each side of the compared problem")
    parser.add_argument("--per-rank", type=int, required=True, help="squares along each side, a rank, when it grows")
    parser.add_argument("--rtol", type=float, required=True, help="relative tolerance")
    options = parser.parse_args()
    comm = MPI.COMM_WORLD
    facts = {
        "checks": [compare_with_serial(comm, name, options.cells, options.rtol) for name in SOLVES],
        "scaling": [weak_step(comm, name, options.per_rank, options.rtol) for name in SOLVES],
    }
    if comm.rank == 0:
        sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    program()
