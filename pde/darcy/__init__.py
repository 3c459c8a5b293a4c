"""Flow through a random porous medium on a square: coefficients, solutions, and pairs of them to learn from."""

from __future__ import annotations

from conjugo.pde.darcy.coefficients import darcy_coefficients
from conjugo.pde.darcy.pairs import darcy
from conjugo.pde.darcy.solver import DarcySolution, darcy_solution, solve_darcy
from conjugo.pde.darcy.stencil import darcy_faces, darcy_problem

__all__ = [
    "DarcySolution",
    "darcy",
    "darcy_coefficients",
    "darcy_faces",
    "darcy_problem",
    "darcy_solution",
    "solve_darcy",
]
