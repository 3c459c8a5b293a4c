"""Conjugate gradients split by M = E E^T on a five-point stencil, in one compiled loop (Eisenstat's trick).

The triangular solves of a five-point stencil carry a dependence from node to node: in the order of the grid each node
waits for the one before. Here eight rows move together, each one node behind the row before it, so that the eight nodes
of a step depend on the step before only and sit in registers. All vectors are kept in that order throughout a solve:
node (i, j) of an (n0, n1) grid stands at PAD + 8 (T (i // 8) + j + i % 8) + i % 8, with T = n1 + 7 steps a block of
rows. Places that belong to no node hold zeros and have zero couplings, so that sums may run over everything.

With pivots P the system is scaled to A = (I + L) + (I + L)^T - K, L = P^{-1/2} tril(A) P^{-1/2}, K = 2 - D / P, and
conjugate gradients run on (I + L)^{-1} A (I + L)^{-T}: one backward and one forward solve an iteration and no product
with A. P = D / omega gives SSOR, the pivots of an incomplete factorisation without fill give that. The residual of the
system itself is P^{1/2} (I + L) r; its norm is taken every iteration.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE

LANES, PAD = 8, 16
"""Rows that move together, and zeros before the first of them."""

_V = "float64[::1]"
_ONE: dict[str, Any] = {**INLINE, "forceinline": False, "_nrt": False}
_CHAIN: dict[str, Any] = {**INLINE, "fastmath": {"contract", "nsz"}}
"""Of the solves: re-association would lengthen the chain from node to node."""


def places(n0: int, n1: int) -> int:
    """Length of a vector in the order of the solves.

    Parameters
    ----------
    n0, n1 : int
        Rows and columns of the grid.

    Examples
    --------
    >>> from conjugo.solvers.kernels.wavefront import places
    >>> places(8, 1)
    96
    """
    return 2 * PAD + -(-n0 // LANES) * (n1 + LANES - 1) * LANES


@njit(**INLINE)
def _start(i, n1):  # type: ignore[no-untyped-def]
    """Place of node (i, 0); the next one of its row is LANES further."""
    lane = i % LANES
    return PAD + LANES * ((i // LANES) * (n1 + LANES - 1) + lane) + lane


@njit([f"void({_V}, {_V}, {_V}, intp, intp)"], **_ONE)
def pack(v, factor, out, n0, n1):  # type: ignore[no-untyped-def]
    """Bring factor v from the order of the grid into that of the solves; `out` has zeros where no node is."""
    for i in range(n0):
        k, row = _start(i, n1), i * n1
        for j in range(n1):
            out[k + LANES * j] = factor[row + j] * v[row + j]


@njit([f"void({_V}, {_V}, {_V}, intp, intp)"], **_ONE)
def unpack_add(v, factor, out, n0, n1):  # type: ignore[no-untyped-def]
    """Add factor v, from the order of the solves, to `out`, in the order of the grid."""
    for i in range(n0):
        k, row = _start(i, n1), i * n1
        for j in range(n1):
            out[row + j] += factor[row + j] * v[k + LANES * j]


@njit([f"void({', '.join([_V] * 8)}, intp, intp)"], **_ONE)
def prepare(diag, east, north, scale, E, N, NB, K, n0, n1):  # type: ignore[no-untyped-def]
    """Scale a stencil by P^{-1/2}, given as `scale` in the order of the grid.

    E and N get the couplings to (i, j + 1) and (i + 1, j), NB those from the last row of a block to the next block, and
    K, unless it has one entry only, 2 - D / P. All have zeros where no node is.
    """
    steps = n1 + LANES - 1
    for i in range(n0):
        k, row = _start(i, n1), i * n1
        for j in range(n1 - 1):
            E[k + LANES * j] = east[row + j] * scale[row + j] * scale[row + j + 1]
        if i + 1 < n0 and i % LANES + 1 < LANES:
            for j in range(n1):
                N[k + LANES * j] = north[row + j] * scale[row + j] * scale[row + n1 + j]
        elif i + 1 < n0:
            for j in range(n1):
                NB[(i // LANES) * steps + j] = north[row + j] * scale[row + j] * scale[row + n1 + j]
        if K.size > 1:
            for j in range(n1):
                K[k + LANES * j] = 2.0 - diag[row + j] * scale[row + j] * scale[row + j]


@njit(**_CHAIN)
def _backward(t, p, r, E, N, NB, beta, block, blocks, steps):  # type: ignore[no-untyped-def]
    """p = r + beta p and t = (I + L)^{-T} p on one block of rows; the blocks after it are done."""
    v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = 0.0
    base = PAD + LANES * block * steps
    after = base + LANES * steps
    for back in range(steps):
        s = steps - 1 - back
        k = base + LANES * s
        for j in range(LANES):
            p[k + j] = r[k + j] + beta * p[k + j]
        edge = 0.0
        if s >= LANES - 1 and block + 1 < blocks:
            edge = NB[block * steps + s - (LANES - 1)] * t[after + LANES * (s - (LANES - 1))]
        v0 = p[k] - E[k] * v0 - N[k] * v1
        v1 = p[k + 1] - E[k + 1] * v1 - N[k + 1] * v2
        v2 = p[k + 2] - E[k + 2] * v2 - N[k + 2] * v3
        v3 = p[k + 3] - E[k + 3] * v3 - N[k + 3] * v4
        v4 = p[k + 4] - E[k + 4] * v4 - N[k + 4] * v5
        v5 = p[k + 5] - E[k + 5] * v5 - N[k + 5] * v6
        v6 = p[k + 6] - E[k + 6] * v6 - N[k + 6] * v7
        v7 = p[k + 7] - E[k + 7] * v7 - edge
        t[k], t[k + 1], t[k + 2], t[k + 3] = v0, v1, v2, v3
        t[k + 4], t[k + 5], t[k + 6], t[k + 7] = v4, v5, v6, v7


@njit(**_CHAIN)
def _forward(s, c, E, N, NB, block, steps):  # type: ignore[no-untyped-def]
    """s = (I + L)^{-1} c on one block of rows; the blocks before it are done."""
    v0 = v1 = v2 = v3 = v4 = v5 = v6 = v7 = 0.0
    base = PAD + LANES * block * steps
    before = base - LANES * steps + LANES - 1
    for step in range(steps):
        k = base + LANES * step
        w, d = k - LANES, k - LANES - 1
        v7 = c[k + 7] - E[w + 7] * v7 - N[d + 7] * v6
        v6 = c[k + 6] - E[w + 6] * v6 - N[d + 6] * v5
        v5 = c[k + 5] - E[w + 5] * v5 - N[d + 5] * v4
        v4 = c[k + 4] - E[w + 4] * v4 - N[d + 4] * v3
        v3 = c[k + 3] - E[w + 3] * v3 - N[d + 3] * v2
        v2 = c[k + 2] - E[w + 2] * v2 - N[d + 2] * v1
        v1 = c[k + 1] - E[w + 1] * v1 - N[d + 1] * v0
        edge = 0.0
        if block > 0 and step < steps - (LANES - 1):
            edge = NB[(block - 1) * steps + step] * s[before + LANES * (step + LANES - 1)]
        v0 = c[k] - E[w] * v0 - edge
        s[k], s[k + 1], s[k + 2], s[k + 3] = v0, v1, v2, v3
        s[k + 4], s[k + 5], s[k + 6], s[k + 7] = v4, v5, v6, v7


@njit(**INLINE)
def _curvature(p, t, K, block, steps):  # type: ignore[no-untyped-def]
    """t . (2 p - K t) on one block of rows; over all of them that is t . A t, as p = (I + L)^T t."""
    total = 0.0
    start, end = np.uint64(PAD + LANES * block * steps), np.uint64(PAD + LANES * (block + 1) * steps)
    if K.size == 1:
        constant = K[0]
        for k in range(start, end):
            total += t[k] * (2.0 * p[k] - constant * t[k])
    else:
        for k in range(start, end):
            total += t[k] * (2.0 * p[k] - K[k] * t[k])
    return total


@njit(**INLINE)
def _product(s, p, t, K, E, N, NB, block, steps):  # type: ignore[no-untyped-def]
    """s = (I + L)^{-1} (p - K t) on one block of rows: (I + L)^{-1} A t = s + t."""
    start, end = np.uint64(PAD + LANES * block * steps), np.uint64(PAD + LANES * (block + 1) * steps)
    if K.size == 1:
        constant = K[0]
        for k in range(start, end):
            s[k] = p[k] - constant * t[k]
    else:
        for k in range(start, end):
            s[k] = p[k] - K[k] * t[k]
    _forward(s, s, E, N, NB, block, steps)


@njit(**INLINE)
def _update(x, r, s, t, alpha, block, steps):  # type: ignore[no-untyped-def]
    """x += alpha t and r -= alpha (s + t) on one block of rows; return r . r of it."""
    rho = 0.0
    start, end = np.uint64(PAD + LANES * block * steps), np.uint64(PAD + LANES * (block + 1) * steps)
    for k in range(start, end):
        x[k] += alpha * t[k]
        value = r[k] - alpha * (s[k] + t[k])
        r[k] = value
        rho += value * value
    return rho


@njit(**INLINE)
def _residual_square(r, E, N, NB, g, block, steps):  # type: ignore[no-untyped-def]
    """||P^{1/2} (I + L) r||^2 on one block of rows."""
    total, base, varies = 0.0, PAD + LANES * block * steps, g.size > 1
    west, south = np.uint64(LANES), np.uint64(LANES + 1)
    if varies:
        for k in range(np.uint64(base), np.uint64(base + LANES * steps)):
            w = g[k] * (r[k] + E[k - west] * r[k - west] + N[k - south] * r[k - south])
            total += w * w
    else:
        for k in range(np.uint64(base), np.uint64(base + LANES * steps)):
            w = r[k] + E[k - west] * r[k - west] + N[k - south] * r[k - south]
            total += w * w
    if block > 0:  # the couplings to the block before, which the sum above lacks
        before, edges = base - LANES * steps + LANES - 1, (block - 1) * steps
        for step in range(steps - (LANES - 1)):
            k = base + LANES * step
            more = NB[edges + step] * r[before + LANES * (step + LANES - 1)]
            w = more * (2.0 * (r[k] + E[k - LANES] * r[k - LANES]) + more)
            total += w * g[k] * g[k] if varies else w
    return total if varies else total * g[0] * g[0]


@njit([f"int64({', '.join([_V] * 10)}, float64[:, ::1], intp, intp, float64)"], **_ONE)
def split_cg(x, r, E, N, NB, K, g, p, t, s, history, n0, n1, tolerance):  # type: ignore[no-untyped-def]
    """Solve from the residual r of the system, given as P^{-1/2} r; x gets the correction, times P^{1/2}.

    K and g = P^{1/2}, in the order of the solves, may have one entry only, for all nodes. x and p start as zeros.

    Ends when the norm of the residual is at most `tolerance`, or after history.shape[1] - 1 iterations. Returns
    their number, negative (-1 - number) where a scalar had the wrong sign or was not finite. `history` gets the norms,
    and r.T z and p.T A p of the iterations.
    """
    steps = n1 + LANES - 1
    blocks = (n0 + LANES - 1) // LANES
    rho = square = 0.0
    for block in range(blocks):
        _forward(r, r, E, N, NB, block, steps)
        rho += _update(x, r, r, r, 0.0, block, steps)
        square += _residual_square(r, E, N, NB, g, block, steps)
    history[0, 0] = math.sqrt(square)
    beta = 0.0
    for iteration in range(history.shape[1] - 1):
        if history[0, iteration] <= tolerance:
            return iteration
        curvature = square = 0.0
        for back in range(blocks):
            _backward(t, p, r, E, N, NB, beta, blocks - 1 - back, blocks, steps)
            curvature += _curvature(p, t, K, blocks - 1 - back, steps)
        if not (curvature > 0.0 and rho > 0.0 and curvature < np.inf):
            return -1 - iteration
        history[1, iteration], history[2, iteration] = rho, curvature
        alpha, previous = rho / curvature, rho
        rho = 0.0
        for block in range(blocks):
            _product(s, p, t, K, E, N, NB, block, steps)
            rho += _update(x, r, s, t, alpha, block, steps)
            square += _residual_square(r, E, N, NB, g, block, steps)
        beta = rho / previous
        history[0, iteration + 1] = math.sqrt(square)
    return history.shape[1] - 1
