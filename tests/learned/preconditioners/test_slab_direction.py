"""A direction network as the preconditioner of a distributed PETSc solve."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from conjugo.cases.poisson_mpi import find_mpiexec

pytest.importorskip("petsc4py", reason="extra fem is not installed")

SCRIPT = """
from mpi4py import MPI
import numpy as np
import torch
from conjugo.learned.preconditioners.neural import NeuralPreconditioner
from conjugo.learned.training import load_model, weights_path
from conjugo.pde import pressure
from conjugo.solvers import cg
from conjugo.solvers.adapters.petsc_slabs import SlabSolver

torch.set_num_threads(1)
problem = pressure("porous", (96, 64), lengths=(1.5, 1.0))
model = load_model(weights_path("dcdm_2d"))
solver = SlabSolver(problem.A, lambda A: NeuralPreconditioner(model, A), options="-ksp_type fcg", overlap=8)
low, high = solver.rows
result = solver.solve(problem.b[low:high], rtol=1e-8)
x = np.concatenate(MPI.COMM_WORLD.allgather(np.asarray(result.x)))
if MPI.COMM_WORLD.rank == 0:
    y = cg(problem.A, problem.b, rtol=1e-12).x
    plain = cg(problem.A, problem.b, rtol=1e-8).iterations
    residual = np.linalg.norm(problem.b - problem.A @ x) / np.linalg.norm(problem.b)
    print(result.converged, result.iterations, plain, residual, np.abs(x - y).max() / np.abs(y).max())
"""


def answer(command: list[str]) -> tuple[int, int]:
    done = subprocess.run([*command, "-c", SCRIPT], capture_output=True, text=True, timeout=300, check=True)
    converged, iterations, plain, residual, error = done.stdout.split()
    assert converged == "True"
    assert float(residual) <= 1.01e-8
    assert float(error) < 1e-6
    assert np.isfinite(float(error))
    return int(iterations), int(plain)


@pytest.mark.slow
def test_one_process_takes_a_tenth_of_the_iterations_of_cg() -> None:
    iterations, plain = answer([sys.executable])
    assert iterations < plain / 10


@pytest.mark.mpi
def test_two_processes_give_the_same_answer() -> None:
    iterations, plain = answer([find_mpiexec(), "-n", "2", sys.executable])
    assert iterations < plain / 4
