"""What a network must know of a problem: grid, mask, null space, and where walls, solids and air are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.stationary.rows import diagonal_of


@dataclass(frozen=True, eq=False)
class Domain:
    """Where the unknowns are.

    Parameters
    ----------
    shape : tuple of int
        Unknowns per axis.
    active : (n,) bool array or None
        Which unknowns a mask keeps; None where all are.
    nullspace : (n, c) array or None
        Orthonormal columns, one for each connected component of a singular problem.
    operator : object
        A, for `geometry`.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> Domain.of(poisson((8, 8), bc="neumann", centring="cell")).nullspace.shape
    (64, 1)
    """

    shape: tuple[int, ...]
    active: NDArray[np.bool_] | None
    nullspace: NDArray[np.float64] | None
    operator: Any

    @classmethod
    def of(cls, problem: Any) -> Domain:
        """Read a LinearProblem or a stencil.

        Raises
        ------
        ValueError
            If there is no grid, the unknowns are not those of the grid, or no unknown is active.
        """
        A = getattr(problem, "A", problem)
        grid = getattr(problem, "grid", None)
        shape = getattr(A, "grid_shape", None) or getattr(grid, "shape", None)
        if shape is None:
            raise ValueError(f"{type(A).__name__} has no grid_shape: pass a problem of conjugo.pde, or a stencil")
        if math.prod(shape) != A.shape[0]:
            raise ValueError(
                f"A has {A.shape[0]} rows but its grid {tuple(shape)} has {math.prod(shape)} cells: pass the problem "
                "before compress()"
            )
        active = getattr(A, "active", None)
        if active is not None and not active.any():
            raise ValueError(f"the mask keeps none of the {active.size} unknowns: expected True where there is fluid")
        if active is not None and active.all():
            active = None
        nullspace = getattr(A, "nullspace", None)
        nullspace = None if nullspace is None else np.asarray(nullspace).reshape(A.shape[0], -1)
        return cls(tuple(shape), None if active is None else active.ravel(), nullspace, A)

    @property
    def size(self) -> int:
        """Number of unknowns, inactive ones included."""
        return math.prod(self.shape)

    @property
    def count(self) -> int:
        """Number of active unknowns."""
        return self.size if self.active is None else int(self.active.sum())

    def geometry(self) -> Tensor:
        """Return the active cells and diag A / coupling - 2 d there, (1, 2, *shape) float32.

        The second is 0 inside, negative beside Neumann walls and solids, and positive where a Dirichlet wall is nearer
        than a neighbour. The coupling is the largest: 1 / h^2 on a uniform grid.
        """
        active = np.ones(self.size) if self.active is None else self.active.astype(np.float64)
        diagonal = diagonal_of(self.operator, "NeuralPreconditioner") / _largest_coupling(self.operator)
        image = np.stack([active, (diagonal - 2 * len(self.shape)) * active]).reshape(1, 2, *self.shape)
        return torch.from_numpy(image.astype(np.float32))


def _largest_coupling(A: Any) -> float:
    """Return max |A[i, j]|, i != j: 1 / h^2 on a uniform grid."""
    if isinstance(A, SeparableStencil):
        return max(float(np.abs(axis.upper).max()) for axis in A.axes) or 1.0
    if isinstance(A, VariableStencil):
        return max(float(np.abs(upper).max()) for upper in A.upper) or 1.0
    if not sp.issparse(A):
        raise ValueError(f"{type(A).__name__} shows no entries: pass a stencil or a sparse matrix")
    return float(np.abs(A - sp.diags_array(A.diagonal())).max()) or 1.0
