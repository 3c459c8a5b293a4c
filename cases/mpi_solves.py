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


def solve_dmda(comm: Any, cells: int, rtol: float, stretch: int = 1) -> Solved:
    """Solve -Δu = 2 π² sin(πx) sin(πy) with u = 0 on the sides, by five points on PETSc's structured grid.

    Parameters
    ----------
    comm : mpi4py communicator
        Who shares the work.
    cells : int
        Squares along y.
    rtol : float
        Relative tolerance of the true residual.
    stretch : int
        Length along x: the box has stretch * cells^2 squares.
    """
    start = time.perf_counter()
    box = BoxPoisson((stretch * cells, cells), comm)
    x, y = box.coordinates()
    inside = (x > 0) & (x < stretch * (1 - 1e-12)) & (y > 0) & (y < 1 - 1e-12)
    f = np.where(inside, 2.0 * np.pi**2 * np.sin(np.pi * x) * np.sin(np.pi * y), 0.0)
    b, u = box.vector(), box.vector()
    b.setArray((box.h**2 * f).ravel(order="F"))
    ksp = box.solver(MULTIGRID, rtol)
    return _timed(comm, ksp, b, u, start, box.unknowns, lambda: box.gather(u).ravel())


def solve_dolfinx(comm: Any, cells: int, rtol: float, stretch: int = 1) -> Solved:
    """Solve the same equation by linear finite elements on a dolfinx mesh of the unit square.

    Parameters
    ----------
    comm, cells, rtol
        As for `solve_dmda`; every square is cut into two triangles.
    stretch : int
        By how much there are more triangles than 2 cells^2 (about).
    """
    from conjugo.pde import fem

    start = time.perf_counter()
    case = fem.poisson("square", round(cells * stretch**0.5), comm=comm)
    A, b = case.petsc_matrix(), case.petsc_vector()
    x = b.duplicate()
    ksp = _algebraic(comm, A, rtol)
    dofs = case.V.dofmap.index_map
    places = case.V.tabulate_dof_coordinates()[: dofs.size_local]
    return _timed(comm, ksp, b, x, start, dofs.size_global, lambda: _by_place(comm, places, x.getArray()))


SOLVES: dict[str, Callable[..., Solved]] = {"dmda": solve_dmda, "dolfinx": solve_dolfinx}
"""What is solved, by name."""


def compare_with_serial(comm: Any, name: str, cells: int, rtol: float) -> dict[str, Any]:
    """Solve together and on rank 0 alone, and return the largest relative difference (rank 0's return counts)."""
    from mpi4py import MPI

    together = SOLVES[name](comm, cells, rtol)
    facts = {"problem": name, "ranks": comm.size, "unknowns": together.unknowns, "iterations": together.iterations}
    if comm.rank != 0:
        return facts
    alone = SOLVES[name](MPI.COMM_SELF, cells, rtol)
    difference = float(np.max(np.abs(together.values - alone.values)) / np.max(np.abs(alone.values)))
    both = together.converged and alone.converged
    return {**facts, "serial_iterations": alone.iterations, "difference": difference, "converged": both}


def weak_step(comm: Any, name: str, per_rank: int, rtol: float) -> dict[str, Any]:
    """Solve a problem as many times larger as there are ranks, so that each has `per_rank` squared cells."""
    solved = SOLVES[name](comm, per_rank, rtol, comm.size)
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
