"""Successive over-relaxation by colours."""

from __future__ import annotations

from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.stationary.iterate import iterate, sweepable_system
from conjugo.solvers.stationary.optimal_omega import optimal_omega
from conjugo.solvers.stationary.rows import check_omega, rows_of


def red_black_sor(
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
    """Solve A x = b by over-relaxing the red unknowns, then the black ones, like the fields of a chessboard.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Real, with a nonzero diagonal. A stencil has two colours; a matrix is coloured greedily, with as many colours as
        that takes.
    b : (n,) or (n, k) NumPy array, float32 or float64
        Right-hand side; the sweeps run in its precision.
    x0 : array, optional
        First guess, shaped like b; default zero.
    omega : float, optional
        Relaxation factor, 0 < omega < 2; default `optimal_omega(A)`. 1 gives red-black Gauss-Seidel.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most sweeps (over all colours), default 10 n.
    callback : callable, optional
        Called with x after every sweep; returning True stops.

    Returns
    -------
    SolveResult
        One sweep an iteration; `residuals` holds the true residual after each, `details["omega"]` the factor.

    Raises
    ------
    ValueError
        If omega is outside (0, 2), a periodic axis has an odd number of unknowns (red would meet red), A offers only
        products, a diagonal entry is zero, or the shapes disagree.

    Notes
    -----
    No two unknowns of a colour are coupled, so each half of the sweep is vectorised and runs on threads
    (`conjugo.solvers.threads`); the result does not depend on their number. It is `sor` in another order of the
    unknowns, and for a consistently ordered A it has the same spectral radius.

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 5 and 8.
    Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM 2003, sec. 12.4.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.red_black import red_black_sor
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> red_black_sor(A, np.ones(2), rtol=1e-10).x.round(6)
    array([1., 1.])
    """
    A, b = sweepable_system(A, b, x0, "red_black_sor")
    rows = rows_of(A, b.dtype, "red_black_sor")
    if not rows.coloured:
        shape = getattr(A, "grid_shape", A.shape)
        raise ValueError(
            f"the grid {shape} has a periodic axis with an odd number of unknowns, where red meets red: "
            "use sor, or pass A.tocsr(), which is coloured greedily"
        )
    factor = optimal_omega(A) if omega is None else check_omega(omega)

    def step(x: Array, rhs: Array) -> float:
        return rows.relax_colours(x, rhs, factor)

    details = {"omega": factor}
    return iterate(
        "red_black_sor", A, b, x0, step, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback, details=details
    )
