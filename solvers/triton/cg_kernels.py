"""Kernels of conjugate gradients on a separable operator: products, the two fused passes, sums. Unvalidated.

x, r and b are float64, the direction p and the preconditioned residual z float32. Since A p is formed in float64 from
the rounded p, the recurrence of r stays true to x; the rounding costs p only conjugacy, in its eighth digit.
"""

from __future__ import annotations

from conjugo.solvers.triton.cycle_kernels import lines, program, row, tile
from conjugo.solvers.triton.language import jit, tl

RHO, BETA, CURVATURE, ALPHA, SQUARE, SCALE = range(6)
"""Places of the scalars on the device."""

_SIZES = ("n0", "n1", "n2")


@jit()
def volume(weight, i, j, k, n0, n1):
    """Product of the axes' weights."""
    w = tl.load(weight + i)[:, None, None] * tl.load(weight + n0 + j)[None, :, None]
    return w * tl.load(weight + n0 + n1 + k)[None, None, :]


@jit()
def combined(z, p, beta, at):
    """z + beta p, rounded once, the same wherever it is formed."""
    return tl.fma(tl.load(p + at), tl.zeros(at.shape, dtype=tl.float32) + beta, tl.load(z + at))


@jit(fixed=_SIZES)
def product(
    out, x, b, coef, weight, partial, n0, n1, n2,
    A0: tl.constexpr, A1: tl.constexpr, RESIDUAL: tl.constexpr,
    B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """out = A x; with RESIDUAL out = b - A x and the program's share of its square."""
    i, j, k, inside = tile(n0, n1, n2, B0, B1, B2)
    li, di, ui, im, ip = row(coef, i, n0, n1 * n2)
    lj, dj, uj, jm, jp = row(coef + 3 * n0, j, n1, n2)
    lk, dk, uk, km, kp = row(coef + 3 * (n0 + n1), k, n2, 1)
    at = (i * (n1 * n2))[:, None, None] + (j * n2)[None, :, None] + k[None, None, :]
    t = (di[:, None, None] + dj[None, :, None] + dk[None, None, :]) * tl.load(x + at)
    t += lk[None, None, :] * tl.load(x + at + km[None, None, :])
    t += uk[None, None, :] * tl.load(x + at + kp[None, None, :])
    if A1:
        t += lj[None, :, None] * tl.load(x + at + jm[None, :, None])
        t += uj[None, :, None] * tl.load(x + at + jp[None, :, None])
    if A0:
        t += li[:, None, None] * tl.load(x + at + im[:, None, None])
        t += ui[:, None, None] * tl.load(x + at + ip[:, None, None])
    t = t * volume(weight, i, j, k, n0, n1).to(t.dtype)
    if RESIDUAL:
        t = tl.load(b + at) - t
        share = tl.where(inside, t.to(tl.float64) * t.to(tl.float64), 0.0)
        tl.store(partial + program(), tl.sum(tl.sum(tl.sum(share, 2), 1), 0))
    tl.store(out + at, t, mask=inside)


@jit(fixed=(*_SIZES, "chunk"))
def direction(
    new, p, z, coef, weight, scalars, partial, n0, n1, n2, chunk,
    A0: tl.constexpr, A1: tl.constexpr, BETA: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """new = z + beta p and the program's share of new . A new."""
    j, k, inside = lines(n1, n2, B1, B2)
    plane = n1 * n2
    lj, dj, uj, jm, jp = row(coef + 3 * n0, j, n1, n2)
    lk, dk, uk, km, kp = row(coef + 3 * (n0 + n1), k, n2, 1)
    at = (j * n2)[:, None] + k[None, :]
    djk = dj[:, None] + dk[None, :]
    beta = tl.load(scalars + BETA).to(tl.float32)
    first = tl.program_id(2) * chunk
    stop = tl.minimum(first + chunk, n0)
    centre = combined(z, p, beta, first * plane + at).to(tl.float64)
    before = centre
    if A0:
        before = combined(z, p, beta, ((first + n0 - 1) % n0) * plane + at).to(tl.float64)
    after = centre
    share = tl.zeros((B1, B2), dtype=tl.float64)
    for i in range(first, stop):
        here = i * plane + at
        tl.store(new + here, centre.to(tl.float32), mask=inside)
        t = (tl.load(coef + n0 + i) + djk) * centre
        t += lk[None, :] * combined(z, p, beta, here + km[None, :]).to(tl.float64)
        t += uk[None, :] * combined(z, p, beta, here + kp[None, :]).to(tl.float64)
        if A1:
            t += lj[:, None] * combined(z, p, beta, here + jm[:, None]).to(tl.float64)
            t += uj[:, None] * combined(z, p, beta, here + jp[:, None]).to(tl.float64)
        if A0:
            after = combined(z, p, beta, tl.where(i == n0 - 1, 0, i + 1) * plane + at).to(tl.float64)
            t += tl.load(coef + i) * before + tl.load(coef + 2 * n0 + i) * after
        share += t * centre * tl.load(weight + i)
        before, centre = centre, after
    w = tl.load(weight + n0 + j)[:, None] * tl.load(weight + n0 + n1 + k)[None, :]
    tl.store(partial + program(), tl.sum(tl.sum(tl.where(inside, share * w, 0.0), 1), 0))


@jit(fixed=_SIZES)
def update(
    x, r, low, p, coef, weight, scalars, partial, n0, n1, n2,
    A0: tl.constexpr, A1: tl.constexpr, ALPHA: tl.constexpr, SCALE: tl.constexpr,
    B0: tl.constexpr, B1: tl.constexpr, B2: tl.constexpr,
):  # fmt: skip
    """x += alpha p, r -= alpha A p, low = scale W^-1 r in float32, and the program's share of r . r."""
    i, j, k, inside = tile(n0, n1, n2, B0, B1, B2)
    li, di, ui, im, ip = row(coef, i, n0, n1 * n2)
    lj, dj, uj, jm, jp = row(coef + 3 * n0, j, n1, n2)
    lk, dk, uk, km, kp = row(coef + 3 * (n0 + n1), k, n2, 1)
    at = (i * (n1 * n2))[:, None, None] + (j * n2)[None, :, None] + k[None, None, :]
    alpha = tl.load(scalars + ALPHA)
    centre = tl.load(p + at).to(tl.float64)
    tl.store(x + at, tl.load(x + at) + alpha * centre, mask=inside)
    t = (di[:, None, None] + dj[None, :, None] + dk[None, None, :]) * centre
    t += lk[None, None, :] * tl.load(p + at + km[None, None, :]).to(tl.float64)
    t += uk[None, None, :] * tl.load(p + at + kp[None, None, :]).to(tl.float64)
    if A1:
        t += lj[None, :, None] * tl.load(p + at + jm[None, :, None]).to(tl.float64)
        t += uj[None, :, None] * tl.load(p + at + jp[None, :, None]).to(tl.float64)
    if A0:
        t += li[:, None, None] * tl.load(p + at + im[:, None, None]).to(tl.float64)
        t += ui[:, None, None] * tl.load(p + at + ip[:, None, None]).to(tl.float64)
    w = volume(weight, i, j, k, n0, n1)
    rest = tl.load(r + at) - alpha * (w * t)
    tl.store(r + at, rest, mask=inside)
    tl.store(low + at, ((tl.load(scalars + SCALE) * rest).to(tl.float32) / w.to(tl.float32)), mask=inside)
    share = tl.where(inside, rest * rest, 0.0)
    tl.store(partial + program(), tl.sum(tl.sum(tl.sum(share, 2), 1), 0))


@jit(fixed=("count",))
def add_up(scalars, partial, count, WHICH: tl.constexpr, BLOCK: tl.constexpr):
    """Sum the shares, and form the coefficient that follows: WHICH is RHO (then beta), CURVATURE (alpha) or SQUARE."""
    at = tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK,), dtype=tl.float64)
    for start in range(0, count, BLOCK):
        sums += tl.load(partial + start + at, mask=start + at < count, other=0.0)
    total = tl.sum(sums, 0)
    if WHICH == 0:
        before = tl.load(scalars)
        tl.store(scalars + 1, tl.where(before > 0, total / tl.where(before > 0, before, 1.0), 0.0))
    if WHICH == 2:
        below = total * tl.load(scalars + 5)
        tl.store(scalars + 3, tl.where(below > 0, tl.load(scalars) / tl.where(below > 0, below, 1.0), 0.0))
    tl.store(scalars + WHICH, total)
