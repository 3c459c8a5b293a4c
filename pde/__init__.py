"""What is to be solved: problem generators, and anybody's matrix from a file.

The function `poisson` has the name of the folder that holds it, and so has `darcy`. Importing the folder sets the
attribute `conjugo.pde.poisson` to the module, once; the import below comes after that and rebinds it to the function.
The modules inside stay importable as `from conjugo.pde.poisson import masks` or `from conjugo.pde.poisson.masks import
disc`; only `import conjugo.pde.poisson.masks as masks` does not work, as it reads the attribute.
"""

from __future__ import annotations

from conjugo.pde.darcy.coefficients import darcy_coefficients
from conjugo.pde.darcy.pairs import darcy
from conjugo.pde.darcy.solver import darcy_solution, solve_darcy
from conjugo.pde.darcy.stencil import darcy_problem
from conjugo.pde.fields import gaussian_field
from conjugo.pde.grid import Grid
from conjugo.pde.matrix import load as load_matrix
from conjugo.pde.matrix import save as save_matrix
from conjugo.pde.pairs import FieldPairs
from conjugo.pde.poisson.assemble import poisson
from conjugo.pde.poisson.convection import convection_diffusion
from conjugo.pde.poisson.helmholtz import helmholtz
from conjugo.pde.poisson.pressure import pressure
from conjugo.pde.problem import LinearProblem
from conjugo.pde.random_fields import matern_field
from conjugo.pde.store import generate, load_pairs, load_trajectories
from conjugo.pde.trajectories import Trajectories

__all__ = [
    "FieldPairs",
    "Grid",
    "LinearProblem",
    "Trajectories",
    "convection_diffusion",
    "darcy",
    "darcy_coefficients",
    "darcy_problem",
    "darcy_solution",
    "gaussian_field",
    "generate",
    "helmholtz",
    "load_matrix",
    "load_pairs",
    "load_trajectories",
    "matern_field",
    "poisson",
    "pressure",
    "save_matrix",
    "solve_darcy",
]
