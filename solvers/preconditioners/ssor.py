"""The symmetric over-relaxation preconditioner."""

from __future__ import annotations

import time

from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.preconditioners.factors import TriangularFactors, csr_solve, stencil_solve, strict_upper
from conjugo.solvers.preconditioners.positive import positive_diagonal
from conjugo.solvers.stationary.rows import check_omega, entries_of, sweepable


def ssor(A: LinearOperator, omega: float = 1.0) -> TriangularFactors:
    """Precondition by one forward and one backward over-relaxation sweep from a zero guess.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Symmetric, with a positive diagonal.
    omega : float
        Relaxation factor, 0 < omega < 2; 1 gives symmetric Gauss-Seidel.

    Returns
    -------
    TriangularFactors
        M with `@` on (n,) and (n, k); linear, symmetric positive definite.

    Raises
    ------
    ValueError
        If omega is outside (0, 2), A is not symmetric, offers only products, or has a diagonal entry that is not
        positive.

    Notes
    -----
    M^{-1} = (D / omega + L) (D / omega)^{-1} (D / omega + L^T) / (2 - omega), the inverse of what `M @ r` applies.
    A stencil is swept in place, with one vector of pivots beside it.

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 15.
    O. Axelsson, BIT 12 (1972) 443-467.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.ssor import ssor
    >>> (ssor(np.array([[2.0, -1.0], [-1.0, 2.0]])) @ np.array([1.0, 0.0])).round(6)
    array([0.625, 0.25 ])
    """
    started = time.perf_counter()
    factor = check_omega(omega)
    diagonal, dtype = positive_diagonal(A, "ssor")
    if isinstance(A, SeparableStencil | VariableStencil) and sweepable(A):
        solve, nbytes = stencil_solve(A, diagonal / factor)
    else:
        solve, nbytes = csr_solve(strict_upper(entries_of(A, "ssor")), diagonal / factor, dtype)
    seconds = time.perf_counter() - started
    return TriangularFactors(solve, len(diagonal), dtype, scale=2 - factor, nbytes=nbytes, setup_seconds=seconds)
