"""SciPy's sparse LU factorisation (SuperLU) as a solver and as a preconditioner."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.solvers.adapters.host import HostOperator, like, to_csr, to_numpy
from conjugo.solvers.monitor import REPLACEMENTS, Callback, Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.system import as_floating, check_system


class Factorization:
    """P_r A P_c = L U, made once by `splu` and applied with `@` or `.solve`.

    Attributes
    ----------
    shape, linear, symmetric
        The facts of a preconditioner.
    setup_seconds : float
        Time of the factorisation.
    nbytes : int
        Bytes of L and U.
    failure : str or None
        What SuperLU said where A is singular; `.solve` then ends in BREAKDOWN.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.direct import splu
    >>> factors = splu(np.diag([2.0, 4.0]))
    >>> factors @ np.ones(2), factors.symmetric
    (array([0.5 , 0.25]), True)
    """

    linear = True
    symmetric = True

    def __init__(self, A: LinearOperator, **options: Any) -> None:
        started = time.perf_counter()
        self.A, self.shape = as_operator(A), tuple(A.shape)
        matrix = to_csr(A)
        if not np.all(np.isfinite(matrix.data)):
            raise ValueError("A holds NaN or infinity: expected finite entries; look at how A was assembled")
        difference = matrix - matrix.T.conj()
        self.symmetric = bool(abs(difference).max() <= 1e-12 * abs(matrix).max()) if matrix.nnz else True
        self._pinned = 0
        null = getattr(A, "nullspace", None)
        if null is not None:  # [A N; N^H 0] is regular where A maps the columns of N, and nothing else, to zero
            null = sp.csr_array(to_numpy(null).astype(matrix.dtype, copy=False))
            self._pinned = int(null.shape[1])
            matrix = sp.block_array([[matrix, null], [null.conj().T, None]])
        self.dtype = matrix.dtype
        self.failure: str | None = None
        try:
            self._lu = spla.splu(sp.csc_array(matrix), **options)
        except RuntimeError as error:  # "Factor is exactly singular"
            self._lu, self.failure = None, str(error)
        self.setup_seconds = time.perf_counter() - started

    @property
    def nbytes(self) -> int:
        """Bytes of L and U: a value and a row index for each entry."""
        return 0 if self._lu is None else int(self._lu.nnz * (self.dtype.itemsize + 4))

    def _solve(self, b: NDArray[Any]) -> NDArray[Any]:
        if self._lu is None:
            return np.full_like(b, np.nan)
        if np.iscomplexobj(b) and not np.issubdtype(self.dtype, np.complexfloating):
            return np.asarray(self._solve(b.real) + 1j * self._solve(b.imag))
        wide = np.zeros((b.shape[0] + self._pinned, *b.shape[1:]), self.dtype)
        wide[: b.shape[0]] = b
        return np.asarray(self._lu.solve(wide)[: b.shape[0]])

    def __matmul__(self, b: Array) -> Array:
        return like(self._solve(to_numpy(b)), b)

    def solve(
        self,
        b: Array,
        x0: Array | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callback | None = None,
    ) -> SolveResult:
        """Solve A x = b by substitution, refined where the true residual asks for it.

        Parameters
        ----------
        b : (n,) or (n, k) array
            Right-hand sides; NumPy or torch (solved on the host).
        x0 : array, optional
            First guess, shaped like b.
        rtol, atol : float
            Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol).
        maxiter : int, optional
            Substitutions; default 4, that is three refinements.
        callback : callable, optional
            Called with x after every substitution.

        Returns
        -------
        SolveResult
            BREAKDOWN where A is singular, STAGNATED where refinement does not reach the tolerance.

        Raises
        ------
        ValueError
            For shapes that disagree, or NaN in b or x0.
        """
        b, x0 = as_floating("b", b, self.A), as_floating("x0", x0, self.A)
        check_system(self.A, b, x0)
        host, B = HostOperator(self.A, b), to_numpy(b)
        first = None if x0 is None else to_numpy(x0)
        limit = 1 + REPLACEMENTS if maxiter is None else maxiter
        monitor = Monitor("splu", host, B, first, rtol=rtol, atol=atol, maxiter=limit, callback=callback)
        x, r = monitor.x, monitor.r
        with monitor:
            while monitor.proceed(x, r, exact=True):
                if self.failure is not None:
                    note = f"{self.failure}: A is singular; declare its null space, or use minres"
                    monitor.fail(Status.BREAKDOWN, note)
                    break
                x = x + self._solve(r).astype(B.dtype, copy=False)
                r = B - host @ x
        if monitor.status is Status.MAX_ITERATIONS and maxiter is None:
            note = f"{REPLACEMENTS} refinements did not reach the tolerance: it lies below the attainable accuracy"
            monitor.fail(Status.STAGNATED, f"{note}, or b is not in the range of A; loosen rtol or use float64")
        result = monitor.result(x, setup_seconds=self.setup_seconds, bytes=self.nbytes)
        return SolveResult(
            like(result.x, b), result.status, result.residuals, result.seconds, "splu", result.details
        )  # fmt: skip


def splu(A: LinearOperator, **options: Any) -> Factorization:
    """Factorise A by SciPy's SuperLU, to solve with it any number of times.

    Parameters
    ----------
    A : sparse or dense matrix, or an operator with `.tocsr()`
        Square. A declared null space is pinned by a bordered matrix.
    **options
        SciPy's own: permc_spec, diag_pivot_thresh, relax, panel_size, options.

    Returns
    -------
    Factorization
        With `.solve(b)`, `@`, `.setup_seconds` and `.nbytes`.

    Raises
    ------
    ValueError
        If A is matrix-free or holds NaN.

    References
    ----------
    Li (2005), "An overview of SuperLU", ACM Trans. Math. Softw. 31(3).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.direct import splu
    >>> splu(np.array([[2.0, 1.0], [-1.0, 1.0]])).solve(np.array([3.0, 0.0])).x
    array([1., 1.])
    """
    A = as_operator(A)
    if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A has shape {tuple(A.shape)}: expected a square matrix (n, n)")
    return Factorization(A, **options)
