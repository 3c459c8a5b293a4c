"""Fused passes of stencils whose coefficients vary from node to node.

Vectors are flat over (planes, rows, n); a 2-D grid is (planes, 1, n), a 1-D grid (1, 1, n). The operator comes as its
diagonal, three upper and three lower coupling arrays of that shape (those of absent axes are ignored), the number of
axes and whether it is symmetric: then `lower` is ignored too and the coupling below a node is the upper one of its
neighbour. Indices always wrap: where an axis is not periodic, the coupling across the end is zero.

The passes that change the vector that A is applied to (`direction`, `correct`) update one plane ahead of the product.
A range shorter than the grid expects its first and its last plane updated: then ranges run side by side.

A row of A x is built in a buffer that stays in the nearest cache, axis by axis: the traffic to memory is the same as
if it were one loop, and one set of loops serves one to three axes. Indices are unsigned (see kernels/rows.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import OPTIONS, add, combine

_X64, _X32 = "float64[::1]", "float32[::1]"
_C64 = "float64[:,:,::1], " + ", ".join(["float64[::1]"] * 6) + ", intp, boolean"
_C32 = _C64.replace("64", "32")


@njit(**OPTIONS)
def _along(q, d, u, l, x, m, symmetric):  # type: ignore[no-untyped-def]  # noqa: E741
    """Set q to the product of the diagonal and the couplings along the row that starts at m."""
    one, n = np.uint64(1), np.uint64(q.size)
    if symmetric:
        for k in range(one, n - one):
            q[k] = d[m + k] * x[m + k] + u[m + k - one] * x[m + k - one] + u[m + k] * x[m + k + one]
    else:
        for k in range(one, n - one):
            q[k] = d[m + k] * x[m + k] + l[m + k] * x[m + k - one] + u[m + k] * x[m + k + one]
    for end in range(0, q.size, max(1, q.size - 1)):
        k = np.uint64(end)
        west, east = (k - one if k > 0 else n - one), (k + one if k + one < n else np.uint64(0))
        low = u[m + west] if symmetric else l[m + k]
        q[k] = d[m + k] * x[m + k] + low * x[m + west] + u[m + k] * x[m + east]


@njit(**OPTIONS)
def _across(q, u, l, x, m, before, after, below):  # type: ignore[no-untyped-def]  # noqa: E741
    """Add the couplings to the rows that start at `before` and `after`; the lower ones start at `below` in l."""
    for k in range(np.uint64(q.size)):
        q[k] += u[m + k] * x[after + k] + l[below + k] * x[before + k]


@njit(**OPTIONS)
def _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric):  # type: ignore[no-untyped-def]
    """Set q = (A x) on row (i, j) and return where the row starts."""
    planes, rows, n = d.shape
    m = np.uint64((i * rows + j) * n)
    _along(q, d.ravel(), u2, l2, x, m, symmetric)
    if axes > 1:
        before = np.uint64(((i - 1 if i > 0 else planes - 1) * rows + j) * n)
        after = np.uint64(((i + 1 if i + 1 < planes else 0) * rows + j) * n)
        _across(q, u0, u0 if symmetric else l0, x, m, before, after, before if symmetric else m)
    if axes > 2:
        before = np.uint64((i * rows + (j - 1 if j > 0 else rows - 1)) * n)
        after = np.uint64((i * rows + (j + 1 if j + 1 < rows else 0)) * n)
        _across(q, u1, u1 if symmetric else l1, x, m, before, after, before if symmetric else m)
    return m


@njit(**OPTIONS)
def _subtract(out, b, q, m):  # type: ignore[no-untyped-def]
    """Set out = b - q on the row that starts at m; return its square, taken before rounding to out's precision."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        difference = b[m + k] - q[k]
        out[m + k] = difference
        total += difference * difference
    return total


@njit(**OPTIONS)
def _dot(p, q, m):  # type: ignore[no-untyped-def]
    """Return p . q of the row that starts at m."""
    total = q.dtype.type(0)
    for k in range(np.uint64(q.size)):
        total += p[m + k] * q[k]
    return total


@njit(**OPTIONS)
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
def apply(d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    q = np.empty(d.shape[2], x.dtype)
    for i in range(lo, hi):
        for j in range(d.shape[1]):
            m = _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
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
def residual(d, u0, u1, u2, l0, l1, l2, axes, symmetric, b, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = b - A x on planes lo to hi and return its square."""
    q, total = np.empty(d.shape[2], x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(d.shape[1]):
            m = _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
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
def correct(d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, z, b, r, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += z, then r = b - A x, on planes lo to hi; return the square of r."""
    planes, rows, n = d.shape
    q, total = np.empty(n, x.dtype), 0.0
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            add(x, z, i * rows * n, (i + 1) * rows * n)
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                ahead = (i + 1) * rows + j
                add(x, z, ahead * n, (ahead + 1) * n)
            m = _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _subtract(r, b, q, m)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def direction(d, u0, u1, u2, l0, l1, l2, axes, symmetric, r, p, beta, lo, hi):  # type: ignore[no-untyped-def]
    """Set p = r + beta p on planes lo to hi and return p . A p of them."""
    planes, rows, n = d.shape
    q, total = np.empty(n, p.dtype), 0.0
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            combine(p, r, beta, i * rows * n, (i + 1) * rows * n)
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                ahead = (i + 1) * rows + j
                combine(p, r, beta, ahead * n, (ahead + 1) * n)
            m = _product(q, p, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _dot(p, q, m)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def update(d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, r, p, alpha, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += alpha p and r -= alpha A p on planes lo to hi; return r . r of them."""
    q, total = np.empty(d.shape[2], x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(d.shape[1]):
            m = _product(q, p, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += _step(x, r, p, q, alpha, m)
    return total
