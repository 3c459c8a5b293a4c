"""Incomplete Cholesky factorisation without fill: A ~ (P + U^T) P^-1 (P + U), P diagonal, U on the pattern of A.

Eliminating unknown k subtracts t = U[k, j] U[k, i] / P[k] from every pair (j, i) of its later neighbours. Where A has
no entry (j, i) the fill is dropped; the modified factorisation subtracts `relaxation` times t from both diagonals
instead, which keeps the row sums.
"""

from __future__ import annotations

from typing import Any

from numba import njit

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "boundscheck": False,
    "_nrt": False,  # no reference counts: nothing is allocated here
}


@njit(**OPTIONS)
def _position(columns: Any, wanted: int) -> int:
    """Place of `wanted` in a sorted list, or -1."""
    lo, hi = 0, columns.size
    while lo < hi:
        middle = (lo + hi) // 2
        if columns[middle] < wanted:
            lo = middle + 1
        else:
            hi = middle
    if lo < columns.size and columns[lo] == wanted:
        return lo
    return -1


@njit(
    "int64(int32[::1], int32[::1], float64[::1], float64[::1], float64[::1], float64, float64)", cache=True, **OPTIONS
)
def factor_csr(
    indptr: Any, indices: Any, upper: Any, pivots: Any, diagonal: Any, relaxation: float, smallest: float
) -> int:
    """Factor in place; return the first row whose pivot is below `smallest` times its diagonal entry, or -1."""
    for k in range(pivots.size):
        if not pivots[k] > smallest * diagonal[k]:
            return k
        start, stop = indptr[k], indptr[k + 1]
        for first in range(start, stop):
            j = indices[first]
            scaled = upper[first] / pivots[k]
            pivots[j] -= scaled * upper[first]
            columns = indices[indptr[j] : indptr[j + 1]]
            for second in range(first + 1, stop):
                i = indices[second]
                fill = scaled * upper[second]
                place = _position(columns, i)
                if place >= 0:
                    upper[indptr[j] + place] -= fill
                else:
                    pivots[j] -= relaxation * fill
                    pivots[i] -= relaxation * fill
    return -1


@njit(
    "int64(int64[::1], int64[::1], float64[:, ::1], float64[::1], float64[::1], float64, float64, "
    "int64[::1], float64[::1])",
    cache=True,
    **OPTIONS,
)
def factor_stencil(
    shape: Any,
    strides: Any,
    upper: Any,
    pivots: Any,
    diagonal: Any,
    relaxation: float,
    smallest: float,
    others: Any,
    values: Any,
) -> int:
    """The same for a stencil, whose fill never meets its pattern, so that U keeps the entries of A.

    `upper[a]` holds the couplings to the next node along axis a (in the last plane to the first one); `others` and
    `values` have room for six neighbours.
    """
    for k in range(pivots.size):
        if not pivots[k] > smallest * diagonal[k]:
            return k
        found = 0
        total = 0.0
        for axis in range(3):
            place = (k // strides[axis]) % shape[axis]
            last = shape[axis] - 1
            if place < last:
                others[found] = k + strides[axis]
                values[found] = upper[axis, k]
                found += 1
            if place == 0 and last > 0:
                others[found] = k + last * strides[axis]
                values[found] = upper[axis, others[found]]
                found += 1
        for one in range(found):
            total += values[one]
        for one in range(found):
            value = values[one]
            pivots[others[one]] -= value / pivots[k] * (value + relaxation * (total - value))
    return -1
