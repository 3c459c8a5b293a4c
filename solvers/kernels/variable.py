"""Fused passes of stencils whose coefficients vary from node to node.

All arrays are flat over (planes, rows, n); a 2-D grid is (planes, 1, n), a 1-D grid (1, 1, n). The operator comes as
its diagonal, three upper and three lower coupling arrays (those of absent axes are ignored), the number of axes and
whether it is symmetric: then `lower` is ignored too and the coupling below a node is the upper one of its neighbour.
Indices always wrap: where an axis is not periodic, the coupling across the end is zero.

The passes that change the vector that A is applied to (`direction`, `correct`) update one plane ahead of the product.
A range shorter than the grid expects its first and its last plane updated: then ranges run side by side.

A row of A x is built in a buffer that stays in the nearest cache: the traffic to memory is that of one loop.
Indices are unsigned and helpers are inlined (see kernels/rows.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE, OPTIONS, add, combine, copy, dot, step, subtract

_X64, _X32 = "float64[::1]", "float32[::1]"
_C64 = "intp, intp, intp, " + ", ".join(["float64[::1]"] * 7) + ", intp, boolean"
_C32 = _C64.replace("64", "32")


@njit(**INLINE)
def _rows(i, j, planes, rows, n, symmetric):  # type: ignore[no-untyped-def]
    """First indices of row (i, j), of the rows before, after, left and right, and of the lower couplings of axes 0, 1.

    The last entry is the distance from a node to its lower coupling along the row: 1 where it is the neighbour's.
    """
    m = np.uint64((i * rows + j) * n)
    before = np.uint64(((i - 1 if i > 0 else planes - 1) * rows + j) * n)
    after = np.uint64(((i + 1 if i + 1 < planes else 0) * rows + j) * n)
    left = np.uint64((i * rows + (j - 1 if j > 0 else rows - 1)) * n)
    right = np.uint64((i * rows + (j + 1 if j + 1 < rows else 0)) * n)
    if symmetric:
        return m, before, after, left, right, before, left, np.uint64(1)
    return m, before, after, left, right, m, m, np.uint64(0)


@njit(**INLINE)
def _pair(u, l, x, here, ahead, back, below):  # type: ignore[no-untyped-def]  # noqa: E741
    """Couplings of one point along one axis; the lower one stands at `below`."""
    return u[here] * x[ahead] + l[below] * x[back]


@njit(**INLINE)
def _three(d, u2, l2, x, o, k, west, east, below):  # type: ignore[no-untyped-def]
    """(A x) at point k of a row without the other axes."""
    m = o[0]
    return d[m + k] * x[m + k] + _pair(u2, l2, x, m + k, m + east, m + west, m + below)


@njit(**INLINE)
def _five(d, u0, u2, l0, l2, x, o, k, west, east, below):  # type: ignore[no-untyped-def]
    """(A x) at point k of a row of a 2-D grid."""
    across = _pair(u0, l0, x, o[0] + k, o[2] + k, o[1] + k, o[5] + k)
    return _three(d, u2, l2, x, o, k, west, east, below) + across


@njit(**INLINE)
def _seven(d, u0, u1, u2, l0, l1, l2, x, o, k, west, east, below):  # type: ignore[no-untyped-def]
    """(A x) at point k of a row of a 3-D grid."""
    across = _pair(u1, l1, x, o[0] + k, o[4] + k, o[3] + k, o[6] + k)
    return _five(d, u0, u2, l0, l2, x, o, k, west, east, below) + across


@njit(**INLINE)
def _product(q, x, o, d, u0, u1, u2, l0, l1, l2, axes):  # type: ignore[no-untyped-def]
    """Set q = A x on one row; no branch but this one sees the arrays, or their references would be counted."""
    zero, one, shift, last = np.uint64(0), np.uint64(1), o[7], np.uint64(q.size - 1)
    first, ring = (one if last > zero else zero), (last if shift > zero else zero)
    before_last = last - first
    low = before_last if shift > zero else last
    if axes == 3:
        for k in range(one, last):
            q[k] = _seven(d, u0, u1, u2, l0, l1, l2, x, o, k, k - one, k + one, k - shift)
        q[0] = _seven(d, u0, u1, u2, l0, l1, l2, x, o, zero, last, first, ring)
        q[last] = _seven(d, u0, u1, u2, l0, l1, l2, x, o, last, before_last, zero, low)
    elif axes == 2:
        for k in range(one, last):
            q[k] = _five(d, u0, u2, l0, l2, x, o, k, k - one, k + one, k - shift)
        q[0] = _five(d, u0, u2, l0, l2, x, o, zero, last, first, ring)
        q[last] = _five(d, u0, u2, l0, l2, x, o, last, before_last, zero, low)
    else:
        for k in range(one, last):
            q[k] = _three(d, u2, l2, x, o, k, k - one, k + one, k - shift)
        q[0] = _three(d, u2, l2, x, o, zero, last, first, ring)
        q[last] = _three(d, u2, l2, x, o, last, before_last, zero, low)


@njit([f"void({_C64}, {_X64}, {_X64}, intp, intp)", f"void({_C32}, {_X32}, {_X32}, intp, intp)"], **OPTIONS)
def apply(planes, rows, n, d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    q = np.empty(n, x.dtype)
    for i in range(lo, hi):
        for j in range(rows):
            o = _rows(i, j, planes, rows, n, symmetric)
            _product(q, x, o, d, u0, u1, u2, l0, l1, l2, axes)
            copy(out, q, o[0])


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def residual(planes, rows, n, d, u0, u1, u2, l0, l1, l2, axes, symmetric, b, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = b - A x on planes lo to hi and return its square."""
    q, total = np.empty(n, x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(rows):
            o = _rows(i, j, planes, rows, n, symmetric)
            _product(q, x, o, d, u0, u1, u2, l0, l1, l2, axes)
            total += subtract(out, b, q, o[0])
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X32}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def correct(planes, rows, n, d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, z, b, r, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += z, then r = b - A x, on planes lo to hi; return the square of r."""
    q, total = np.empty(n, x.dtype), 0.0
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            add(x, z, i * rows * n, (i + 1) * rows * n)
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                ahead = (i + 1) * rows + j
                add(x, z, ahead * n, (ahead + 1) * n)
            o = _rows(i, j, planes, rows, n, symmetric)
            _product(q, x, o, d, u0, u1, u2, l0, l1, l2, axes)
            total += subtract(r, b, q, o[0])
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def direction(planes, rows, n, d, u0, u1, u2, l0, l1, l2, axes, symmetric, r, p, beta, lo, hi):  # type: ignore[no-untyped-def]
    """Set p = r + beta p on planes lo to hi and return p . A p of them."""
    q, total = np.empty(n, p.dtype), 0.0
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            combine(p, r, beta, i * rows * n, (i + 1) * rows * n)
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                ahead = (i + 1) * rows + j
                combine(p, r, beta, ahead * n, (ahead + 1) * n)
            o = _rows(i, j, planes, rows, n, symmetric)
            _product(q, p, o, d, u0, u1, u2, l0, l1, l2, axes)
            total += dot(p, q, o[0])
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def update(planes, rows, n, d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, r, p, alpha, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += alpha p and r -= alpha A p on planes lo to hi; return r . r of them."""
    q, total = np.empty(n, x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(rows):
            o = _rows(i, j, planes, rows, n, symmetric)
            _product(q, p, o, d, u0, u1, u2, l0, l1, l2, axes)
            total += step(x, r, p, q, alpha, o[0])
    return total
