"""Fused passes of symmetric compact stencils: nodes couple to all 3^d - 1 neighbours, by coefficients of their own.

All arrays are flat over (planes, rows, n); a 2-D grid is (planes, 1, n), a 1-D grid (1, 1, n). The coefficients are one
flat array: a grid for the diagonal, then one for each direction of `multigrid.parity.directions(axes, True)`; the
coupling in the opposite direction is that of the neighbour. Indices always wrap: where an axis is not periodic, the
couplings across its end are zero.

The passes that change the vector that A is applied to (`correct`, `direction`) update one plane ahead of the product,
as those of kernels/variable.py do, and ranges run side by side under the same condition.

A row of A x is built in a buffer that stays in the nearest cache, three directions and their opposites at a time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE, OPTIONS, add, combine, copy, dot, step, subtract

_X64, _X32 = "float64[::1]", "float32[::1]"
_C64 = "intp, intp, intp, float64[::1], intp"
_C32 = _C64.replace("float64", "float32")


@njit(**INLINE)
def _row(i, j, planes, rows, n):  # type: ignore[no-untyped-def]
    """First index of row (i, j), which may lie one beyond either end."""
    i = i + planes if i < 0 else i - planes if i >= planes else i
    j = j + rows if j < 0 else j - rows if j >= rows else j
    return (i * rows + j) * n


@njit(**INLINE)
def _line(c, x, m, u, k, west, east):  # type: ignore[no-untyped-def]
    """(A x) at point k of the row that starts at m without other rows; u is where its forward couplings start."""
    return c[m + k] * x[m + k] + c[u + k] * x[m + east] + c[u + west] * x[m + west]


@njit(**INLINE)
def _six(c, x, u, l, size, there, low, k, west, east):  # type: ignore[no-untyped-def]  # noqa: E741
    """Terms of point k towards the row that starts at `there` (couplings from u on), and of the opposite row."""
    ahead = c[u + k] * x[there + west] + c[u + size + k] * x[there + k] + c[u + size + size + k] * x[there + east]
    back = c[l + east] * x[low + east] + c[l + size + k] * x[low + k] + c[l + size + size + west] * x[low + west]
    return ahead + back


@njit(**INLINE)
def _start(q, c, x, m, size):  # type: ignore[no-untyped-def]
    """Set q to the terms within the row that starts at m."""
    zero, one, last = np.uint64(0), np.uint64(1), np.uint64(q.size - 1)
    m = np.uint64(m)
    u = m + np.uint64(size)
    first = one if last > zero else zero
    for k in range(one, last):
        q[k] = _line(c, x, m, u, k, k - one, k + one)
    q[0] = _line(c, x, m, u, zero, last, first)
    if last > zero:
        q[last] = _line(c, x, m, u, last, last - one, zero)


@njit(**INLINE)
def _add(q, c, x, grid, size, m, there, low):  # type: ignore[no-untyped-def]
    """Add to q the three directions towards another row, whose arrays start at `grid`, and their opposites."""
    zero, one, last = np.uint64(0), np.uint64(1), np.uint64(q.size - 1)
    u, l, size = np.uint64(grid + m), np.uint64(grid + low), np.uint64(size)  # noqa: E741
    there, low = np.uint64(there), np.uint64(low)
    first = one if last > zero else zero
    for k in range(one, last):
        q[k] += _six(c, x, u, l, size, there, low, k, k - one, k + one)
    q[0] += _six(c, x, u, l, size, there, low, zero, last, first)
    if last > zero:
        q[last] += _six(c, x, u, l, size, there, low, last, last - one, zero)


@njit(**INLINE)
def _product(q, c, x, i, j, planes, rows, n, axes):  # type: ignore[no-untyped-def]
    """Set q = A x on row (i, j)."""
    m, size = _row(i, j, planes, rows, n), planes * rows * n
    _start(q, c, x, m, size)
    if axes == 2:
        _add(q, c, x, 2 * size, size, m, _row(i + 1, j, planes, rows, n), _row(i - 1, j, planes, rows, n))
    if axes == 3:
        for w in range(4):  # the next row of this plane, then three rows of the next plane
            di, dj = (0, 1) if w == 0 else (1, w - 2)
            there, low = _row(i + di, j + dj, planes, rows, n), _row(i - di, j - dj, planes, rows, n)
            _add(q, c, x, (2 + 3 * w) * size, size, m, there, low)


@njit([f"void({_C64}, {_X64}, {_X64}, intp, intp)", f"void({_C32}, {_X32}, {_X32}, intp, intp)"], **OPTIONS)
def apply(planes, rows, n, c, axes, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    q = np.empty(n, x.dtype)
    for i in range(lo, hi):
        for j in range(rows):
            _product(q, c, x, i, j, planes, rows, n, axes)
            copy(out, q, np.uint64((i * rows + j) * n))


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def residual(planes, rows, n, c, axes, b, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = b - A x on planes lo to hi and return its square."""
    q, total = np.empty(n, x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(rows):
            _product(q, c, x, i, j, planes, rows, n, axes)
            total += subtract(out, b, q, np.uint64((i * rows + j) * n))
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X32}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def correct(planes, rows, n, c, axes, x, z, b, r, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += z, then r = b - A x, on planes lo to hi; return the square of r."""
    q, total = np.empty(n, x.dtype), 0.0
    plane = rows * n
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            add(x, z, i * plane, (i + 1) * plane)
    for i in range(lo, hi):
        if i + 1 < hi - 1:
            add(x, z, (i + 1) * plane, (i + 2) * plane)
        for j in range(rows):
            _product(q, c, x, i, j, planes, rows, n, axes)
            total += subtract(r, b, q, np.uint64((i * rows + j) * n))
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def direction(planes, rows, n, c, axes, r, p, beta, lo, hi):  # type: ignore[no-untyped-def]
    """Set p = r + beta p on planes lo to hi and return p . A p of them."""
    q, total = np.empty(n, p.dtype), 0.0
    plane = rows * n
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            combine(p, r, beta, i * plane, (i + 1) * plane)
    for i in range(lo, hi):
        if i + 1 < hi - 1:
            combine(p, r, beta, (i + 1) * plane, (i + 2) * plane)
        for j in range(rows):
            _product(q, c, p, i, j, planes, rows, n, axes)
            total += dot(p, q, np.uint64((i * rows + j) * n))
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def update(planes, rows, n, c, axes, x, r, p, alpha, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += alpha p and r -= alpha A p on planes lo to hi; return r . r of them."""
    q, total = np.empty(n, x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(rows):
            _product(q, c, p, i, j, planes, rows, n, axes)
            total += step(x, r, p, q, alpha, np.uint64((i * rows + j) * n))
    return total
