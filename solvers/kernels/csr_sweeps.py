"""Sweeps over a matrix in compressed sparse rows, in any order of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "boundscheck": False,
    "_nrt": False,  # no reference counts: nothing is allocated here
}


def _signatures(template: str) -> list[str]:
    """Write a signature for each of the two precisions."""
    return [template.format(t=t) for t in ("float32", "float64")]


@njit(
    _signatures(
        "float64({t}[::1], {t}[::1], int32[::1], int32[::1], {t}[::1], {t}[::1], float64, int32[::1], int64, int64)"
    ),
    cache=True,
    **OPTIONS,
)  # fmt: skip
def relax_rows(
    x: Any, b: Any, indptr: Any, indices: Any, data: Any, diagonal: Any, omega: float, order: Any, lo: int, hi: int
) -> float:
    """Relax rows order[lo:hi], one after the other; return the sum of their squared residuals, each before its update.

    With omega = 0 nothing changes, and the sum is that of b - A x.
    """
    relax = x.dtype.type(omega)
    total = 0.0
    for place in range(lo, hi):
        i = order[place]
        residual = b[i]
        start, stop = indptr[i], indptr[i + 1]
        columns, values = indices[start:stop], data[start:stop]
        for entry in range(columns.size):
            residual -= values[entry] * x[columns[entry]]
        total += np.float64(residual) * np.float64(residual)
        x[i] += relax * residual / diagonal[i]
    return total


@njit("void(int32[::1], int32[::1], int32[::1], int32[::1])", cache=True, **OPTIONS)
def greedy_colours(indptr: Any, indices: Any, colours: Any, last_user: Any) -> None:
    """Give each row the smallest colour that no neighbour has; `colours` (n,) and `last_user` (n + 1,) start at -1."""
    for i in range(colours.size):
        for entry in range(indptr[i], indptr[i + 1]):
            colour = colours[indices[entry]]
            if colour >= 0:
                last_user[colour] = i
        colour = 0
        while last_user[colour] == i:
            colour += 1
        colours[i] = colour


@njit(
    _signatures("void({t}[::1], {t}[::1], int32[::1], int32[::1], {t}[::1])"),
    cache=True,
    **OPTIONS,
)
def solve_factors(z: Any, pivots: Any, indptr: Any, indices: Any, upper: Any) -> None:
    """z = (P + U)^-1 P (P + U^T)^-1 z in place; U strictly upper in sorted rows, `pivots` holds 1 / P."""
    rows = z.size
    for i in range(rows):
        value = z[i] * pivots[i]
        z[i] = value
        for entry in range(indptr[i], indptr[i + 1]):
            z[indices[entry]] -= upper[entry] * value
    for i in range(rows - 1, -1, -1):
        total = z.dtype.type(0)
        for entry in range(indptr[i], indptr[i + 1]):
            total += upper[entry] * z[indices[entry]]
        z[i] -= pivots[i] * total
