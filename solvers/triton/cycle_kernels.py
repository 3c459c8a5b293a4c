"""Kernels of the V-cycle for separable operators: smoothing, residual with restriction, prolongation. Unvalidated.

Arrays are (n0, n1, n2) in C order, an absent axis has one node. `coef` holds lower, diagonal and upper entries of the
axes one after the other; a coupling over an end that is not periodic is 0, so the wrapped neighbour needs no mask. A
program owns a tile B0 x B1 x B2; indices beyond the grid are clamped and only stores and sums are masked.
"""

from __future__ import annotations

from conjugo.solvers.triton.language import jit, tl

_SIZES = ("n0", "n1", "n2")
_COARSE = ("m0", "m1", "m2")


@jit(fixed=("n", "stride"))
def row(coef, i, n, stride):
    """Entries of the rows i of one axis, and the shifts to the neighbours."""
    before = tl.where(i == 0, n - 1, -1) * stride
    after = tl.where(i == n - 1, 1 - n, 1) * stride
    return tl.load(coef + i), tl.load(coef + n + i), tl.load(coef + 2 * n + i), before, after


@jit(fixed=_SIZES)
def tile(n0, n1, n2, B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr):
    """Indices of this program's nodes, clamped, and which of them exist."""
    i = tl.program_id(2) * B0 + tl.arange(0, B0)
    j = tl.program_id(1) * B1 + tl.arange(0, B1)
    k = tl.program_id(0) * B2 + tl.arange(0, B2)
    inside = (i < n0)[:, None, None] & (j < n1)[None, :, None] & (k < n2)[None, None, :]
    return tl.minimum(i, n0 - 1), tl.minimum(j, n1 - 1), tl.minimum(k, n2 - 1), inside


@jit()
def program():
    """Number of this program."""
    return tl.program_id(0) + tl.num_programs(0) * (tl.program_id(1) + tl.num_programs(1) * tl.program_id(2))


@jit()
def lines(n1, n2, B1: tl.constexpr, B2: tl.constexpr):
    """Indices of this program's nodes in a plane, clamped, and which of them exist."""
    j = tl.program_id(1) * B1 + tl.arange(0, B1)
    k = tl.program_id(0) * B2 + tl.arange(0, B2)
    return tl.minimum(j, n1 - 1), tl.minimum(k, n2 - 1), (j < n1)[:, None] & (k < n2)[None, :]


@jit(fixed=(*_SIZES, "chunk"))
def smooth_zero(
    x, b, coef, n0, n1, n2, omega, theta, chunk,
    A0: tl.constexpr, A1: tl.constexpr, EVEN: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """x = two damped Jacobi steps (omega, theta) from zero; EVEN says that the diagonal is the same everywhere."""
    j, k, inside = lines(n1, n2, B1, B2)
    plane = n1 * n2
    cj, ck = coef + 3 * n0, coef + 3 * (n0 + n1)
    lj, dj, uj, jm, jp = row(cj, j, n1, n2)
    lk, dk, uk, km, kp = row(ck, k, n2, 1)
    at = (j * n2)[:, None] + k[None, :]
    djk = dj[:, None] + dk[None, :]
    djm, djp, dkm, dkp = djk, djk, djk, djk
    if not EVEN:
        djm = tl.load(cj + n1 + j + jm // n2)[:, None] + dk[None, :]
        djp = tl.load(cj + n1 + j + jp // n2)[:, None] + dk[None, :]
        dkm = dj[:, None] + tl.load(ck + n2 + k + km)[None, :]
        dkp = dj[:, None] + tl.load(ck + n2 + k + kp)[None, :]
    first = tl.program_id(2) * chunk
    stop = tl.minimum(first + chunk, n0)
    last = (first + n0 - 1) % n0
    inverse = 1.0 / (tl.load(coef + n0 + first) + djk)
    centre = tl.load(b + first * plane + at) * inverse
    before = centre
    if A0:
        before = tl.load(b + last * plane + at) / (tl.load(coef + n0 + last) + djk)
    after, inverse_after = centre, inverse
    for i in range(first, stop):
        here = b + i * plane
        di = tl.load(coef + n0 + i)
        if A0:
            following = tl.where(i == n0 - 1, 0, i + 1)
            if not EVEN:
                inverse_after = 1.0 / (tl.load(coef + n0 + following) + djk)
            after = tl.load(b + following * plane + at) * inverse_after
        west, east = tl.load(here + at + km[None, :]), tl.load(here + at + kp[None, :])
        if EVEN:
            t = (lk[None, :] * west + uk[None, :] * east) * inverse
        else:
            t = lk[None, :] * west / (di + dkm) + uk[None, :] * east / (di + dkp)
        if A1:
            north, south = tl.load(here + at + jm[:, None]), tl.load(here + at + jp[:, None])
            if EVEN:
                t += (lj[:, None] * north + uj[:, None] * south) * inverse
            else:
                t += lj[:, None] * north / (di + djm) + uj[:, None] * south / (di + djp)
        if A0:
            t += tl.load(coef + i) * before + tl.load(coef + 2 * n0 + i) * after
        out = (omega + theta - omega * theta) * centre - omega * theta * (t * inverse)
        tl.store(x + i * plane + at, out, mask=inside)
        before, centre, inverse = centre, after, inverse_after


@jit(fixed=(*_SIZES, "chunk"))
def smooth(
    y, x, b, coef, weight, partial, n0, n1, n2, omega, chunk,
    A0: tl.constexpr, A1: tl.constexpr, DOT: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """y = x + omega D^-1 (b - T x); with DOT also the program's share of y . W b."""
    j, k, inside = lines(n1, n2, B1, B2)
    plane = n1 * n2
    lj, dj, uj, jm, jp = row(coef + 3 * n0, j, n1, n2)
    lk, dk, uk, km, kp = row(coef + 3 * (n0 + n1), k, n2, 1)
    at = (j * n2)[:, None] + k[None, :]
    djk = dj[:, None] + dk[None, :]
    first = tl.program_id(2) * chunk
    stop = tl.minimum(first + chunk, n0)
    centre = tl.load(x + first * plane + at)
    before = centre
    if A0:
        before = tl.load(x + ((first + n0 - 1) % n0) * plane + at)
    after = centre
    share = tl.zeros((B1, B2), dtype=tl.float64)
    for i in range(first, stop):
        here = x + i * plane
        source = tl.load(b + i * plane + at)
        t = lk[None, :] * tl.load(here + at + km[None, :]) + uk[None, :] * tl.load(here + at + kp[None, :])
        if A1:
            t += lj[:, None] * tl.load(here + at + jm[:, None]) + uj[:, None] * tl.load(here + at + jp[:, None])
        if A0:
            after = tl.load(x + tl.where(i == n0 - 1, 0, i + 1) * plane + at)
            t += tl.load(coef + i) * before + tl.load(coef + 2 * n0 + i) * after
        out = (1 - omega) * centre + omega * (source - t) / (tl.load(coef + n0 + i) + djk)
        tl.store(y + i * plane + at, out, mask=inside)
        if DOT:
            share += (out * source).to(tl.float64) * tl.load(weight + i)
        before, centre = centre, after
    if DOT:
        w = tl.load(weight + n0 + j)[:, None] * tl.load(weight + n0 + n1 + k)[None, :]
        tl.store(partial + program(), tl.sum(tl.sum(tl.where(inside, share * w, 0.0), 1), 0))


@jit(fixed=("n", "first", "step", "stride"))
def beside(table, m, J, n, first, step, stride, d: tl.constexpr):
    """Place of the fine node d beside coarse node J, its weights in R and in R T."""
    place = ((J * step + first + d + 2 * n) % n) * stride
    return place, tl.load(table + (2 + d) * m + J), tl.load(table + (7 + d) * m + J)


@jit(fixed=(*_SIZES, *_COARSE, "f0", "f1", "f2", "s0", "s1", "s2"))
def restrict(
    coarse, x, b, table, n0, n1, n2, m0, m1, m2, f0, f1, f2, s0, s1, s2,
    A0: tl.constexpr, A1: tl.constexpr, B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """coarse = R (b - T x), with R T formed axis by axis: 81 places of x and 27 of b for a coarse node in 3-D."""
    I, J, K, inside = tile(m0, m1, m2, B0, B1, B2)  # noqa: E741
    t1, t2 = table + 10 * m0, table + 10 * (m0 + m1)
    total = tl.zeros((B0, B1, B2), dtype=tl.float32)
    for di in tl.static_range(-2 * A0, 2 * A0 + 1):
        pi, ri, qi = beside(table, m0, I, n0, f0, s0, n1 * n2, di)
        for dj in tl.static_range(-2 * A1, 2 * A1 + 1):
            if (-1 <= di and di <= 1) or (-1 <= dj and dj <= 1):
                pj, rj, qj = beside(t1, m1, J, n1, f1, s1, n2, dj)
                line = (pi[:, None] + pj[None, :])[:, :, None]
                single = ri[:, None] * rj[None, :]
                crossed = qi[:, None] * rj[None, :] + ri[:, None] * qj[None, :]
                for dk in tl.static_range(-2, 3):
                    if -1 <= dk and dk <= 1:
                        pk, rk, qk = beside(t2, m2, K, n2, f2, s2, 1, dk)
                        values = tl.load(x + line + pk[None, None, :])
                        total -= crossed[:, :, None] * (rk[None, None, :] * values)
                        if -1 <= di and di <= 1 and -1 <= dj and dj <= 1:
                            source = tl.load(b + line + pk[None, None, :])
                            total += single[:, :, None] * (rk[None, None, :] * source - qk[None, None, :] * values)
                    elif -1 <= di and di <= 1 and -1 <= dj and dj <= 1:
                        pk, rk, qk = beside(t2, m2, K, n2, f2, s2, 1, dk)
                        total -= single[:, :, None] * (qk[None, None, :] * tl.load(x + line + pk[None, None, :]))
    at = (I * (m1 * m2))[:, None, None] + (J * m2)[None, :, None] + K[None, None, :]
    tl.store(coarse + at, total, mask=inside)


@jit(fixed=("n", "m", "first", "step", "stride"))
def between(table, i, n, m, first, step, stride):
    """Places of the two coarse nodes around fine node i, and their weights."""
    J = (i - first + step) // step - 1
    return ((J + m) % m) * stride, ((J + 1) % m) * stride, tl.load(table + i), tl.load(table + n + i)


@jit()
def spread(plane, ja, jb, ka, kb, wa, wb, za, zb, A1: tl.constexpr):
    """A plane of coarse values interpolated along its two axes."""
    low, high = plane + ja[:, None], plane + jb[:, None]
    t = wa[:, None] * (za[None, :] * tl.load(low + ka[None, :]) + zb[None, :] * tl.load(low + kb[None, :]))
    if A1:
        t += wb[:, None] * (za[None, :] * tl.load(high + ka[None, :]) + zb[None, :] * tl.load(high + kb[None, :]))
    return t


@jit(fixed=(*_SIZES, *_COARSE, "f0", "f1", "f2", "s1", "s2", "chunk"))
def prolong(
    x, coarse, table, n0, n1, n2, m0, m1, m2, f0, f1, f2, s1, s2, chunk,
    S0: tl.constexpr, A1: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """x += P coarse; S0 fine planes for each coarse one, of which a program takes `chunk`."""
    j, k, inside = lines(n1, n2, B1, B2)
    ja, jb, wa, wb = between(table + 2 * n0, j, n1, m1, f1, s1, m2)
    ka, kb, za, zb = between(table + 2 * (n0 + n1), k, n2, m2, f2, s2, 1)
    at = (j * n2)[:, None] + k[None, :]
    first = tl.program_id(2) * chunk - (S0 - 1)
    stop = tl.minimum(first + chunk, m0)
    near = spread(coarse + ((first + m0) % m0) * (m1 * m2), ja, jb, ka, kb, wa, wb, za, zb, A1)
    far = near
    for J in range(first, stop):
        if S0 == 2:
            far = spread(coarse + ((J + 1) % m0) * (m1 * m2), ja, jb, ka, kb, wa, wb, za, zb, A1)
        for e in tl.static_range(S0):
            i = S0 * J + f0 + e
            some = inside & (at * 0 + i >= 0) & (at * 0 + i < n0)
            c = tl.maximum(tl.minimum(i, n0 - 1), 0)
            target = x + c * (n1 * n2) + at
            t = tl.load(table + c) * near + tl.load(table + n0 + c) * far
            tl.store(target, tl.load(target) + t, mask=some)
        near = far
        if S0 == 1:
            near = spread(coarse + ((J + 1) % m0) * (m1 * m2), ja, jb, ka, kb, wa, wb, za, zb, A1)
            far = near


@jit(fixed=("n",))
def coarsest(x, b, inverse, n, B: tl.constexpr, C: tl.constexpr):
    """x = inverse b, a dense product; the inverse is symmetric or stored by rows."""
    i = tl.program_id(0) * B + tl.arange(0, B)
    total = tl.zeros((B,), dtype=tl.float32)
    for start in range(0, n, C):
        j = start + tl.arange(0, C)
        some = (i < n)[:, None] & (j < n)[None, :]
        entries = tl.load(inverse + i[:, None] * n + j[None, :], mask=some, other=0.0)
        total += tl.sum(entries * tl.load(b + j, mask=j < n, other=0.0)[None, :], 1)
    tl.store(x + i, total, mask=i < n)
