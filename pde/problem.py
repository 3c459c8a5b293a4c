"""What is to be solved. A problem does not know how it is solved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conjugo.pde.grid import Grid
from conjugo.solvers.operators.protocol import Array, LinearOperator


@dataclass(frozen=True, slots=True, eq=False)
class LinearProblem:
    """A linear system A x = b from a discretised equation.

    Parameters
    ----------
    A : operator
        Anything with `.shape` and `@`.
    b : (n,) or (n, k) array
        Right-hand side.
    exact : array, optional
        The exact solution of the differential equation at the unknowns, shaped like b.
    grid : Grid, optional
        Where the unknowns sit; None for unstructured problems.
    name : str
        Short name for tables and plots.
    """

    A: LinearOperator
    b: Array
    exact: Array | None = None
    grid: Grid | None = None
    name: str = ""

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return int(self.b.shape[0])

    def error(self, x: Array) -> float:
        """h-weighted L2 norm of x - exact: sqrt(h^d sum (x - exact)^2).

        Raises
        ------
        ValueError
            If the problem has no exact solution.
        """
        if self.exact is None:
            raise ValueError(f"problem {self.name!r} has no exact solution: make it with a manufactured one")
        volume = self.grid.cell_volume if self.grid is not None else 1.0 / self.n
        return float(np.sqrt(volume * np.sum(np.abs(np.asarray(x) - np.asarray(self.exact)) ** 2)))
