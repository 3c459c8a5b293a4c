"""The conjugate gradient method."""

from __future__ import annotations

from conjugo.solvers.monitor import Callback, Monitor, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult, Status


def cg(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b for a symmetric (Hermitian) positive definite A."""
    monitor = Monitor("cg", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    xp, x, r = monitor.xp, monitor.x, monitor.r
    p = rho = None
    with monitor:
        while monitor.proceed(x, r):
            if monitor.replaced:
                r, p = monitor.r, None
            z = r if M is None else M @ r
            rho, previous = xp.vecdot(r, z, axis=0), rho
            p = z if p is None else z + (rho / previous) * p
            q = A @ p
            curvature = xp.vecdot(p, q, axis=0)
            if not (to_host(curvature) > 0).all():
                monitor.fail(Status.INDEFINITE)
                break
            alpha = rho / curvature
            x = x + alpha * p
            r = r - alpha * q
    return monitor.result(x)
