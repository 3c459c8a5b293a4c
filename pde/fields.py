"""Gaussian random fields, by filtering white noise in Fourier space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
import scipy.interpolate
from numpy.typing import NDArray


def gaussian_field(
    shape: Sequence[int],
    *,
    correlation_length: float | Sequence[float],
    spacing: float | Sequence[float] = 1.0,
    seed: int = 0,
    periodic: bool = False,
) -> NDArray[np.float64]:
    """Draw a stationary Gaussian field with mean 0, variance 1 and covariance exp(-sum (x_a / l_a)^2 / 2).

    Parameters
    ----------
    shape : sequence of int
        Points per axis.
    correlation_length : float or sequence of float
        l, in units of `spacing`'s length; one an axis if they differ.
    spacing : float or sequence of float
        Distance between points.
    seed : int
        Seed of the white noise: the same seed and shape give the same field.
    periodic : bool
        Whether the field closes on itself. If not, it is drawn on a torus longer by four correlation lengths
        and cut, so that opposite sides are independent.

    Returns
    -------
    grid-shaped array
        The field.

    Raises
    ------
    ValueError
        If a correlation length is not positive.

    Notes
    -----
    g = F^-1 (sqrt(S) F w), with w white noise and S(k) = exp(-sum (l_a k_a)^2 / 2) scaled to unit variance.

    References
    ----------
    G. J. Lord, C. E. Powell, T. Shardlow, *An Introduction to Computational Stochastic PDEs* (2014), chapters 6
    and 7 (sampling by circulant embedding).

    Examples
    --------
    >>> field = gaussian_field((64, 64), correlation_length=4.0, seed=1)
    >>> bool(abs(field.std() - 1) < 0.3)
    True
    """
    shape = tuple(shape)
    lengths = np.broadcast_to(np.asarray(correlation_length, dtype=float), len(shape))
    steps = np.broadcast_to(np.asarray(spacing, dtype=float), len(shape))
    if not np.all(lengths > 0):
        raise ValueError(f"correlation_length = {correlation_length}: expected positive lengths")
    margin = [0 if periodic else int(np.ceil(4 * length / h)) for length, h in zip(lengths, steps, strict=True)]
    torus = tuple(scipy.fft.next_fast_len(n + extra, real=True) if extra else n
                  for n, extra in zip(shape, margin, strict=True))  # fmt: skip
    noise = np.random.default_rng(seed).standard_normal(torus)
    amplitude: NDArray[np.float64] = np.ones((1,) * len(torus))
    for axis, (n, h, length) in enumerate(zip(torus, steps, lengths, strict=True)):
        k = 2 * np.pi * scipy.fft.fftfreq(n, h)
        factor = np.exp(-((length * k) ** 2) / 4)
        factor /= np.sqrt(np.mean(factor**2))  # unit variance, axis by axis: the spectrum is a product
        if axis == len(torus) - 1:
            factor = factor[: n // 2 + 1]
        amplitude = amplitude * np.expand_dims(factor, tuple(a for a in range(len(torus)) if a != axis))
    field = scipy.fft.irfftn(amplitude * scipy.fft.rfftn(noise), s=torus)
    return np.ascontiguousarray(field[tuple(slice(n) for n in shape)])


def gaussian_field_at(
    coordinates: Sequence[NDArray[np.float64]],
    *,
    lengths: Sequence[float],
    correlation_length: float,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Draw a Gaussian field on a box that does not depend on the grid where it is looked at.

    Parameters
    ----------
    coordinates : sequence of (n_a,) arrays
        Coordinates along each axis, inside the box.
    lengths : sequence of float
        Side lengths of the box.
    correlation_length : float
        l of the covariance, as in `gaussian_field`.
    seed : int
        The same seed, box and correlation length give the same field on every grid.

    Returns
    -------
    (n_0, n_1, ...) array
        The field.

    Raises
    ------
    ValueError
        If the correlation length is not positive.

    Notes
    -----
    `gaussian_field` is drawn on a lattice of spacing l / 2, on which all but a part of 1e-4 of the spectrum's amplitude
    is resolved, and interpolated by cubic splines axis by axis. The lattice has 2 L / l points along a side L.

    Examples
    --------
    >>> coarse, fine = (np.linspace(0.0, 1.0, n) for n in (5, 9))
    >>> g = [gaussian_field_at([x], lengths=[1.0], correlation_length=0.1) for x in (coarse, fine)]
    >>> bool(np.allclose(g[0], g[1][::2]))
    True
    """
    if not correlation_length > 0:
        raise ValueError(f"correlation_length = {correlation_length}: expected a positive length")
    step = correlation_length / 2
    points = [max(4, int(np.ceil(length / step)) + 1) for length in lengths]
    field = gaussian_field(points, correlation_length=correlation_length, spacing=step, seed=seed)
    for axis, (n, x) in enumerate(zip(points, coordinates, strict=True)):
        field = scipy.interpolate.make_interp_spline(step * np.arange(n), field, k=3, axis=axis)(x)
    return np.ascontiguousarray(field)
