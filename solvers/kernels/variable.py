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

from conjugo.solvers.kernels.rows import INLINE, OPTIONS, add, combine

_X64, _X32 = "float64[::1]", "float32[::1]"
_C64 = "intp, intp, intp, " + ", ".join(["float64[::1]"] * 7) + ", intp, boolean"
_C32 = _C64.replace("64", "32")


@njit(**INLINE)
def _inside_symmetric(q, d, u0, u1, u2, x, o, axes):  # type: ignore[no-untyped-def]
    """Set q to A x inside the row that starts at o[0], for a symmetric A."""
    m, before, after, left, right = o
    one, last = np.uint64(1), np.uint64(q.size - 1)
    if axes == 3:
        for k in range(one, last):
            here = d[m + k] * x[m + k] + u2[m + k - one] * x[m + k - one] + u2[m + k] * x[m + k + one]
            rows = u1[left + k] * x[left + k] + u1[m + k] * x[right + k]
            q[k] = here + rows + u0[before + k] * x[before + k] + u0[m + k] * x[after + k]
    elif axes == 2:
        for k in range(one, last):
            here = d[m + k] * x[m + k] + u2[m + k - one] * x[m + k - one] + u2[m + k] * x[m + k + one]
            q[k] = here + u0[before + k] * x[before + k] + u0[m + k] * x[after + k]
    else:
        for k in range(one, last):
            q[k] = d[m + k] * x[m + k] + u2[m + k - one] * x[m + k - one] + u2[m + k] * x[m + k + one]


@njit(**INLINE)
def _inside_general(q, d, u0, u1, u2, l0, l1, l2, x, o, axes):  # type: ignore[no-untyped-def]
    """Set q to A x inside the row that starts at o[0], for any A."""
    m, before, after, left, right = o
    one, last = np.uint64(1), np.uint64(q.size - 1)
    if axes == 3:
        for k in range(one, last):
            here = d[m + k] * x[m + k] + l2[m + k] * x[m + k - one] + u2[m + k] * x[m + k + one]
            rows = l1[m + k] * x[left + k] + u1[m + k] * x[right + k]
            q[k] = here + rows + l0[m + k] * x[before + k] + u0[m + k] * x[after + k]
    elif axes == 2:
        for k in range(one, last):
            here = d[m + k] * x[m + k] + l2[m + k] * x[m + k - one] + u2[m + k] * x[m + k + one]
            q[k] = here + l0[m + k] * x[before + k] + u0[m + k] * x[after + k]
    else:
        for k in range(one, last):
            q[k] = d[m + k] * x[m + k] + l2[m + k] * x[m + k - one] + u2[m + k] * x[m + k + one]


@njit(**INLINE)
def _product(q, x, i, j, planes, rows, d, u0, u1, u2, l0, l1, l2, axes, symmetric):  # type: ignore[no-untyped-def]
    """Set q = (A x) on row (i, j) and return where the row starts."""
    one, n = np.uint64(1), np.uint64(q.size)
    m = np.uint64(i * rows + j) * n
    before = np.uint64((i - 1 if i > 0 else planes - 1) * rows + j) * n
    after = np.uint64((i + 1 if i + 1 < planes else 0) * rows + j) * n
    left = np.uint64(i * rows + (j - 1 if j > 0 else rows - 1)) * n
    right = np.uint64(i * rows + (j + 1 if j + 1 < rows else 0)) * n
    o = (m, before, after, left, right)
    if symmetric:
        _inside_symmetric(q, d, u0, u1, u2, x, o, axes)
    else:
        _inside_general(q, d, u0, u1, u2, l0, l1, l2, x, o, axes)
    for k in (np.uint64(0), n - one):
        west, east = (k - one if k > 0 else n - one), (k + one if k + one < n else np.uint64(0))
        value = d[m + k] * x[m + k] + (u2[m + west] if symmetric else l2[m + k]) * x[m + west] + u2[m + k] * x[m + east]
        if axes > 1:
            low = u0[before + k] if symmetric else l0[m + k]
            value += low * x[before + k] + u0[m + k] * x[after + k]
        if axes > 2:
            low = u1[left + k] if symmetric else l1[m + k]
            value += low * x[left + k] + u1[m + k] * x[right + k]
        q[k] = value
    return m


@njit(**INLINE)
def _subtract(out, b, q, m):  # type: ignore[no-untyped-def]
    """Set out = b - q on the row that starts at m; return its square, taken before rounding to out's precision."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        difference = b[m + k] - q[k]
        out[m + k] = difference
        total += difference * difference
    return total


@njit(**INLINE)
def _dot(p, q, m):  # type: ignore[no-untyped-def]
    """Return p . q of the row that starts at m."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        total += p[m + k] * q[k]
    return total


@njit(**INLINE)
def _step(x, r, p, q, alpha, m):  # type: ignore[no-untyped-def]
    """Set x += alpha p, r -= alpha q on the row that starts at m and return r . r."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        value = r[m + k] - alpha * q[k]
        x[m + k] += alpha * p[m + k]
        r[m + k] = value
        total += value * value
    return total


@njit([f"void({_C64}, {_X64}, {_X64}, intp, intp)", f"void({_C32}, {_X32}, {_X32}, intp, intp)"], **OPTIONS)
def apply(planes, rows, n, d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    q = np.empty(n, x.dtype)
    for i in range(lo, hi):
        for j in range(rows):
            m = _product(q, x, i, j, planes, rows, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            for k in range(np.uint64(q.size)):
                out[m + k] = q[k]


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
            m = _product(q, x, i, j, planes, rows, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _subtract(out, b, q, m)
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
            m = _product(q, x, i, j, planes, rows, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _subtract(r, b, q, m)
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
            m = _product(q, p, i, j, planes, rows, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _dot(p, q, m)
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
            m = _product(q, p, i, j, planes, rows, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _step(x, r, p, q, alpha, m)
    return total
