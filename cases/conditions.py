"""What a problem must be for a method to make sense."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from conjugo.pde.problem import LinearProblem
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil


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


def uniform_grid(problem: LinearProblem) -> bool:
    """Whether A is -laplace on equal cells in 2-D or 3-D, masked or not: what the network was trained on."""
    A = problem.A
    if not isinstance(A, SeparableStencil | VariableStencil) or not symmetric(problem):
        return False
    if len(A.grid_shape) not in (2, 3) or min(A.grid_shape) < 8:
        return False
    if isinstance(A, SeparableStencil):
        couplings = [a.upper[:-1] for a in A.axes]
    else:
        couplings = [u[u != 0] for u in A.upper]
    values = np.concatenate([np.ravel(c) for c in couplings])
    return values.size > 0 and bool(np.allclose(values, values[0], rtol=1e-6))


def varying_grid(problem: LinearProblem) -> bool:
    """Whether A is a symmetric stencil with varying coefficients."""
    return isinstance(problem.A, VariableStencil | CompactStencil) and symmetric(problem)


def axial_grid(problem: LinearProblem) -> bool:
    """Whether A varies and couples along the axes, in a dimension with a shipped local basis."""
    return isinstance(problem.A, VariableStencil) and varying_grid(problem) and shipped("basis", problem)


def shipped(name: str, problem: LinearProblem) -> bool:
    """Whether weights of this name are there for the problem's dimension; torch is not imported."""
    home = find_spec("conjugo.learned")
    folder = Path(home.origin).parent / "weights" if home is not None and home.origin else Path()
    return (folder / f"{name}{len(problem.A.grid_shape)}d.safetensors").is_file()


def learned_grid(problem: LinearProblem) -> bool:
    """Whether A is a symmetric stencil with varying coefficients, of a dimension with shipped weights."""
    return varying_grid(problem) and shipped("stencil", problem)


def connected(problem: LinearProblem) -> bool:
    """Whether A is symmetric and singular once at most: PETSc's ICC never ends its set-up on closed pockets."""
    return symmetric(problem) and (problem.nullspace is None or problem.nullspace.shape[1] == 1)


def regular(problem: LinearProblem) -> bool:
    """Whether A declares no null space."""
    return problem.nullspace is None
