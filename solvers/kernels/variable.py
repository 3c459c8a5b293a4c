"""Fused passes of stencils whose coefficients vary from node to node.

Arrays are (planes, rows, n), contiguous; a 2-D grid is (planes, 1, n), a 1-D grid (1, 1, n). The operator comes as its
diagonal, three upper and three lower coupling arrays (those of absent axes are ignored), the number of axes and
whether it is symmetric: then `lower` is ignored too and the coupling below a node is the upper one of its neighbour.
Indices always wrap: where an axis is not periodic, the coupling across the end is zero.

The passes that change the vector that A is applied to (`direction`, `correct`) update one plane ahead of the product.
A range shorter than the grid expects its first and its last plane updated: then ranges run side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import OPTIONS, add, combine, dot, step, subtract

_X64, _X32 = "float64[:,:,::1]", "float32[:,:,::1]"
_C64 = ", ".join([_X64] * 7) + ", intp, boolean"
_C32 = _C64.replace("64", "32")


@njit(**OPTIONS)
def _along(q, diag, x, up, low, symmetric):  # type: ignore[no-untyped-def]
    """Set q to the product of the diagonal and the couplings along the row."""
    n = x.size
    if n > 2:
        before = up[:-2] if symmetric else low[1:-1]
        q_, diag_, here, west, east, after = q[1:-1], diag[1:-1], x[1:-1], x[:-2], x[2:], up[1:-1]
        for k in range(q_.size):
            q_[k] = diag_[k] * here[k] + before[k] * west[k] + after[k] * east[k]
    for k in (0, n - 1):
        back, ahead = k - 1 if k > 0 else n - 1, k + 1 if k + 1 < n else 0
        q[k] = diag[k] * x[k] + (up[back] if symmetric else low[k]) * x[back] + up[k] * x[ahead]


@njit(**OPTIONS)
def _across(q, up, after, low, before):  # type: ignore[no-untyped-def]
    """Add the couplings to the two neighbouring rows of another axis."""
    for k in range(q.size):
        q[k] += up[k] * after[k] + low[k] * before[k]


@njit(**OPTIONS)
def _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric):  # type: ignore[no-untyped-def]
    """Set q = (A x) on row (i, j)."""
    planes, rows, _ = x.shape
    _along(q, d[i, j], x[i, j], u2[i, j], l2[i, j], symmetric)
    if axes > 1:
        back, ahead = i - 1 if i > 0 else planes - 1, i + 1 if i + 1 < planes else 0
        _across(q, u0[i, j], x[ahead, j], u0[back, j] if symmetric else l0[i, j], x[back, j])
    if axes > 2:
        back, ahead = j - 1 if j > 0 else rows - 1, j + 1 if j + 1 < rows else 0
        _across(q, u1[i, j], x[i, ahead], u1[i, back] if symmetric else l1[i, j], x[i, back])


@njit([f"void({_C64}, {_X64}, {_X64}, intp, intp)", f"void({_C32}, {_X32}, {_X32}, intp, intp)"], **OPTIONS)
def apply(d, u0, u1, u2, l0, l1, l2, axes, symmetric, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            _product(out[i, j], x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)


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
    q, total = np.empty(x.shape[2], x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += subtract(out[i, j], b[i, j], q)
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
    planes, rows, n = x.shape
    q, total = np.empty(n, x.dtype), 0.0
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            for j in range(rows):
                add(x[i, j], z[i, j])
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                add(x[i + 1, j], z[i + 1, j])
            _product(q, x, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += subtract(r[i, j], b[i, j], q)
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
    planes, rows, n = p.shape
    q, total = np.empty(n, p.dtype), 0.0
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            for j in range(rows):
                combine(p[i, j], r[i, j], beta)
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                combine(p[i + 1, j], r[i + 1, j], beta)
            _product(q, p, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += dot(p[i, j], q)
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
    q, total = np.empty(x.shape[2], x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            _product(q, p, i, j, d, u0, u1, u2, l0, l1, l2, axes, symmetric)
            total += step(x[i, j], r[i, j], p[i, j], q, alpha)
    return total
