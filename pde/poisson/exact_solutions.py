"""Manufactured solutions: u with its derivatives, compatible with the boundary conditions, in 1 to 3 dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.poisson.boundary import Ends
from conjugo.pde.poisson.coefficients import Coefficient


@dataclass(frozen=True, slots=True, eq=False)
class ExactSolution:
    """A known function u with its first and second derivatives along the axes.

    Parameters
    ----------
    value : callable
        u(x, y, ...) at arrays of coordinates that broadcast.
    gradient : callable
        The tuple (u_x, u_y, ...).
    curvature : callable
        The tuple (u_xx, u_yy, ...).
    name : str
        Short name.

    Examples
    --------
    >>> u = ExactSolution(lambda x: x**2, lambda x: (2 * x,), lambda x: (2.0,))
    >>> u.gradient(3.0)
    (6.0,)
    """

    value: Callable[..., Any]
    gradient: Callable[..., tuple[Any, ...]]
    curvature: Callable[..., tuple[Any, ...]]
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Waves:
    """sum_j amplitude_j sin(frequency_j x + phase_j), and its derivatives."""

    amplitudes: tuple[float, ...]
    frequencies: tuple[float, ...]
    phase: float

    def __call__(self, x: Any, derivative: int = 0) -> Any:
        turn = self.phase + derivative * math.pi / 2
        pairs = zip(self.amplitudes, self.frequencies, strict=True)
        return sum(a * w**derivative * np.sin(w * x + turn) for a, w in pairs)


def _waves(ends: Ends, length: float) -> _Waves:
    """Two modes that vanish at Dirichlet ends, have zero slope at Neumann ends, and close on a periodic axis."""
    phase = 0.0 if ends[0] == "dirichlet" else math.pi / 2
    if ends[0] == "periodic":
        modes, phase = (2.0, 4.0), 0.4
    elif ends[0] == ends[1]:
        modes = (1.0, 2.0)
    else:
        modes = (0.5, 1.5)
    return _Waves((1.0, 0.3), tuple(m * math.pi / length for m in modes), phase)


def product_solution(ends: Sequence[Ends], lengths: Sequence[float]) -> ExactSolution:
    """Return u = prod_a phi_a(x_a) that satisfies the homogeneous boundary conditions of every side.

    Parameters
    ----------
    ends : sequence of (low, high)
        Boundary kinds, one pair an axis.
    lengths : sequence of float
        Side lengths.

    Returns
    -------
    ExactSolution
        No eigenfunction of the discrete operator: each phi_a is a sum of two modes.

    Examples
    --------
    >>> u = product_solution([("dirichlet", "dirichlet")], [1.0])
    >>> float(u.value(0.0)), round(float(u.value(0.5)), 12)
    (0.0, 1.0)
    """
    factors = [_waves(pair, length) for pair, length in zip(ends, lengths, strict=True)]

    def derivative(x: tuple[Any, ...], axis: int, order: int) -> Any:
        return reduce(
            np.multiply,
            [phi(s, order if a == axis else 0) for a, (phi, s) in enumerate(zip(factors, x, strict=True))],
        )

    return ExactSolution(
        lambda *x: derivative(x, 0, 0),
        lambda *x: tuple(derivative(x, a, 1) for a in range(len(x))),
        lambda *x: tuple(derivative(x, a, 2) for a in range(len(x))),
        "product",
    )


def plane_wave(frequencies: Sequence[float], phase: float = 0.3) -> ExactSolution:
    """Return u = sin(w . x + phase), which has data on every wall: inhomogeneous Dirichlet and Neumann.

    Parameters
    ----------
    frequencies : sequence of float
        w, one an axis (radians over length).
    phase : float
        Shift (radians).

    Returns
    -------
    ExactSolution
        Periodic only where w L is a multiple of 2 pi.

    Examples
    --------
    >>> round(float(plane_wave([2.0, 1.0], 0.0).gradient(0.0, 0.0)[0]), 12)
    2.0
    """

    def angle(x: tuple[Any, ...]) -> Any:
        return sum(w * s for w, s in zip(frequencies, x, strict=True)) + phase

    return ExactSolution(
        lambda *x: np.sin(angle(x)),
        lambda *x: tuple(w * np.cos(angle(x)) for w in frequencies),
        lambda *x: tuple(-(w**2) * np.sin(angle(x)) for w in frequencies),
        "plane wave",
    )


def source(
    solution: ExactSolution,
    x: Sequence[NDArray[np.float64]],
    *,
    coefficient: Coefficient,
    anisotropy: Sequence[float],
    velocity: Sequence[Any] | None = None,
    shift: float = 0.0,
) -> Any:
    """Evaluate the right-hand side f that makes `solution` exact.

    Parameters
    ----------
    solution : ExactSolution
        u.
    x : sequence of arrays
        Coordinates that broadcast.
    coefficient : Coefficient
        k with its gradient.
    anisotropy : sequence of float
        Factors a, one an axis.
    velocity : sequence of arrays, optional
        v at x, one an axis.
    shift : float
        Multiple of u.

    Returns
    -------
    array
        f = -sum_a a_a (k u_aa + k_a u_a) + v . grad u + shift u at x.

    Examples
    --------
    >>> from conjugo.pde.poisson.coefficients import constant_coefficient
    >>> u = plane_wave([2.0], 0.0)
    >>> f = source(u, [np.array(0.5)], coefficient=constant_coefficient(1.0), anisotropy=[1.0])
    >>> bool(np.isclose(f, 4 * np.sin(1.0)))
    True
    """
    k, slopes, gradient = coefficient.value(*x), coefficient.gradient(*x), solution.gradient(*x)
    f = shift * solution.value(*x)
    for factor, slope, first, second in zip(anisotropy, slopes, gradient, solution.curvature(*x), strict=True):
        f = f - factor * (k * second + slope * first)
    if velocity is not None:
        f = f + sum(v * first for v, first in zip(velocity, gradient, strict=True))
    return f
