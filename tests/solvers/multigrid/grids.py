"""Axes for the tests of multigrid and of the fast direct solves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.operators.separable import Axis, SeparableStencil


def line(n: int, ends: str = "dd", centring: str = "vertex", h: float | None = None) -> Axis:
    """-u'' on one axis with Dirichlet ("d"), Neumann ("n") or periodic ("p") ends."""
    h = 1.0 / (n + 1) if h is None else h
    lower, diag, upper, weight = np.full(n, -1.0), np.full(n, 2.0), np.full(n, -1.0), np.ones(n)
    if ends == "p":
        return Axis(lower / h**2, diag / h**2, upper / h**2, weight, periodic=True)
    lower[0] = upper[-1] = 0.0
    for end, inward, at in zip(ends, (upper, lower), (0, -1), strict=True):
        if centring == "cell":
            diag[at] = 3.0 if end == "d" else 1.0
        elif end == "n":
            weight[at], inward[at] = 0.5, -2.0
    return Axis(lower / h**2, diag / h**2, upper / h**2, weight)


def stretched(n: int, growth: float = 1.5) -> Axis:
    """A Dirichlet axis whose spacing grows from one end to the other."""
    h = np.linspace(1.0, growth, n + 1) / n
    weight = (h[:-1] + h[1:]) / 2
    lower, upper = -1 / (h[:-1] * weight), -1 / (h[1:] * weight)
    diag = -(lower + upper)
    lower[0] = upper[-1] = 0.0
    return Axis(lower, diag, upper, weight)


def stencil(*axes: Axis, shift: float = 0.0) -> SeparableStencil:
    """The operator, with its null space where it is singular."""
    A = SeparableStencil(axes, shift)
    n = A.shape[0]
    singular = np.max(np.abs(A @ np.ones(n))) < 1e-9 * np.max(A.diagonal())
    return SeparableStencil(axes, shift, nullspace=np.full((n, 1), n**-0.5)) if singular else A


def noise(A: SeparableStencil, seed: int = 0) -> NDArray[np.float64]:
    """White noise in the range of A."""
    b = np.random.default_rng(seed).standard_normal(A.shape[0])
    return b if A.nullspace is None else b - A.nullspace @ (A.nullspace.T @ b)
