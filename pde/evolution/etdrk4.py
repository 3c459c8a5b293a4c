"""Exponential time differencing of fourth order (ETDRK4) for v' = L v + N(v) with a diagonal L."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Values = NDArray[Any]

CONTOUR_POINTS = 32
"""Points on the circle of radius 1 around h L over which the coefficients are averaged."""


class ETDRK4:
    """Steps of a fixed length h: what L does is exact, N is treated as by the classical Runge-Kutta method.

    Parameters
    ----------
    linear : (...,) real or complex array
        The diagonal of L (1 / time), usually in Fourier space.
    h : float
        Length of a step.

    Attributes
    ----------
    linear : array
        As given.
    h : float
        As given.

    Raises
    ------
    ValueError
        If h is not positive and finite, or L is not finite.

    Notes
    -----
    With z = h L, the step is a = e^{z/2} v + Q N(v), b = e^{z/2} v + Q N(a), c = e^{z/2} a + Q (2 N(b) - N(v)) and
    v <- e^z v + f1 N(v) + 2 f2 (N(a) + N(b)) + f3 N(c). Q, f1, f2 and f3 are entire functions of z, but their formulas
    cancel near z = 0; so each is the mean of its formula over a circle around z (Cauchy), here of 32 points, which is
    exact to rounding (for complex L, to 1e-10 of h where a point happens to fall near the origin). Where N's time scale
    is resolved and its Fourier modes decay, the order is 4; on rough data it is less.

    References
    ----------
    S. Cox and P. Matthews, J. Comput. Phys. 176 (2002), equations 26 to 29; A.-K. Kassam and L. N. Trefethen, SIAM J.
    Sci. Comput. 26 (2005), section 3 (the contour).

    Examples
    --------
    A stiff equation, v' = -1000 v + 1000, is solved exactly, whatever the step:

    >>> method = ETDRK4(np.array([-1000.0]), 0.5)
    >>> bool(np.allclose(method.step(np.array([3.0]), lambda v: np.full(1, 1000.0)), 1.0, atol=1e-13))
    True
    """

    def __init__(self, linear: Values, h: float) -> None:
        if not (np.isfinite(h) and h > 0):
            raise ValueError(f"h = {h}: expected a positive time step")
        self.linear, self.h = np.asarray(linear), float(h)
        if not np.all(np.isfinite(self.linear)):
            raise ValueError("linear: expected finite numbers, the diagonal of L")
        z = self.h * self.linear
        circle = np.exp(2j * np.pi * (np.arange(CONTOUR_POINTS) + 0.5) / CONTOUR_POINTS)
        r = z[..., None] + circle
        e = np.exp(r)
        self._full, self._half = np.exp(z), np.exp(0.5 * z)
        self._q = self._mean((np.exp(0.5 * r) - 1.0) / r)
        self._f1 = self._mean((-4.0 - r + e * (4.0 - 3.0 * r + r**2)) / r**3)
        self._2f2 = 2.0 * self._mean((2.0 + r + e * (r - 2.0)) / r**3)
        self._f3 = self._mean((-4.0 - 3.0 * r - r**2 + e * (4.0 - r)) / r**3)

    def _mean(self, values: Values) -> Values:
        """h times the mean over the circle; real where L is."""
        mean: Values = self.h * values.mean(axis=-1)
        return mean if np.iscomplexobj(self.linear) else mean.real

    def step(self, v: Values, nonlinear: Callable[[Values], Values]) -> Values:
        """Return the state one step later.

        Parameters
        ----------
        v : array that broadcasts with L
            The state, for example (batch, modes).
        nonlinear : callable
            N(v), shaped like v; autonomous.

        Returns
        -------
        array
            A new array; v is not changed.
        """
        n_v = nonlinear(v)
        half = self._half * v
        a = half + self._q * n_v
        n_a = nonlinear(a)
        b = half + self._q * n_a
        n_b = nonlinear(b)
        c = self._half * a + self._q * (2.0 * n_b - n_v)
        result: Values = self._full * v + self._f1 * n_v + self._2f2 * (n_a + n_b) + self._f3 * nonlinear(c)
        return result
