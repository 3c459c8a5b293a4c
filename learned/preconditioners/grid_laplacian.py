"""Five- and seven-point Laplacians on tensors, each sample of a batch with walls, solids and air of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class GridLaplacian:
    """A u = diag u - active sum over neighbours (active u), h = 1, on fields (batch, 1, *grid).

    Parameters
    ----------
    active : (batch or 1, 1, *grid) tensor
        1 where there is an unknown, 0 in solids and in air.
    diag : (batch or 1, 1, *grid) tensor
        Diagonal: one for each neighbour that is an unknown, plus what walls and air add; 0 where inactive.

    Notes
    -----
    A neighbour that is solid, or beyond a Neumann wall, is in neither sum; one that is air is in the diagonal only.
    Inactive cells are zero rows and columns.

    Examples
    --------
    >>> A = box_laplacian((4, 4), wall=0.0)
    >>> float((A @ torch.ones(1, 1, 4, 4)).abs().max())  # Neumann: constants are its null space
    0.0
    """

    active: Tensor
    diag: Tensor

    def __matmul__(self, u: Tensor) -> Tensor:
        u = self.active * u
        return self.diag * u - self.active * neighbours(u)

    def geometry(self) -> Tensor:
        """Return what a network may see, (batch or 1, 2, *grid): the active cells, and diag - 2 d there."""
        return torch.cat([self.active, (self.diag - 2 * (self.diag.ndim - 2)) * self.active], dim=1)


def neighbours(u: Tensor) -> Tensor:
    """Sum the fields of the 2 d neighbours of each cell, zero beyond the box.

    Examples
    --------
    >>> neighbours(torch.ones(1, 1, 3, 3))[0, 0, 1]
    tensor([3., 4., 3.])
    """
    d = u.ndim - 2
    padded = nn.functional.pad(u, (1, 1) * d)
    total = torch.zeros_like(u)
    for axis in range(2, u.ndim):
        for start in (0, 2):
            part = padded
            for other in range(2, u.ndim):
                part = part.narrow(other, start if other == axis else 1, u.shape[other])
            total = total + part
    return total


def box_laplacian(shape: Sequence[int], *, wall: float, device: torch.device | str = "cpu") -> GridLaplacian:
    """Return the Laplacian of an empty box whose walls add `wall` to the diagonal.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    wall : float
        0 for Neumann walls, 1 for Dirichlet walls one cell away (vertex-centred), 2 for half a cell (cell-centred).
    device : device
        Where.

    Returns
    -------
    GridLaplacian
        For one sample; it broadcasts over a batch.
    """
    walls = torch.full((1, 2 * len(shape)), wall, device=device)
    return masked_laplacian(torch.ones(1, 1, *shape, device=device), torch.zeros(1, 1, *shape, device=device), walls)


def masked_laplacian(active: Tensor, air: Tensor, walls: Tensor) -> GridLaplacian:
    """Return the Laplacian of boxes with solids and air in them.

    Parameters
    ----------
    active, air : (batch, 1, *grid) tensors
        1 in cells that are unknowns, and 1 in cells where u is zero; both 0 in solids.
    walls : (batch, 2 d) tensor
        What each wall adds to the diagonal of the cells beside it: axis by axis, low and high.

    Returns
    -------
    GridLaplacian

    Examples
    --------
    >>> A = masked_laplacian(torch.ones(1, 1, 3, 3), torch.zeros(1, 1, 3, 3), torch.tensor([[1.0, 0, 0, 0]]))
    >>> A.diag[0, 0]
    tensor([[3., 4., 3.],
            [3., 4., 3.],
            [2., 3., 2.]])
    """
    diag = neighbours(active + air)
    for axis in range(2, active.ndim):
        for side in (0, 1):
            edge = diag.narrow(axis, side * (diag.shape[axis] - 1), 1)
            edge += walls[:, 2 * (axis - 2) + side].reshape(-1, *[1] * (active.ndim - 1))
    return GridLaplacian(active, active * diag)
