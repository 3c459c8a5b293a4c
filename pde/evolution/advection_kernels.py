"""Semi-Lagrangian transport on a staggered grid, in place on raw arrays.

All arrays have three axes; a 2-D grid is (planes, 1, n). Positions are in cells: cell (i, j, k) has its centre at
(i + 1/2, j + 1/2, k + 1/2), and the value [i, j, k] of a field stands at (i + o0, j + o1, k + o2): 1/2 along every
axis for cell values, 0 along its own axis for a velocity component. `c` are dt / h along each axis, negative ones
trace forward in time. A period of 0 ends an axis with a wall: what lies beyond is the value at the wall.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE, OPTIONS

_FIELD = "float64[:, :, ::1]"
_NUMBERS = ", ".join(["float64"] * 6)
_PATH = f"{_FIELD}, {_FIELD}, {_FIELD}, {_NUMBERS}, intp, intp, intp"


@njit(**INLINE)
def _place(x, size, period):  # type: ignore[no-untyped-def]
    """Indices of the two values around x, and the weight of the second."""
    if period > 0:
        x -= np.floor(x / period) * period
        i = min(int(x), period - 1)
        j = i + 1 if i + 1 < size else 0
    else:
        x = min(max(x, 0.0), size - 1.0)
        i = max(min(int(x), size - 2), 0)
        j = min(i + 1, size - 1)
    return np.uint64(i), np.uint64(j), x - i


@njit(**INLINE)
def _sample(f, x, y, z, p0, p1, p2):  # type: ignore[no-untyped-def]
    """Interpolate f linearly along every axis; a combination of its values with weights from 0 to 1."""
    i, ii, s = _place(x, f.shape[0], p0)
    k, kk, w = _place(z, f.shape[2], p2)
    if f.shape[1] == 1:
        zero = np.uint64(0)
        near = (1.0 - w) * f[i, zero, k] + w * f[i, zero, kk]
        far = (1.0 - w) * f[ii, zero, k] + w * f[ii, zero, kk]
        return (1.0 - s) * near + s * far
    j, jj, t = _place(y, f.shape[1], p1)
    near = (1.0 - t) * ((1.0 - w) * f[i, j, k] + w * f[i, j, kk]) + t * ((1.0 - w) * f[i, jj, k] + w * f[i, jj, kk])
    far = (1.0 - t) * ((1.0 - w) * f[ii, j, k] + w * f[ii, j, kk]) + t * ((1.0 - w) * f[ii, jj, k] + w * f[ii, jj, kk])
    return (1.0 - s) * near + s * far


@njit(**INLINE)
def _velocity(u0, u1, u2, x, y, z, p0, p1, p2):  # type: ignore[no-untyped-def]
    """Velocity at a position."""
    a = _sample(u0, x, y - 0.5, z - 0.5, p0, p1, p2)
    b = _sample(u1, x - 0.5, y, z - 0.5, p0, p1, p2) if u0.shape[1] > 1 else 0.0
    c = _sample(u2, x - 0.5, y - 0.5, z, p0, p1, p2)
    return a, b, c


@njit(f"void({_PATH}, {_FIELD}, {_FIELD}, {_FIELD}, intp, intp)", **OPTIONS)
def trace(u0, u1, u2, o0, o1, o2, c0, c1, c2, p0, p1, p2, x, y, z, lo, hi):  # type: ignore[no-untyped-def]
    """Set (x, y, z) to where the paths began that arrive at the values of planes lo to hi, in indices of these values.

    The path is followed by the midpoint rule, backward in time. Without a second axis y is not set.
    """
    deep = x.shape[1] > 1
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            for k in range(x.shape[2]):
                s, t, w = i + o0, j + o1, k + o2
                a, b, c = _velocity(u0, u1, u2, s, t, w, p0, p1, p2)
                a, b, c = _velocity(u0, u1, u2, s - 0.5 * c0 * a, t - 0.5 * c1 * b, w - 0.5 * c2 * c, p0, p1, p2)
                x[i, j, k] = s - c0 * a - o0
                z[i, j, k] = w - c2 * c - o2
                if deep:
                    y[i, j, k] = t - c1 * b - o1


@njit(f"void({_FIELD}, {_FIELD}, {_FIELD}, {_FIELD}, intp, intp, intp, {_FIELD}, intp, intp)", **OPTIONS)
def interpolate(f, x, y, z, p0, p1, p2, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out = f at the places (x, y, z), on planes lo to hi."""
    deep = f.shape[1] > 1
    for i in range(lo, hi):
        for j in range(f.shape[1]):
            for k in range(f.shape[2]):
                out[i, j, k] = _sample(f, x[i, j, k], y[i, j, k] if deep else 0.0, z[i, j, k], p0, p1, p2)


@njit(f"void({_FIELD}, {_FIELD}, {_FIELD}, {_FIELD}, {_FIELD}, intp, intp, intp, {_FIELD}, intp, intp)", **OPTIONS)
def correct(f, back, x, y, z, p0, p1, p2, out, lo, hi):  # type: ignore[no-untyped-def]
    """Set out += (f - back) / 2, kept between the smallest and the largest of the values of f around (x, y, z)."""
    deep = f.shape[1] > 1
    for i in range(lo, hi):
        for j in range(f.shape[1]):
            for k in range(f.shape[2]):
                a, aa, _ = _place(x[i, j, k], f.shape[0], p0)
                b, bb, _ = _place(y[i, j, k] if deep else 0.0, f.shape[1], p1)
                c, cc, _ = _place(z[i, j, k], f.shape[2], p2)
                low = min(min(f[a, b, c], f[a, b, cc]), min(f[aa, b, c], f[aa, b, cc]))
                high = max(max(f[a, b, c], f[a, b, cc]), max(f[aa, b, c], f[aa, b, cc]))
                if deep:
                    low = min(low, min(min(f[a, bb, c], f[a, bb, cc]), min(f[aa, bb, c], f[aa, bb, cc])))
                    high = max(high, max(max(f[a, bb, c], f[a, bb, cc]), max(f[aa, bb, c], f[aa, bb, cc])))
                value = out[i, j, k] + 0.5 * (f[i, j, k] - back[i, j, k])
                out[i, j, k] = min(max(value, low), high)
