"""Successive over-relaxation."""

from __future__ import annotations

from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.stationary.iterate import iterate, sweepable_system
from conjugo.solvers.stationary.optimal_omega import optimal_omega
from conjugo.solvers.stationary.rows import check_omega, rows_of


def sor(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    omega: float | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b by successive over-relaxation in the order of the unknowns.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Real, with a nonzero diagonal. Converges for every omega in (0, 2) where A is symmetric positive definite.
    b : (n,) or (n, k) NumPy array, float32 or float64
        Right-hand side; the sweeps run in its precision.
    x0 : array, optional
        First guess, shaped like b; default zero.
    omega : float, optional
        Relaxation factor, 0 < omega < 2; default `optimal_omega(A)`.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most sweeps, default 10 n.
    callback : callable, optional
        Called with x after every sweep; returning True stops.

    Returns
    -------
    SolveResult
        One sweep an iteration; `residuals` holds the true residual after each, `details["omega"]` the factor.

    Raises
    ------
    ValueError
        If omega is outside (0, 2), A offers only products, a diagonal entry is zero, or the shapes disagree.

    Notes
    -----
    x <- x + (D / omega + L)^{-1} (b - A x). At the optimal omega of a consistently ordered A the spectral radius is
    omega - 1, so the model problem takes O(1 / h) sweeps where Gauss-Seidel takes O(1 / h^2).

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 6.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.sor import sor
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> result = sor(A, np.ones(2), rtol=1e-10)
    >>> result.x.round(6), round(result.details["omega"], 4)
    (array([1., 1.]), 1.0718)
    """
    A, b = sweepable_system(A, b, x0, "sor")
    rows = rows_of(A, b.dtype, "sor")
    factor = optimal_omega(A) if omega is None else check_omega(omega)

    def step(x: Array, rhs: Array) -> float:
        rows.sweep(x, rhs, factor)
        return rows.residual_square(x, rhs)

    details = {"omega": factor}
    return iterate("sor", A, b, x0, step, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback, details=details)
