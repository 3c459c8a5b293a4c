"""The conjugate gradient method."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import device
from scipy.linalg import get_blas_funcs

from conjugo.solvers.krylov.breakdown import COMPARE_EVERY, Coefficients, inner
from conjugo.solvers.krylov.fused_block_cg import fused_block_cg, offers_fused_columns
from conjugo.solvers.krylov.fused_cg import fused_cg, offers_fused_passes
from conjugo.solvers.krylov.preconditioned import check_fixed_symmetric, check_preconditioner
from conjugo.solvers.monitor import Callback, Monitor, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult


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
    """Solve A x = b for a symmetric (Hermitian) positive definite A.

    The signature is SciPy's, and `x, info = cg(A, b)` works; info is 0 only where the true residual meets
    the tolerance.

    Parameters
    ----------
    A : operator, (n, n)
        Symmetric or Hermitian, positive definite (or semidefinite, with b in its range). A stencil of this package
        runs fused passes.
    b : (n,) or (n, k) array
        One right-hand side, or a block of them: each column is its own solve, and is left alone once it has converged.
        NumPy or torch, on any device. Lists and integers become float64, and NumPy takes the wider dtype of A and b.
    x0 : array like b, optional
        First guess; zero by default.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol), in each column.
    maxiter : int, optional
        Default 10 n.
    M : operator, (n, n), optional
        Approximates the inverse of A; symmetric positive definite and fixed.
    callback : callable, optional
        Called with x after each iteration; returning True or raising StopIteration stops the solve.

    Returns
    -------
    SolveResult
        `details["condition"]` estimates the condition number of A (of M A) from the coefficients, for one right-hand
        side.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, or an M that declares itself not linear or not symmetric.

    Notes
    -----
    The error in the A-norm falls at least as 2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^k.

    References
    ----------
    Hestenes and Stiefel, J. Res. Nat. Bur. Standards 49 (1952), 409-436.
    Saad, Iterative Methods for Sparse Linear Systems, 2nd ed. (2003), algorithm 9.1 and eq. (6.128).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers import cg
    >>> x, info = cg(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]), rtol=1e-12)
    >>> info, np.round(x * 11, 9)
    (0, array([1., 7.]))
    """
    check_preconditioner(A, M)
    check_fixed_symmetric(M, "cg", "fcg, or Multigrid(A, symmetric=True)")
    M = None if M is None else as_operator(M)
    monitor = Monitor("cg", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    if offers_fused_passes(monitor.A, monitor.b):
        return fused_cg(monitor, M)
    if offers_fused_columns(monitor.A, monitor.b, M):
        return fused_block_cg(monitor, M)
    return generic_cg(monitor, M)


def generic_cg(monitor: Monitor, M: LinearOperator | None) -> SolveResult:
    """Run the loop on any array library, for one right-hand side or a block.

    Notes
    -----
    NumPy scalars are checked before x is touched. On a device the scalars of one iteration travel to the host in one
    transfer at its end, the only one.
    """
    A, xp, x, r = monitor.A, monitor.xp, monitor.x, monitor.r
    host = isinstance(x, np.ndarray)
    coefficients = Coefficients(monitor, preconditioned=M is not None)
    frozen_below = _just_below(monitor)
    square: Any = inner(xp, r, r)
    rnorm: Any = None
    p: Array = None
    r_old: Array = None
    rho: Any = None
    with monitor:
        while monitor.proceed(x, r, rnorm=rnorm):
            if monitor.replaced:
                r, p, r_old = monitor.r, None, None
                square = inner(xp, r, r)
                coefficients.restart()
            z = monitor.project(r if M is None else M @ r)
            rho, previous = square if z is r else inner(xp, r, z), rho
            if r_old is not None:
                coefficients.compare(r_old, z, rho)
            if p is None:
                p = xp.asarray(z, copy=True)
            else:
                p *= _ratio(xp, rho, previous, True)
                p += z
            q = A @ p
            curvature = inner(xp, p, q)
            if host and not coefficients.accept(rho, curvature, p):
                break
            alpha = _ratio(xp, rho, curvature, frozen_below is None or square > frozen_below)
            r_old = xp.asarray(r, copy=True) if M is not None and monitor.iteration % COMPARE_EVERY == 0 else None
            x = _add(x, alpha, p)
            r = _add(r, -alpha, q)
            square = inner(xp, r, r)
            if host:
                rnorm = np.sqrt(square)
            else:
                scalars = to_host(xp.stack([rho, curvature, square]))
                if not coefficients.accept(scalars[0], scalars[1], p):
                    break
                rnorm = np.sqrt(scalars[2])
    return monitor.result(x, **coefficients.details())


def _add(y: Array, a: Any, x: Array) -> Array:
    """Return y + a x, in y's place: one pass over memory for NumPy vectors, where an expression would take two."""
    if type(a) is float and type(x) is np.ndarray and x.dtype == y.dtype:
        return get_blas_funcs("axpy", dtype=y.dtype)(x, y, a=a)
    y += a * x
    return y


def _ratio(xp: Any, above: Any, below: Any, active: Any) -> Any:
    """above / below, and 0 in columns that are not active or whose scalars have the wrong sign."""
    if type(below) is float:
        return above / below
    good = (above > 0) & (below > 0) & active
    return xp.where(good, above / xp.where(good, below, xp.ones_like(below)), xp.zeros_like(below))


def _just_below(monitor: Monitor) -> Array | None:
    """Square of the residual norm under which a column of a block counts as converged; None for one vector."""
    if monitor.b.ndim == 1:
        return None
    xp, eps = monitor.xp, float(monitor.xp.finfo(monitor.b.dtype).eps)
    square = inner(xp, monitor.r, monitor.r)
    return xp.asarray(monitor.tolerance**2 * (1 - 4 * eps), dtype=square.dtype, device=device(square))
