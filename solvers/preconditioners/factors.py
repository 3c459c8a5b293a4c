"""M = (P + L) P^-1 (P + L^T) with a diagonal P: what SSOR and incomplete Cholesky without fill have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.kernels import csr_sweeps
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.stationary.stencil_rows import StencilRows

type InPlaceSolve = Callable[[NDArray[Any]], None]


class TriangularFactors:
    """The inverse of (P + L) P^-1 (P + L^T) / scale, by two triangular solves.

    `ssor`, `ic0` and `mic` make it.

    Parameters
    ----------
    solve : callable
        Solves in place for one contiguous vector of precision `dtype`.
    n : int
        Number of unknowns.
    dtype : dtype
        float32 or float64; a vector of the other precision is cast, and its result cast back.
    scale : float
        A factor on the result.
    nbytes : int
        Bytes that it keeps, those of A apart.
    shift : float
        What the factored matrix was: A + shift diag(A).
    setup_seconds : float
        What its making took.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.incomplete import ic0
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> (ic0(A) @ np.array([1.0, 1.0])).round(6)
    array([1., 1.])
    """

    linear = True
    symmetric = True

    def __init__(
        self,
        solve: InPlaceSolve,
        n: int,
        dtype: np.dtype[Any],
        *,
        scale: float = 1.0,
        nbytes: int = 0,
        shift: float = 0.0,
        setup_seconds: float = 0.0,
    ) -> None:
        self._solve = solve
        self.shape = (n, n)
        self.dtype = np.dtype(dtype)
        self.scale, self.nbytes, self.shift, self.setup_seconds = scale, nbytes, shift, setup_seconds

    def __matmul__(self, r: Array) -> NDArray[Any]:
        if not isinstance(r, np.ndarray) or np.iscomplexobj(r):
            kind = f"{type(r).__module__}.{type(r).__name__}"
            raise ValueError(
                f"r is a {kind} of dtype {r.dtype}: triangular solves run on real NumPy arrays; "
                "use jacobi or chebyshev_preconditioner"
            )
        if r.ndim not in (1, 2) or r.shape[0] != self.shape[0]:
            raise ValueError(f"r has shape {r.shape}: expected ({self.shape[0]},) or ({self.shape[0]}, k)")
        columns = np.array(r.reshape(r.shape[0], -1).T, dtype=self.dtype, order="C")
        if self.scale != 1.0:
            columns *= self.dtype.type(self.scale)
        for column in columns:
            self._solve(column)
        z = columns[0] if r.ndim == 1 else np.ascontiguousarray(columns.T)
        return z.astype(r.dtype, copy=False)


def stencil_solve(A: SeparableStencil | VariableStencil, pivots: NDArray[np.float64]) -> tuple[InPlaceSolve, int]:
    """Triangular solves with the couplings of a stencil and the pivots P; also the bytes kept.

    Parameters
    ----------
    A : SeparableStencil or VariableStencil
        Its strict triangles are L and L^T.
    pivots : (n,) array
        P.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> from conjugo.solvers.preconditioners.factors import stencil_solve
    >>> A = VariableStencil(np.full(2, 2.0), [np.array([-1.0, 0.0])])
    >>> solve, nbytes = stencil_solve(A, np.array([2.0, 1.5]))  # the exact factors of A
    >>> z = np.array([1.0, 1.0])
    >>> solve(z)
    >>> z.round(6), nbytes
    (array([1., 1.]), 16)
    """
    rows = StencilRows(A, A.dtype)
    weights = A.weights().ravel() if isinstance(A, SeparableStencil) else 1.0
    inverse = np.ascontiguousarray(weights / pivots, dtype=A.dtype)
    return (lambda z: rows.solve_factors(z, inverse)), int(inverse.nbytes)


def csr_solve(upper: sp.csr_array, pivots: NDArray[np.float64], dtype: np.dtype[Any]) -> tuple[InPlaceSolve, int]:
    """Triangular solves with a strictly upper U in sorted rows and the pivots P; also the bytes kept.

    Parameters
    ----------
    upper : csr_array
        U = L^T.
    pivots : (n,) array
        P.
    dtype : dtype
        Precision to keep, float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from conjugo.solvers.preconditioners.factors import csr_solve, strict_upper
    >>> A = sp.csr_array(np.array([[2.0, -1.0], [-1.0, 2.0]]))
    >>> solve, nbytes = csr_solve(strict_upper(A), np.array([2.0, 1.5]), np.dtype(float))  # the exact factors of A
    >>> z = np.array([1.0, 1.0])
    >>> solve(z)
    >>> z.round(6)
    array([1., 1.])
    """
    parts = (
        np.ascontiguousarray(1 / pivots, dtype=dtype),
        np.ascontiguousarray(upper.indptr, dtype=np.int32),
        np.ascontiguousarray(upper.indices, dtype=np.int32),
        np.ascontiguousarray(upper.data, dtype=dtype),
    )
    return (lambda z: csr_sweeps.solve_factors(z, *parts)), sum(part.nbytes for part in parts)


def strict_upper(matrix: sp.csr_array) -> sp.csr_array:
    """Strictly upper triangle in sorted rows, float64.

    Parameters
    ----------
    matrix : csr_array
        Square.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from conjugo.solvers.preconditioners.factors import strict_upper
    >>> strict_upper(sp.csr_array(np.ones((3, 3)))).nnz
    3
    """
    upper = sp.csr_array(sp.triu(matrix, 1, format="csr"), dtype=np.float64)
    upper.sort_indices()
    return upper
