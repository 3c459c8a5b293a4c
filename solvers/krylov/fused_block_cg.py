"""Conjugate gradients for a block of right-hand sides, each column in the fused passes of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from conjugo.solvers.krylov.breakdown import COMPARE_EVERY, Coefficients, inner
from conjugo.solvers.krylov.columns import live
from conjugo.solvers.krylov.fused_cg import PROJECT_EVERY, offers_fused_passes
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult


def offers_fused_columns(A: LinearOperator, b: Array, M: LinearOperator | None) -> bool:
    """Say whether A has fused passes for the columns of b, and M, if any, works column by column too."""
    block = type(b) is np.ndarray and b.ndim == 2 and b.shape[1] > 0 and b.flags.f_contiguous
    return block and offers_fused_passes(A, b[:, 0]) and (M is None or bool(getattr(M, "columnwise", False)))


def fused_block_cg(monitor: Monitor, M: LinearOperator | None = None) -> SolveResult:
    """Run conjugate gradients on the monitor's block; equal to the generic loop to rounding.

    Parameters
    ----------
    monitor : Monitor
        Of a system for which `offers_fused_columns` holds.
    M : operator, optional
        Symmetric positive definite preconditioner of NumPy vectors.

    Notes
    -----
    The columns advance together, one iteration at a time, each with all its passes while it is in the cache; one that
    has converged costs nothing more. Where a column breaks down, the solve ends after that iteration of the others.
    """
    A: Any = monitor.A
    xp, x, r = monitor.xp, np.asfortranarray(monitor.x), np.asfortranarray(monitor.r)  # an x0 may be in C order
    p = np.zeros_like(r)
    rho, curvature = np.zeros(r.shape[1]), np.zeros(r.shape[1])
    square = inner(xp, r, r)
    coefficients = Coefficients(monitor, preconditioned=M is not None)
    rnorm = r_old = None
    with monitor:
        while monitor.proceed(x, r, rnorm=rnorm):
            if monitor.replaced:
                r, r_old, rho[:] = monitor.r, None, 0.0
                square = inner(xp, r, r)
            elif M is None and monitor.iteration % PROJECT_EVERY == PROJECT_EVERY - 1:
                r = monitor.project(r)
                square = inner(xp, r, r)
            before, seen = r_old, None if r_old is None else np.zeros_like(r)
            r_old = r.copy(order="F") if M is not None and monitor.iteration % COMPARE_EVERY == 0 else None
            for j in np.flatnonzero(live(monitor)):
                z = r[:, j] if M is None else np.ascontiguousarray(monitor.project(M @ r[:, j]), dtype=r.dtype)
                previous, rho[j] = rho[j], square[j] if M is None else inner(xp, r[:, j], z)
                curvature[j] = A.direction(z, p[:, j], rho[j] / previous if previous > 0 else 0.0)
                if seen is not None:
                    seen[:, j] = z
                if 0 < rho[j] < np.inf and 0 < curvature[j] < np.inf:
                    square[j] = A.update(x[:, j], r[:, j], p[:, j], rho[j] / curvature[j])
            if before is not None:
                coefficients.compare(before, seen, rho)
            if not coefficients.accept(rho, curvature, p):
                break
            with np.errstate(invalid="ignore"):
                rnorm = np.sqrt(square)
    return monitor.result(x, **coefficients.details())
