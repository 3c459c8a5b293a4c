"""What all stencil kernels share: compiler options and the passes over a stretch of a vector.

The options allow re-association (reductions become SIMD code) but keep NaN and infinity as they are. Indices are
unsigned: a signed index may wrap around to the end of an array, and that test keeps a loop from becoming SIMD code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "boundscheck": False,
}
"""Of every kernel."""

INLINE: dict[str, Any] = {**OPTIONS, "forceinline": True}
"""Of a helper that runs once a row: passing some eight arrays costs 50 ns, as much as 60 unknowns."""


@njit(**INLINE)
def add(x, z, start, stop):  # type: ignore[no-untyped-def]
    """Set x += z from start to stop."""
    for k in range(np.uint64(start), np.uint64(stop)):
        x[k] += z[k]


@njit(**INLINE)
def combine(p, r, beta, start, stop):  # type: ignore[no-untyped-def]
    """Set p = r + beta p from start to stop."""
    for k in range(np.uint64(start), np.uint64(stop)):
        p[k] = r[k] + beta * p[k]


@njit(**INLINE)
def copy(out, q, m):  # type: ignore[no-untyped-def]
    """Set out = q on the row that starts at m."""
    for k in range(np.uint64(q.size)):
        out[m + k] = q[k]


@njit(**INLINE)
def subtract(out, b, q, m):  # type: ignore[no-untyped-def]
    """Set out = b - q on the row that starts at m; return its square, taken before rounding to out's precision."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        difference = b[m + k] - q[k]
        out[m + k] = difference
        total += difference * difference
    return total


@njit(**INLINE)
def dot(p, q, m):  # type: ignore[no-untyped-def]
    """Return p . q of the row that starts at m."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        total += p[m + k] * q[k]
    return total


@njit(**INLINE)
def step(x, r, p, q, alpha, m):  # type: ignore[no-untyped-def]
    """Set x += alpha p, r -= alpha q on the row that starts at m and return r . r."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        value = r[m + k] - alpha * q[k]
        x[m + k] += alpha * p[m + k]
        r[m + k] = value
        total += value * value
    return total
