"""Domains cut out of a box: which unknowns a problem keeps, and where fluid, solid and air are.

Every entry of `MASKS` is called as `f(grid)` and returns a bool array, True inside the domain; every entry of `CELLS`
as `f(shape)` and returns an array of `Cell` codes for `pressure`. Boundaries follow the grid lines (staircases):
solutions on curved domains are first-order accurate, and boundaries on grid lines (`l_shape`) cost no order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.balls import random_balls

type Mask = NDArray[np.bool_]


class Cell(IntEnum):
    """What a cell of a flow domain holds."""

    FLUID = 0
    SOLID = 1
    AIR = 2


def _polar(grid: Grid) -> tuple[Any, Any]:
    """Distance from the centre in half sides (all axes), and the angle in the plane of the first two."""
    offsets = [2 * t - 1 for t in grid.unit_mesh()]
    if len(offsets) < 2:
        raise ValueError(f"grid has shape {grid.shape}: this mask needs 2 or 3 axes")
    radius = np.sqrt(sum(t**2 for t in offsets))
    return radius, np.arctan2(offsets[1], offsets[0])


def disc(grid: Grid, *, radius: float = 0.9) -> Mask:
    """Keep a disc (a ball in three dimensions) of `radius` half sides around the centre.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> round(float(disc(make_grid((40, 40), centring="cell")[0]).mean()), 2)
    0.64
    """
    return np.asarray(_polar(grid)[0] < radius)


def flower(grid: Grid, *, petals: int = 5, holes: int = 5) -> Mask:
    """Keep a flower r < 0.7 + 0.2 cos(petals angle) with `holes` round holes on a ring.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> round(float(flower(make_grid((40, 40), centring="cell")[0]).mean()), 2)
    0.36
    """
    radius, angle = _polar(grid)
    inside = np.broadcast_to(radius < 0.7 + 0.2 * np.cos(petals * angle), grid.shape).copy()
    x, y = (2 * t - 1 for t in grid.unit_mesh()[:2])
    for turn in 2 * np.pi * np.arange(holes) / max(holes, 1):
        inside &= (x - 0.45 * np.cos(turn)) ** 2 + (y - 0.45 * np.sin(turn)) ** 2 > 0.1**2
    return inside


def l_shape(grid: Grid) -> Mask:
    """Keep the box without its upper quadrant (x > 1/2 and y > 1/2): a re-entrant corner.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> round(float(l_shape(make_grid((40, 40), centring="cell")[0]).mean()), 2)
    0.75
    """
    x, y, *_ = _two_or_more(grid)
    return np.asarray(np.broadcast_to((x < 0.5 - 1e-9) | (y < 0.5 - 1e-9), grid.shape)).copy()


def obstacles(grid: Grid, *, count: int = 12, density: float = 0.15, seed: int = 0) -> Mask:
    """Keep the box without `count` random balls, see `balls.random_balls`.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> bool(0.8 < obstacles(make_grid((40, 40), centring="cell")[0]).mean() < 1)
    True
    """
    return ~random_balls(grid, count=count, density=density, seed=seed)


def _two_or_more(grid: Grid) -> tuple[Any, ...]:
    if len(grid.shape) < 2:
        raise ValueError(f"grid has shape {grid.shape}: this mask needs 2 or 3 axes")
    return grid.unit_mesh()


MASKS: dict[str, Callable[..., Mask]] = {
    "disc": disc,
    "flower": flower,
    "l_shape": l_shape,
    "obstacles": obstacles,
}


def resolve_mask(mask: str | Mask | None, grid: Grid) -> Mask | None:
    """Turn what a user may pass as mask into a bool array.

    Parameters
    ----------
    mask : str, grid-shaped bool array or None
        A name in `MASKS`, or True inside the domain.
    grid : Grid
        Where the unknowns sit.

    Returns
    -------
    grid-shaped bool array or None
        True inside.

    Raises
    ------
    ValueError
        For unknown names, wrong shapes or types, and masks without any unknown.

    Examples
    --------
    >>> int(resolve_mask("l_shape", Grid((4, 4), (0.25, 0.25), (0.125, 0.125))).sum())
    12
    """
    if mask is None:
        return None
    if isinstance(mask, str):
        if mask not in MASKS:
            raise ValueError(f"mask = {mask!r}: expected one of {', '.join(MASKS)}, or a bool array")
        inside = MASKS[mask](grid)
    else:
        inside = np.asarray(mask)
    if inside.shape != grid.shape or inside.dtype != np.bool_:
        raise ValueError(f"mask has shape {inside.shape} and type {inside.dtype}: expected bool of shape {grid.shape}")
    if not inside.any():
        raise ValueError(f"mask keeps none of the {grid.size} unknowns: expected True inside the domain")
    return inside


def enclosed(shape: Sequence[int]) -> NDArray[np.int8]:
    """Return a box full of fluid: singular with solid walls.

    Examples
    --------
    >>> enclosed((2, 2)).tolist()
    [[0, 0], [0, 0]]
    """
    return np.full(tuple(shape), Cell.FLUID, dtype=np.int8)


def tank(shape: Sequence[int], *, level: float = 0.7, seed: int = 0) -> NDArray[np.int8]:
    """Return a tank: fluid below a wavy free surface (height along the first axis), air above, solid balls inside.

    Examples
    --------
    >>> cells = tank((32, 32))
    >>> sorted(set(cells.ravel().tolist())) == [Cell.FLUID, Cell.SOLID, Cell.AIR]
    True
    """
    grid = _unit_cells(shape)
    height, *across = grid.unit_mesh()
    waves: Any = sum((np.cos(2 * np.pi * t) for t in across), start=np.zeros(1))
    fluid = np.broadcast_to(height < level + 0.05 * waves, grid.shape)
    cells = np.where(fluid, Cell.FLUID, Cell.AIR).astype(np.int8)
    cells[~obstacles(grid, count=4, density=0.08, seed=seed)] = Cell.SOLID
    return cells


def dam_break(shape: Sequence[int]) -> NDArray[np.int8]:
    """Return a column of fluid in one corner, air elsewhere.

    Examples
    --------
    >>> dam_break((4, 4))[0].tolist()
    [0, 0, 2, 2]
    """
    grid = _unit_cells(shape)
    inside: Any = True
    for axis, t in enumerate(grid.unit_mesh()):
        inside = inside & (t < (0.75 if axis == 0 else 0.4))
    return np.where(np.broadcast_to(inside, grid.shape), Cell.FLUID, Cell.AIR).astype(np.int8)


def porous(shape: Sequence[int], *, count: int = 40, density: float = 0.6, seed: int = 0) -> NDArray[np.int8]:
    """Return a box of fluid around `count` solid balls that overlap; together they have `density` times its volume.

    Pockets that the balls enclose are singular each on its own.

    Examples
    --------
    >>> bool(0.2 < porous((50, 50)).mean() < 0.6)
    True
    """
    fluid = obstacles(_unit_cells(shape), count=count, density=density, seed=seed)
    return np.where(fluid, Cell.FLUID, Cell.SOLID).astype(np.int8)


def slabs(shape: Sequence[int], *, pitch: float = 12.0, opening: float = 4.0, seed: int = 0) -> NDArray[np.int8]:
    """Return a maze: solid walls one cell thick about `pitch` cells apart, each with a gap `opening` cells wide.

    Walls stand across an axis drawn by the seed; the gap is a slot across one other axis, at a random place. All fluid
    is connected, without air: singular with solid walls. On one axis, where nothing leads around a wall, there is none.

    Raises
    ------
    ValueError
        For a pitch below 2 or an opening below 1 cell.

    Examples
    --------
    >>> cells = slabs((48, 48), seed=1)
    >>> bool(0.02 < cells.mean() < 0.15)
    True
    """
    if not pitch >= 2 or not opening >= 1:
        raise ValueError(f"pitch = {pitch} and opening = {opening} cells: expected at least 2 and 1")
    cells = enclosed(shape)
    if cells.ndim == 1:
        return cells
    rng = np.random.default_rng(seed)
    across = int(rng.integers(cells.ndim))
    n = cells.shape[across]
    for wall in range(max(1, round(n / pitch) - 1)):
        place = int(np.clip((wall + 1 + rng.uniform(-0.2, 0.2)) * pitch, 1, n - 2))
        layer = np.moveaxis(cells, across, 0)[place]
        layer[...] = Cell.SOLID
        along = int(rng.integers(layer.ndim))
        width = min(round(opening), layer.shape[along])
        first = int(rng.integers(layer.shape[along] - width + 1))
        np.moveaxis(layer, along, 0)[first : first + width] = Cell.FLUID
    return cells


def _unit_cells(shape: Sequence[int]) -> Grid:
    counts = tuple(int(n) for n in shape)
    steps = tuple(1.0 / n for n in counts)
    return Grid(counts, steps, tuple(h / 2 for h in steps), "cell", (1.0,) * len(counts))


CELLS: dict[str, Callable[..., NDArray[np.int8]]] = {
    "enclosed": enclosed,
    "tank": tank,
    "dam_break": dam_break,
    "porous": porous,
    "slabs": slabs,
}
