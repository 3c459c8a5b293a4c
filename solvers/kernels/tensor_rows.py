"""Row operations on separable grids whose rows are stored as two halves: even columns, then odd columns.

In a red-black sweep every read and write of a half row has unit stride, which a masked or strided row has not.
Rows are given by the array that holds them and their first place. Unsigned indices are what makes these loops vector
code: a signed one would be tested for wrapping around, and a slice a row costs more than a short row itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

FAST = {"reassoc", "contract", "nsz", "arcp"}  # fastmath=True would drop NaN
INLINE: dict[str, Any] = {"fastmath": FAST, "forceinline": True}
U = np.uint64
ONE, TWO = U(1), U(2)


@njit(**INLINE)
def star7(w, out, b, left, north, south, front, back, size, inv, a, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """out = inv (b - a (left + right) - c0 north - c1 south - c2 front - c3 back), right being left's next place."""
    o, b, x, n, s, f, k = U(out), U(b), U(left), U(north), U(south), U(front), U(back)
    a, c0, c1, c2, c3 = a * inv, c0 * inv, c1 * inv, c2 * inv, c3 * inv
    for i in range(U(size)):
        near = inv * w[b + i] - a * (w[x + i] + w[x + i + ONE])
        w[o + i] = near - c0 * w[n + i] - c1 * w[s + i] - c2 * w[f + i] - c3 * w[k + i]


@njit(**INLINE)
def star5(w, out, b, left, north, south, size, inv, a, c0, c1):  # type: ignore[no-untyped-def]
    """out = inv (b - a (left + right) - c0 north - c1 south)."""
    o, b, x, n, s = U(out), U(b), U(left), U(north), U(south)
    a, c0, c1 = a * inv, c0 * inv, c1 * inv
    for i in range(U(size)):
        w[o + i] = inv * w[b + i] - a * (w[x + i] + w[x + i + ONE]) - c0 * w[n + i] - c1 * w[s + i]


@njit(**INLINE)
def minus_star7(w, out, left, north, south, front, back, size, a, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """out = -(a (left + right) + c0 north + c1 south + c2 front + c3 back)."""
    o, x, n, s, f, k = U(out), U(left), U(north), U(south), U(front), U(back)
    for i in range(U(size)):
        near = a * (w[x + i] + w[x + i + ONE]) + c0 * w[n + i]
        w[o + i] = -(near + c1 * w[s + i] + c2 * w[f + i] + c3 * w[k + i])


@njit(**INLINE)
def minus_star5(w, out, left, north, south, size, a, c0, c1):  # type: ignore[no-untyped-def]
    """out = -(a (left + right) + c0 north + c1 south)."""
    o, x, n, s = U(out), U(left), U(north), U(south)
    for i in range(U(size)):
        w[o + i] = -(a * (w[x + i] + w[x + i + ONE]) + c0 * w[n + i] + c1 * w[s + i])


@njit(**INLINE)
def along(w, out, left, size, coef, lower, upper):  # type: ignore[no-untyped-def]
    """out -= lower left + upper right, the couplings varying along the row."""
    o, x, p, q = U(out), U(left), U(lower), U(upper)
    for i in range(U(size)):
        w[o + i] -= coef[p + i] * w[x + i] + coef[q + i] * w[x + i + ONE]


@njit(**INLINE)
def divide(w, out, size, coef, diagonal, more):  # type: ignore[no-untyped-def]
    """out /= diagonal + more."""
    o, d = U(out), U(diagonal)
    for i in range(U(size)):
        w[o + i] /= coef[d + i] + more


@njit(**INLINE)
def split(x, row, n, w, even, odd, a, b):  # type: ignore[no-untyped-def]
    """Even columns times a, and odd columns times b, of a row of n places of x."""
    p, e, o, half = U(row), U(even), U(odd), U(n // 2)
    for k in range(half):
        w[e + k] = a * x[p + TWO * k]
        w[o + k] = b * x[p + TWO * k + ONE]
    if n % 2 == 1:
        w[e + half] = a * x[p + TWO * half]


@njit(**INLINE)
def join(x, row, n, w, even, odd):  # type: ignore[no-untyped-def]
    """Interleave even and odd columns into a row of n places of x."""
    p, e, o, half = U(row), U(even), U(odd), U(n // 2)
    for k in range(half):
        x[p + TWO * k] = w[e + k]
        x[p + TWO * k + ONE] = w[o + k]
    if n % 2 == 1:
        x[p + TWO * half] = w[e + half]


@njit(**INLINE)
def scale(w, out, x, at, size, a):  # type: ignore[no-untyped-def]
    """out = a x."""
    o, p = U(out), U(at)
    for i in range(U(size)):
        w[o + i] = a * x[p + i]


@njit(**INLINE)
def copy(y, out, x, at, size):  # type: ignore[no-untyped-def]
    """out = x."""
    o, p = U(out), U(at)
    for i in range(U(size)):
        y[o + i] = x[p + i]


@njit(**INLINE)
def combine2(w, out, x, first, second, size, a, b):  # type: ignore[no-untyped-def]
    """out = a x[first] + b x[second]."""
    o, p, q = U(out), U(first), U(second)
    for i in range(U(size)):
        w[o + i] = a * x[p + i] + b * x[q + i]


@njit(**INLINE)
def combine4(w, out, p0, p1, p2, p3, size, a, b, c, d):  # type: ignore[no-untyped-def]
    """out = a p0 + b p1 + c p2 + d p3."""
    o, p, q, r, s = U(out), U(p0), U(p1), U(p2), U(p3)
    for i in range(U(size)):
        w[o + i] = a * w[p + i] + b * w[q + i] + c * w[r + i] + d * w[s + i]


@njit(**INLINE)
def combine5(w, out, centre, p0, p1, p2, p3, size, e, a, b, c, d):  # type: ignore[no-untyped-def]
    """out = e centre + a p0 + b p1 + c p2 + d p3."""
    o, x, p, q, r, s = U(out), U(centre), U(p0), U(p1), U(p2), U(p3)
    for i in range(U(size)):
        w[o + i] = e * w[x + i] + a * w[p + i] + b * w[q + i] + c * w[r + i] + d * w[s + i]


@njit(**INLINE)
def weigh3(y, out, w, before, centre, after, size, coef, lower, middle, upper):  # type: ignore[no-untyped-def]
    """out = lower before + middle centre + upper after, all of them rows."""
    o, p, q, r = U(out), U(before), U(centre), U(after)
    a, b, c = U(lower), U(middle), U(upper)
    for i in range(U(size)):
        y[o + i] = coef[a + i] * w[p + i] + coef[b + i] * w[q + i] + coef[c + i] * w[r + i]


@njit(**INLINE)
def interpolate(w, out, x, at, left, size, coef, p, q):  # type: ignore[no-untyped-def]
    """out = x + p left + q right, all of them rows, right being left's next place."""
    o, y, b, p, q = U(out), U(at), U(left), U(p), U(q)
    for i in range(U(size)):
        w[o + i] = x[y + i] + coef[p + i] * w[b + i] + coef[q + i] * w[b + i + ONE]


@njit(**INLINE)
def plus(w, out, x, at, y, second, size):  # type: ignore[no-untyped-def]
    """out = x + y."""
    o, p, q = U(out), U(at), U(second)
    for i in range(U(size)):
        w[o + i] = x[p + i] + y[q + i]


@njit(**INLINE)
def plus2(w, out, x, at, y, first, second, size, a, b):  # type: ignore[no-untyped-def]
    """out = x + a y[first] + b y[second]."""
    o, p, q, r = U(out), U(at), U(first), U(second)
    for i in range(U(size)):
        w[o + i] = x[p + i] + a * y[q + i] + b * y[r + i]


@njit(**INLINE)
def add(x, y):  # type: ignore[no-untyped-def]
    """x += y."""
    for i in range(x.size):
        x[i] += y[i]


@njit(**INLINE)
def add_scaled(x, y, a):  # type: ignore[no-untyped-def]
    """x += a y."""
    for i in range(x.size):
        x[i] += a * y[i]


@njit(**INLINE)
def add4(y, out, b, x, north, south, front, back, size, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """y = b + c0 north + c1 south + c2 front + c3 back, at the same place of y and b."""
    o, n, s, f, k = U(out), U(north), U(south), U(front), U(back)
    for i in range(U(size)):
        y[o + i] = b[o + i] + c0 * x[n + i] + c1 * x[s + i] + c2 * x[f + i] + c3 * x[k + i]


@njit(**INLINE)
def add_tridiagonal(y, out, x, at, size, sign, base, coef, lower, diag, upper):  # type: ignore[no-untyped-def]
    """y += sign T x for one row, T = tridiag(lower, base + diag, upper) without its corners."""
    o, p, a, d, c = U(out), U(at), U(lower), U(diag), U(upper)
    for i in range(U(size)):
        y[o + i] += sign * (base + coef[d + i]) * x[p + i]
    for i in range(U(size - 1)):
        y[o + i] += sign * coef[c + i] * x[p + i + ONE]
    for i in range(U(size - 1)):
        y[o + i + ONE] += sign * coef[a + i + ONE] * x[p + i]


@njit(**INLINE)
def combine_rows(w, out, x, p0, p1, p2, p3, size, a, b, c, d):  # type: ignore[no-untyped-def]
    """out = a p0 + b p1 + c p2 + d p3, the latter in x."""
    o, p, q, r, s = U(out), U(p0), U(p1), U(p2), U(p3)
    for i in range(U(size)):
        w[o + i] = a * x[p + i] + b * x[q + i] + c * x[r + i] + d * x[s + i]


@njit(**INLINE)
def between(w, out, x, at, y, left, size, a, b):  # type: ignore[no-untyped-def]
    """out = x + a left + b right, right being left's next place in y."""
    o, p, q = U(out), U(at), U(left)
    for i in range(U(size)):
        w[o + i] = x[p + i] + a * y[q + i] + b * y[q + i + ONE]


@njit(**INLINE)
def between2(w, out, x, at, y, first, second, size, a, b, c, d):  # type: ignore[no-untyped-def]
    """out = x + a y[first] + b y[first + 1] + c y[second] + d y[second + 1]."""
    o, p, q, r = U(out), U(at), U(first), U(second)
    for i in range(U(size)):
        near = x[p + i] + a * y[q + i] + b * y[q + i + ONE]
        w[o + i] = near + c * y[r + i] + d * y[r + i + ONE]
