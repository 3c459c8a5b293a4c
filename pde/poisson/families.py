"""Families of random problems: what learned solvers train on and what contests draw from, fresh for every seed.

Every entry of `FAMILIES` is called as `f(shape, seed)` with two or three axes of any size and returns a `LinearProblem`
with a random right-hand side. Trained weights have seen seeds below `CONTEST_SEEDS`; contests draw from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.fields import gaussian_field
from conjugo.pde.grid import Grid
from conjugo.pde.poisson import coefficients, masks, packings
from conjugo.pde.poisson.assemble import poisson
from conjugo.pde.poisson.balls import random_balls
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.pressure import pressure
from conjugo.pde.poisson.rotated import element_shape, rotated
from conjugo.pde.problem import LinearProblem

CONTEST_SEEDS = 1_000_000
"""First seed that no training uses."""

type Family = Callable[[Sequence[int], int], LinearProblem]
type Medium = Callable[[Grid, np.random.Generator, float], NDArray[np.float64]]


def box(shape: Sequence[int], seed: int) -> LinearProblem:
    """Return a box of cells between solid walls: constant coefficients, singular.

    Examples
    --------
    >>> box((8, 8), 0).nullspace.shape
    (64, 1)
    """
    return pressure("enclosed", shape, seed=seed)


def solids(shape: Sequence[int], seed: int) -> LinearProblem:
    """Return a box of fluid around 5 to 40 solid balls with 5 to 45 % of its volume.

    Examples
    --------
    >>> solids((16, 16), 0).active.size
    256
    """
    rng = np.random.default_rng([seed, 2])
    count, density = int(rng.integers(5, 41)), rng.uniform(0.05, 0.6)
    return pressure(masks.porous(shape, count=count, density=density, seed=_stream(rng)), seed=seed)


def free_surface(shape: Sequence[int], seed: int) -> LinearProblem:
    """Return a tank with a wavy surface under air at a random level, and solid balls in it.

    Examples
    --------
    >>> free_surface((16, 16), 0).nullspace is None
    True
    """
    rng = np.random.default_rng([seed, 3])
    return pressure(masks.tank(shape, level=rng.uniform(0.35, 0.85), seed=_stream(rng)), seed=seed)


def slabs(shape: Sequence[int], seed: int) -> LinearProblem:
    """Return a maze of thin solid slabs, 6 to 16 cells apart, each with a gap 2 to 6 cells wide.

    Examples
    --------
    >>> slabs((32, 32), 0).nullspace.shape
    (1024, 1)
    """
    rng = np.random.default_rng([seed, 4])
    pitch, opening = rng.uniform(6, 16), rng.uniform(2, 6)
    return pressure(masks.slabs(shape, pitch=pitch, opening=opening, seed=_stream(rng)), seed=seed)


def medium(k: Medium, shape: Sequence[int], seed: int, *, contrast: float) -> LinearProblem:
    """Return -div(k grad u) = white noise on cells, sides Dirichlet or Neumann at random, the first always Dirichlet.

    Parameters
    ----------
    k : callable
        A medium of this module: takes the grid, a generator and the contrast.
    shape, seed
        As for every family.
    contrast : float
        max k / min k.

    Examples
    --------
    >>> medium(inclusions, (16, 16), 0, contrast=1e3).n
    256
    """
    rng = np.random.default_rng([seed, 5])
    sides = np.where(rng.random((len(shape), 2)) < 1 / 3, "neumann", "dirichlet")
    sides[0, 0] = "dirichlet"
    bc: Any = [tuple(map(str, pair)) for pair in sides]
    grid, _ = make_grid(shape, bc=bc, centring="cell")
    return poisson(shape, coefficient=k(grid, rng, contrast), bc=bc, centring="cell", rhs="white", seed=seed)


def inclusions(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return conducting balls, 8 to 60 of them, that overlap; 10 to 60 % of the volume."""
    count, density = round(np.exp(rng.uniform(np.log(8), np.log(60)))), rng.uniform(0.1, 0.9)
    return _two(random_balls(grid, count=count, density=density, seed=_stream(rng)), contrast)


def packed(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return many conducting balls 4 to 9 cells wide that touch or nearly do."""
    diameter, gap, jitter = rng.uniform(4, 9), rng.uniform(0.5, 2.0), rng.uniform(0.3, 1.2)
    inside = packings.packed_balls(grid, diameter=diameter, gap=gap, jitter=jitter, seed=_stream(rng))
    return _two(inside, contrast)


def fibres(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return conducting fibres 1.5 to 3.5 cells wide and 20 to 60 long, that cross."""
    width, length, density = rng.uniform(1.5, 3.5), rng.uniform(20, 60), rng.uniform(0.08, 0.3)
    inside = packings.fibres(grid, width=width, length=length, density=density, seed=_stream(rng))
    return _two(inside, contrast)


def noise(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return an independent draw a cell, conducting with probability 0.3 to 0.7."""
    return _two(rng.random(grid.shape) < rng.uniform(0.3, 0.7), contrast)


def two_phase(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return a cut of a Gaussian field with a correlation length of 1.5 to 5 cells, 30 to 70 % conducting."""
    g = gaussian_field(grid.shape, correlation_length=rng.uniform(1.5, 5.0), seed=_stream(rng))
    return _two(g >= np.quantile(g, rng.uniform(0.3, 0.7)), contrast)


def channels(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return 3 to 9 wavy conducting channels through the box, at least two cells wide."""
    width = max(rng.uniform(0.02, 0.08), 2.0 / min(grid.shape))
    count = int(rng.integers(3, 10))
    return coefficients.channels(grid, contrast=contrast, seed=_stream(rng), count=count, width=width)


def lognormal(grid: Grid, rng: np.random.Generator, contrast: float) -> NDArray[np.float64]:
    """Return exp of a Gaussian field with a correlation length of 2 to 20 % of the side, scaled to the contrast."""
    length = float(np.exp(rng.uniform(np.log(0.02), np.log(0.2)))) * min(grid.lengths)
    return coefficients.lognormal(grid, contrast=contrast, seed=_stream(rng), correlation_length=length)


def rotated_constant(shape: Sequence[int], seed: int, *, ratio: float | None = None) -> LinearProblem:
    """Return anisotropy in one random direction, with a ratio log-uniform in 10 to 1000 unless it is given.

    Examples
    --------
    >>> rotated_constant((8, 8), 0).n
    64
    """
    rng = np.random.default_rng([seed, 6])
    angle, tilt, draw = rng.uniform(0, np.pi), rng.uniform(-np.pi / 2, np.pi / 2), 10 ** rng.uniform(1, 3)
    return rotated(shape, angle=angle, tilt=tilt, ratio=draw if ratio is None else ratio, seed=seed)


def rotated_field(shape: Sequence[int], seed: int, *, ratio: float | None = None) -> LinearProblem:
    """Return anisotropy whose direction turns, and whose ratio varies from 1 to at most 1000, over a fifth of the side.

    Examples
    --------
    >>> rotated_field((8, 8), 0).n
    64
    """
    rng = np.random.default_rng([seed, 7])
    most = 10 ** rng.uniform(1, 3) if ratio is None else ratio
    elements = element_shape(shape)
    options: dict[str, Any] = {"correlation_length": 0.2 * min(elements)}
    angle, tilt, g = (gaussian_field(elements, seed=_stream(rng), **options) for _ in range(3))
    strength = most ** np.clip(0.5 + 0.25 * g, 0.0, 1.0)
    return rotated(shape, angle=np.pi * angle, tilt=tilt, ratio=strength, seed=seed)


def _two(inside: NDArray[np.bool_], contrast: float) -> NDArray[np.float64]:
    return np.where(inside, contrast, 1.0)


def _stream(rng: np.random.Generator) -> int:
    """A seed for a generator of another module."""
    return int(rng.integers(2**62))


MEDIA: dict[str, Medium] = {
    "inclusions": inclusions,
    "packed": packed,
    "fibres": fibres,
    "noise": noise,
    "two-phase": two_phase,
    "channels": channels,
    "lognormal": lognormal,
}
"""Media with a contrast that `medium` takes."""

FAMILIES: dict[str, Family] = {
    "box": box,
    "solids": solids,
    "free-surface": free_surface,
    "slabs": slabs,
    "inclusions-1e3": partial(medium, inclusions, contrast=1e3),
    "inclusions-1e6": partial(medium, inclusions, contrast=1e6),
    "packed-1e6": partial(medium, packed, contrast=1e6),
    "fibres-1e6": partial(medium, fibres, contrast=1e6),
    "noise-1e4": partial(medium, noise, contrast=1e4),
    "two-phase-1e6": partial(medium, two_phase, contrast=1e6),
    "channels-1e6": partial(medium, channels, contrast=1e6),
    "lognormal-1e4": partial(medium, lognormal, contrast=1e4),
    "rotated": rotated_constant,
    "rotated-field": rotated_field,
}
"""All families by name."""
