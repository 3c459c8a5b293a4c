"""Conjugate gradients split by M = E E^T on a sparse matrix, in one compiled loop (Eisenstat's trick).

As `wavefront`, with the strictly upper triangle U = L^T of the scaled matrix in sorted rows, in the order of the
unknowns: the forward solve goes by columns of L, which are rows of U.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from conjugo.solvers.kernels.rows import INLINE

_V, _I = "float64[::1]", "int32[::1]"
_ONE: dict[str, Any] = {**INLINE, "forceinline": False, "_nrt": False}


@njit(**INLINE)
def _forward(s, indptr, indices, U):  # type: ignore[no-untyped-def]
    """s = (I + L)^{-1} s."""
    for i in range(s.size):
        value = s[i]
        for entry in range(indptr[i], indptr[i + 1]):
            s[indices[entry]] -= U[entry] * value


@njit(**INLINE)
def _backward(t, p, indptr, indices, U):  # type: ignore[no-untyped-def]
    """t = (I + L)^{-T} p."""
    for back in range(p.size):
        i = p.size - 1 - back
        value = p[i]
        for entry in range(indptr[i], indptr[i + 1]):
            value -= U[entry] * t[indices[entry]]
        t[i] = value


@njit(**INLINE)
def _residual_norm(r, w, indptr, indices, U, g):  # type: ignore[no-untyped-def]
    """||P^{1/2} (I + L) r||; w is work space."""
    total = 0.0
    for i in range(r.size):
        w[i] = r[i]
    for i in range(r.size):
        for entry in range(indptr[i], indptr[i + 1]):
            w[indices[entry]] += U[entry] * r[i]
        value = g[i] * w[i]
        total += value * value
    return math.sqrt(total)


@njit(**INLINE)
def _step(x, r, t, s, alpha):  # type: ignore[no-untyped-def]
    """x += alpha t and r -= alpha (s + t); return r . r."""
    total = 0.0
    for i in range(x.size):
        x[i] += alpha * t[i]
        value = r[i] - alpha * (s[i] + t[i])
        r[i] = value
        total += value * value
    return total


@njit([f"int64({_V}, {_V}, {_I}, {_I}, {', '.join([_V] * 6)}, float64[:, ::1], float64)"], **_ONE)
def split_cg(x, r, indptr, indices, U, K, g, p, t, s, history, tolerance):  # type: ignore[no-untyped-def]
    """Solve from the residual r of the system, given as P^{-1/2} r; x gets the correction, times P^{1/2}.

    Ends and returns as `wavefront.split_cg`.
    """
    _forward(r, indptr, indices, U)
    rho = 0.0
    for i in range(r.size):
        rho += r[i] * r[i]
        p[i] = 0.0
    beta = 0.0
    history[0, 0] = _residual_norm(r, s, indptr, indices, U, g)
    for iteration in range(history.shape[1] - 1):
        if history[0, iteration] <= tolerance:
            return iteration
        for i in range(r.size):
            p[i] = r[i] + beta * p[i]
        _backward(t, p, indptr, indices, U)
        curvature = 0.0
        for i in range(r.size):
            s[i] = p[i] - K[i] * t[i]
            curvature += t[i] * (p[i] + s[i])
        if not (curvature > 0.0 and rho > 0.0 and curvature < np.inf):
            return -1 - iteration
        history[1, iteration], history[2, iteration] = rho, curvature
        _forward(s, indptr, indices, U)
        previous = rho
        rho = _step(x, r, t, s, rho / curvature)
        beta = rho / previous
        history[0, iteration + 1] = _residual_norm(r, s, indptr, indices, U, g)
    return history.shape[1] - 1
