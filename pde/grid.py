"""Structured grids: where the unknowns sit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

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

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) <= 3 or any(n < 1 for n in self.shape):
            raise ValueError(f"shape = {self.shape}: expected 1 to 3 axes with at least one unknown each")
        if not len(self.shape) == len(self.spacing) == len(self.origin):
            raise ValueError(f"shape {self.shape}, spacing {self.spacing} and origin {self.origin} differ in length")
        if any(not h > 0 for h in self.spacing):
            raise ValueError(f"spacing = {self.spacing}: expected positive lengths")

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
