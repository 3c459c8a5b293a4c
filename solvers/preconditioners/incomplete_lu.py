"""Incomplete LU factors by SciPy (SuperLU), for matrices that are not symmetric."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array, LinearOperator


class IncompleteLU:
    """L U ~ A with small entries dropped; `incomplete_lu` makes it.

    Parameters
    ----------
    factors : scipy.sparse.linalg.SuperLU
        From `spilu`.
    dtype : dtype
        Precision of the factors.
    setup_seconds : float
        What its making took.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.incomplete_lu import incomplete_lu
    >>> incomplete_lu(np.array([[2.0, 1.0], [0.0, 4.0]])) @ np.array([3.0, 4.0])
    array([1., 1.])
    """

    linear = True
    symmetric = False

    def __init__(self, factors: Any, dtype: np.dtype[Any], setup_seconds: float) -> None:
        self._factors = factors
        self.shape = tuple(factors.shape)
        self.dtype = dtype
        self.setup_seconds = setup_seconds

    @property
    def nbytes(self) -> int:
        """Bytes of the factors: a value and a row index for each entry."""
        return int(self._factors.nnz * (self.dtype.itemsize + 4))

    def __matmul__(self, r: Array) -> NDArray[Any]:
        if not isinstance(r, np.ndarray):
            kind = f"{type(r).__module__}.{type(r).__name__}"
            raise ValueError(f"r is a {kind}: incomplete LU runs on NumPy arrays; use jacobi")
        if np.iscomplexobj(r) and self.dtype.kind != "c":
            return np.asarray(self @ np.ascontiguousarray(r.real) + 1j * (self @ np.ascontiguousarray(r.imag)))
        return np.asarray(self._factors.solve(r.astype(self.dtype, copy=False))).astype(r.dtype, copy=False)


def incomplete_lu(A: LinearOperator, *, drop_tol: float = 1e-3, fill_factor: float = 10.0) -> IncompleteLU:
    """Precondition by an incomplete LU factorisation with dropping.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Anything with entries, symmetric or not, real or complex.
    drop_tol : float
        Entries below this part of their column are dropped.
    fill_factor : float
        Most entries of the factors, as a multiple of A's.

    Returns
    -------
    IncompleteLU
        M with `@` on (n,) and (n, k); linear, not symmetric, so for gmres, bicgstab and fgmres.

    Raises
    ------
    ValueError
        If A offers only products, or the factorisation meets a zero pivot.

    References
    ----------
    X. S. Li, M. Shao, ACM Trans. Math. Softw. 37 (2011) 43.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.incomplete_lu import incomplete_lu
    >>> M = incomplete_lu(np.array([[4.0, 1.0], [2.0, 3.0]]))
    >>> M.symmetric
    False
    """
    started = time.perf_counter()
    if isinstance(A, np.ndarray):
        matrix = sp.csc_array(A)
    elif hasattr(A, "tocsr"):
        matrix = sp.csc_array(A.tocsr())
    else:
        raise ValueError(
            f"incomplete_lu needs the entries of A, but {type(A).__name__} offers only products: use fgmres without M"
        )
    try:
        factors = spla.spilu(matrix, drop_tol=drop_tol, fill_factor=fill_factor)
    except RuntimeError as error:
        raise ValueError(
            f"incomplete LU met a zero pivot ({error}): A may be singular; use jacobi or minres"
        ) from error
    return IncompleteLU(factors, np.dtype(matrix.dtype), time.perf_counter() - started)
