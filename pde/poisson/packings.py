"""Crowded media on the scale of the mesh: balls a few cells wide that nearly touch, and fibres that cross."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.balls import UNIT_BALL

type Mask = NDArray[np.bool_]


def packed_balls(grid: Grid, *, diameter: float = 6.0, gap: float = 1.0, jitter: float = 1.0, seed: int = 0) -> Mask:
    """Mark the unknowns inside small equal balls on a disturbed lattice: narrow gaps, and here and there a contact.

    Parameters
    ----------
    grid : Grid
        Where the unknowns sit.
    diameter : float
        Of a ball, in cells.
    gap : float
        Distance between balls that stand on the lattice, in cells.
    jitter : float
        Most that a centre moves along each axis, in cells: with 2 jitter > gap some balls touch.
    seed : int
        Seed of the places.

    Returns
    -------
    grid-shaped bool array
        True inside a ball.

    Raises
    ------
    ValueError
        For a diameter that is not positive or a pitch below one cell.

    Notes
    -----
    Lengths in cells count along every axis alike, so that the medium has as many balls more as the grid has cells more.

    Examples
    --------
    >>> grid = Grid((100, 100), (0.01, 0.01), (0.005, 0.005))
    >>> inside = packed_balls(grid, diameter=6.0, gap=1.0, jitter=0.0)
    >>> bool(abs(inside.mean() - np.pi / 4 * (6 / 7) ** 2) < 0.03)
    True
    """
    pitch = diameter + gap
    if not diameter > 0 or not pitch >= 1:
        raise ValueError(f"diameter = {diameter} and gap = {gap} cells: expected a positive diameter and a sum >= 1")
    rng = np.random.default_rng(seed)
    d = len(grid.shape)
    start = rng.uniform(0, pitch, d)
    cells = [np.floor((np.arange(n) + s) / pitch).astype(np.intp) + 1 for n, s in zip(grid.shape, start, strict=True)]
    moves = rng.uniform(-jitter, jitter, (d, *(int(c[-1]) + 2 for c in cells)))
    inside = np.zeros(grid.shape, dtype=bool)
    for step in itertools.product((-1, 0, 1), repeat=d):
        sites = np.ix_(*(c + s for c, s in zip(cells, step, strict=True)))
        square = np.zeros(grid.shape)
        for axis, (move, site) in enumerate(zip(moves, sites, strict=True)):
            i = np.arange(grid.shape[axis]).reshape([-1 if a == axis else 1 for a in range(d)])
            square += (i + start[axis] - (site - 0.5) * pitch - move[sites]) ** 2
        inside |= square < (diameter / 2) ** 2
    return inside


def fibres(grid: Grid, *, width: float = 2.5, length: float = 40.0, density: float = 0.15, seed: int = 0) -> Mask:
    """Mark the unknowns inside straight fibres of random place and direction, which cross and touch.

    Parameters
    ----------
    grid : Grid
        Where the unknowns sit.
    width, length : float
        Of a fibre, in cells; its ends are round.
    density : float
        Volume of all fibres over that of the box, overlaps counted twice.
    seed : int
        Seed of places and directions.

    Returns
    -------
    grid-shaped bool array
        True inside a fibre.

    Raises
    ------
    ValueError
        For lengths that are not positive.

    Examples
    --------
    >>> grid = Grid((200, 200), (0.005, 0.005), (0.0025, 0.0025))
    >>> bool(0.05 < fibres(grid, density=0.15).mean() < 0.2)
    True
    """
    if not (width > 0 and length > 0 and density >= 0):
        raise ValueError(f"width = {width}, length = {length}, density = {density}: expected positive numbers")
    rng = np.random.default_rng(seed)
    d = len(grid.shape)
    section = UNIT_BALL.get(d - 1, 1.0) * (width / 2) ** (d - 1)
    count = math.ceil(density * grid.size / (section * length))
    inside = np.zeros(grid.shape, dtype=bool)
    reach = length / 2 + width
    for _ in range(count):
        centre = rng.random(d) * grid.shape
        way = rng.standard_normal(d)
        way /= np.linalg.norm(way)
        low = [max(0, math.floor(c - reach * abs(w) - width)) for c, w in zip(centre, way, strict=True)]
        high = [math.ceil(c + reach * abs(w) + width) + 1 for c, w in zip(centre, way, strict=True)]
        window = tuple(slice(a, min(b, n)) for a, b, n in zip(low, high, grid.shape, strict=True))
        offset = [np.arange(s.start, s.stop) - c for s, c in zip(window, centre, strict=True)]
        x = np.meshgrid(*offset, indexing="ij", sparse=True)
        along = np.clip(sum(w * t for w, t in zip(way, x, strict=True)), -length / 2, length / 2)
        square = sum((t - along * w) ** 2 for w, t in zip(way, x, strict=True))
        inside[window] |= square < (width / 2) ** 2
    return inside
