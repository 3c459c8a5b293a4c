"""Chebyshev filter on the blocks of a grid: every block on its own, its vectors side by side. Unvalidated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "nsz", "arcp"}, "boundscheck": False}

type Floats = NDArray[np.float64]


@njit(**_OPTIONS)
def _axpy(y: Floats, a: float, x: Floats) -> None:
    """y += a x."""
    for j in range(y.size):
        y[j] += a * x[j]


@njit(**_OPTIONS)
def _apply(y: Floats, x: Floats, scaled: Floats, offsets: Any, centre: Floats) -> None:
    """y = S x with the diagonal of S in `centre`; scaled[w, i] is S[i, i + offsets[w]]."""
    m = x.shape[0]
    for i in range(m):
        for j in range(x.shape[1]):
            y[i, j] = centre[i] * x[i, j]
    for w in range(offsets.size):
        shift = offsets[w]
        for i in range(max(0, -shift), min(m, m - shift)):
            s = scaled[w, i]
            if s != 0.0:
                _axpy(y[i], s, x[i + shift])
                _axpy(y[i + shift], s, x[i])


@njit(
    "void(float64[:,:,::1], float64[:,:,::1], float64[:,:,::1], float64[:,::1], float64[:,:,::1], int64[::1], int64,"
    " float64, int64, int64)",
    cache=True,
    **_OPTIONS,
)
def filter_blocks(
    x: Floats, gram: Floats, energy: Floats, d: Floats, c: Floats, offsets: Any, degree: int, low: float, lo: int,
    hi: int,
) -> None:  # fmt: skip
    """Apply the Chebyshev polynomial that is small on [low, 2] to each block's x; write x^T x and x^T S x.

    S = D^-1/2 L D^-1/2 with L the graph Laplacian of the couplings c <= 0 inside the block, d the diagonal of D.
    """
    m, k = x.shape[1], x.shape[2]
    ways = offsets.size
    root, centre = np.empty(m), np.empty(m)
    scaled = np.empty((ways, m))
    before, after = np.empty((m, k)), np.empty((m, k))
    middle, half = 0.5 * (2.0 + low), 0.5 * (2.0 - low)
    for b in range(lo, hi):
        for i in range(m):
            root[i] = 1.0 / np.sqrt(d[b, i]) if d[b, i] > 0.0 else 0.0
            centre[i] = 0.0
        for w in range(ways):
            for i in range(m):
                scaled[w, i] = 0.0
                t = i + offsets[w]
                if c[b, w, i] != 0.0 and 0 <= t < m:
                    scaled[w, i] = c[b, w, i] * root[i] * root[t]
                    centre[i] -= c[b, w, i] * root[i] * root[i]
                    centre[t] -= c[b, w, i] * root[t] * root[t]
        now = x[b]
        for i in range(m):
            if root[i] == 0.0:
                now[i, :] = 0.0
        if degree > 0:
            _apply(after, now, scaled, offsets, centre)
            for i in range(m):
                for j in range(k):
                    before[i, j] = now[i, j]
                    now[i, j] = (after[i, j] - middle * now[i, j]) / half
        for _ in range(1, degree):
            _apply(after, now, scaled, offsets, centre)
            for i in range(m):
                for j in range(k):
                    t2 = 2.0 * (after[i, j] - middle * now[i, j]) / half - before[i, j]
                    before[i, j] = now[i, j]
                    now[i, j] = t2
        _apply(after, now, scaled, offsets, centre)
        gram[b, :, :] = 0.0
        energy[b, :, :] = 0.0
        for i in range(m):
            for j in range(k):
                _axpy(gram[b, j], now[i, j], now[i])
                _axpy(energy[b, j], now[i, j], after[i])
