"""Conjugate gradients on a five-point stencil in one compiled loop, and the pivots of its factorisation without fill.

Vectors and couplings have a row of zeros before and after the grid, and the coupling across the end of a row is zero:
then a product is one loop without ends, and SIMD code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE

_V = "float64[::1]"
_ONE: dict[str, Any] = {**INLINE, "forceinline": False, "_nrt": False}


@njit(**INLINE)
def _direction(p, r, beta, start, stop):  # type: ignore[no-untyped-def]
    """p = r + beta p."""
    for k in range(start, stop):
        p[k] = r[k] + beta * p[k]


@njit(**INLINE)
def _product(q, p, D, E, N, start, stop, row):  # type: ignore[no-untyped-def]
    """q = A p; return p . q."""
    total, one = 0.0, np.uint64(1)
    for k in range(start, stop):
        value = D[k] * p[k] + E[k] * p[k + one] + E[k - one] * p[k - one] + N[k] * p[k + row] + N[k - row] * p[k - row]
        q[k] = value
        total += p[k] * value
    return total


@njit(**INLINE)
def _step(x, r, p, q, alpha, start, stop):  # type: ignore[no-untyped-def]
    """x += alpha p, r -= alpha q; return r . r."""
    total = 0.0
    for k in range(start, stop):
        x[k] += alpha * p[k]
        value = r[k] - alpha * q[k]
        r[k] = value
        total += value * value
    return total


@njit([f"int64({', '.join([_V] * 7)}, float64[:, ::1], intp, intp, float64)"], **_ONE)
def small_cg(x, r, D, E, N, p, q, history, n0, n1, tolerance):  # type: ignore[no-untyped-def]
    """Solve from the residual r; x gets the correction. Returns and ends as `wavefront.split_cg`."""
    start, stop, row = np.uint64(n1), np.uint64(n1 + n0 * n1), np.uint64(n1)
    square = _step(x, r, p, q, 0.0, start, stop)
    beta = 0.0
    history[0, 0] = math.sqrt(square)
    for iteration in range(history.shape[1] - 1):
        if history[0, iteration] <= tolerance:
            return iteration
        _direction(p, r, beta, start, stop)
        curvature = _product(q, p, D, E, N, start, stop, row)
        if not (curvature > 0.0 and curvature < np.inf):
            return -1 - iteration
        history[1, iteration], history[2, iteration] = square, curvature
        previous = square
        square = _step(x, r, p, q, square / curvature, start, stop)
        beta = square / previous
        history[0, iteration + 1] = math.sqrt(square)
    return history.shape[1] - 1


@njit([f"int64({_V}, {_V}, {_V}, {_V}, float64, float64, float64, intp, intp)"], **_ONE)
def pivots(diag, east, north, out, relaxation, shift, smallest, n0, n1):  # type: ignore[no-untyped-def]
    """Pivots of the (modified) incomplete Cholesky factorisation of A + shift D, see `incomplete`.

    Returns the first row whose pivot is below `smallest` times its diagonal entry, or -1.
    """
    for i in range(n0):
        for j in range(n1):
            k = i * n1 + j
            value = (1.0 + shift) * diag[k]
            if j > 0:
                value -= east[k - 1] * (east[k - 1] + relaxation * north[k - 1]) / out[k - 1]
            if i > 0:
                value -= north[k - n1] * (north[k - n1] + relaxation * east[k - n1]) / out[k - n1]
            if not value > smallest * diag[k]:
                return k
            out[k] = value
    return -1
