"""The Gauss-Seidel method."""

from __future__ import annotations

from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.stationary.iterate import iterate, sweepable_system
from conjugo.solvers.stationary.rows import rows_of


def gauss_seidel(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b by Gauss-Seidel sweeps in the order of the unknowns.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Real, with a nonzero diagonal. Converges where A is symmetric positive definite or strictly diagonally dominant.
    b : (n,) or (n, k) NumPy array, float32 or float64
        Right-hand side; the sweeps run in its precision.
    x0 : array, optional
        First guess, shaped like b; default zero.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most sweeps, default 10 n.
    callback : callable, optional
        Called with x after every sweep; returning True stops.

    Returns
    -------
    SolveResult
        One sweep an iteration; `residuals` holds the true residual after each.

    Raises
    ------
    ValueError
        If A offers only products, a diagonal entry is zero, or the shapes disagree.

    Notes
    -----
    x <- x + (D + L)^{-1} (b - A x), with L the strictly lower triangle. For the model Poisson problem the spectral
    radius is the square of Jacobi's, cos^2(pi h). The sweep is sequential; `red_black_sor` runs on threads.

    References
    ----------
    Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM 2003, eq. (4.9).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.gauss_seidel import gauss_seidel
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> gauss_seidel(A, np.ones(2), rtol=1e-10).x.round(6)
    array([1., 1.])
    """
    A, b = sweepable_system(A, b, x0, "gauss_seidel")
    rows = rows_of(A, b.dtype, "gauss_seidel")

    def step(x: Array, rhs: Array) -> float:
        rows.sweep(x, rhs, 1.0)
        return rows.residual_square(x, rhs)

    return iterate("gauss_seidel", A, b, x0, step, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback, details={})
