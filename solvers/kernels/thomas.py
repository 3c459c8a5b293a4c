"""Gauss elimination of many tridiagonal systems side by side."""

from __future__ import annotations

from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}  # fastmath=True would drop NaN
BLOCK = 64
"""Systems eliminated together: their pivots stay in cache."""


@njit(fastmath=FAST)
def _forward(x, before, pivot, pivot_before, eigenvalues, lower, diag, upper_before, tiny):  # type: ignore[no-untyped-def]
    """One row of the elimination; `pivot` receives the inverse pivots."""
    for k in range(x.size):
        p = diag + eigenvalues[k] - lower * upper_before * pivot_before[k]
        pivot[k] = 1.0 / p if abs(p) > tiny else 0.0  # a singular system takes the solution that is zero here
        x[k] -= lower * pivot_before[k] * before[k]


@njit(fastmath=FAST)
def _backward(x, after, pivot, upper):  # type: ignore[no-untyped-def]
    """One row of the back substitution."""
    for k in range(x.size):
        x[k] = (x[k] - upper * after[k]) * pivot[k]


@njit(
    ["void(f8[:,::1],f8[::1],f8[::1],f8[::1],f8[::1],f8,i8,i8,f8[:,::1])"],
    cache=True,
    nogil=True,
    fastmath=FAST,
    boundscheck=False,
)
def thomas(x, eigenvalues, lower, diag, upper, tiny, lo, hi, pivots):  # type: ignore[no-untyped-def]
    """Solve (T + eigenvalues[k]) x[:, k] = x[:, k] in place for columns lo..hi; T is tridiagonal.

    `pivots` is room for (n, BLOCK) numbers.
    """
    n = x.shape[0]
    for start in range(lo, hi, BLOCK):
        stop = min(start + BLOCK, hi)
        size = stop - start
        values, zero = eigenvalues[start:stop], pivots[n, :size]
        zero[:] = 0.0
        _forward(x[0, start:stop], zero, pivots[0, :size], zero, values, 0.0, diag[0], 0.0, tiny)
        for i in range(1, n):
            before, p, q = x[i - 1, start:stop], pivots[i, :size], pivots[i - 1, :size]
            _forward(x[i, start:stop], before, p, q, values, lower[i], diag[i], upper[i - 1], tiny)
        _backward(x[n - 1, start:stop], zero, pivots[n - 1, :size], 0.0)
        for i in range(n - 2, -1, -1):
            _backward(x[i, start:stop], x[i + 1, start:stop], pivots[i, :size], upper[i])
