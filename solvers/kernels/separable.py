"""Fused passes of operators whose coefficients are one-dimensional: A = W (T_0 + T_1 + T_2).

Arrays are (planes, rows, n), contiguous; a 2-D grid is (planes, 1, n), a 1-D grid (1, 1, n). Each axis comes as a
(4, size) array: lower, diagonal, upper and weight. Indices always wrap: where an axis is not periodic, the coupling
across the end is zero. `uniform` says that the last axis has the same coefficients everywhere but at its two ends.

The passes that change the vector that A is applied to (`direction`, `correct`) update one plane ahead of the product.
A range shorter than the grid expects its first and its last plane updated: then ranges run side by side.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import OPTIONS, add, combine, dot, step, subtract

_X64, _X32 = "float64[:,:,::1]", "float32[:,:,::1]"
_C64 = "float64[:,::1], float64[:,::1], float64[:,::1], boolean"
_C32 = _C64.replace("64", "32")


@njit(**OPTIONS)
def _bulk2(q, x, before, after, c, cm, cp, low, up):  # type: ignore[no-untyped-def]
    """Five-point product with constant coefficients, inside of one row."""
    q, here, west, east, before, after = q[1:-1], x[1:-1], x[:-2], x[2:], before[1:-1], after[1:-1]
    for k in range(q.size):
        q[k] = c * here[k] + cm * before[k] + cp * after[k] + low * west[k] + up * east[k]


@njit(**OPTIONS)
def _bulk3(q, x, before, after, left, right, c, cm, cp, bm, bp, low, up):  # type: ignore[no-untyped-def]
    """Seven-point product with constant coefficients, inside of one row."""
    q, here, west, east = q[1:-1], x[1:-1], x[:-2], x[2:]
    before, after, left, right = before[1:-1], after[1:-1], left[1:-1], right[1:-1]
    for k in range(q.size):
        planes = cm * before[k] + cp * after[k] + bm * left[k] + bp * right[k]
        q[k] = c * here[k] + low * west[k] + up * east[k] + planes


@njit(**OPTIONS)
def _bulk(q, x, before, after, left, right, s, cm, cp, bm, bp, weight, c2):  # type: ignore[no-untyped-def]
    """Seven-point product with coefficients that vary along the row."""
    q, here, west, east = q[1:-1], x[1:-1], x[:-2], x[2:]
    before, after, left, right = before[1:-1], after[1:-1], left[1:-1], right[1:-1]
    low, diag, up, w = c2[0, 1:-1], c2[1, 1:-1], c2[2, 1:-1], c2[3, 1:-1]
    for k in range(q.size):
        planes = cm * before[k] + cp * after[k] + bm * left[k] + bp * right[k]
        q[k] = w[k] * (weight * ((s + diag[k]) * here[k] + low[k] * west[k] + up[k] * east[k]) + planes)


@njit(**OPTIONS)
def _product(q, x, i, j, c0, c1, c2, uniform):  # type: ignore[no-untyped-def]
    """Set q = (A x) on row (i, j)."""
    planes, rows, n = x.shape
    here = x[i, j]
    before, after = x[i - 1 if i > 0 else planes - 1, j], x[i + 1 if i + 1 < planes else 0, j]
    left, right = x[i, j - 1 if j > 0 else rows - 1], x[i, j + 1 if j + 1 < rows else 0]
    weight, s = c0[3, i] * c1[3, j], c0[1, i] + c1[1, j]
    cm, cp, bm, bp = weight * c0[0, i], weight * c0[2, i], weight * c1[0, j], weight * c1[2, j]
    if n > 2:
        if uniform:
            w = c2[3, 1]
            c, low, up = w * weight * (s + c2[1, 1]), w * weight * c2[0, 1], w * weight * c2[2, 1]
            if rows == 1:
                _bulk2(q, here, before, after, c + w * (bm + bp), w * cm, w * cp, low, up)
            else:
                _bulk3(q, here, before, after, left, right, c, w * cm, w * cp, w * bm, w * bp, low, up)
        else:
            _bulk(q, here, before, after, left, right, s, cm, cp, bm, bp, weight, c2)
    for k in (0, n - 1):
        row = c2[0, k] * here[k - 1 if k > 0 else n - 1] + c2[2, k] * here[k + 1 if k + 1 < n else 0]
        other = cm * before[k] + cp * after[k] + bm * left[k] + bp * right[k]
        q[k] = c2[3, k] * (weight * ((s + c2[1, k]) * here[k] + row) + other)


@njit([f"void({_C64}, {_X64}, {_X64}, intp, intp)", f"void({_C32}, {_X32}, {_X32}, intp, intp)"], **OPTIONS)
def apply(c0, c1, c2, uniform, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            _product(out[i, j], x, i, j, c0, c1, c2, uniform)


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def residual(c0, c1, c2, uniform, b, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = b - A x on planes lo to hi and return its square."""
    q, total = np.empty(x.shape[2], x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            _product(q, x, i, j, c0, c1, c2, uniform)
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
def correct(c0, c1, c2, uniform, x, z, b, r, lo, hi):  # type: ignore[no-untyped-def]
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
            _product(q, x, i, j, c0, c1, c2, uniform)
            total += subtract(r[i, j], b[i, j], q)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def direction(c0, c1, c2, uniform, r, p, beta, lo, hi):  # type: ignore[no-untyped-def]
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
            _product(q, p, i, j, c0, c1, c2, uniform)
            total += dot(p[i, j], q)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def update(c0, c1, c2, uniform, x, r, p, alpha, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += alpha p and r -= alpha A p on planes lo to hi; return r . r of them."""
    q, total = np.empty(x.shape[2], x.dtype), 0.0
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            _product(q, p, i, j, c0, c1, c2, uniform)
            total += step(x[i, j], r[i, j], p[i, j], q, alpha)
    return total
