"""Symmetric successive over-relaxation."""

from __future__ import annotations

from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.stationary.iterate import iterate, sweepable_system
from conjugo.solvers.stationary.rows import check_omega, rows_of


def ssor_iteration(
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
    """Solve A x = b by a forward and a backward over-relaxation sweep in turn.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Real, with a nonzero diagonal. Converges for every omega in (0, 2) where A is symmetric positive definite.
    b : (n,) or (n, k) NumPy array, float32 or float64
        Right-hand side; the sweeps run in its precision.
    x0 : array, optional
        First guess, shaped like b; default zero.
    omega : float
        Relaxation factor, 0 < omega < 2; 1 gives symmetric Gauss-Seidel.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most iterations (two sweeps each), default 10 n.
    callback : callable, optional
        Called with x after every iteration; returning True stops.

    Returns
    -------
    SolveResult
        `residuals` holds the true residual after each iteration, `details["omega"]` the factor.

    Raises
    ------
    ValueError
        If omega is outside (0, 2), A offers only products, a diagonal entry is zero, or the shapes disagree.

    Notes
    -----
    x <- x + M^{-1} (b - A x) with M = (D / omega + L) (D / omega)^{-1} (D / omega + U) / (2 - omega). Its error
    operator has real eigenvalues in [0, 1) for a symmetric positive definite A; as a preconditioner see
    `conjugo.solvers.preconditioners.ssor.ssor`.

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 15.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.ssor import ssor_iteration
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> ssor_iteration(A, np.ones(2), rtol=1e-10).x.round(6)
    array([1., 1.])
    """
    A, b = sweepable_system(A, b, x0, "ssor_iteration")
    rows = rows_of(A, b.dtype, "ssor_iteration")
    factor = check_omega(omega)

    def step(x: Array, rhs: Array) -> float:
        rows.sweep(x, rhs, factor)
        rows.sweep(x, rhs, factor, backward=True)
        return rows.residual_square(x, rhs)

    return iterate(
        "ssor_iteration",
        A,
        b,
        x0,
        step,
        rtol=rtol,
        atol=atol,
        maxiter=maxiter,
        callback=callback,
        details={"omega": factor},
    )
