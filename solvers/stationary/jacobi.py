"""Jacobi's iteration, damped or not."""

from __future__ import annotations

from conjugo.solvers.monitor import Callback, Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.preconditioners.diagonal import Diagonal
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.stationary.correction import corrector
from conjugo.solvers.stationary.rows import check_omega, diagonal_of


def jacobi_iteration(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    omega: float = 1.0,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b by Jacobi's iteration.

    Parameters
    ----------
    A : (n, n) operator
        Anything with `@` that knows its diagonal: stencils, sparse and dense arrays, torch tensors.
    b : (n,) or (n, k) array
        Right-hand side, NumPy or torch, real or complex.
    x0 : array, optional
        First guess, shaped like b; default zero.
    omega : float
        Damping, 0 < omega < 2; 1 is Jacobi's own, 2 d / (2 d + 1) smooths best in d dimensions.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most iterations, default 10 n.
    callback : callable, optional
        Called with x after every iteration; returning True stops.

    Returns
    -------
    SolveResult
        `residuals` holds the true residual after each iteration, `details["omega"]` the damping.

    Raises
    ------
    ValueError
        If omega is outside (0, 2), A does not know its diagonal or has a zero there, or the shapes disagree.

    Notes
    -----
    x <- x + omega D^{-1} (b - A x). For the model Poisson problem the spectral radius is cos(pi h) with omega = 1.

    References
    ----------
    Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM 2003, eq. (4.4).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.jacobi import jacobi_iteration
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> jacobi_iteration(A, np.ones(2), maxiter=100, rtol=1e-10).x.round(6)
    array([1., 1.])
    """
    A, omega = as_operator(A), check_omega(omega)
    scaled = Diagonal(omega / diagonal_of(A, "jacobi_iteration"))
    monitor = Monitor("jacobi_iteration", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    x, r, rnorm = monitor.x, monitor.r, None
    correct = corrector(A, monitor.b)
    with monitor:
        while monitor.proceed(x, r, rnorm=rnorm, exact=True):
            x, r, rnorm = correct(x, scaled @ r, r)
    if monitor.status is Status.STAGNATED and omega > 0.9:  # the chessboard mode has eigenvalue 1 - 2 omega
        monitor.details["note"] = f"{monitor.details.get('note', '')}; or damp the highest modes with omega=0.8"
    return monitor.result(x, omega=omega)
