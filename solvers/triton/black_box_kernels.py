"""Kernels of the black-box cycle on colour-split storage (`solvers.multigrid.parity`). Unvalidated.

Vectors are (right-hand sides, parts, size), coefficients (.., parts, size). A program owns a block of one sub-grid's
flat range; its neighbours lie at constant shifts in other sub-grids, given by tables. A ghost's inverse diagonal is 0.
"""

from __future__ import annotations

from conjugo.solvers.triton.language import jit, tl


@jit()
def coupled(x, k, row, s, at, inside, parts, size):
    """Two couplings times neighbours of sub-grid s; a row is (direction, neighbour, shift, shift back)."""
    m, n, forth, back = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
    near = tl.load(k + (m * parts + s) * size + at, mask=inside, other=0.0)
    far = tl.load(k + (m * parts + n) * size + at + back, mask=inside, other=0.0)
    y = x + n * size + at
    return near * tl.load(y + forth, mask=inside, other=0.0) + far * tl.load(y + back, mask=inside, other=0.0)


@jit(fixed=("parts", "size", "lo", "hi", "count"))
def stage(
    x, b, r, k, dinv, omega, steps, members, parts, size, lo, hi, count, directions,
    RELAX: tl.constexpr, ZERO: tl.constexpr, OMEGA: tl.constexpr, STAR: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Relax some sub-grids, x = (1 - omega) x + omega D^-1 (b - K x), or write their residual to r.

    `count` steps of the table are used; with ZERO x was zero before. STAR is the constant count of steps, or 0.
    """
    s = tl.load(members + tl.program_id(1))
    at = lo + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < hi
    offset = tl.program_id(2).to(tl.int64) * parts * size
    own = s * size + at
    t = tl.load(b + offset + own, mask=inside, other=0.0)
    table = steps + s * directions * 4
    if STAR > 0:
        for j in tl.static_range(STAR):
            t -= coupled(x + offset, k, table + 4 * j, s, at, inside, parts, size)
    else:
        for j in range(0, count):
            t -= coupled(x + offset, k, table + 4 * j, s, at, inside, parts, size)
    d = tl.load(dinv + own, mask=inside, other=0.0)
    if RELAX:
        t = t * d
        if OMEGA:
            w = tl.load(omega + own, mask=inside, other=0.0)
            if ZERO:
                t = w * t
            else:
                t = w * t + (1 - w) * tl.load(x + offset + own, mask=inside, other=0.0)
        tl.store(x + offset + own, t, mask=inside)
    else:
        real = d != 0
        t = t - tl.load(x + offset + own, mask=inside, other=0.0) / tl.where(real, d, 1.0)
        tl.store(r + offset + own, tl.where(real, t, 0.0), mask=inside)


@jit(fixed=("parts", "size", "lo", "hi", "direct"))
def restrict(coarse, r, w, table, parts, size, lo, hi, direct, COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """coarse = P^T r; rows (weight, sub-grid, shift). `direct` is the coarse sub-grid, or -1 where r is 0 there."""
    at = lo + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < hi
    r += tl.program_id(1).to(tl.int64) * parts * size
    t = tl.load(r + direct * size + at, mask=inside & (at * 0 + direct >= 0), other=0.0)
    for j in tl.static_range(COUNT):
        m, n, shift = tl.load(table + 3 * j), tl.load(table + 3 * j + 1), tl.load(table + 3 * j + 2)
        weight = tl.load(w + m * size + at + shift, mask=inside, other=0.0)
        t += weight * tl.load(r + n * size + at + shift, mask=inside, other=0.0)
    tl.store(coarse + tl.program_id(1).to(tl.int64) * size + at, t, mask=inside)


@jit(fixed=("parts", "size", "lo", "hi", "direct", "most"))
def prolong(x, coarse, w, members, counts, table, parts, size, lo, hi, direct, most, BLOCK: tl.constexpr):
    """x += P coarse on the sub-grids `members`; rows (weight, shift), `counts` of them, none for the coarse one."""
    s, count = tl.load(members + tl.program_id(1)), tl.load(counts + tl.program_id(1))
    at = lo + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < hi
    x += tl.program_id(2).to(tl.int64) * parts * size
    coarse += tl.program_id(2).to(tl.int64) * size
    t = tl.load(x + s * size + at, mask=inside, other=0.0)
    t += tl.load(coarse + at, mask=inside & (at * 0 + s == direct), other=0.0)
    rows = table + tl.program_id(1) * most * 2
    for j in range(0, count):
        m, shift = tl.load(rows + 2 * j), tl.load(rows + 2 * j + 1)
        weight = tl.load(w + m * size + at, mask=inside, other=0.0)
        t += weight * tl.load(coarse + at + shift, mask=inside, other=0.0)
    tl.store(x + s * size + at, t, mask=inside)


@jit()
def node(at, s, layout):
    """Flat place outside of the node at a place of sub-grid s, and whether there is one (periodic ghosts are)."""
    p1, p2 = tl.load(layout + 10), tl.load(layout + 11)
    a, rest = at // (p1 * p2), at % (p1 * p2)
    b, c = rest // p2, rest % p2
    exists = at >= 0
    place = at * 0 + tl.load(layout + 9)
    for axis in tl.static_range(3):
        cell = a if axis == 0 else (b if axis == 1 else c)
        n, stride, bit = tl.load(layout + axis), tl.load(layout + 3 + axis), tl.load(layout + 6 + axis)
        closed = tl.load(layout + 12 + axis)
        absent = bit == 0
        parity = (s // tl.where(absent, 1, bit)) % 2
        i = tl.where(absent, 0, 2 * (cell - 1) + parity)
        i = tl.where(closed > 0, (i + n) % n, i)
        exists = exists & (i >= 0) & (i < n)
        place += i * stride
    return place, exists


@jit(fixed=("parts", "size", "width"))
def split(parts_of, source, layout, parts, size, width, BLOCK: tl.constexpr):
    """Deal the nodes of flat vectors of `width` places out to their sub-grids; 0 at ghosts."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    s = tl.program_id(1)
    place, exists = node(at, s, layout)
    exists = exists & (at < size)
    values = tl.load(source + tl.program_id(2).to(tl.int64) * width + place, mask=exists, other=0.0)
    target = parts_of + (tl.program_id(2).to(tl.int64) * parts + s) * size + at
    tl.store(target, values.to(parts_of.dtype.element_ty), mask=at < size)


@jit(fixed=("parts", "size", "width"))
def merge(target, parts_of, layout, parts, size, width, BLOCK: tl.constexpr):
    """Collect the sub-grids into flat vectors: the inverse of `split`."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    s = tl.program_id(1)
    place, exists = node(at, s, layout)
    exists = exists & (at < size)
    values = tl.load(parts_of + (tl.program_id(2).to(tl.int64) * parts + s) * size + at, mask=exists, other=0.0)
    out = target + tl.program_id(2).to(tl.int64) * width + place
    tl.store(out, values.to(target.dtype.element_ty), mask=exists)
