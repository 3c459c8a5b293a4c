"""Fused passes of operators whose coefficients are one-dimensional: A = W (T_0 + T_1 + T_2).

Vectors are flat over (planes, rows, n); a 2-D grid is (planes, 1, n), a 1-D grid (1, 1, n). Each axis comes as a
(4, size) array: lower, diagonal, upper and weight. Indices always wrap: where an axis is not periodic, the coupling
across the end is zero. `even` says that the last axis has the same coefficients everywhere but at its two ends.

The passes that change the vector that A is applied to (`direction`, `correct`) update one plane ahead of the product.
A range shorter than the grid expects its first and its last plane updated: then ranges run side by side.

Indices are unsigned: a signed index may wrap around to the end of an array, and that test keeps a loop from becoming
SIMD code; slices would avoid the test too, but cost some 40 ns a row in reference counts.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE, OPTIONS, add, combine

_X64, _X32 = "float64[::1]", "float32[::1]"
_C64 = "float64[:,::1], float64[:,::1], float64[:,::1], boolean"
_C32 = _C64.replace("64", "32")


@njit(**INLINE)
def _rows(i, j, c0, c1, c2):  # type: ignore[no-untyped-def]
    """First indices of row (i, j) and of the rows before, after, left and right of it."""
    planes, rows, n = c0.shape[1], c1.shape[1], c2.shape[1]
    before, after = (i - 1 if i > 0 else planes - 1), (i + 1 if i + 1 < planes else 0)
    left, right = (j - 1 if j > 0 else rows - 1), (j + 1 if j + 1 < rows else 0)
    return (
        np.uint64((i * rows + j) * n),
        np.uint64((before * rows + j) * n),
        np.uint64((after * rows + j) * n),
        np.uint64((i * rows + left) * n),
        np.uint64((i * rows + right) * n),
    )


@njit(**INLINE)
def _couplings(i, j, c0, c1):  # type: ignore[no-untyped-def]
    """Weight, diagonal and the four couplings of row (i, j) across the rows."""
    w = c0[3, i] * c1[3, j]
    return w, w * (c0[1, i] + c1[1, j]), w * c0[0, i], w * c0[2, i], w * c1[0, j], w * c1[2, j]


@njit(**INLINE)
def _inside(a, c2, rows):  # type: ignore[no-untyped-def]
    """Coefficients away from the ends of an even row: centre, before, after, left, right, west, east."""
    k = min(1, c2.shape[1] - 1)
    w, s, before, after, left, right = a
    v = c2[3, k]
    centre = v * (s + w * c2[1, k])
    if rows == 1:  # the five-point formula leaves out left and right: a periodic axis of one node couples to itself
        centre += v * (left + right)
    return centre, v * before, v * after, v * left, v * right, v * w * c2[0, k], v * w * c2[2, k]


@njit(**INLINE)
def _five(x, k, o, e):  # type: ignore[no-untyped-def]
    """(A x) at point k inside an even row of a 2-D grid."""
    m = o[0] + k
    across = e[1] * x[o[1] + k] + e[2] * x[o[2] + k]
    return e[0] * x[m] + across + e[5] * x[m - np.uint64(1)] + e[6] * x[m + np.uint64(1)]


@njit(**INLINE)
def _seven(x, k, o, e):  # type: ignore[no-untyped-def]
    """(A x) at point k inside an even row of a 3-D grid."""
    m = o[0] + k
    across = e[1] * x[o[1] + k] + e[2] * x[o[2] + k] + e[3] * x[o[3] + k] + e[4] * x[o[4] + k]
    return e[0] * x[m] + across + e[5] * x[m - np.uint64(1)] + e[6] * x[m + np.uint64(1)]


@njit(**INLINE)
def _uneven(x, k, o, a, c2):  # type: ignore[no-untyped-def]
    """(A x) at point k inside any row."""
    m = o[0] + k
    across = a[2] * x[o[1] + k] + a[3] * x[o[2] + k] + a[4] * x[o[3] + k] + a[5] * x[o[4] + k]
    along = c2[1, k] * x[m] + c2[0, k] * x[m - np.uint64(1)] + c2[2, k] * x[m + np.uint64(1)]
    return c2[3, k] * (a[1] * x[m] + a[0] * along + across)


@njit(**INLINE)
def _end(x, k, o, a, c2):  # type: ignore[no-untyped-def]
    """(A x) at the first or the last point of a row, k = 0 or n - 1."""
    n = np.uint64(c2.shape[1])
    west = k - np.uint64(1) if k > 0 else n - np.uint64(1)
    east = k + np.uint64(1) if k + np.uint64(1) < n else np.uint64(0)
    m = o[0]
    across = a[2] * x[o[1] + k] + a[3] * x[o[2] + k] + a[4] * x[o[3] + k] + a[5] * x[o[4] + k]
    along = c2[1, k] * x[m + k] + c2[0, k] * x[m + west] + c2[2, k] * x[m + east]
    return c2[3, k] * (a[1] * x[m + k] + a[0] * along + across)


@njit(**INLINE)
def _product(out, m, x, o, a, c1, c2, even):  # type: ignore[no-untyped-def]
    """Set out[m:] = A x on one row."""
    one, last = np.uint64(1), np.uint64(c2.shape[1] - 1)
    e = _inside(a, c2, c1.shape[1])
    if even and c1.shape[1] == 1:
        for k in range(one, last):
            out[m + k] = _five(x, k, o, e)
    elif even:
        for k in range(one, last):
            out[m + k] = _seven(x, k, o, e)
    else:
        for k in range(one, last):
            out[m + k] = _uneven(x, k, o, a, c2)
    out[m] = _end(x, np.uint64(0), o, a, c2)
    out[m + last] = _end(x, last, o, a, c2)


@njit(**INLINE)
def _subtract(out, k, b, q):  # type: ignore[no-untyped-def]
    """Set out[k] = b[k] - q; return its square, taken before rounding to out's precision."""
    difference = b[k] - q
    out[k] = difference
    return difference * difference


@njit(**INLINE)
def _residual(out, b, x, o, a, c1, c2, even):  # type: ignore[no-untyped-def]
    """Set out = b - A x on one row and return its square."""
    one, last, m = np.uint64(1), np.uint64(c2.shape[1] - 1), o[0]
    e, total = _inside(a, c2, c1.shape[1]), x.dtype.type(0)
    if even and c1.shape[1] == 1:
        for k in range(one, last):
            total += _subtract(out, m + k, b, _five(x, k, o, e))
    elif even:
        for k in range(one, last):
            total += _subtract(out, m + k, b, _seven(x, k, o, e))
    else:
        for k in range(one, last):
            total += _subtract(out, m + k, b, _uneven(x, k, o, a, c2))
    total += _subtract(out, m, b, _end(x, np.uint64(0), o, a, c2))
    if last > 0:
        total += _subtract(out, m + last, b, _end(x, last, o, a, c2))
    return total


@njit(**INLINE)
def _energy(p, o, a, c1, c2, even):  # type: ignore[no-untyped-def]
    """Return p . A p of one row."""
    one, last, m = np.uint64(1), np.uint64(c2.shape[1] - 1), o[0]
    e, total = _inside(a, c2, c1.shape[1]), p.dtype.type(0)
    if even and c1.shape[1] == 1:
        for k in range(one, last):
            total += p[m + k] * _five(p, k, o, e)
    elif even:
        for k in range(one, last):
            total += p[m + k] * _seven(p, k, o, e)
    else:
        for k in range(one, last):
            total += p[m + k] * _uneven(p, k, o, a, c2)
    total += p[m] * _end(p, np.uint64(0), o, a, c2)
    if last > 0:
        total += p[m + last] * _end(p, last, o, a, c2)
    return total


@njit(**INLINE)
def _step(x, r, p, m, alpha, q):  # type: ignore[no-untyped-def]
    """Set x += alpha p, r -= alpha q at one point and return r^2."""
    value = r[m] - alpha * q
    x[m] += alpha * p[m]
    r[m] = value
    return value * value


@njit(**INLINE)
def _update(x, r, p, alpha, o, a, c1, c2, even):  # type: ignore[no-untyped-def]
    """Set x += alpha p, r -= alpha A p on one row and return r . r."""
    one, last, m = np.uint64(1), np.uint64(c2.shape[1] - 1), o[0]
    e, total = _inside(a, c2, c1.shape[1]), x.dtype.type(0)
    if even and c1.shape[1] == 1:
        for k in range(one, last):
            total += _step(x, r, p, m + k, alpha, _five(p, k, o, e))
    elif even:
        for k in range(one, last):
            total += _step(x, r, p, m + k, alpha, _seven(p, k, o, e))
    else:
        for k in range(one, last):
            total += _step(x, r, p, m + k, alpha, _uneven(p, k, o, a, c2))
    total += _step(x, r, p, m, alpha, _end(p, np.uint64(0), o, a, c2))
    if last > 0:
        total += _step(x, r, p, m + last, alpha, _end(p, last, o, a, c2))
    return total


@njit([f"void({_C64}, {_X64}, {_X64}, intp, intp)", f"void({_C32}, {_X32}, {_X32}, intp, intp)"], **OPTIONS)
def apply(c0, c1, c2, even, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = A x on planes lo to hi."""
    for i in range(lo, hi):
        for j in range(c1.shape[1]):
            o = _rows(i, j, c0, c1, c2)
            _product(out, o[0], x, o, _couplings(i, j, c0, c1), c1, c2, even)


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def residual(c0, c1, c2, even, b, x, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = b - A x on planes lo to hi and return its square."""
    total = 0.0
    for i in range(lo, hi):
        for j in range(c1.shape[1]):
            total += _residual(out, b, x, _rows(i, j, c0, c1, c2), _couplings(i, j, c0, c1), c1, c2, even)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, {_X64}, intp, intp)",
        f"float64({_C64}, {_X64}, {_X32}, {_X64}, {_X32}, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, {_X32}, intp, intp)",
    ],
    **OPTIONS,
)
def correct(c0, c1, c2, even, x, z, b, r, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += z, then r = b - A x, on planes lo to hi; return the square of r."""
    planes, rows, n = c0.shape[1], c1.shape[1], c2.shape[1]
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            add(x, z, i * rows * n, (i + 1) * rows * n)
    total = 0.0
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                ahead = (i + 1) * rows + j
                add(x, z, ahead * n, (ahead + 1) * n)
            total += _residual(r, b, x, _rows(i, j, c0, c1, c2), _couplings(i, j, c0, c1), c1, c2, even)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def direction(c0, c1, c2, even, r, p, beta, lo, hi):  # type: ignore[no-untyped-def]
    """Set p = r + beta p on planes lo to hi and return p . A p of them."""
    planes, rows, n = c0.shape[1], c1.shape[1], c2.shape[1]
    if hi - lo == planes:
        for i in range(0, planes, max(1, planes - 1)):
            combine(p, r, beta, i * rows * n, (i + 1) * rows * n)
    total = 0.0
    for i in range(lo, hi):
        for j in range(rows):
            if i + 1 < hi - 1:
                ahead = (i + 1) * rows + j
                combine(p, r, beta, ahead * n, (ahead + 1) * n)
            total += _energy(p, _rows(i, j, c0, c1, c2), _couplings(i, j, c0, c1), c1, c2, even)
    return total


@njit(
    [
        f"float64({_C64}, {_X64}, {_X64}, {_X64}, float64, intp, intp)",
        f"float64({_C32}, {_X32}, {_X32}, {_X32}, float32, intp, intp)",
    ],
    **OPTIONS,
)
def update(c0, c1, c2, even, x, r, p, alpha, lo, hi):  # type: ignore[no-untyped-def]
    """Set x += alpha p and r -= alpha A p on planes lo to hi; return r . r of them."""
    total = 0.0
    for i in range(lo, hi):
        for j in range(c1.shape[1]):
            total += _update(x, r, p, alpha, _rows(i, j, c0, c1, c2), _couplings(i, j, c0, c1), c1, c2, even)
    return total
