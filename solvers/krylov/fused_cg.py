"""Conjugate gradients in two passes over memory, for operators that offer them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conjugo.solvers.krylov.breakdown import Coefficients
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult

_PROJECT_EVERY = 50


def offers_fused_passes(A: LinearOperator, b: Array) -> bool:
    """Say whether A has the passes `direction` and `update` for vectors like b."""
    offered = hasattr(A, "direction") and hasattr(A, "update")
    return bool(offered and type(b) is np.ndarray and b.ndim == 1 and b.dtype == getattr(A, "dtype", None))


def fused_cg(monitor: Monitor) -> SolveResult:
    """Run conjugate gradients on the monitor's system; equal to the generic loop to rounding.

    Parameters
    ----------
    monitor : Monitor
        Of a system for which `offers_fused_passes` holds.

    Notes
    -----
    One iteration is p = r + beta p with p.T A p, then x += alpha p, r -= alpha A p with r.T r. The product A p is
    computed twice and never stored: 24 + 40 = 64 bytes an unknown in float64, where the plain loop moves about twice
    that besides the matrix.
    """
    A: Any = monitor.A
    x, r = monitor.x, monitor.r
    p, beta, square = np.zeros_like(r), 0.0, math.nan
    coefficients = Coefficients(monitor)
    rnorm = None
    with monitor:
        while monitor.proceed(x, r, rnorm=rnorm):
            if monitor.replaced:
                r, beta, rnorm = monitor.r, 0.0, None
                coefficients.restart()
            elif monitor.iteration % _PROJECT_EVERY == _PROJECT_EVERY - 1:
                r = monitor.project(r)
            if rnorm is None:
                square = float(np.vdot(r, r))
            curvature = A.direction(r, p, beta)
            if not coefficients.accept(square, curvature, p):
                break
            alpha = square / curvature
            previous, square = square, A.update(x, r, p, alpha)
            beta = square / previous
            rnorm = math.sqrt(square) if square >= 0 else square
    return monitor.result(x, **coefficients.details())
