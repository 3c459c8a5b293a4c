"""The V-cycle of black-box multigrid on colour-split arrays: relaxation, residual, transfers. Unvalidated.

A level keeps one flat, ghost-padded array for each parity of the indices (2, 4 or 8 sub-grids). Nodes of one sub-grid
do not couple to each other, their neighbours lie at constant shifts in the other sub-grids: every loop has unit stride
and no mask. Colours follow each other block by block, each a lag behind the one before (a wavefront): the operator
streams through the cache once a sweep, and the result does not depend on the block.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

type Floats = NDArray[np.floating]
type Table = NDArray[np.int64]

_FAST = {"reassoc", "contract", "nsz", "arcp"}
_BLOCK = 1024


def _signatures(template: str) -> list[str]:
    """The float32 and the float64 form of a signature."""
    return [template.replace("real", "float32"), template.replace("real", "float64")]


_MIXED = [f"void({a}[::1], {b}[:,::1], int64[::1])" for a in ("float32", "float64") for b in ("float32", "float64")]


@njit(fastmath=_FAST, boundscheck=False)
def _less_two(t: Floats, a: Floats, x: Floats, b: Floats, y: Floats) -> None:
    """t -= a x + b y."""
    for i in range(t.size):
        t[i] -= a[i] * x[i] + b[i] * y[i]


@njit(fastmath=_FAST, boundscheck=False)
def _less_four(
    t: Floats, a: Floats, x: Floats, b: Floats, y: Floats, c: Floats, z: Floats, d: Floats, w: Floats
) -> None:
    """t -= a x + b y + c z + d w."""
    for i in range(t.size):
        t[i] -= (a[i] * x[i] + b[i] * y[i]) + (c[i] * z[i] + d[i] * w[i])


@njit(fastmath=_FAST, boundscheck=False)
def _less_neighbours(t: Floats, x: Floats, k: Floats, steps: Table, count: int, s: int, lo: int, hi: int) -> None:
    """Subtract couplings times neighbours of sub-grid s; a step is (direction, neighbour, shift, shift back)."""
    for j in range(0, count - 1, 2):
        m, n, f, g = steps[j, 0], steps[j, 1], steps[j, 2], steps[j, 3]
        q, o, u, v = steps[j + 1, 0], steps[j + 1, 1], steps[j + 1, 2], steps[j + 1, 3]
        _less_four(
            t,
            k[m, s, lo:hi],
            x[n, lo + f : hi + f],
            k[m, n, lo + g : hi + g],
            x[n, lo + g : hi + g],
            k[q, s, lo:hi],
            x[o, lo + u : hi + u],
            k[q, o, lo + v : hi + v],
            x[o, lo + v : hi + v],
        )
    if count % 2:
        m, n, f, g = steps[count - 1, 0], steps[count - 1, 1], steps[count - 1, 2], steps[count - 1, 3]
        _less_two(t, k[m, s, lo:hi], x[n, lo + f : hi + f], k[m, n, lo + g : hi + g], x[n, lo + g : hi + g])


@njit(fastmath=_FAST, boundscheck=False)
def _assign(out: Floats, a: Floats) -> None:
    """out = a."""
    for i in range(out.size):
        out[i] = a[i]


@njit(fastmath=_FAST, boundscheck=False)
def _assign_product(out: Floats, a: Floats, b: Floats) -> None:
    """out = a b."""
    for i in range(out.size):
        out[i] = a[i] * b[i]


@njit(fastmath=_FAST, boundscheck=False)
def _damp(out: Floats, t: Floats, d: Floats, omega: Floats) -> None:
    """out = (1 - omega) out + omega t d, in which omega = 1 is exact."""
    for i in range(out.size):
        out[i] = (1 - omega[i]) * out[i] + omega[i] * (t[i] * d[i])


@njit(fastmath=_FAST, boundscheck=False)
def _assign_damped(out: Floats, t: Floats, d: Floats, omega: Floats) -> None:
    """out = omega t d: `_damp` from a zero guess."""
    for i in range(out.size):
        out[i] = omega[i] * (t[i] * d[i])


@njit(fastmath=_FAST, boundscheck=False)
def _assign_residual(out: Floats, t: Floats, d: Floats, x: Floats) -> None:
    """out = t - x / d where d != 0 (d is the inverse diagonal: 0 marks a ghost)."""
    for i in range(out.size):
        out[i] = t[i] - x[i] / d[i] if d[i] != 0 else t[i] * 0


@njit(
    _signatures(
        "void(real[:,::1], real[:,::1], real[:,::1], real[:,:,::1], real[:,::1], real[:,::1], int64[:,::1],"
        " int64[:,:,:,::1], int64[:,::1], int64, int64, int64)"
    ),
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def wave(
    x: Floats,
    b: Floats,
    r: Floats,
    k: Floats,
    dinv: Floats,
    omega: Floats,
    stages: Table,
    steps: Table,
    counts: Table,
    lag: int,
    lo: int,
    hi: int,
) -> None:
    """Run the stages (kind, sub-grid, position, variant of steps) over the flat range, each `position` lags late.

    Kind 0 relaxes a sub-grid, kind 1 writes its residual into r. Variant 1 leaves out neighbours that are still zero.
    `omega` holds a relaxation factor for every node, or no row where all are 1.
    """
    scratch = np.empty(_BLOCK, dtype=x.dtype)
    behind = lag * stages[stages.shape[0] - 1, 2]
    stride = max(
        _BLOCK, (lag // _BLOCK) * _BLOCK
    )  # long enough runs for the prefetcher where the lag forces a long window
    for start in range(lo, hi + behind, stride):
        for stage in range(stages.shape[0]):
            kind, s, variant = stages[stage, 0], stages[stage, 1], stages[stage, 3]
            shift = lag * stages[stage, 2]
            end = min(start + stride - shift, hi)
            for first in range(max(start - shift, lo), end, _BLOCK):
                last = min(first + _BLOCK, end)
                t = scratch[: last - first]
                _assign(t, b[s, first:last])
                _less_neighbours(t, x, k, steps[variant, s], counts[variant, s], s, first, last)
                if kind == 0 and omega.shape[0] > 0 and variant == 0:
                    _damp(x[s, first:last], t, dinv[s, first:last], omega[s, first:last])
                elif kind == 0 and omega.shape[0] > 0:
                    _assign_damped(x[s, first:last], t, dinv[s, first:last], omega[s, first:last])
                elif kind == 0:
                    _assign_product(x[s, first:last], t, dinv[s, first:last])
                else:
                    _assign_residual(r[s, first:last], t, dinv[s, first:last], x[s, first:last])


@njit(fastmath=_FAST, boundscheck=False)
def _add_two(t: Floats, a: Floats, x: Floats, b: Floats, y: Floats) -> None:
    """t += a x + b y."""
    for i in range(t.size):
        t[i] += a[i] * x[i] + b[i] * y[i]


@njit(
    _signatures("void(real[::1], real[:,::1], real[:,::1], int64[:,::1], int64, int64, int64)"),
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def restrict(coarse: Floats, r: Floats, w: Floats, pairs: Table, direct: int, lo: int, hi: int) -> None:
    """coarse = P^T r. A pair: (weight, sub-grid, shift) twice; `direct` is the coarse sub-grid, or -1 where r is 0."""
    for start in range(lo, hi, _BLOCK):
        stop = min(start + _BLOCK, hi)
        t = coarse[start:stop]
        if direct >= 0:
            _assign(t, r[direct, start:stop])
        else:
            for i in range(t.size):
                t[i] = 0
        for j in range(pairs.shape[0]):
            m, n, f = pairs[j, 0], pairs[j, 1], pairs[j, 2]
            q, o, u = pairs[j, 3], pairs[j, 4], pairs[j, 5]
            a, b = w[m, start + f : stop + f], w[q, start + u : stop + u]
            _add_two(t, a, r[n, start + f : stop + f], b, r[o, start + u : stop + u])


@njit(
    _signatures("void(real[:,::1], real[::1], real[:,::1], int64[:,::1], int64, int64, int64)"),
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def prolong(x: Floats, coarse: Floats, w: Floats, pairs: Table, direct: int, lo: int, hi: int) -> None:
    """x += P coarse. A pair: (sub-grid, weight, shift, weight, shift); `direct` is the coarse sub-grid or -1."""
    for start in range(lo, hi, _BLOCK):
        stop = min(start + _BLOCK, hi)
        if direct >= 0:
            t, e = x[direct, start:stop], coarse[start:stop]
            for i in range(t.size):
                t[i] += e[i]
        for j in range(pairs.shape[0]):
            s, m, f, q, u = pairs[j, 0], pairs[j, 1], pairs[j, 2], pairs[j, 3], pairs[j, 4]
            e, g = coarse[start + f : stop + f], coarse[start + u : stop + u]
            _add_two(x[s, start:stop], w[m, start:stop], e, w[q, start:stop], g)


@njit(
    _MIXED,
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def split(source: Floats, parts: Floats, layout: Table) -> None:
    """Deal the nodes of a grid out to its sub-grids (layout: see `Parity.layout`), converting the precision."""
    n0, n1, n2, base, start = layout[0], layout[1], layout[2], layout[3], layout[11]
    s0, s1, s2, c0, c1, p0, p1 = layout[4], layout[5], layout[6], layout[7], layout[8], layout[9], layout[10]
    half = n2 // 2
    for i in range(n0):
        for j in range(n1):
            sub = (i % 2) * p0 + (j % 2) * p1
            first = start + (i // 2) * c0 + (j // 2) * c1
            even = parts[sub, first : first + half + 1]
            odd = parts[sub + 1, first : first + half]
            at = base + i * s0 + j * s1
            if s2 == 1:
                row = source[at : at + 2 * half]
                for m in range(odd.size):
                    even[m] = row[2 * m]
                    odd[m] = row[2 * m + 1]
            else:
                for m in range(odd.size):
                    even[m] = source[at + 2 * m * s2]
                    odd[m] = source[at + (2 * m + 1) * s2]
            if n2 % 2:
                even[half] = source[at + 2 * half * s2]


@njit(
    _MIXED,
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def merge(target: Floats, parts: Floats, layout: Table) -> None:
    """Collect the sub-grids into the grid, converting the precision: the inverse of `split`."""
    n0, n1, n2, base, start = layout[0], layout[1], layout[2], layout[3], layout[11]
    s0, s1, s2, c0, c1, p0, p1 = layout[4], layout[5], layout[6], layout[7], layout[8], layout[9], layout[10]
    half = n2 // 2
    for i in range(n0):
        for j in range(n1):
            sub = (i % 2) * p0 + (j % 2) * p1
            first = start + (i // 2) * c0 + (j // 2) * c1
            even = parts[sub, first : first + half + 1]
            odd = parts[sub + 1, first : first + half]
            at = base + i * s0 + j * s1
            if s2 == 1:
                row = target[at : at + 2 * half]
                for m in range(odd.size):
                    row[2 * m] = even[m]
                    row[2 * m + 1] = odd[m]
            else:
                for m in range(odd.size):
                    target[at + 2 * m * s2] = even[m]
                    target[at + (2 * m + 1) * s2] = odd[m]
            if n2 % 2:
                target[at + 2 * half * s2] = even[half]
