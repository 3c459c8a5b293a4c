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


@jit(fixed=_SIZES)
def smooth_zero(
    x, b, coef, n0, n1, n2, omega, theta,
    A0: tl.constexpr, A1: tl.constexpr, B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """x = two damped Jacobi steps (omega, theta) from zero."""
    i, j, k, inside = tile(n0, n1, n2, B0, B1, B2)
    li, di, ui, im, ip = row(coef, i, n0, n1 * n2)
    lj, dj, uj, jm, jp = row(coef + 3 * n0, j, n1, n2)
    lk, dk, uk, km, kp = row(coef + 3 * (n0 + n1), k, n2, 1)
    at = (i * (n1 * n2))[:, None, None] + (j * n2)[None, :, None] + k[None, None, :]
    ci, cj, ck = coef + n0 + i, coef + 3 * n0 + n1 + j, coef + 3 * (n0 + n1) + n2 + k  # the diagonals
    dij = di[:, None] + dj[None, :]
    d = dij[:, :, None] + dk[None, None, :]
    djk = dj[:, None] + dk[None, :]
    dik = di[:, None] + dk[None, :]
    centre = tl.load(b + at)
    t = lk[None, None, :] * tl.load(b + at + km[None, None, :]) / (dij[:, :, None] + tl.load(ck + km)[None, None, :])
    t += uk[None, None, :] * tl.load(b + at + kp[None, None, :]) / (dij[:, :, None] + tl.load(ck + kp)[None, None, :])
    if A1:
        fm, fp = tl.load(cj + jm // n2)[None, :, None], tl.load(cj + jp // n2)[None, :, None]
        t += lj[None, :, None] * tl.load(b + at + jm[None, :, None]) / (dik[:, None, :] + fm)
        t += uj[None, :, None] * tl.load(b + at + jp[None, :, None]) / (dik[:, None, :] + fp)
    if A0:
        plane = n1 * n2
        em, ep = tl.load(ci + im // plane)[:, None, None], tl.load(ci + ip // plane)[:, None, None]
        t += li[:, None, None] * tl.load(b + at + im[:, None, None]) / (djk[None, :, :] + em)
        t += ui[:, None, None] * tl.load(b + at + ip[:, None, None]) / (djk[None, :, :] + ep)
    tl.store(x + at, ((omega + theta - omega * theta) * centre - omega * theta * t) / d, mask=inside)


@jit(fixed=_SIZES)
def smooth(
    y, x, b, coef, weight, partial, n0, n1, n2, omega,
    A0: tl.constexpr, A1: tl.constexpr, DOT: tl.constexpr,
    B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """y = x + omega D^-1 (b - T x); with DOT also the program's share of y . W b."""
    i, j, k, inside = tile(n0, n1, n2, B0, B1, B2)
    li, di, ui, im, ip = row(coef, i, n0, n1 * n2)
    lj, dj, uj, jm, jp = row(coef + 3 * n0, j, n1, n2)
    lk, dk, uk, km, kp = row(coef + 3 * (n0 + n1), k, n2, 1)
    at = (i * (n1 * n2))[:, None, None] + (j * n2)[None, :, None] + k[None, None, :]
    d = di[:, None, None] + dj[None, :, None] + dk[None, None, :]
    centre, source = tl.load(x + at), tl.load(b + at)
    t = lk[None, None, :] * tl.load(x + at + km[None, None, :])
    t += uk[None, None, :] * tl.load(x + at + kp[None, None, :])
    if A1:
        t += lj[None, :, None] * tl.load(x + at + jm[None, :, None])
        t += uj[None, :, None] * tl.load(x + at + jp[None, :, None])
    if A0:
        t += li[:, None, None] * tl.load(x + at + im[:, None, None])
        t += ui[:, None, None] * tl.load(x + at + ip[:, None, None])
    out = (1 - omega) * centre + omega * (source - t) / d
    tl.store(y + at, out, mask=inside)
    if DOT:
        w = tl.load(weight + i)[:, None, None] * tl.load(weight + n0 + j)[None, :, None]
        w = w * tl.load(weight + n0 + n1 + k)[None, None, :]
        share = tl.where(inside, out.to(tl.float64) * source.to(tl.float64) * w, 0.0)
        tl.store(partial + program(), tl.sum(tl.sum(tl.sum(share, 2), 1), 0))


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


@jit(fixed=(*_SIZES, *_COARSE, "f0", "f1", "f2", "s0", "s1", "s2"))
def prolong(
    x, coarse, table, n0, n1, n2, m0, m1, m2, f0, f1, f2, s0, s1, s2,
    A0: tl.constexpr, A1: tl.constexpr, B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """x += P coarse."""
    i, j, k, inside = tile(n0, n1, n2, B0, B1, B2)
    ia, ib, va, vb = between(table, i, n0, m0, f0, s0, m1 * m2)
    ja, jb, wa, wb = between(table + 2 * n0, j, n1, m1, f1, s1, m2)
    ka, kb, za, zb = between(table + 2 * (n0 + n1), k, n2, m2, f2, s2, 1)
    at = (i * (n1 * n2))[:, None, None] + (j * n2)[None, :, None] + k[None, None, :]
    low, high = ka[None, None, :], kb[None, None, :]
    left, right = za[None, None, :], zb[None, None, :]
    aa = (ia[:, None] + ja[None, :])[:, :, None]
    t = (va[:, None] * wa[None, :])[:, :, None] * (left * tl.load(coarse + aa + low) + right * tl.load(coarse + aa + high))
    if A1:
        ab = (ia[:, None] + jb[None, :])[:, :, None]
        line = left * tl.load(coarse + ab + low) + right * tl.load(coarse + ab + high)
        t += (va[:, None] * wb[None, :])[:, :, None] * line
    if A0:
        ba = (ib[:, None] + ja[None, :])[:, :, None]
        line = left * tl.load(coarse + ba + low) + right * tl.load(coarse + ba + high)
        t += (vb[:, None] * wa[None, :])[:, :, None] * line
    if A0 and A1:
        bb = (ib[:, None] + jb[None, :])[:, :, None]
        line = left * tl.load(coarse + bb + low) + right * tl.load(coarse + bb + high)
        t += (vb[:, None] * wb[None, :])[:, :, None] * line
    tl.store(x + at, tl.load(x + at) + t, mask=inside)


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
