"""Random balls in a box: what inclusions, obstacles and porous media are made of."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid

UNIT_BALL = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}


def random_balls(grid: Grid, *, count: int, density: float, seed: int = 0) -> NDArray[np.bool_]:
    """Mark the unknowns inside `count` equal balls with random centres.

    Parameters
    ----------
    grid : Grid
        Where the unknowns sit.
    count : int
        Number of balls; they may overlap and stick out of the box.
    density : float
        Volume of all balls over that of the box, overlaps counted twice: it sets the radius in any dimension.
    seed : int
        Seed of the centres.

    Returns
    -------
    grid-shaped bool array
        True inside a ball; of a large number of balls, about 1 - exp(-density) of the unknowns.

    Raises
    ------
    ValueError
        If count or density is negative.

    Examples
    --------
    >>> grid = Grid((100, 100), (0.01, 0.01), (0.005, 0.005))
    >>> bool(abs(random_balls(grid, count=200, density=0.5).mean() - (1 - np.exp(-0.5))) < 0.05)
    True
    """
    if count < 0 or not density >= 0:
        raise ValueError(f"count = {count} and density = {density}: expected numbers of at least 0")
    d, volume = len(grid.shape), math.prod(grid.lengths)
    radius = (density * volume / (max(count, 1) * UNIT_BALL[d])) ** (1 / d)
    x, inside = grid.open_mesh(), np.zeros(grid.shape, dtype=bool)
    for centre in np.random.default_rng(seed).random((count, d)) * np.array(grid.lengths):
        inside |= sum((s - c) ** 2 for s, c in zip(x, centre, strict=True)) < radius**2
    return inside
