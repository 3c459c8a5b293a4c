"""Set-up of black-box multigrid: sums of products over colour-split arrays, and the scaling of interpolation weights.

Arrays have one row a sub-grid (or weight) and one flat, ghost-padded sub-grid a row: a neighbour is a constant shift
away, so each term of a Galerkin product is one SIMD loop over contiguous memory. Unvalidated; float64 only.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Table = NDArray[np.int64]

_FAST = {"reassoc", "contract", "nsz", "arcp"}
_BLOCK = 512  # values of one pass: all operands of a block stay in the first cache


@njit(fastmath=_FAST, boundscheck=False)
def _add_product(out: Floats, scale: float, a: Floats, p: Floats, q: Floats) -> None:
    """out += scale a p q."""
    for i in range(out.size):
        out[i] += scale * a[i] * p[i] * q[i]


@njit(
    "void(float64[:,::1], float64[:,::1], float64[:,::1], int64[:,::1], int64, int64)",
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def add_products(out: Floats, a: Floats, p: Floats, terms: Table, lo: int, hi: int) -> None:
    """Add to out[o, f] for every term (o, scale, row, shift, row of p, shift, row of p, shift) and flat index f."""
    for start in range(lo, hi, _BLOCK):
        stop = min(start + _BLOCK, hi)
        for t in range(terms.shape[0]):
            o, scale = terms[t, 0], float(terms[t, 1])
            ia, sa, ip, sp, iq, sq = terms[t, 2], terms[t, 3], terms[t, 4], terms[t, 5], terms[t, 6], terms[t, 7]
            _add_product(
                out[o, start:stop],
                scale,
                a[ia, start + sa : stop + sa],
                p[ip, start + sp : stop + sp],
                p[iq, start + sq : stop + sq],
            )


@njit(fastmath=_FAST, boundscheck=False)
def _add_with_size(total: Floats, size: Floats, a: Floats) -> None:
    """total += a, size += |a|."""
    for i in range(total.size):
        total[i] += a[i]
        size[i] += abs(a[i])


@njit(fastmath=_FAST, boundscheck=False)
def _flag(total: Floats, size: Floats, eps: float) -> None:
    """Clear sums that are noise or negative; size becomes 1 where anything was added."""
    for i in range(total.size):
        total[i] = total[i] if total[i] > eps * size[i] else 0.0
        size[i] = 1.0 if size[i] > 0.0 else 0.0


@njit(
    "void(float64[:,::1], float64[:,::1], float64[::1], int64[:,::1], float64, int64, int64)",
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def row_sums(sums: Floats, a: Floats, diag: Floats, terms: Table, eps: float, lo: int, hi: int) -> None:
    """Write a sub-grid's row sums into sums[0] (noise and negative sums as 0), 1 for coupled nodes into sums[1]."""
    for start in range(lo, hi, _BLOCK):
        stop = min(start + _BLOCK, hi)
        total, size = sums[0, start:stop], sums[1, start:stop]
        total[:] = diag[start:stop]
        size[:] = 0.0
        for t in range(terms.shape[0]):
            _add_with_size(total, size, a[terms[t, 0], start + terms[t, 1] : stop + terms[t, 1]])
        _flag(total, size, eps)


@njit(fastmath=_FAST, boundscheck=False)
def _reciprocal_sum(out: Floats, a: Floats, b: Floats) -> None:
    """out = 1 / (a + b), 0 where the sum is not positive."""
    for i in range(out.size):
        total = a[i] + b[i]
        out[i] = 1.0 / total if total > 0.0 else 0.0


@njit(fastmath=_FAST, boundscheck=False)
def _multiply(out: Floats, a: Floats) -> None:
    """out *= a."""
    for i in range(out.size):
        out[i] *= a[i]


@njit(
    "void(float64[:,::1], float64[:,::1], float64[::1], float64[::1], int64[:,::1], int64, int64)",
    cache=True,
    nogil=True,
    fastmath=_FAST,
    boundscheck=False,
)
def normalise(w: Floats, sums: Floats, total: Floats, exists: Floats, corners: Table, lo: int, hi: int) -> None:
    """Divide the weights of one kind of node by their total; where it is 0, a coupled node takes one coarse node whole.

    `corners` holds (row of w, shift of the coarse node) for each weight; `total` the couplings towards coarse nodes.
    The coarse node taken is the last that exists.
    """
    scale = np.empty(_BLOCK)
    for start in range(lo, hi, _BLOCK):
        stop = min(start + _BLOCK, hi)
        factor = scale[: stop - start]
        _reciprocal_sum(factor, total[start:stop], sums[0, start:stop])
        for c in range(corners.shape[0]):
            _multiply(w[corners[c, 0], start:stop], factor)
        for f in range(start, stop):
            if factor[f - start] == 0.0 and sums[1, f] != 0.0:
                left = 1.0
                for c in range(corners.shape[0] - 1, -1, -1):
                    w[corners[c, 0], f] = left * exists[f + corners[c, 1]]
                    left -= w[corners[c, 0], f]
