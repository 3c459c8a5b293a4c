"""Diffusion coefficients k > 0: constant, smooth, random and discontinuous, with any contrast.

Every entry of `COEFFICIENTS` is called as `f(grid, contrast=..., seed=...)` and returns k at the unknowns,
with max k / min k equal to (for `checkerboard`, `inclusions`, `channels`, `two_phase`, `noise`, `lognormal`) or at most
(`smooth`) the contrast.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.fields import gaussian_field, gaussian_field_at
from conjugo.pde.grid import Grid
from conjugo.pde.poisson.balls import random_balls

type Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Coefficient:
    """A differentiable coefficient, for manufactured solutions.

    Parameters
    ----------
    value : callable
        k(x, y, ...) at arrays of coordinates that broadcast.
    gradient : callable
        The tuple (dk/dx, dk/dy, ...) there.

    Examples
    --------
    >>> k = Coefficient(lambda x: 1 + x, lambda x: (1.0,))
    >>> k.value(2.0)
    3.0
    """

    value: Callable[..., Any]
    gradient: Callable[..., tuple[Any, ...]]


def constant_coefficient(k: float) -> Coefficient:
    """Return k as a `Coefficient` with zero gradient.

    Examples
    --------
    >>> constant_coefficient(2.0).gradient(0.5, 0.5)
    (0.0, 0.0)
    """
    return Coefficient(lambda *x: k, lambda *x: (0.0,) * len(x))


def smooth_coefficient(lengths: tuple[float, ...], contrast: float | None = None) -> Coefficient:
    """Return k = exp(c (sin(2 pi x / L_x) + sin(2 pi y / L_y) + ...) / 2), periodic, with ln(contrast) = c d.

    Parameters
    ----------
    lengths : tuple of float
        Side lengths L of the box.
    contrast : float, optional
        max k / min k; e^(d / 2) by default.

    Returns
    -------
    Coefficient
        k with its gradient.

    Examples
    --------
    >>> k = smooth_coefficient((1.0,), contrast=4.0)
    >>> round(float(k.value(0.25)), 12), round(float(k.value(0.75)), 12)
    (2.0, 0.5)
    """
    c = 0.5 if contrast is None else math.log(_checked(contrast)) / len(lengths)
    waves = [2 * np.pi / length for length in lengths]

    def value(*x: Any) -> Any:
        return np.exp(0.5 * c * sum(np.sin(w * s) for w, s in zip(waves, x, strict=True)))

    def gradient(*x: Any) -> tuple[Any, ...]:
        k = value(*x)
        return tuple(0.5 * c * w * np.cos(w * s) * k for w, s in zip(waves, x, strict=True))

    return Coefficient(value, gradient)


def constant(grid: Grid, *, contrast: float | None = None, seed: int = 0) -> Values:
    """Return k = 1 everywhere.

    Examples
    --------
    >>> grid = Grid((4,), (0.25,), (0.125,))
    >>> constant(grid)
    array([1., 1., 1., 1.])
    """
    return np.ones(grid.shape)


def smooth(grid: Grid, *, contrast: float | None = None, seed: int = 0) -> Values:
    """Return `smooth_coefficient` at the unknowns.

    Examples
    --------
    >>> grid = Grid((4,), (0.25,), (0.125,))
    >>> bool(np.all(smooth(grid, contrast=4.0) <= 2.0))
    True
    """
    k = smooth_coefficient(grid.lengths, contrast).value(*grid.open_mesh())
    return np.ascontiguousarray(np.broadcast_to(k, grid.shape), dtype=np.float64)


def lognormal(
    grid: Grid,
    *,
    contrast: float | None = None,
    seed: int = 0,
    correlation_length: float | None = None,
    sigma: float = 1.0,
) -> Values:
    """Return k = exp(sigma g) with a Gaussian field g, as in random porous media.

    Parameters
    ----------
    grid : Grid
        Where k is wanted.
    contrast : float, optional
        If given, sigma is chosen so that max k / min k is exactly this.
    seed : int
        Seed of the field.
    correlation_length : float, optional
        Length over which k stays alike; a tenth of the shortest side by default.
    sigma : float
        Standard deviation of ln k.

    Returns
    -------
    grid-shaped array
        The coefficient.

    Examples
    --------
    >>> k = lognormal(Grid((32, 32), (1.0, 1.0), (0.0, 0.0)), contrast=100.0)
    >>> round(float(k.max() / k.min()), 9)
    100.0
    """
    length = 0.1 * min(grid.lengths) if correlation_length is None else correlation_length
    g = gaussian_field(grid.shape, correlation_length=length, spacing=grid.spacing, seed=seed)
    if contrast is not None:
        sigma = math.log(_checked(contrast)) / float(np.ptp(g))
    return np.exp(sigma * g)


def checkerboard(grid: Grid, *, contrast: float | None = None, seed: int = 0, tiles: int = 8) -> Values:
    """Return a board of `tiles` fields a side that alternate between 1 and the contrast (1e4 by default).

    Examples
    --------
    >>> grid = Grid((4,), (0.25,), (0.125,))
    >>> checkerboard(grid, contrast=9.0, tiles=2)
    array([1., 1., 9., 9.])
    """
    parity: Any = sum(np.floor(t * tiles * (1 - 1e-12)).astype(int) for t in grid.unit_mesh())
    return _two_values(grid, parity % 2 == 1, contrast)


def inclusions(
    grid: Grid, *, contrast: float | None = None, seed: int = 0, count: int = 24, density: float = 0.5
) -> Values:
    """Return 1 outside and the contrast (1e4 by default) inside `count` random balls, see `balls.random_balls`.

    Examples
    --------
    >>> grid = Grid((4,), (0.25,), (0.125,))
    >>> inclusions(grid, contrast=9.0, count=1, density=2.0)
    array([9., 9., 9., 9.])
    """
    return _two_values(grid, random_balls(grid, count=count, density=density, seed=seed), contrast)


def channels(
    grid: Grid, *, contrast: float | None = None, seed: int = 0, count: int = 5, width: float = 0.04
) -> Values:
    """Return 1 with `count` wavy channels along the last axis where k is the contrast (1e4 by default).

    Channels cross the whole box, so that their ends meet the walls: the hard case for one-level methods. In three
    dimensions they are tubes, in one dimension intervals.

    Examples
    --------
    >>> grid = Grid((64, 64), (1 / 64, 1 / 64), (0.0, 0.0))
    >>> k = channels(grid, contrast=9.0)
    >>> bool(np.all((k == 9.0).any(axis=0)))  # a channel meets every line across
    True
    """
    rng = np.random.default_rng(seed)
    *across, along = grid.unit_mesh()
    inside = np.zeros(grid.shape, dtype=bool)
    for _ in range(count):
        if not across:
            inside |= np.abs(along - rng.random()) < width / 2
            continue
        distance: Any = 0.0
        for t in across:
            bend = 0.08 * np.sin(2 * np.pi * (rng.integers(1, 4) * along + rng.random()))
            distance = distance + (t - rng.uniform(0.1, 0.9) - bend) ** 2
        inside |= distance < (width / 2) ** 2
    return _two_values(grid, inside, contrast)


def two_phase(
    grid: Grid,
    *,
    contrast: float | None = None,
    seed: int = 0,
    fraction: float = 0.5,
    correlation_length: float | None = None,
) -> Values:
    """Return a random medium of two phases: the contrast (1e4 by default) where a Gaussian field is high, 1 elsewhere.

    Parameters
    ----------
    grid : Grid
        Where k is wanted. The medium itself does not depend on it, save by the rounding of the volume fraction.
    contrast : float, optional
        k in the high phase.
    seed : int
        Seed of the field.
    fraction : float
        Volume fraction of the high phase, between 0 and 1.
    correlation_length : float, optional
        l of the field's covariance exp(-s^2 / (2 l^2)); a 64th of the shortest side by default.

    Returns
    -------
    grid-shaped array
        The coefficient.

    Raises
    ------
    ValueError
        If the fraction does not lie between 0 and 1, or the correlation length is not positive.

    Notes
    -----
    With fraction 1/2 the phases agree at distance s with probability 1/2 + arcsin(exp(-s^2 / (2 l^2))) / pi.

    References
    ----------
    S. Torquato, *Random Heterogeneous Materials* (2002), section 8.4 (level cuts of Gaussian fields).

    Examples
    --------
    >>> k = two_phase(Grid((32, 32), (1 / 32, 1 / 32), (0.0, 0.0)), contrast=9.0, fraction=0.25)
    >>> float(np.mean(k == 9.0))
    0.25
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction = {fraction}: expected a volume fraction between 0 and 1, such as 0.5")
    length = min(grid.lengths) / 64 if correlation_length is None else correlation_length
    g = gaussian_field_at(grid.coordinates(), lengths=grid.lengths, correlation_length=length, seed=seed)
    return _two_values(grid, g >= np.quantile(g, 1 - fraction), contrast)


def noise(grid: Grid, *, contrast: float | None = None, seed: int = 0, fraction: float = 0.5) -> Values:
    """Return an independent draw an unknown: the contrast (1e4 by default) with probability `fraction`, else 1.

    Randomness on the scale of the mesh, which no coarser grid of a geometric hierarchy can show: the hard case for
    multigrid. It is another medium on every grid; see `two_phase` for one with a length of its own.

    Examples
    --------
    >>> grid = Grid((4,), (0.25,), (0.125,))
    >>> noise(grid, contrast=9.0, fraction=1.0)
    array([9., 9., 9., 9.])
    """
    return _two_values(grid, np.random.default_rng(seed).random(grid.shape) < fraction, contrast)


COEFFICIENTS: dict[str, Callable[..., Values]] = {
    "constant": constant,
    "smooth": smooth,
    "lognormal": lognormal,
    "checkerboard": checkerboard,
    "inclusions": inclusions,
    "channels": channels,
    "two_phase": two_phase,
    "noise": noise,
}


def resolve_coefficient(
    coefficient: float | str | Coefficient | Values,
    grid: Grid,
    *,
    contrast: float | None = None,
    seed: int = 0,
) -> tuple[float | Values, Coefficient | None]:
    """Turn what a user may pass as coefficient into numbers at the unknowns.

    Parameters
    ----------
    coefficient : float, str, Coefficient or grid-shaped array
        A constant, a name in `COEFFICIENTS`, a differentiable function, or values at the unknowns.
    grid : Grid
        Where the unknowns sit.
    contrast, seed
        Passed on to a named coefficient.

    Returns
    -------
    k : float or grid-shaped array
        A float where the coefficient is constant.
    function : Coefficient or None
        The coefficient as a differentiable function, where there is one.

    Raises
    ------
    ValueError
        For unknown names, wrong shapes, NaN, values that are not positive, and a contrast without a name.

    Examples
    --------
    >>> resolve_coefficient(2.0, Grid((4,), (1.0,), (0.0,)))[0]
    2.0
    """
    if isinstance(coefficient, str):
        if coefficient not in COEFFICIENTS:
            raise ValueError(f"coefficient = {coefficient!r}: expected one of {', '.join(COEFFICIENTS)}, or an array")
        if coefficient == "constant":
            return 1.0, constant_coefficient(1.0)
        k = COEFFICIENTS[coefficient](grid, contrast=contrast, seed=seed)
        return k, smooth_coefficient(grid.lengths, contrast) if coefficient == "smooth" else None
    if contrast is not None:
        raise ValueError(f"contrast = {contrast} is for a named coefficient: scale the values of your own instead")
    if isinstance(coefficient, Coefficient):
        k = np.array(np.broadcast_to(coefficient.value(*grid.open_mesh()), grid.shape), dtype=np.float64)
        return _positive(k), coefficient
    k = np.asarray(coefficient, dtype=np.float64)
    if k.ndim == 0:
        _positive(k)
        return float(k), constant_coefficient(float(k))
    if k.shape != grid.shape:
        raise ValueError(f"coefficient has shape {k.shape}: expected {grid.shape}, one value an unknown")
    return _positive(k), None


def _positive(k: Values) -> Values:
    if not np.all(np.isfinite(k)):
        raise ValueError(f"coefficient has {int(np.sum(~np.isfinite(k)))} values that are NaN or infinite: expected "
                         "finite positive numbers; fill them, and use mask= for cells outside the domain")  # fmt: skip
    if not np.all(k > 0):
        raise ValueError(f"coefficient has minimum {k.min()}: expected positive values; use mask= for solid cells")
    return k


def _checked(contrast: float) -> float:
    if not (contrast >= 1 and math.isfinite(contrast)):
        raise ValueError(f"contrast = {contrast}: expected max k / min k, a finite number of at least 1")
    return contrast


def _two_values(grid: Grid, inside: NDArray[np.bool_], contrast: float | None) -> Values:
    high = _checked(1e4 if contrast is None else contrast)
    return np.where(np.broadcast_to(inside, grid.shape), high, 1.0)
