"""Conjugate gradients in two passes over memory, for operators that offer them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conjugo.solvers.krylov.breakdown import COMPARE_EVERY, Coefficients
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.parallel import dot
from conjugo.solvers.result import SolveResult

PROJECT_EVERY = 50
"""Iterations without M between two projections of the residual."""


def offers_fused_passes(A: LinearOperator, b: Array) -> bool:
    """Say whether A has the passes `direction` and `update` for vectors like b."""
    offered = hasattr(A, "direction") and hasattr(A, "update")
    return bool(offered and type(b) is np.ndarray and b.ndim == 1 and b.dtype == getattr(A, "dtype", None))


def fused_cg(monitor: Monitor, M: LinearOperator | None = None) -> SolveResult:
    """Run conjugate gradients on the monitor's system; equal to the generic loop to rounding.

    Parameters
    ----------
    monitor : Monitor
        Of a system for which `offers_fused_passes` holds.
    M : operator, optional
        Symmetric positive definite preconditioner of NumPy vectors.

    Notes
    -----
    One iteration is p = z + beta p with p.T A p, then x += alpha p, r -= alpha A p with r.T r. The product A p is
    computed twice and never stored: 24 + 40 = 64 bytes an unknown in float64, where the plain loop moves about twice
    that besides the matrix. A preconditioner adds its own application and z.T r.
    """
    A: Any = monitor.A
    x, r = monitor.x, monitor.r
    p, rho, square = np.zeros_like(r), 0.0, math.nan
    coefficients = Coefficients(monitor, preconditioned=M is not None)
    rnorm = r_old = None
    with monitor:
        while monitor.proceed(x, r, rnorm=rnorm):
            if monitor.replaced:
                r, rho, rnorm, r_old = monitor.r, 0.0, None, None
                coefficients.restart()
            elif M is None and monitor.iteration % PROJECT_EVERY == PROJECT_EVERY - 1:
                r = monitor.project(r)
            if rnorm is None:
                square = dot(r, r)
            z = r if M is None else np.ascontiguousarray(monitor.project(M @ r), dtype=r.dtype)
            previous, rho = rho, square if M is None else dot(r, z)
            if r_old is not None:
                coefficients.compare(r_old, z, rho)
            curvature = A.direction(z, p, rho / previous if previous > 0 else 0.0)
            if not coefficients.accept(rho, curvature, p):
                break
            r_old = r.copy() if M is not None and monitor.iteration % COMPARE_EVERY == 0 else None
            alpha = rho / curvature
            square = A.update(x, r, p, alpha)
            rnorm = math.sqrt(square) if square >= 0 else square
    return monitor.result(x, **coefficients.details())
