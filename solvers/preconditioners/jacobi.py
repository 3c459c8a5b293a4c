"""The Jacobi (diagonal) preconditioner."""

from __future__ import annotations

import time

from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.preconditioners.diagonal import Diagonal
from conjugo.solvers.stationary.rows import diagonal_of


def jacobi(A: LinearOperator) -> Diagonal:
    """Precondition by the inverse of the diagonal: M = D^{-1}.

    Parameters
    ----------
    A : (n, n) operator
        Anything that knows its diagonal: stencils, sparse and dense arrays.

    Returns
    -------
    Diagonal
        M with `@` on (n,) and (n, k), NumPy or torch; linear, symmetric.

    Raises
    ------
    ValueError
        If A does not know its diagonal, or an entry is zero.

    References
    ----------
    Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM 2003, sec. 10.2.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers import cg
    >>> from conjugo.solvers.preconditioners.jacobi import jacobi
    >>> A = np.diag([1.0, 1e3, 1e6])
    >>> cg(A, np.ones(3), M=jacobi(A)).iterations
    1
    """
    started = time.perf_counter()
    return Diagonal(1 / diagonal_of(A, "jacobi"), time.perf_counter() - started)
