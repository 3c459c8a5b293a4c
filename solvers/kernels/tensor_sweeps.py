"""Red-black multigrid on separable grids in two fused passes a level.

`descend` smooths once from a zero guess (red, black), forms the residual and restricts it; `ascend` prolongs the
coarse correction and smooths once more. Both roll over planes (rows in 2-D) with three planes of each colour in
cache. They use two facts: after red, black from a zero guess the residual vanishes at black nodes, and a sweep reads
only the other colour, so that half of x is never stored. Planes that a neighbouring range also needs are computed
twice, which makes ranges independent of each other.

In the rolling planes a row of one colour is half a row, and rows of even and of odd number lie in two parts, so that
all rows of a part stand the same way to their neighbours and one long loop serves them; the gaps between rows hold the
ghosts. Every grid has three axes here, a missing one of length 1. `g` holds the level's integers and `coef` its coefficients,
as `TensorHierarchy` lays them out; grids are flat, natural order, rows of g[2] nodes.
"""

from __future__ import annotations

from numba import njit

from conjugo.solvers.kernels import tensor_rows as rows
from conjugo.solvers.kernels.tensor_plain import parents
from conjugo.solvers.kernels.tensor_rows import FAST

_KERNEL = {"cache": True, "nogil": True, "fastmath": FAST, "boundscheck": False}
_SIGNATURES = {
    "descend": ["void({0}[::1],{0}[::1],{0}[::1],{0}[::1],i8[::1],{0}[::1],i8,i8,i8)".format(t) for t in ("f4", "f8")],
    "ascend": ["void({0}[::1],{0}[::1],{0}[::1],{0}[::1],{0}[::1],i8[::1],{0}[::1],i8,i8,i8)".format(t) for t in ("f4", "f8")],
}


LEAD = 16
"""Places before the first row of a part."""


@njit(fastmath=FAST)
def _stride(n1, n2):
    """Distance between two half rows of a part: room for two ghosts, and for whole vectors where rows are long."""
    even = (n2 + 1) // 2
    return (even + 31) // 32 * 32 + 16 if n1 == 1 else (even + 9) // 8 * 8


@njit(fastmath=FAST)
def _part(n1, n2):
    """Places of one part of a plane."""
    return (n1 + 1) // 2 * _stride(n1, n2) + 2 * LEAD


def plane_places(n1: int, n2: int) -> int:
    """Places of one colour of a plane with n1 rows of n2 nodes."""
    even = (n2 + 1) // 2
    width = (even + 31) // 32 * 32 + 16 if n1 == 1 else (even + 9) // 8 * 8
    return 2 * ((n1 + 1) // 2 * width + 2 * LEAD)


@njit(fastmath=FAST)
def _row(r, width, part):
    """Where row r starts in a plane."""
    return (r & 1) * part + (r >> 1) * width + LEAD


@njit(fastmath=FAST)
def _close(ring, at, h, n2, periodic):
    """Set the ghosts beside half h of a row that starts at `at`."""
    size = n2 // 2 if h == 1 else (n2 + 1) // 2
    if periodic:
        ring[at - 1], ring[at + size] = ring[at + size - 1], ring[at]
    else:
        ring[at - 1] = 0
        ring[at + size] = 0


@njit(fastmath=FAST)
def _axis(coef, start, n, j):
    """Lower, diagonal and upper entry of node j."""
    return coef[start + j], coef[start + n + j], coef[start + 2 * n + j]


@njit(fastmath=FAST)
def _run(r, g):
    """How many rows r, r + 2, ... share their entries, so that one loop takes them."""
    if r == 0 or r >= g[1] - 2 or g[12] == 0 or g[33] == 0:
        return 1
    return (g[1] - 2 - r) // 2 + 1


@njit(fastmath=FAST)
def _star(work, out, rhs, before, here, after, i, r, count, h, coef, g):
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
    y, x = work[out + at : out + at + span], here + at + h
    left, right = work[x - 1 : x - 1 + span], work[x : x + span]
    p0, p1, p2 = before + at, after + at, rhs + at if rhs >= 0 else at
    front, back, b = work[p0 : p0 + span], work[p1 : p1 + span], work[p2 : p2 + span]
    above = here + _row(r - 1 if r > 0 else n1 - 1, width, part)
    below = here + _row(r + 1 if r < n1 - 1 else 0, width, part)
    north, south = work[above : above + span], work[below : below + span]
    a, line, one = coef[g[19]], coef[g[19] + 1], coef[g[19] + 3]
    base = coef[g[19] + 2] + diag0 + diag1
    inv = one / (base + line)
    if g[12] == 0:  # spacing varies along the row: the part along the row follows
        a, inv = coef[g[19] + 4], one
    if n1 == 1:
        if rhs >= 0:
            rows.star5(y, b, left, right, front, back, inv, a, low0, up0)
        else:
            rows.minus_star5(y, left, right, front, back, a, low0, up0)
    elif n0 == 1:
        if rhs >= 0:
            rows.star5(y, b, left, right, north, south, inv, a, low1, up1)
        else:
            rows.minus_star5(y, left, right, north, south, a, low1, up1)
    elif rhs >= 0:
        rows.star7(y, b, left, right, north, south, front, back, inv, a, (low1, up1, low0, up0))
    else:
        rows.minus_star7(y, left, right, north, south, front, back, a, (low1, up1, low0, up0))
    start = g[18] + h * even
    if g[12] == 0:
        rows.along(y[:size], left, right, coef[start : start + size], coef[start + 2 * n2 : start + 2 * n2 + size])
        if rhs >= 0:
            rows.divide(y[:size], coef[start + n2 : start + n2 + size], base)
    for end in range(2):  # the first and the last column may have entries of their own
        j = end * (n2 - 1)
        if g[31 + end] == 1 and (j & 1) == h:
            k = j >> 1
            low2, diag2, up2 = _axis(coef, start, n2, k)
            for c in range(count):
                q = k + c * width
                value = low2 * left[q] + up2 * right[q] + low1 * north[q] + up1 * south[q]
                value += low0 * front[q] + up0 * back[q]
                y[q] = (b[q] - value) / (base + diag2) if rhs >= 0 else -value
    for c in range(count):
        _close(work, out + at + c * width, h, n2, g[11])


@njit(fastmath=FAST)
def _star_plane(work, out, rhs, before, here, after, i, colour, coef, g):
    """All nodes of one colour in plane i; see `_star`."""
    for p in range(min(2, g[1])):
        r = p
        while r < g[1]:
            count = _run(r, g)
            _star(work, out, rhs, before, here, after, i, r, count, (i + p + colour) & 1, coef, g)
            r += 2 * count


@njit(fastmath=FAST)
def _first_plane(b, i, work, red, keep, coef, g):
    """Red nodes of plane i from a zero guess, and the right-hand side's black nodes into `keep`."""
    n1, n2 = g[1], g[2]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    one = coef[g[19] + 3]
    for r in range(n1):
        h = (i + r) & 1
        at = _row(r, width, part)
        row = b[(i * n1 + r) * n2 : (i * n1 + r + 1) * n2]
        x, y = work[red + at : red + at + even], work[keep + at : keep + at + even]
        size = even if h == 0 else n2 // 2
        base = coef[g[19] + 2] + coef[g[16] + g[0] + i] + coef[g[17] + n1 + r]
        inv = one / (base + coef[g[19] + 1]) if g[12] == 1 else one
        if h == 0:
            rows.split_scaled_even(row, x, y, inv)
        else:
            rows.split_scaled_odd(row, y, x, inv)
        start = g[18] + n2 + h * even
        if g[12] == 0:
            rows.divide(x[:size], coef[start : start + size], base)
        else:
            for end in range(2):
                j = end * (n2 - 1)
                if g[31 + end] == 1 and (j & 1) == h:
                    x[j >> 1] = row[j] / (base + coef[start + (j >> 1)])
        _close(work, red + at, h, n2, g[11])


@njit(fastmath=FAST)
def _restrict_rows(bc, J, J1, count, work, front, here, back, pair, coef, g):
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
    x, y = work[same : same + span], work[other : other + span]
    f, k = work[front + mid : front + mid + span], work[back + mid : back + mid + span]
    u, v = work[here + top : here + top + span], work[here + bottom : here + bottom + span]
    centre = work[here + mid : here + mid + span]
    if s1 < 0:
        rows.scale(x, centre, a1)
        rows.combine2(y, f, k, a0, a2)
    elif s0 < 0:
        rows.scale(x, centre, c1)
        rows.combine2(y, u, v, c0, c2)
    else:
        rows.combine4(y, f, k, u, v, a0 * c1, a2 * c1, a1 * c0, a1 * c2)
        p0, p1 = work[front + top : front + top + span], work[front + bottom : front + bottom + span]
        p2, p3 = work[back + top : back + top + span], work[back + bottom : back + bottom + span]
        rows.combine5(x, centre, p0, p1, p2, p3, (a1 * c1, a0 * c0, a0 * c2, a2 * c0, a2 * c2))
    start = g[25]
    for c in range(count):
        out = bc[(J * m1 + J1 + c) * m2 : (J * m1 + J1 + c + 1) * m2]
        e, o = te + c * width, to + c * width
        if s2 < 0:
            rows.join(out, work[e : e + even], work[o : o + even])
            continue
        _close(work, e, 0, n2, g[11])
        _close(work, o, 1, n2, g[11])
        wl, wc, wr = coef[start : start + m2], coef[start + m2 : start + 2 * m2], coef[start + 2 * m2 : start + 3 * m2]
        if s2 == 1:
            rows.weigh3(out, work[e : e + m2], work[o : o + m2], work[e + 1 : e + 1 + m2], wl, wc, wr)
        else:
            rows.weigh3(out, work[o - 1 : o - 1 + m2], work[e : e + m2], work[o : o + m2], wl, wc, wr)


@njit(fastmath=FAST)
def _restrict_plane(bc, J, work, ring, pair, coef, g):
    """Coarse plane J from the residual's red nodes in the three planes of `ring`."""
    plane = 2 * _part(g[1], g[2])
    i = 2 * J + g[6] if g[6] >= 0 else J
    front, here, back = ring + (i - 1) % 3 * plane, ring + i % 3 * plane, ring + (i + 1) % 3 * plane
    J1 = 0
    while J1 < g[4]:
        count = 1
        if 0 < J1 < g[4] - 1 and g[7] >= 0 and g[33] == 1:
            count = g[4] - 1 - J1
        _restrict_rows(bc, J, J1, count, work, front, here, back, pair, coef, g)
        J1 += count


@njit(_SIGNATURES["descend"], **_KERNEL)
def descend(b, xs, bc, coef, g, work, lo, hi, kept):
    """Pre-smooth from zero, restrict the residual to coarse planes lo..hi, keep colour `kept` of x in xs."""
    n0, s0, closed = g[0], g[6], g[9] == 1
    plane = 2 * _part(g[1], g[2])
    red, black, rest, keep, pair = 0, 3 * plane, 6 * plane, 9 * plane, 11 * plane
    work[: 12 * plane] = 0
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
                xs[to : to + plane] = work[source : source + plane]
        i = t - 2
        if first <= i < last:
            p0, p1, p2 = black + (i - 1) % 3 * plane, black + i % 3 * plane, black + (i + 1) % 3 * plane
            _star_plane(work, rest + i % 3 * plane, -1, p0, p1, p2, i % n0, 0, coef, g)
            complete = 2 * J + s0 + 1 if s0 >= 0 else J
            if i == complete or (not closed and s0 >= 0 and i == n0 - 1):
                _restrict_plane(bc, J, work, rest, pair, coef, g)
                J += 1


@njit(fastmath=FAST)
def _prolong_row(out, x, e, plane, i, r, h, line, coef, g):
    """Half h of row (i, r): out = x + P e, where `e` from `plane` on is a coarse plane at the height of i."""
    n1, n2, m1, m2, s2 = g[1], g[2], g[4], g[5], g[8]
    J, K, c, d = parents(r, m1, g[7], coef, g[21], n1)
    size = (n2 + 1) // 2 if h == 0 else n2 // 2
    u, v = plane + J * m2, plane + K * m2
    coarse = e[u : u + m2]
    if h == s2 and size == m2:
        if J == K:
            rows.plus(out, x, coarse)
        else:
            rows.plus2(out, x, coarse, e[v : v + m2], c, d)
        return
    now = line[LEAD : LEAD + m2]
    if J == K:
        rows.scale(now, coarse, c + d)
    else:
        rows.combine2(now, coarse, e[v : v + m2], c, d)
    if s2 < 0:
        for k in range(size):
            out[k] = x[k] + now[2 * k + h]
        return
    line[LEAD - 1], line[LEAD + m2] = (now[m2 - 1], now[0]) if g[11] else (coef[g[19] + 4], coef[g[19] + 4])
    at, start = LEAD - s2, g[22]
    p, q = coef[start : start + size], coef[start + n2 - m2 : start + n2 - m2 + size]
    rows.interpolate(out[:size], x, line[at : at + size], line[at + 1 : at + 1 + size], p, q)


@njit(fastmath=FAST)
def _prolong_plane(work, out, xs, e, i, colour, spare, coef, g):
    """One colour of plane i: out = x + P e; `spare` has room for a coarse row and a coarse plane."""
    n0, n1, n2, m0 = g[0], g[1], g[2], g[3]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    size = g[4] * g[5]
    line = work[spare : spare + g[5] + 2 * LEAD]
    flat = spare + g[5] + 2 * LEAD
    J, K, a, b = parents(i, m0, g[6], coef, g[20], n0)
    source, at = e, J * size
    if J != K:
        rows.combine2(work[flat : flat + size], e[at : at + size], e[K * size : (K + 1) * size], a, b)
        source, at = work, flat
    elif a + b != 1:
        rows.scale(work[flat : flat + size], e[at : at + size], a + b)
        source, at = work, flat
    for r in range(n1):
        h = (i + r + colour) & 1
        to = _row(r, width, part)
        x = xs[i * 2 * part + to : i * 2 * part + to + even]
        _prolong_row(work[out + to : out + to + even], x, source, at, i, r, h, line, coef, g)
        _close(work, out + to, h, n2, g[11])


@njit(fastmath=FAST)
def _take(work, now, later, b, i, colour, g):
    """Split plane i of b: `colour` into `now`, the other colour into `later`."""
    n1, n2 = g[1], g[2]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    for r in range(n1):
        at = _row(r, width, part)
        row = b[(i * n1 + r) * n2 : (i * n1 + r + 1) * n2]
        x, y = work[now + at : now + at + even], work[later + at : later + at + even]
        if ((i + r + colour) & 1) == 0:
            rows.split(row, x, y)
        else:
            rows.split(row, y, x)


@njit(fastmath=FAST)
def _give(z, work, one, other, i, colour, g):
    """Join plane i of z from its two colours, `one` holding `colour`."""
    n1, n2 = g[1], g[2]
    width, part, even = _stride(n1, n2), _part(n1, n2), (n2 + 1) // 2
    for r in range(n1):
        at = _row(r, width, part)
        row = z[(i * n1 + r) * n2 : (i * n1 + r + 1) * n2]
        x, y = work[one + at : one + at + even], work[other + at : other + at + even]
        if ((i + r + colour) & 1) == 0:
            rows.join(row, x, y)
        else:
            rows.join(row, y, x)


@njit(_SIGNATURES["ascend"], **_KERNEL)
def ascend(b, xs, e, z, coef, g, work, lo, hi, first):
    """z = x + P e, smoothed once with colour `first` first, in planes lo..hi; xs holds the other colour of x."""
    n0, closed, second = g[0], g[9] == 1, 1 - first
    plane = 2 * _part(g[1], g[2])
    old, new, keep, final, spare = 0, 3 * plane, 6 * plane, 8 * plane, 9 * plane
    work[: 9 * plane + 4 * LEAD + g[5]] = 0
    for t in range(lo - 2, hi + 2):
        if closed or 0 <= t < n0:
            _prolong_plane(work, old + t % 3 * plane, xs, e, t % n0, second, spare, coef, g)
        i = t - 1
        if lo - 1 <= i < hi + 1 and (closed or 0 <= i < n0):
            p0, p1, p2 = old + (i - 1) % 3 * plane, old + i % 3 * plane, old + (i + 1) % 3 * plane
            _take(work, final, keep + (i & 1) * plane, b, i % n0, first, g)
            _star_plane(work, new + i % 3 * plane, final, p0, p1, p2, i % n0, first, coef, g)
        i = t - 2
        if i >= lo:
            p0, p1, p2 = new + (i - 1) % 3 * plane, new + i % 3 * plane, new + (i + 1) % 3 * plane
            _star_plane(work, final, keep + (i & 1) * plane, p0, p1, p2, i, second, coef, g)
            _give(z, work, final, p1, i, second, g)
