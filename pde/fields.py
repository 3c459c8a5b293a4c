"""Gaussian random fields on uniform grids, by filtering white noise in Fourier space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
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
