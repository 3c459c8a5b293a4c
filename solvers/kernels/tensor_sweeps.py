"""Red-black multigrid on separable grids in two fused passes a level.

`descend` smooths once from a zero guess (red, black), forms the residual and restricts it; `ascend` prolongs the
coarse correction and smooths once more. Both roll over planes (rows in 2-D) with three planes of each colour in
cache. They use two facts: after red, black from a zero guess the residual vanishes at black nodes, and a sweep reads
only the other colour, so that half of x is never stored. Planes that a neighbouring range also needs are computed
twice, which makes ranges independent of each other.

Every grid has three axes here, a missing one of length 1. `g` holds the level's integers and `coef` its coefficients,
as `TensorHierarchy` lays them out; grids are flat, natural order, rows of g[2] nodes.
"""

from __future__ import annotations

from numba import njit

from conjugo.solvers.kernels import tensor_rows as rows
from conjugo.solvers.kernels.tensor_rows import FAST, GHOST

_KERNEL = {"cache": True, "nogil": True, "fastmath": FAST, "boundscheck": False}
_SIGNATURES = {
    "descend": ["void({0}[::1],{0}[::1],{0}[::1],{0}[::1],i8[::1],{0}[::1],i8,i8,i8)".format(t) for t in ("f4", "f8")],
    "ascend": ["void({0}[::1],{0}[::1],{0}[::1],{0}[::1],{0}[::1],i8[::1],{0}[::1],i8,i8,i8)".format(t) for t in ("f4", "f8")],
}


@njit(fastmath=FAST)
def _stride(n2):
    """Places of one half row in a ring buffer."""
    return ((n2 + 1) // 2 + 15) // 16 * 16 + 2 * GHOST


@njit(fastmath=FAST)
def _close(row, h, n2, periodic):
    """Fill the ghost that a periodic neighbour reads; `row` starts GHOST places before the half row."""
    if periodic:
        if h == 1:
            row[GHOST - 1] = row[GHOST + n2 // 2 - 1]
        else:
            row[GHOST + n2 // 2] = row[GHOST]


@njit(fastmath=FAST)
def _axis(coef, start, n, j):
    """Lower, diagonal and upper entry of node j."""
    return coef[start + j], coef[start + n + j], coef[start + 2 * n + j]


@njit(fastmath=FAST)
def _star(out, b, use_b, ring, before, here, after, i, r, h, coef, g):
    """Half h of row (i, r): out = (b - couplings to `ring`) / diagonal, or minus the couplings where not use_b.

    `before`, `here`, `after` are the offsets of the ring's planes i - 1, i, i + 1.
    """
    n0, n1, n2 = g[0], g[1], g[2]
    width, even = _stride(n2), (n2 + 1) // 2
    size = even if h == 0 else n2 // 2
    low0, diag0, up0 = _axis(coef, g[16], n0, i)
    low1, diag1, up1 = _axis(coef, g[17], n1, r)
    at = here + r * width + GHOST
    left, right = ring[at - 1 + h : at - 1 + h + size], ring[at + h : at + h + size]
    prev, next_ = before + r * width + GHOST, after + r * width + GHOST
    front, back = ring[prev : prev + size], ring[next_ : next_ + size]
    above = here + ((r - 1) % n1) * width + GHOST
    below = here + ((r + 1) % n1) * width + GHOST
    north, south = ring[above : above + size], ring[below : below + size]
    a, base, line = coef[g[19]], coef[g[19] + 2] + diag0 + diag1, coef[g[19] + 1]
    one = coef[g[19] + 3]
    inv = one / (base + line)
    if g[12] == 0:  # spacing varies along the row: the part along the row follows
        a, inv = coef[g[19] + 4], one
    if n1 == 1:
        if use_b:
            rows.star5(out, b, left, right, front, back, inv, a, low0, up0)
        else:
            rows.minus_star5(out, left, right, front, back, a, low0, up0)
    elif n0 == 1:
        if use_b:
            rows.star5(out, b, left, right, north, south, inv, a, low1, up1)
        else:
            rows.minus_star5(out, left, right, north, south, a, low1, up1)
    elif use_b:
        rows.star7(out, b, left, right, north, south, front, back, inv, a, (low1, up1, low0, up0))
    else:
        rows.minus_star7(out, left, right, north, south, front, back, a, (low1, up1, low0, up0))
    start = g[18] + h * even
    if g[12] == 0:
        rows.along(out, left, right, coef[start : start + size], coef[start + 2 * n2 : start + 2 * n2 + size])
        if use_b:
            rows.divide(out, coef[start + n2 : start + n2 + size], base)
        return
    for end in range(2):  # the first and the last column have entries of their own
        j = end * (n2 - 1)
        if j % 2 == h:
            k = j // 2
            value = coef[start + k] * left[k] + coef[start + 2 * n2 + k] * right[k]
            value += low1 * north[k] + up1 * south[k] + low0 * front[k] + up0 * back[k]
            out[k] = (b[k] - value) / (base + coef[start + n2 + k]) if use_b else -value


@njit(fastmath=FAST)
def _first_plane(b, i, ring, here, keep, slot, coef, g):
    """Red nodes of plane i from a zero guess into `ring`, the right-hand side's black nodes into `keep`."""
    n1, n2 = g[1], g[2]
    width, even = _stride(n2), (n2 + 1) // 2
    one = coef[g[19] + 3]
    for r in range(n1):
        h = (i + r) % 2
        row = b[(i * n1 + r) * n2 : (i * n1 + r + 1) * n2]
        at = here + r * width
        red = ring[at + GHOST : at + GHOST + even]
        black = keep[slot + r * width + GHOST : slot + r * width + GHOST + even]
        if h == 0:
            rows.split(row, red, black)
        else:
            rows.split(row, black, red)
        size = even if h == 0 else n2 // 2
        base = coef[g[19] + 2] + coef[g[16] + g[0] + i] + coef[g[17] + n1 + r]
        start = g[18] + n2 + h * even
        if g[12] == 0:
            rows.divide(red[:size], coef[start : start + size], base)
        else:
            inv = one / (base + coef[g[19] + 1])
            first, last = red[0], red[size - 1] if size > 0 else red[0]
            rows.scale(red[:size], red[:size], inv)
            if h == 0:
                red[0] = first / (base + coef[start])
            if (n2 - 1) % 2 == h:
                red[size - 1] = last / (base + coef[start + size - 1])
        _close(ring[at : at + width], h, n2, g[11])


@njit(fastmath=FAST)
def _restrict_plane(bc, J, work, ring, pair, coef, g):
    """Coarse plane J from the residual's red nodes in three planes of `ring`; `pair` holds two half rows."""
    n1, n2, m0, m1, m2, s0, s1, s2 = g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]
    width, even, plane = _stride(n2), (n2 + 1) // 2, g[1] * _stride(n2)
    i = 2 * J + s0 if s0 >= 0 else J
    one, zero = coef[g[19] + 3], coef[g[19] + 4]
    a0, a1, a2 = zero, one, zero
    if s0 >= 0:
        a0, a1, a2 = _axis(coef, g[23], m0, J)
    here, front, back = ring + (i % 3) * plane, ring + ((i - 1) % 3) * plane, ring + ((i + 1) % 3) * plane
    te, to = work[pair + GHOST : pair + GHOST + even], work[pair + width + GHOST : pair + width + GHOST + even]
    for J1 in range(m1):
        q = 2 * J1 + s1 if s1 >= 0 else J1
        c0, c1, c2 = zero, one, zero
        if s1 >= 0:
            c0, c1, c2 = _axis(coef, g[24], m1, J1)
        mid = q * width + GHOST
        top, bottom = ((q - 1) % n1) * width + GHOST, ((q + 1) % n1) * width + GHOST
        same, other = (te, to) if (i + q) % 2 == 0 else (to, te)
        rows.scale(same, work[here + mid : here + mid + even], a1 * c1)
        rows.combine4(
            other,
            work[front + mid : front + mid + even],
            work[back + mid : back + mid + even],
            work[here + top : here + top + even],
            work[here + bottom : here + bottom + even],
            a0 * c1, a2 * c1, a1 * c0, a1 * c2,
        )  # fmt: skip
        if s0 >= 0 and s1 >= 0:
            for side in range(2):
                near, weight = (front, a0) if side == 0 else (back, a2)
                x, y = work[near + top : near + top + even], work[near + bottom : near + bottom + even]
                rows.add_scaled(same, x, weight * c0)
                rows.add_scaled(same, y, weight * c2)
        out = bc[(J * m1 + J1) * m2 : (J * m1 + J1 + 1) * m2]
        if s2 < 0:
            rows.join(out, te, to)
            continue
        at, start = pair + GHOST, g[25]
        _close(work[pair : pair + width], 0, n2, g[11])
        _close(work[pair + width : pair + 2 * width], 1, n2, g[11])
        wl, wc, wr = coef[start : start + m2], coef[start + m2 : start + 2 * m2], coef[start + 2 * m2 : start + 3 * m2]
        e, o = at, at + width
        if s2 == 1:
            rows.weigh3(out, work[e : e + m2], work[o : o + m2], work[e + 1 : e + 1 + m2], wl, wc, wr)
        else:
            rows.weigh3(out, work[o - 1 : o - 1 + m2], work[e : e + m2], work[o : o + m2], wl, wc, wr)


@njit(_SIGNATURES["descend"], **_KERNEL)
def descend(b, xs, bc, coef, g, work, lo, hi, kept):
    """Pre-smooth from zero, restrict the residual to coarse planes lo..hi, keep colour `kept` of x in xs."""
    n0, n1, n2, m0, s0 = g[0], g[1], g[2], g[3], g[6]
    width, even = _stride(n2), (n2 + 1) // 2
    plane = n1 * width
    red, black, rest, keep, pair = 0, 3 * plane, 6 * plane, 9 * plane, 11 * plane
    work[: 11 * plane + 2 * width] = 0
    first, last = (2 * lo + s0 - 1, 2 * hi + s0) if s0 >= 0 else (lo, hi)
    mine, end = (0 if lo == 0 else first, n0 if hi == m0 else last - 1) if s0 >= 0 else (lo, hi)
    if g[9] == 0:
        first, last = max(first, 0), min(last, n0)
    J = lo
    for t in range(first - 2, last + 2):
        if g[9] == 1 or (t >= 0 and t < n0):
            _first_plane(b, t % n0, work, red + (t % 3) * plane, work, keep + (t % 2) * plane, coef, g)
        i = t - 1
        if i >= first - 1 and i < last + 1 and (g[9] == 1 or (i >= 0 and i < n0)):
            here = black + (i % 3) * plane
            p0, p1, p2 = red + ((i - 1) % 3) * plane, red + (i % 3) * plane, red + ((i + 1) % 3) * plane
            for r in range(n1):
                h = (i + r + 1) % 2
                size = even if h == 0 else n2 // 2
                at = here + r * width + GHOST
                rhs = keep + (i % 2) * plane + r * width + GHOST
                _star(work[at : at + size], work[rhs : rhs + size], True, work, p0, p1, p2, i % n0, r, h, coef, g)
                _close(work[at - GHOST : at - GHOST + width], h, n2, g[11])
                if i >= mine and i < end:
                    source = at if kept == 1 else p1 + r * width + GHOST
                    to = ((i % n0) * n1 + r) * even
                    xs[to : to + even] = work[source : source + even]
        i = t - 2
        if i >= first and i < last:
            p0, p1, p2 = black + ((i - 1) % 3) * plane, black + (i % 3) * plane, black + ((i + 1) % 3) * plane
            for r in range(n1):
                h = (i + r) % 2
                size = even if h == 0 else n2 // 2
                at = rest + (i % 3) * plane + r * width + GHOST
                _star(work[at : at + size], work[at : at + size], False, work, p0, p1, p2, i % n0, r, h, coef, g)
            complete = 2 * J + s0 + 1 if s0 >= 0 else J
            if i == complete or (g[9] == 0 and s0 >= 0 and i == n0 - 1):
                _restrict_plane(bc, J, work, rest, pair, coef, g)
                J += 1


@njit(fastmath=FAST)
def _parents(i, m, s, coef, start, n):
    """The two coarse nodes between which fine node i lies, and their weights."""
    if s < 0:
        return i, i, coef[start], coef[start + 1]
    if (i - s) % 2 == 0:
        J = (i - s) // 2
        return J, J, coef[start], coef[start + 1]
    J = (i - s - 1) // 2
    return J % m, (J + 1) % m, coef[start + 2 + i], coef[start + 2 + n + i]


@njit(fastmath=FAST)
def _prolong_row(out, x, e, i, r, h, buffer, coef, g):
    """Half h of row (i, r): out = x + P e; `buffer` has room for a coarse row and its ghosts."""
    n0, n1, n2, m0, m1, m2, s2 = g[0], g[1], g[2], g[3], g[4], g[5], g[8]
    even = (n2 + 1) // 2
    J0, K0, a, b = _parents(i, m0, g[6], coef, g[20], n0)
    J1, K1, c, d = _parents(r, m1, g[7], coef, g[21], n1)
    line = buffer[GHOST : GHOST + m2]
    jj, jk, kj, kk = (J0 * m1 + J1) * m2, (J0 * m1 + K1) * m2, (K0 * m1 + J1) * m2, (K0 * m1 + K1) * m2
    if J0 == K0 and J1 == K1:
        rows.scale(line, e[jj : jj + m2], (a + b) * (c + d))
    elif J1 == K1:
        rows.combine2(line, e[jj : jj + m2], e[kj : kj + m2], a * (c + d), b * (c + d))
    elif J0 == K0:
        rows.combine2(line, e[jj : jj + m2], e[jk : jk + m2], (a + b) * c, (a + b) * d)
    else:
        x0, x1, x2, x3 = e[jj : jj + m2], e[jk : jk + m2], e[kj : kj + m2], e[kk : kk + m2]
        rows.combine4(line, x0, x1, x2, x3, a * c, a * d, b * c, b * d)
    size = even if h == 0 else n2 // 2
    if s2 < 0:
        for k in range(size):
            out[k] = x[k] + line[2 * k + h]
        return
    if h == s2:
        rows.plus(out[:size], x, line)
        return
    if g[11]:
        buffer[GHOST - 1], buffer[GHOST + m2] = line[m2 - 1], line[0]
    start = g[22]
    p, q = coef[start : start + size], coef[start + n2 - m2 : start + n2 - m2 + size]
    at = GHOST - s2
    rows.interpolate(out[:size], x, buffer[at : at + size], buffer[at + 1 : at + 1 + size], p, q)


@njit(_SIGNATURES["ascend"], **_KERNEL)
def ascend(b, xs, e, z, coef, g, work, lo, hi, first):
    """z = x + P e, smoothed once with colour `first` first, in planes lo..hi; xs holds the other colour of x."""
    n0, n1, n2 = g[0], g[1], g[2]
    width, even = _stride(n2), (n2 + 1) // 2
    plane = n1 * width
    old, new, keep, pair, coarse = 0, 3 * plane, 6 * plane, 8 * plane, 8 * plane + 2 * width
    room = (g[5] + 15) // 16 * 16 + 2 * GHOST
    work[: coarse + room] = 0
    for t in range(lo - 2, hi + 2):
        if g[9] == 1 or (t >= 0 and t < n0):
            i = t % n0
            for r in range(n1):
                h = (t + r + 1 - first) % 2
                at, source = old + (t % 3) * plane + r * width, (i * n1 + r) * even
                out, x = work[at + GHOST : at + GHOST + even], xs[source : source + even]
                _prolong_row(out, x, e, i, r, h, work[coarse : coarse + room], coef, g)
                _close(work[at : at + width], h, n2, g[11])
        i = t - 1
        if i >= lo - 1 and i < hi + 1 and (g[9] == 1 or (i >= 0 and i < n0)):
            p0, p1, p2 = old + ((i - 1) % 3) * plane, old + (i % 3) * plane, old + ((i + 1) % 3) * plane
            for r in range(n1):
                h = (i + r + first) % 2
                size = even if h == 0 else n2 // 2
                at, spare = new + (i % 3) * plane + r * width, keep + (i % 2) * plane + r * width + GHOST
                now, later = work[pair + GHOST : pair + GHOST + even], work[spare : spare + even]
                row = b[((i % n0) * n1 + r) * n2 : ((i % n0) * n1 + r + 1) * n2]
                if h == 0:
                    rows.split(row, now, later)
                else:
                    rows.split(row, later, now)
                _star(work[at + GHOST : at + GHOST + size], now, True, work, p0, p1, p2, i % n0, r, h, coef, g)
                _close(work[at : at + width], h, n2, g[11])
        i = t - 2
        if i >= lo:
            p0, p1, p2 = new + ((i - 1) % 3) * plane, new + (i % 3) * plane, new + ((i + 1) % 3) * plane
            for r in range(n1):
                h = (i + r + 1 - first) % 2
                size = even if h == 0 else n2 // 2
                out = work[pair + GHOST : pair + GHOST + even]
                rhs = keep + (i % 2) * plane + r * width + GHOST
                _star(out[:size], work[rhs : rhs + size], True, work, p0, p1, p2, i, r, h, coef, g)
                partner = work[p1 + r * width + GHOST : p1 + r * width + GHOST + even]
                row = z[(i * n1 + r) * n2 : (i * n1 + r + 1) * n2]
                if h == 0:
                    rows.join(row, out, partner)
                else:
                    rows.join(row, partner, out)
