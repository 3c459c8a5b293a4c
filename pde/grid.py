"""Structured grids: where the unknowns sit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

type Centring = Literal["vertex", "cell"]


@dataclass(frozen=True, slots=True)
class Grid:
    """A uniform grid of unknowns in one, two or three dimensions.

    Parameters
    ----------
    shape : tuple of int
        Unknowns per axis (C order: the last axis is contiguous).
    spacing : tuple of float
        Distance between neighbours per axis (length).
    origin : tuple of float
        Coordinates of the first unknown.
    centring : {"vertex", "cell"}
        Whether unknowns sit on grid points or in cell centres.
    lengths : tuple of float, optional
        Side lengths of the box from the coordinate origin; by default unknowns times spacing.

    Examples
    --------
    >>> grid = Grid((3,), (0.25,), (0.25,))
    >>> grid.coordinates()[0]
    array([0.25, 0.5 , 0.75])
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    centring: Centring = "vertex"
    lengths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 3 or any(n < 1 for n in self.shape):
            raise ValueError(f"shape = {self.shape}: expected 1 to 3 axes with at least one unknown each")
        if not len(self.shape) == len(self.spacing) == len(self.origin):
            raise ValueError(f"shape {self.shape}, spacing {self.spacing} and origin {self.origin} differ in length")
        if any(not h > 0 for h in self.spacing):
            raise ValueError(f"spacing = {self.spacing}: expected positive lengths")
        if not self.lengths:
            sides = tuple(n * h for n, h in zip(self.shape, self.spacing, strict=True))
            object.__setattr__(self, "lengths", sides)
        if len(self.lengths) != len(self.shape):
            raise ValueError(f"lengths = {self.lengths}: expected {len(self.shape)} side lengths, one an axis")

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return math.prod(self.shape)

    @property
    def cell_volume(self) -> float:
        """Product of the spacings (length to the power of the dimension)."""
        return math.prod(self.spacing)

    def coordinates(self) -> tuple[NDArray[np.float64], ...]:
        """Coordinates along each axis, one (n,) array an axis."""
        return tuple(
            o + h * np.arange(n, dtype=np.float64)
            for o, h, n in zip(self.origin, self.spacing, self.shape, strict=True)
        )

    def mesh(self) -> tuple[NDArray[np.float64], ...]:
        """Coordinates of every unknown, one grid-shaped array an axis."""
        return tuple(np.meshgrid(*self.coordinates(), indexing="ij"))

    def open_mesh(self) -> tuple[NDArray[np.float64], ...]:
        """Coordinates along each axis, shaped so that they broadcast over the grid without filling it."""
        return tuple(np.meshgrid(*self.coordinates(), indexing="ij", sparse=True))

    def unit_mesh(self) -> tuple[NDArray[np.float64], ...]:
        """`open_mesh` divided by the side lengths: every coordinate lies in [0, 1]."""
        return tuple(x / length for x, length in zip(self.open_mesh(), self.lengths, strict=True))

    def on_wall(self, function: Callable[..., Any], axis: int, side: int) -> NDArray[np.float64]:
        """Evaluate a function of the coordinates on a wall of the box, straight beyond the unknowns.

        Parameters
        ----------
        function : callable
            Takes one array an axis that broadcast.
        axis, side : int
            The wall; side 0 is low, 1 is high.

        Returns
        -------
        array
            Shaped like one layer of the grid: one entry along `axis`.

        Examples
        --------
        >>> Grid((2, 3), (0.5, 0.25), (0.25, 0.25)).on_wall(lambda x, y: x + y, axis=1, side=1)
        array([[1. ],
               [1.5]])
        """
        x = list(self.open_mesh())
        x[axis] = np.full((1,) * len(self.shape), self.lengths[axis] if side else 0.0)
        layer = (*self.shape[:axis], 1, *self.shape[axis + 1 :])
        return np.array(np.broadcast_to(function(*x), layer), dtype=np.float64)
