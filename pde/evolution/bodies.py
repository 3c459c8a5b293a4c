"""Balls and blocks in a box: where solids stand and where smoke comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid


@dataclass(frozen=True, slots=True)
class Ball:
    """A ball (in two dimensions a disc).

    Parameters
    ----------
    centre : sequence of float
        One coordinate an axis (length).
    radius : float
        Its radius (length).

    Examples
    --------
    >>> grid = Grid((4, 4), (1.0, 1.0), (0.5, 0.5), "cell")
    >>> int(Ball((2.0, 2.0), 1.0).inside(grid).sum())
    4
    """

    centre: Sequence[float]
    radius: float

    def inside(self, grid: Grid) -> NDArray[np.bool_]:
        """Return which unknowns of a grid it holds, grid-shaped."""
        _check(self, grid, self.centre)
        if not self.radius > 0:
            raise ValueError(f"{self} has no volume: expected a positive radius")
        pairs = zip(grid.open_mesh(), self.centre, strict=True)
        return np.asarray(np.sqrt(sum((x - c) ** 2 for x, c in pairs)) < self.radius)


@dataclass(frozen=True, slots=True)
class Block:
    """A block whose sides lie along the axes.

    Parameters
    ----------
    low, high : sequence of float
        Its lowest and its highest corner (length).

    Examples
    --------
    >>> grid = Grid((4, 4), (1.0, 1.0), (0.5, 0.5), "cell")
    >>> int(Block((0.0, 1.0), (2.0, 4.0)).inside(grid).sum())
    6
    """

    low: Sequence[float]
    high: Sequence[float]

    def inside(self, grid: Grid) -> NDArray[np.bool_]:
        """Return which unknowns of a grid it holds, grid-shaped."""
        _check(self, grid, self.low, self.high)
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise ValueError(f"{self} has no volume: expected low < high along every axis")
        within = np.ones(grid.shape, dtype=bool)
        for x, a, b in zip(grid.open_mesh(), self.low, self.high, strict=True):
            within &= (x > a) & (x < b)
        return within


def _check(body: object, grid: Grid, *places: Sequence[float]) -> None:
    """Compare the dimensions of a body and a grid."""
    for place in places:
        if len(place) != len(grid.shape):
            raise ValueError(
                f"{body} has {len(place)} coordinates: expected {len(grid.shape)}, one an axis of the grid"
            )


type Body = Ball | Block
