"""Cubic interpolation between the levels of full multigrid, one axis after the other."""

from __future__ import annotations

from numba import njit

from conjugo.solvers.kernels import tensor_rows as rows
from conjugo.solvers.kernels.tensor_rows import INLINE, TWO, U


@njit(**INLINE)
def nodes(j, m, first, periodic):  # type: ignore[no-untyped-def]
    """The four coarse nodes from which fine node j is interpolated."""
    start = (j - first - 1) // 2 - 1
    if periodic == 0:
        start = max(0, min(start, m - 4))
        top = m - 1
        return min(start, top), min(start + 1, top), min(start + 2, top), min(start + 3, top)
    return start % m, (start + 1) % m, (start + 2) % m, (start + 3) % m


@njit(**INLINE)
def _along_rows(out, to, x, at, n, m, inner, first, periodic, coef, start):  # type: ignore[no-untyped-def]
    """Interpolate an outer axis: n fine rows of `inner` places from m coarse ones."""
    for j in range(n):
        place = to + j * inner
        if first < 0 or (j - first) % 2 == 0:
            J = j if first < 0 else (j - first) // 2
            rows.copy(out, place, x, at + J * inner, inner)
        else:
            p, q, r, s = nodes(j, m, first, periodic)
            w = start + 4 * j
            a, b, c, d = at + p * inner, at + q * inner, at + r * inner, at + s * inner
            rows.combine_rows(out, place, x, a, b, c, d, inner, coef[w], coef[w + 1], coef[w + 2], coef[w + 3])


@njit(**INLINE)
def _inside(z, to, x, at, lo, hi, first, a, b, c, d):  # type: ignore[no-untyped-def]
    """Fine nodes between coarse nodes lo and hi, where the weights are the same, and the coarse nodes lo..hi - 1."""
    o, p = U(to + 2 * lo + first), U(at + lo)
    for k in range(U(hi - lo)):
        z[o + TWO * k] = x[p + k]
        left, right = a * x[p + k - U(1)] + b * x[p + k], c * x[p + k + U(1)] + d * x[p + k + U(2)]
        z[o + TWO * k + U(1)] = left + right


@njit(**INLINE)
def _along_last(z, to, x, at, n, m, first, periodic, coef, start):  # type: ignore[no-untyped-def]
    """Interpolate one row of the last axis."""
    if first < 0:
        rows.copy(z, to, x, at, n)
        return
    lo, hi = (2, m - 3) if m > 8 else (0, 0)
    if lo < hi:
        w = start + 4 * (2 * (m // 2) + first + 1)
        _inside(z, to, x, at, lo, hi, first, coef[w], coef[w + 1], coef[w + 2], coef[w + 3])
    for j in range(n):
        if lo < hi and j == 2 * lo + first:
            break
        _node(z, to, x, at, j, m, first, periodic, coef, start)
    for j in range(2 * hi + first if lo < hi else n, n):
        _node(z, to, x, at, j, m, first, periodic, coef, start)


@njit(**INLINE)
def _node(z, to, x, at, j, m, first, periodic, coef, start):  # type: ignore[no-untyped-def]
    """One node of a row."""
    if (j - first) % 2 == 0:
        z[to + j] = x[at + (j - first) // 2]
        return
    p, q, r, s = nodes(j, m, first, periodic)
    w = start + 4 * j
    left = coef[w] * x[at + p] + coef[w + 1] * x[at + q]
    z[to + j] = left + coef[w + 2] * x[at + r] + coef[w + 3] * x[at + s]


@njit(**INLINE)
def interpolate(z, e, work, coef, g):  # type: ignore[no-untyped-def]
    """z = cubic interpolation of e; `work` has room for one fine plane of coarse rows and one of coarse nodes."""
    n0, n1, n2, m0, m1, m2 = g[0], g[1], g[2], g[3], g[4], g[5]
    size, wide = m1 * m2, n1 * m2
    for i in range(n0):
        source, at = e, i * size
        if g[6] >= 0 and (i - g[6]) % 2 == 0:
            at = (i - g[6]) // 2 * size
        elif g[6] >= 0:
            p, q, r, s = nodes(i, m0, g[6], g[9])
            w = g[35] + 4 * i
            c0, c1, c2, c3 = coef[w], coef[w + 1], coef[w + 2], coef[w + 3]
            rows.combine_rows(work, wide, e, p * size, q * size, r * size, s * size, size, c0, c1, c2, c3)
            source, at = work, wide
        _along_rows(work, 0, source, at, n1, m1, m2, g[7], g[10], coef, g[36])
        for r in range(n1):
            _along_last(z, (i * n1 + r) * n2, work, r * m2, n2, m2, g[8], g[11], coef, g[37])
