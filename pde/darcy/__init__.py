"""Flow through a random porous medium on a square: coefficients, solutions, and pairs of them to learn from."""

from __future__ import annotations

from conjugo.pde.darcy.solver import DarcySolution, darcy_solution, solve_darcy
from conjugo.pde.darcy.stencil import darcy_faces, darcy_problem

__all__ = ["DarcySolution", "darcy_faces", "darcy_problem", "darcy_solution", "solve_darcy"]
