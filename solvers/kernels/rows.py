"""What all stencil kernels share: compiler options and the updates of a stretch of a vector.

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
