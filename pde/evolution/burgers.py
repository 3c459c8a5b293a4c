"""Burgers' equation u_t = -u u_x + viscosity u_xx on the periodic unit interval: the one-dimensional benchmark."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from conjugo.pde.evolution.etdrk4 import ETDRK4
from conjugo.pde.evolution.sequence import checked_count
from conjugo.pde.grid import Grid
from conjugo.pde.pairs import FieldPairs
from conjugo.pde.random_fields import matern_field

type Values = NDArray[np.float64]

NODES = 2**16
"""Nodes that are advanced at once: their arrays stay in the cache."""


def burgers(
    count: int,
    size: int = 8192,
    *,
    viscosity: float = 0.1,
    time: float = 1.0,
    dt: float = 5e-3,
    alpha: float = 2.0,
    tau: float = 5.0,
    sigma: float = 25.0,
    seed: int = 0,
    first: int = 0,
) -> FieldPairs:
    """Make pairs of random initial fields and what becomes of them.

    Parameters
    ----------
    count : int
        Number of pairs.
    size : int
        Nodes, even, x_j = j / size.
    viscosity : float
        Positive. The variant of the published generator takes 1e-3.
    time : float
        When the output is taken.
    dt : float
        Longest time step; the longest one up to it that divides `time` is taken.
    alpha, tau, sigma : float
        Initial fields are drawn from N(0, sigma^2 (-laplace + tau^2)^-alpha), without their mean. The published
        generator's variant has 2.5, 7 and 49.
    seed, first : int
        Pair i is made from (seed, first + i) alone.

    Returns
    -------
    FieldPairs
        a, u: (count, size), the initial field and the field at `time`.

    Raises
    ------
    ValueError
        For counts and numbers that make no sense.
    FloatingPointError
        If dt was too long, so that a field overflowed.

    References
    ----------
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), section 5.1.

    Examples
    --------
    >>> pairs = burgers(3, 64)
    >>> pairs.a.shape, bool(np.all(np.ptp(pairs.u, axis=1) < np.ptp(pairs.a, axis=1)))
    ((3, 64), True)
    """
    count, first = checked_count("count", count), checked_count("first", first, 0)
    _check(size, viscosity, time, dt)
    chunk = max(1, NODES // size)
    a, u = np.empty((count, size)), np.empty((count, size))
    for low in range(0, count, chunk):
        part = slice(low, min(low + chunk, count))
        a[part] = matern_field(
            size, part.stop - low, alpha=alpha, tau=tau, sigma=sigma,
            boundary="periodic", zero_mean=True, seed=seed, first=first + low,
        )  # fmt: skip
        u[part] = evolve(a[part], time, viscosity=viscosity, dt=dt)
    if not np.all(np.isfinite(u)):
        raise FloatingPointError(f"a field overflows with dt = {dt}: take a shorter step")
    return FieldPairs(a, u, Grid((size,), (1.0 / size,), (0.0,)), name="burgers")


def evolve(u0: Values, time: float, *, viscosity: float = 0.1, dt: float = 5e-3) -> Values:
    """Follow given fields of Burgers' equation for some time.

    Parameters
    ----------
    u0 : (N, size) array
        Fields on an even number of nodes, with or without a mean.
    time, viscosity, dt : float
        As for `burgers`.

    Returns
    -------
    (N, size) array
        The fields at the end; NaN where dt was too long.

    Raises
    ------
    ValueError
        If u0 is not a finite (N, size) array, or the numbers make no sense.

    Notes
    -----
    ETDRK4 in Fourier space, with (u^2)_x / 2 computed on the nodes and cut at two thirds of the modes. Shocks of width
    viscosity / max |u| must be resolved by the nodes.

    Examples
    --------
    >>> wave = 0.1 * np.sin(2 * np.pi * np.arange(64) / 64)[None]
    >>> bool(np.allclose(evolve(wave, 0.5), cole_hopf(wave, 0.5), atol=1e-9))
    True
    """
    fields = _checked_fields(u0)
    size = fields.shape[1]
    _check(size, viscosity, time, dt)
    steps = max(1, int(np.ceil(time / dt - 1e-9)))
    k = 2 * np.pi * np.arange(size // 2 + 1, dtype=np.float64)
    factor = -0.5j * k * (np.arange(k.size) <= (size - 1) // 3)
    method = ETDRK4(-viscosity * k**2, time / steps)

    def convection(v: NDArray[np.complex128]) -> NDArray[np.complex128]:
        u = scipy.fft.irfft(v, size)
        u *= u
        slope: NDArray[np.complex128] = factor * scipy.fft.rfft(u, overwrite_x=True)
        return slope

    v = scipy.fft.rfft(fields)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            v = method.step(v, convection)
        end: Values = scipy.fft.irfft(v, size)
    return end


def cole_hopf(u0: Values, time: float, *, viscosity: float = 0.1) -> Values:
    """Return the exact solution for fields with mean zero, by the transformation of Cole and Hopf.

    Parameters
    ----------
    u0 : (N, size) array
        Fields on an even number of nodes that resolve them; their mean must vanish.
    time, viscosity : float
        As for `burgers`.

    Returns
    -------
    (N, size) array
        The fields at the end.

    Raises
    ------
    ValueError
        If u0 has a mean, or its potential spans more than 600 viscosities, so that the transformation underflows.

    Notes
    -----
    u = -2 viscosity (log theta)_x, where theta solves the heat equation from exp(-U / (2 viscosity)), U_x = u0. Both
    are computed with Fourier series, exact but for modes that the nodes do not carry. Errors of theta are relative to
    its largest value, so the result is accurate while U spans some tens of viscosities: an oracle for smooth flows. For
    the others there is `evolve`.

    References
    ----------
    E. Hopf, Comm. Pure Appl. Math. 3 (1950); J. Cole, Quart. Appl. Math. 9 (1951).

    Examples
    --------
    >>> wave = np.sin(2 * np.pi * np.arange(64) / 64)[None]
    >>> bool(np.allclose(cole_hopf(cole_hopf(wave, 0.1), 0.2), cole_hopf(wave, 0.3), atol=1e-9))
    True
    """
    fields = _checked_fields(u0)
    size = fields.shape[1]
    _check(size, viscosity, time, 1.0)
    modes = scipy.fft.rfft(fields)
    if np.any(np.abs(modes[:, 0]) > 1e-10 * size * np.maximum(1.0, np.abs(fields).max())):
        raise ValueError(f"u0 has means up to {np.abs(fields.mean(axis=1)).max():.2g}: expected 0; take the mean out, "
                         "and move the result by mean times time")  # fmt: skip
    k = 2 * np.pi * np.arange(size // 2 + 1, dtype=np.float64)
    derivative = 1j * k
    derivative[-1] = 0.0  # a cosine between the nodes
    modes[:, 0] = 0.0
    potential = scipy.fft.irfft(modes * np.where(k > 0, 1 / (1j * np.where(k > 0, k, 1.0)), 0.0), size)
    exponent = -(potential - potential.min(axis=1, keepdims=True)) / (2 * viscosity)
    if exponent.min() < -300.0:
        raise ValueError(f"the potential of u0 spans {-2 * exponent.min():.0f} viscosities: expected at most 600; use "
                         "evolve")  # fmt: skip
    theta = scipy.fft.rfft(np.exp(exponent)) * np.exp(-viscosity * k**2 * time)
    result: Values = -2 * viscosity * scipy.fft.irfft(derivative * theta, size) / scipy.fft.irfft(theta, size)
    return result


def _check(size: int, viscosity: float, time: float, dt: float) -> None:
    if not isinstance(size, int | np.integer) or size < 8 or size % 2:
        raise ValueError(f"size = {size!r}: expected an even number of at least 8")
    for name, value in (("viscosity", viscosity), ("time", time), ("dt", dt)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} = {value}: expected a positive number")


def _checked_fields(u0: Values) -> Values:
    fields = np.array(u0, dtype=np.float64)
    if fields.ndim != 2 or not np.all(np.isfinite(fields)):
        raise ValueError(f"u0 has shape {fields.shape}: expected (N, size) finite numbers")
    return fields
