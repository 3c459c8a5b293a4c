"""Fresh random domains to train on: boxes with Neumann and Dirichlet walls, empty or with solid balls in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian, masked_laplacian

MOST_BALLS = 12


@dataclass(frozen=True, kw_only=True)
class Domains:
    """What the domains of a batch are drawn from.

    Parameters
    ----------
    neumann : float
        Share whose walls are all Neumann. Of the others, half have Dirichlet walls only, and half draw every wall.
    solids : float
        Share with 1 to 12 solid balls that together have 2 to 30 % of the box's volume, overlaps counted twice.

    Examples
    --------
    >>> A = Domains(neumann=1.0, solids=0.0).draw((8, 8), 2, torch.Generator())
    >>> float((A @ torch.ones(2, 1, 8, 8)).abs().max())
    0.0
    """

    neumann: float = 0.5
    solids: float = 0.5

    def __post_init__(self) -> None:
        for name in ("neumann", "solids"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} = {getattr(self, name)}: expected a share from 0 to 1")

    def draw(self, shape: Sequence[int], batch: int, generator: torch.Generator) -> GridLaplacian:
        """Draw `batch` domains on a grid, on the generator's device."""
        device = generator.device

        def uniform(*size: int) -> Tensor:
            return torch.rand(size, generator=generator, device=device)

        solid = random_balls(shape, uniform(batch, MOST_BALLS, len(shape)), uniform(batch, 2))
        solid &= (uniform(batch) < self.solids).reshape(-1, 1, *[1] * len(shape))
        active = (~solid).float()
        kind, drawn = uniform(batch, 1), uniform(batch, 2 * len(shape)) < 0.5
        air = torch.where(kind < self.neumann + (1 - self.neumann) / 2, kind >= self.neumann, drawn)
        far = 1.0 + (uniform(batch, 1) < 0.5).float()  # a Dirichlet wall is one cell away, or half a cell
        return masked_laplacian(active, torch.zeros_like(active), air * far)


def random_balls(shape: Sequence[int], centres: Tensor, drawn: Tensor) -> Tensor:
    """Mark the cells inside balls.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    centres : (batch, most, d) tensor
        In units of the sides.
    drawn : (batch, 2) tensor
        Uniform numbers: they set how many balls there are, and their volume.

    Returns
    -------
    (batch, 1, *shape) bool tensor
    """
    d, most = len(shape), centres.shape[1]
    count = 1 + torch.floor(drawn[:, :1] * most)
    volume = 0.02 + 0.28 * drawn[:, 1:]
    unit = {2: torch.pi, 3: 4 * torch.pi / 3}[d]
    longest = max(shape)
    sides = torch.tensor([n / longest for n in shape], device=centres.device)
    radius = (volume * sides.prod() / (count * unit)) ** (1 / d)
    inside = torch.zeros(centres.shape[0], 1, *shape, dtype=torch.bool, device=centres.device)
    for i in range(most):
        square: Tensor | float = 0.0
        for axis, n in enumerate(shape):
            x = (torch.arange(n, device=centres.device) + 0.5) / longest
            apart = x - (centres[:, i, axis] * sides[axis])[:, None]
            square = square + apart.square().reshape(-1, 1, *[n if a == axis else 1 for a in range(d)])
        reach = torch.where(i < count, radius, 0.0).reshape(-1, 1, *[1] * d)
        inside |= square < reach.square()
    return inside
