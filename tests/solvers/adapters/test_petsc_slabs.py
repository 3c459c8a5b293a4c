"""A preconditioner of ours in a distributed KSP: slabs of a grid, one a process."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from conjugo import solvers
from conjugo.cases.poisson_mpi import find_mpiexec
from conjugo.pde import convection_diffusion, poisson, pressure

pytest.importorskip("petsc4py", reason="extra fem is not installed")
from conjugo.solvers.adapters.petsc_slabs import SlabSolver, as_variable, slab_of, slab_rows


class Bent:
    """A preconditioner that is not linear, as a network's: Jacobi bent by up to a fifth."""

    linear = symmetric = False

    def __init__(self, A: Any) -> None:
        self.shape, self.scale = A.shape, 1.0 / A.diagonal()

    def __matmul__(self, r: Any) -> Any:
        size = float(np.max(np.abs(r))) or 1.0
        z: Any = self.scale * r * (1.0 + 0.2 * np.tanh(r / size))
        return z


@pytest.mark.parametrize(
    "problem",
    [
        poisson((9, 8)),
        poisson((6, 5, 4), bc="neumann", centring="vertex"),
        poisson((9, 8), coefficient="inclusions", contrast=1e3),
        pressure("porous", (24, 24)),
        convection_diffusion((9, 8)),
    ],
    ids=lambda problem: problem.name,
)
def test_a_slab_is_the_diagonal_block_of_its_rows(problem: Any) -> None:
    A = as_variable(problem.A)
    dense = problem.A.tocsr().toarray()
    np.testing.assert_allclose(A.tocsr().toarray(), dense, rtol=1e-14)
    width = A.shape[0] // A.grid_shape[0]
    for first, last in ((0, 2), (2, 5), (1, A.grid_shape[0]), (0, A.grid_shape[0])):
        slab = slab_of(A, first, last)
        rows = slice(first * width, last * width)
        np.testing.assert_allclose(slab.tocsr().toarray(), dense[rows, rows], rtol=1e-14)
        if slab.nullspace is not None:
            assert np.abs(slab @ slab.nullspace).max() < 1e-9 * np.abs(dense).max()


def test_slabs_cover_the_grid_once() -> None:
    for size in (1, 2, 3, 5):
        parts = [slab_rows((7, 3, 2), rank, size) for rank in range(size)]
        assert parts[0][0] == 0
        assert parts[-1][1] == 42
        assert all(a[1] == b[0] for a, b in pairwise(parts))
    with pytest.raises(ValueError, match="4 planes for 5 processes"):
        slab_rows((4, 9), 0, 5)


@pytest.mark.parametrize("kind", ["fcg", "fgmres"])
def test_alone_it_is_the_serial_solve(kind: str) -> None:
    problem = pressure("tank", (24, 20))
    wanted = solvers.cg(problem.A, problem.b, rtol=1e-11).x
    solver = SlabSolver(problem.A, Bent, options=f"-ksp_type {kind}")
    result = solver.solve(problem.b, rtol=1e-10)
    solver.destroy()
    assert result.converged
    assert np.linalg.norm(problem.b - problem.A @ result.x) <= 1.001e-10 * np.linalg.norm(problem.b)
    np.testing.assert_allclose(result.x, wanted, atol=1e-7 * np.abs(wanted).max())


def test_what_cannot_work_is_refused() -> None:
    problem = poisson((8, 8))
    with pytest.raises(ValueError, match=r"M is not linear but the KSP is cg: .* use options='-ksp_type fcg'"):
        SlabSolver(problem.A, Bent, options="-ksp_type cg")
    with pytest.raises(ValueError, match="overlap = -1"):
        SlabSolver(problem.A, solvers.mic, overlap=-1)
    with pytest.raises(ValueError, match="expected one of our stencils"):
        SlabSolver(problem.A.tocsr(), solvers.mic)

    def picky(A: Any) -> Any:
        raise ValueError("only powers of two")

    with pytest.raises(ValueError, match="process 0 failed: only powers of two"):
        SlabSolver(problem.A, picky)


PROGRAM = """
import json, sys
from mpi4py import MPI
import numpy as np
from conjugo import solvers
from conjugo.pde import poisson, pressure
from conjugo.solvers.adapters.petsc_slabs import SlabSolver, slab_of
from conjugo.solvers.adapters.petsc import PetscSolver

class Bent:
    linear = symmetric = False
    def __init__(self, A):
        self.shape, self.inner = A.shape, solvers.mic(A)
    def __matmul__(self, r):
        z = self.inner @ r
        return z * (1.0 + 0.1 * np.tanh(z / (np.max(np.abs(z)) or 1.0)))

comm = MPI.COMM_WORLD
assert comm.size == 2
problems = {"box": poisson((24, 20)), "inclusions": poisson((24, 20), coefficient="inclusions", contrast=1e3),
            "tank": pressure("tank", (32, 24)), "closed": pressure("enclosed", (24, 24)),
            "pockets": pressure("porous", (40, 40)), "deep": poisson((12, 10, 9))}
makers = {"mic": solvers.mic, "multigrid": lambda A: solvers.Multigrid(A, symmetric=True), "bent": Bent}
facts = []
for name, problem in problems.items():
    for maker, factory in makers.items():
        for overlap in (0, 1, 3):
            solver = SlabSolver(problem.A, factory, comm, overlap=overlap)
            low, high = solver.rows
            result = solver.solve(problem.b[low:high], rtol=1e-10)
            rows = high - low
            solver.destroy()
            x = np.concatenate(comm.allgather(result.x))
            wanted = solvers.cg(problem.A, problem.b, rtol=1e-12).x
            if problem.nullspace is not None:
                N = problem.nullspace
                x, wanted = x - N @ (N.T @ x), wanted - N @ (N.T @ wanted)
            residual = np.linalg.norm(problem.b - problem.A @ x) / np.linalg.norm(problem.b)
            facts.append({"case": f"{name}, {maker}, {overlap}", "rows": rows, "whole": problem.n,
                          "iterations": result.iterations, "converged": result.converged, "residual": residual,
                          "difference": np.max(np.abs(x - wanted)) / np.max(np.abs(wanted))})
A = problems["tank"].A
solver = SlabSolver(A, solvers.mic, comm, overlap=0)
local = PetscSolver(solver.mat, "-ksp_type fcg", M=Bent(slab_of(A, *((0, 16), (16, 32))[comm.rank])))
low, high = solver.rows
b = problems["tank"].b[low:high]
blocks = [s.solve(b, rtol=1e-10) for s in (solver, local)]
refusals = []
for make in (lambda: SlabSolver(problems["box"].A, Bent, comm, options="-ksp_type cg"),
             lambda: SlabSolver(problems["box"].A, lambda A: 1 / 0 if comm.rank else solvers.mic(A), comm),
             lambda: SlabSolver(poisson((8, 8), bc="periodic").A, solvers.mic, comm)):
    try:
        make()
    except ValueError as error:
        refusals.append(str(error))
if comm.rank == 0:
    print(json.dumps({"facts": facts, "refusals": refusals,
                      "blocks": [float(np.abs(blocks[0].x - blocks[1].x).max()), all(r.converged for r in blocks)]},
                     default=float))
"""


@pytest.mark.mpi
def test_two_ranks_give_the_serial_answer() -> None:
    command = [find_mpiexec(), "-n", "2", sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    steps = {}
    for fact in answer["facts"]:
        assert fact["converged"], fact
        assert fact["residual"] <= 1.1e-10, fact
        assert fact["difference"] <= 1e-7, fact
        assert fact["rows"] == fact["whole"] / 2
        steps[fact["case"]] = fact["iterations"]
    assert steps["tank, multigrid, 3"] < steps["tank, mic, 3"]
    assert steps["tank, multigrid, 3"] < steps["tank, multigrid, 0"]  # overlap helps
    difference, converged = answer["blocks"]  # a local M without overlap, through PetscSolver
    assert converged
    assert difference < 1e-8
    not_linear, one_failed, ring = answer["refusals"]
    assert "not linear" in not_linear
    assert "process 1 failed" in one_failed
    assert "periodic" in ring
