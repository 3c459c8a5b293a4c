"""Red-black multigrid on separable grids in two fused passes a level.

`descend` smooths once from a zero guess (red, black), forms the residual and restricts it; `ascend` prolongs the
coarse correction and smooths once more. Both roll over planes (rows in 2-D) with three planes of each colour in
cache. They use two facts: after red, black from a zero guess the residual vanishes at black nodes, and a sweep reads
only the other colour, so that half of x is never stored. Planes that a neighbouring range also needs are computed
twice, which makes ranges independent of each other.

In the rolling planes a row of one colour is half a row, and rows of even and of odd number lie in two parts, so that
all rows of a part stand the same way to their neighbours and one long loop serves them; the gaps between rows hold the
ghosts. Every grid has three axes here, a missing one of length 1. `g` holds the level's integers and `coef` its
coefficients (see `layout.py`); grids are flat, in natural order, with rows of g[2] nodes.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from conjugo.solvers.kernels import tensor_rows as rows
from conjugo.solvers.kernels.tensor_plain import parents
from conjugo.solvers.kernels.tensor_rows import FAST, INLINE

_KERNEL: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": FAST, "boundscheck": False}
_DESCEND = [f"void({t}[::1],{t}[::1],{t}[::1],{t}[::1],i8[::1],{t}[::1],i8,i8,i8)" for t in ("f4", "f8")]
_ASCEND = [f"void({t}[::1],{t}[::1],{t}[::1],{t}[::1],{t}[::1],i8[::1],{t}[::1],i8,i8,i8)" for t in ("f4", "f8")]

LEAD = 16
"""Places before the first row of a part."""


@njit(**INLINE)
def _stride(n1, n2):  # type: ignore[no-untyped-def]
    """Distance between two half rows of a part: room for two ghosts, and for whole vectors where rows are long."""
    even = (n2 + 1) // 2
    return (even + 31) // 32 * 32 + 16 if n1 == 1 else (even + 9) // 8 * 8


@njit(**INLINE)
def _part(n1, n2):  # type: ignore[no-untyped-def]
    """Places of one part of a plane."""
    return (n1 + 1) // 2 * _stride(n1, n2) + 2 * LEAD


def plane_places(n1: int, n2: int) -> int:
    """Places of one colour of a plane with n1 rows of n2 nodes."""
    even = (n2 + 1) // 2
    width = (even + 31) // 32 * 32 + 16 if n1 == 1 else (even + 9) // 8 * 8
    return min(2, n1) * ((n1 + 1) // 2 * width + 2 * LEAD)


@njit(**INLINE)
def _row(r, width, part):  # type: ignore[no-untyped-def]
    """Where row r starts in a plane."""
    return (r & 1) * part + (r >> 1) * width + LEAD


@njit(**INLINE)
def _close(ring, at, h, n2, periodic):  # type: ignore[no-untyped-def]
    """Set the ghosts beside half h of a row that starts at `at`."""
    size = n2 // 2 if h == 1 else (n2 + 1) // 2
    if periodic:
        ring[at - 1], ring[at + size] = ring[at + size - 1], ring[at]
    else:
        ring[at - 1] = 0
        ring[at + size] = 0


@njit(**INLINE)
def _axis(coef, start, n, j):  # type: ignore[no-untyped-def]
    """Lower, diagonal and upper entry of node j."""
    return coef[start + j], coef[start + n + j], coef[start + 2 * n + j]


@njit(**INLINE)
def _run(r, g):  # type: ignore[no-untyped-def]
    """How many rows r, r + 2, ... share their entries, so that one loop takes them."""
    if r == 0 or r >= g[1] - 2 or g[12] == 0 or g[33] == 0:
        return 1
    return (g[1] - 2 - r) // 2 + 1


@njit(**INLINE)
def _star(work, out, rhs, before, here, after, i, r, count, h, coef, g):  # type: ignore[no-untyped-def]
    """Half h of `count` rows r, r + 2, ... of plane i: (b - couplings) / diagonal, or minus the couplings.

    `out` and `rhs` are the planes written and the right-hand side's (-1: none), `before`, `here`, `after` the planes
    i - 1, i, i + 1 of the other colour.
    """
    n0, n1, n2 = g[0], g[1], g[2]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    size = even if h == 0 else n2 // 2
    low0, diag0, up0 = _axis(coef, g[16], n0, i)
    low1, diag1, up1 = _axis(coef, g[17], n1, r)
    at = _row(r, width, part)
    span = (even + 31) // 32 * 32 if n1 == 1 else (count - 1) * width + even
    y, x, b, front, back = out + at, here + at + h - 1, rhs + at, before + at, after + at
    north = here + _row(r - 1 if r > 0 else n1 - 1, width, part)
    south = here + _row(r + 1 if r < n1 - 1 else 0, width, part)
    a, line, one = coef[g[19]], coef[g[19] + 1], coef[g[19] + 3]
    base = coef[g[19] + 2] + diag0 + diag1
    inv = one / (base + line)
    if g[12] == 0:  # spacing varies along the row: the part along the row follows
        a, inv = coef[g[19] + 4], one
    if n1 == 1 or n0 == 1:
        p, q, c0, c1 = (front, back, low0, up0) if n1 == 1 else (north, south, low1, up1)
        if rhs >= 0:
            rows.star5(work, y, b, x, p, q, span, inv, a, c0, c1)
        else:
            rows.minus_star5(work, y, x, p, q, span, a, c0, c1)
    elif rhs >= 0:
        rows.star7(work, y, b, x, north, south, front, back, span, inv, a, low1, up1, low0, up0)
    else:
        rows.minus_star7(work, y, x, north, south, front, back, span, a, low1, up1, low0, up0)
    start = g[18] + h * even
    if g[12] == 0:
        rows.along(work, y, x, size, coef, start, start + 2 * n2)
        if rhs >= 0:
            rows.divide(work, y, size, coef, start + n2, base)
    for end in range(2):  # the first and the last column may have entries of their own
        j = end * (n2 - 1)
        if g[31 + end] == 1 and (j & 1) == h:
            low2, diag2, up2 = _axis(coef, start, n2, j >> 1)
            for q in range(j >> 1, (j >> 1) + count * width, width):
                value = low2 * work[x + q] + up2 * work[x + q + 1] + low1 * work[north + q] + up1 * work[south + q]
                value += low0 * work[front + q] + up0 * work[back + q]
                work[y + q] = (work[b + q] - value) / (base + diag2) if rhs >= 0 else -value
    for c in range(count):
        _close(work, out + at + c * width, h, n2, g[11])


@njit(**INLINE)
def _star_plane(work, out, rhs, before, here, after, i, colour, coef, g):  # type: ignore[no-untyped-def]
    """All nodes of one colour in plane i; see `_star`."""
    for p in range(min(2, g[1])):
        r = p
        while r < g[1]:
            count = _run(r, g)
            _star(work, out, rhs, before, here, after, i, r, count, (i + p + colour) & 1, coef, g)
            r += 2 * count


@njit(**INLINE)
def _first_plane(b, i, work, red, keep, coef, g):  # type: ignore[no-untyped-def]
    """Red nodes of plane i from a zero guess, and the right-hand side's black nodes into `keep`."""
    n1, n2 = g[1], g[2]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    one = coef[g[19] + 3]
    for r in range(n1):
        h = (i + r) & 1
        at = _row(r, width, part)
        row, x, y = (i * n1 + r) * n2, red + at, keep + at
        size = even if h == 0 else n2 // 2
        base = coef[g[19] + 2] + coef[g[16] + g[0] + i] + coef[g[17] + n1 + r]
        inv = one / (base + coef[g[19] + 1]) if g[12] == 1 else one
        if h == 0:
            rows.split(b, row, n2, work, x, y, inv, one)
        else:
            rows.split(b, row, n2, work, y, x, one, inv)
        start = g[18] + n2 + h * even
        if g[12] == 0:
            rows.divide(work, x, size, coef, start, base)
        else:
            for end in range(2):
                j = end * (n2 - 1)
                if g[31 + end] == 1 and (j & 1) == h:
                    work[x + (j >> 1)] = b[row + j] / (base + coef[start + (j >> 1)])
        _close(work, red + at, h, n2, g[11])


@njit(**INLINE)
def _restrict_rows(bc, J, J1, count, work, front, here, back, pair, coef, g):  # type: ignore[no-untyped-def]
    """Coarse rows J1 ... J1 + count - 1 of plane J from the residual's red nodes in three planes."""
    n1, n2, m0, m1, m2, s0, s1, s2 = g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    one, zero = coef[g[19] + 3], coef[g[19] + 4]
    a0, a1, a2 = _axis(coef, g[23], m0, J) if s0 >= 0 else (zero, one, zero)
    c0, c1, c2 = _axis(coef, g[24], m1, J1) if s1 >= 0 else (zero, one, zero)
    i, q = 2 * J + s0 if s0 >= 0 else J, 2 * J1 + s1 if s1 >= 0 else J1
    mid = _row(q, width, part)
    top, bottom = _row(q - 1 if q > 0 else n1 - 1, width, part), _row(q + 1 if q < n1 - 1 else 0, width, part)
    span = (count - 1) * width + even
    te, to = pair + LEAD, pair + part + LEAD
    same, other = (te, to) if ((i + q) & 1) == 0 else (to, te)
    f, k, u, v, x = front + mid, back + mid, here + top, here + bottom, here + mid
    if s1 < 0:
        rows.scale(work, same, work, x, span, a1)
        rows.combine2(work, other, work, f, k, span, a0, a2)
    elif s0 < 0:
        rows.scale(work, same, work, x, span, c1)
        rows.combine2(work, other, work, u, v, span, c0, c2)
    else:
        rows.combine4(work, other, f, k, u, v, span, a0 * c1, a2 * c1, a1 * c0, a1 * c2)
        p0, p1, p2, p3 = front + top, front + bottom, back + top, back + bottom
        rows.combine5(work, same, x, p0, p1, p2, p3, span, a1 * c1, a0 * c0, a0 * c2, a2 * c0, a2 * c2)
    start = g[25]
    for c in range(count):
        out, e, o = (J * m1 + J1 + c) * m2, te + c * width, to + c * width
        if s2 < 0:
            rows.join(bc, out, n2, work, e, o)
            continue
        _close(work, e, 0, n2, g[11])
        _close(work, o, 1, n2, g[11])
        p, q, r = (e, o, e + 1) if s2 == 1 else (o - 1, e, o)
        rows.weigh3(bc, out, work, p, q, r, m2, coef, start, start + m2, start + 2 * m2)


@njit(**INLINE)
def _restrict_plane(bc, J, work, ring, pair, coef, g):  # type: ignore[no-untyped-def]
    """Coarse plane J from the residual's red nodes in the three planes of `ring`."""
    plane = min(2, g[1]) * _part(g[1], g[2])
    i = 2 * J + g[6] if g[6] >= 0 else J
    front, here, back = ring + (i - 1) % 3 * plane, ring + i % 3 * plane, ring + (i + 1) % 3 * plane
    J1 = 0
    while J1 < g[4]:
        count = 1
        if 0 < J1 < g[4] - 1 and g[7] >= 0 and g[33] == 1:
            count = g[4] - 1 - J1
        _restrict_rows(bc, J, J1, count, work, front, here, back, pair, coef, g)
        J1 += count


@njit(_DESCEND, **_KERNEL)
def descend(b, xs, bc, coef, g, work, lo, hi, kept):  # type: ignore[no-untyped-def]
    """Pre-smooth from zero, restrict the residual to coarse planes lo..hi, keep colour `kept` of x in xs."""
    n0, s0, closed = g[0], g[6], g[9] == 1
    plane = min(2, g[1]) * _part(g[1], g[2])
    red, black, rest, keep, pair = 0, 3 * plane, 6 * plane, 9 * plane, 11 * plane
    work[: 13 * plane] = 0
    first, last = (2 * lo + s0 - 1, 2 * hi + s0) if s0 >= 0 else (lo, hi)
    mine, end = (0 if lo == 0 else first, n0 if hi == g[3] else last - 1) if s0 >= 0 else (lo, hi)
    if not closed:
        first, last = max(first, 0), min(last, n0)
    J = lo
    for t in range(first - 2, last + 2):
        if closed or 0 <= t < n0:
            _first_plane(b, t % n0, work, red + t % 3 * plane, keep + (t & 1) * plane, coef, g)
        i = t - 1
        if first - 1 <= i < last + 1 and (closed or 0 <= i < n0):
            here, rhs = black + i % 3 * plane, keep + (i & 1) * plane
            p0, p1, p2 = red + (i - 1) % 3 * plane, red + i % 3 * plane, red + (i + 1) % 3 * plane
            _star_plane(work, here, rhs, p0, p1, p2, i % n0, 1, coef, g)
            if mine <= i < end:
                to, source = i % n0 * plane, here if kept == 1 else p1
                rows.copy(xs, to, work, source, plane)
        i = t - 2
        if first <= i < last:
            p0, p1, p2 = black + (i - 1) % 3 * plane, black + i % 3 * plane, black + (i + 1) % 3 * plane
            _star_plane(work, rest + i % 3 * plane, -1, p0, p1, p2, i % n0, 0, coef, g)
            complete = 2 * J + s0 + 1 if s0 >= 0 else J
            if i == complete or (not closed and s0 >= 0 and i == n0 - 1):
                _restrict_plane(bc, J, work, rest, pair, coef, g)
                J += 1


@njit(**INLINE)
def _prolong_between(work, out, xs, x, e, u, v, size, c, d, coef, g):  # type: ignore[no-untyped-def]
    """The nodes of a row between coarse columns, on a uniform axis: c times coarse row `u` plus d times `v`."""
    m2, s2, p, q = g[5], g[8], g[22], g[22] + g[2] - g[5]
    left, right = coef[p + size // 2], coef[q + size // 2]
    if u == v:
        left, right = left * (c + d), right * (c + d)
        rows.between(work, out + 1, xs, x + 1, e, u + 1 - s2, size - 2, left, right)
    else:
        first, second = u + 1 - s2, v + 1 - s2
        rows.between2(work, out + 1, xs, x + 1, e, first, second, size - 2, c * left, c * right, d * left, d * right)
    for k in range(0, size, size - 1):  # the two ends have weights of their own
        j = k - s2 if k >= s2 else m2 - 1
        k1 = j + 1 if j + 1 < m2 else 0
        value = coef[p + k] * (c * e[u + j] + d * e[v + j]) + coef[q + k] * (c * e[u + k1] + d * e[v + k1])
        work[out + k] = xs[x + k] + value


@njit(**INLINE)
def _prolong_row(work, out, xs, x, e, plane, r, h, line, coef, g):  # type: ignore[no-untyped-def]
    """Half h of row r: out = x + P e, where `e` from `plane` on is a coarse plane at the row's own height."""
    n1, n2, m1, m2, s2 = g[1], g[2], g[4], g[5], g[8]
    J, K, c, d = parents(r, m1, g[7], coef, g[21], n1)
    size = (n2 + 1) // 2 if h == 0 else n2 // 2
    u, v = plane + J * m2, plane + K * m2
    if h == s2 and J == K:
        rows.plus(work, out, xs, x, e, u, size)
        return
    if h == s2:
        rows.plus2(work, out, xs, x, e, u, v, size, c, d)
        return
    if s2 >= 0 and g[12] == 1 and size > 4:
        _prolong_between(work, out, xs, x, e, u, v, size, c, d, coef, g)
        return
    if J == K:
        rows.scale(work, line, e, u, m2, c + d)
    else:
        rows.combine2(work, line, e, u, v, m2, c, d)
    if s2 < 0:
        for k in range(size):
            work[out + k] = xs[x + k] + work[line + 2 * k + h]
        return
    zero = coef[g[19] + 4]
    work[line - 1] = work[line + m2 - 1] if g[11] else zero
    work[line + m2] = work[line] if g[11] else zero
    rows.interpolate(work, out, xs, x, line - s2, size, coef, g[22], g[22] + n2 - m2)


@njit(**INLINE)
def _prolong_plane(work, out, xs, e, i, colour, spare, coef, g):  # type: ignore[no-untyped-def]
    """One colour of plane i: out = x + P e; `spare` has room for a coarse row and a coarse plane."""
    n0, n1, n2 = g[0], g[1], g[2]
    width, part, size = _stride(n1, n2), _part(n1, n2), g[4] * g[5]
    line, flat = spare + LEAD, spare + g[5] + 2 * LEAD
    J, K, a, b = parents(i, g[3], g[6], coef, g[20], n0)
    direct = J == K and a + b == 1
    if not direct:
        rows.combine2(work, flat, e, J * size, K * size, size, a, b)
    stored = i * part * min(2, n1)
    for r in range(n1):
        h = (i + r + colour) & 1
        at = _row(r, width, part)
        if direct:
            _prolong_row(work, out + at, xs, stored + at, e, J * size, r, h, line, coef, g)
        else:
            _prolong_row(work, out + at, xs, stored + at, work, flat, r, h, line, coef, g)
        _close(work, out + at, h, n2, g[11])


@njit(**INLINE)
def _take(work, now, later, b, i, colour, coef, g):  # type: ignore[no-untyped-def]
    """Split plane i of b: `colour` into `now`, the other colour into `later`."""
    n1, n2 = g[1], g[2]
    width, part, one = _stride(n1, n2), _part(n1, n2), coef[g[19] + 3]
    for r in range(n1):
        at, row = _row(r, width, part), (i * n1 + r) * n2
        if ((i + r + colour) & 1) == 0:
            rows.split(b, row, n2, work, now + at, later + at, one, one)
        else:
            rows.split(b, row, n2, work, later + at, now + at, one, one)


@njit(**INLINE)
def _give(z, work, one, other, i, colour, g):  # type: ignore[no-untyped-def]
    """Join plane i of z from its two colours, `one` holding `colour`."""
    n1, n2 = g[1], g[2]
    width, part = _stride(n1, n2), _part(n1, n2)
    for r in range(n1):
        at, row = _row(r, width, part), (i * n1 + r) * n2
        if ((i + r + colour) & 1) == 0:
            rows.join(z, row, n2, work, one + at, other + at)
        else:
            rows.join(z, row, n2, work, other + at, one + at)


@njit(_ASCEND, **_KERNEL)
def ascend(b, xs, e, z, coef, g, work, lo, hi, first):  # type: ignore[no-untyped-def]
    """z = x + P e, smoothed once with colour `first` first, in planes lo..hi; xs holds the other colour of x."""
    n0, closed, second = g[0], g[9] == 1, 1 - first
    plane = min(2, g[1]) * _part(g[1], g[2])
    old, new, keep, final, spare = 0, 3 * plane, 6 * plane, 8 * plane, 9 * plane
    work[: 9 * plane + 4 * LEAD + g[5]] = 0
    for t in range(lo - 2, hi + 2):
        if closed or 0 <= t < n0:
            _prolong_plane(work, old + t % 3 * plane, xs, e, t % n0, second, spare, coef, g)
        i = t - 1
        if lo - 1 <= i < hi + 1 and (closed or 0 <= i < n0):
            p0, p1, p2 = old + (i - 1) % 3 * plane, old + i % 3 * plane, old + (i + 1) % 3 * plane
            _take(work, final, keep + (i & 1) * plane, b, i % n0, first, coef, g)
            _star_plane(work, new + i % 3 * plane, final, p0, p1, p2, i % n0, first, coef, g)
        i = t - 2
        if i >= lo:
            p0, p1, p2 = new + (i - 1) % 3 * plane, new + i % 3 * plane, new + (i + 1) % 3 * plane
            _star_plane(work, final, keep + (i & 1) * plane, p0, p1, p2, i, second, coef, g)
            _give(z, work, final, p1, i, second, g)
