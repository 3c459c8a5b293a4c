"""Incomplete Cholesky factorisations: IC(0), and its modification that keeps row sums, also with one level of fill."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.kernels import incomplete as kernels
from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.preconditioners.factors import (
    InPlaceSolve,
    TriangularFactors,
    csr_solve,
    stencil_solve,
    strict_upper,
)
from conjugo.solvers.preconditioners.positive import positive_diagonal
from conjugo.solvers.stationary.rows import entries_of, sweepable

SMALLEST_PIVOT = 16 * float(np.finfo(np.float64).eps)
"""Pivots below this part of their diagonal entry are rounding errors: the factorisation has broken down."""
SHIFTS = (0.0, *(1e-3 * 2.0**k for k in range(11)))
"""Manteuffel's shifts, tried one after the other: 0, then 1e-3 to 1."""

type Finish = Callable[[], tuple[InPlaceSolve, int]]
"""Makes the triangular solves of a factorisation that succeeded."""
type Attempt = Callable[[NDArray[np.float64]], tuple[int, Finish]]
"""Factors in place from a diagonal; returns the row that failed, or -1."""


def ic0(A: LinearOperator) -> TriangularFactors:
    """Precondition by the incomplete Cholesky factorisation on the pattern of A.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Symmetric positive definite (or semidefinite), with a positive diagonal.

    Returns
    -------
    TriangularFactors
        M with `@` on (n,) and (n, k); linear, symmetric positive definite. `M.shift` is 0, or the shift that was
        needed.

    Raises
    ------
    ValueError
        If A is not symmetric, offers only products, has a diagonal entry that is not positive, or cannot be factored
        even with a shift of 1.

    Notes
    -----
    A ~ (P + L) P^{-1} (P + L^T), equal to A on the pattern of A. It exists for M-matrices; elsewhere a pivot may
    become negative, and then A + shift diag(A) is factored with the first of shift = 1e-3, 2e-3, 4e-3 ... that works.
    The pivots are computed in float64 and kept in the precision of A. On a stencil the couplings stay those of A, and
    only one vector of pivots is kept.

    References
    ----------
    J. A. Meijerink, H. A. van der Vorst, Math. Comp. 31 (1977) 148-162.
    T. A. Manteuffel, Math. Comp. 34 (1980) 473-497 (the shift).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.incomplete import ic0
    >>> A = np.diag(np.full(4, 2.0)) - np.diag(np.ones(3), 1) - np.diag(np.ones(3), -1)
    >>> bool(np.allclose(ic0(A) @ (A @ np.arange(4.0)), np.arange(4.0)))  # no fill: exact
    True
    """
    return _factored(A, "ic0", 0.0)


def mic(A: LinearOperator, relaxation: float = 0.97, *, level: int = 0) -> TriangularFactors:
    """Precondition by the modified incomplete Cholesky factorisation, on the pattern of A or with one level of fill.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Symmetric positive definite, with a positive diagonal.
    relaxation : float
        Part of the dropped fill that goes to the diagonal, 0 to 1; 0 is `ic0`, 1 keeps the row sums of A.
    level : {0, 1}
        0 drops all fill; 1 keeps what the entries of A cause, for a third fewer iterations on a five-point stencil at
        one and a half times the memory and work a solve. The stencil is then assembled.

    Returns
    -------
    TriangularFactors
        M with `@` on (n,) and (n, k); linear, symmetric positive definite. `M.shift` is 0, or the shift that was
        needed.

    Raises
    ------
    ValueError
        If relaxation is outside [0, 1], level is neither 0 nor 1, or A is not as `ic0` expects it.

    Notes
    -----
    With relaxation = 1 the product of the factors has the row sums of A, and on Poisson problems the condition number
    falls from O(h^{-2}) to O(h^{-1}), so that cg takes O(h^{-1/2}) iterations. A little less than 1 guards against
    small pivots.

    References
    ----------
    I. Gustafsson, BIT 18 (1978) 142-156.
    H. A. van der Vorst, Iterative Krylov Methods for Large Linear Systems, Cambridge 2003, sec. 13.4 (relaxation).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.incomplete import mic
    >>> A = np.diag(np.full(4, 4.0)) - np.diag(np.ones(3), 1) - np.diag(np.ones(3), -1)
    >>> bool(np.allclose(mic(A) @ (A @ np.arange(4.0)), np.arange(4.0)))  # no fill: exact
    True
    """
    if not 0 <= relaxation <= 1:
        raise ValueError(f"relaxation = {relaxation}: expected 0 (ic0) to 1 (row sums kept), such as 0.97")
    if level not in (0, 1):
        raise ValueError(f"level = {level}: expected 0 (no fill) or 1; for more use lu or spilu")
    return _factored(A, "mic", float(relaxation), level)


def _factored(A: LinearOperator, name: str, relaxation: float, level: int = 0) -> TriangularFactors:
    """Factor A, with Manteuffel's shift where it needs one."""
    started = time.perf_counter()
    diagonal, dtype = positive_diagonal(A, name)
    # on a periodic axis of three nodes the fill meets the pattern, as in any triangle of the graph
    if level == 0 and isinstance(A, SeparableStencil | VariableStencil) and sweepable(A, shortest=4):
        attempt = _stencil_attempt(A, diagonal, relaxation)
    else:
        upper = strict_upper(entries_of(A, name))
        attempt = _matrix_attempt(with_fill(upper) if level else upper, diagonal, dtype, relaxation)
    row = -1
    for shift in SHIFTS:
        pivots = (1 + shift) * diagonal
        row, finish = attempt(pivots)
        if row < 0:
            solve, nbytes = finish()
            seconds = time.perf_counter() - started
            return TriangularFactors(solve, len(diagonal), dtype, nbytes=nbytes, shift=shift, setup_seconds=seconds)
    raise ValueError(
        f"{name} broke down: the pivot of row {row} is not positive even for A + diag(A); "
        "A is far from positive definite: use jacobi, minres or gmres"
    )


def with_fill(upper: sp.csr_array) -> sp.csr_array:
    """Add to a strictly upper triangle U zeros where eliminating one unknown makes an entry: the pattern of U^T U.

    Parameters
    ----------
    upper : csr_array
        U, in sorted rows.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from conjugo.solvers.preconditioners.incomplete import with_fill
    >>> with_fill(sp.csr_array(np.array([[0.0, 1, 1], [0, 0, 0], [0, 0, 0]]))).nnz
    3
    """
    n = upper.shape[0]
    ones = sp.csr_array((np.ones(upper.nnz), upper.indices, upper.indptr), shape=upper.shape)
    whole = strict_upper(sp.csr_array(ones + ones.T @ ones))
    keys, kept = (np.repeat(np.arange(n, dtype=np.int64), np.diff(m.indptr)) * n + m.indices for m in (whole, upper))
    whole.data[:] = 0.0
    whole.data[np.searchsorted(keys, kept)] = upper.data
    return whole


def _matrix_attempt(
    original: sp.csr_array, diagonal: NDArray[np.float64], dtype: np.dtype[Any], relaxation: float
) -> Attempt:
    """Factor a matrix, given by its strictly upper triangle."""
    indptr, indices = original.indptr.astype(np.int32), original.indices.astype(np.int32)

    def attempt(pivots: NDArray[np.float64]) -> tuple[int, Finish]:
        upper = original.copy()
        row = kernels.factor_csr(indptr, indices, upper.data, pivots, diagonal, relaxation, SMALLEST_PIVOT)
        return int(row), lambda: csr_solve(upper, pivots, dtype)

    return attempt


def _stencil_attempt(
    A: SeparableStencil | VariableStencil, diagonal: NDArray[np.float64], relaxation: float
) -> Attempt:
    """Factor a stencil: only the pivots differ from A."""
    couplings = _stencil_couplings(A)
    shape = np.array((1, 1, *A.grid_shape)[-3:], dtype=np.int64)
    strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    others, values = np.empty(6, np.int64), np.empty(6)

    def attempt(pivots: NDArray[np.float64]) -> tuple[int, Finish]:
        row = kernels.factor_stencil(
            shape, strides, couplings, pivots, diagonal, relaxation, SMALLEST_PIVOT, others, values
        )
        return int(row), lambda: stencil_solve(A, pivots)

    return attempt


def _stencil_couplings(A: SeparableStencil | VariableStencil) -> NDArray[np.float64]:
    """Entries A[i, i + e_a] for the three axes, (3, n); zero along axes that are missing."""
    couplings = np.zeros((3, A.shape[0]))
    first = 3 - len(A.grid_shape)
    if isinstance(A, VariableStencil):
        for axis, values in enumerate(A.upper):
            couplings[first + axis] = values.ravel()
        return couplings
    weights = A.weights()
    for place in range(len(A.axes)):
        along = [axis.upper if k == place else np.ones(len(axis)) for k, axis in enumerate(A.axes)]
        couplings[first + place] = (weights * reduce(np.multiply.outer, along)).ravel()
    return couplings
