"""What the stencil kernels do with one grid row: shared by all operators.

Every function works on contiguous slices from 0 to size, so that its loop becomes SIMD code. The options allow
re-association (reductions vectorise) but keep NaN and infinity as they are.
"""

from __future__ import annotations

from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "boundscheck": False,
}


@njit(**OPTIONS)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return a . b in the arrays' precision."""
    total = a[0] * b[0] * 0
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@njit(**OPTIONS)
def add(x, z):  # type: ignore[no-untyped-def]
    """Set x += z."""
    for k in range(x.size):
        x[k] += z[k]


@njit(**OPTIONS)
def combine(p, r, beta):  # type: ignore[no-untyped-def]
    """Set p = r + beta p."""
    for k in range(p.size):
        p[k] = r[k] + beta * p[k]


@njit(**OPTIONS)
def subtract(out, b, q):  # type: ignore[no-untyped-def]
    """Set out = b - q and return its square, from the difference before it is rounded to out's precision."""
    total = q[0] * 0
    for k in range(out.size):
        difference = b[k] - q[k]
        out[k] = difference
        total += difference * difference
    return total


@njit(**OPTIONS)
def step(x, r, p, q, alpha):  # type: ignore[no-untyped-def]
    """Set x += alpha p, r -= alpha q and return r . r."""
    total = q[0] * 0
    for k in range(x.size):
        x[k] += alpha * p[k]
        value = r[k] - alpha * q[k]
        r[k] = value
        total += value * value
    return total
