"""PyAMG's algebraic multigrid as a preconditioner and, with a Krylov method of this package, as a solver."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.adapters.host import like, to_csr, to_numpy
from conjugo.solvers.monitor import Callback, Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult

_ACCELERATORS = {
    "cg": "krylov.cg",
    "fcg": "krylov.fcg",
    "minres": "krylov.minres",
    "fgmres": "krylov.fgmres",
    "gmres": "adapters.scipy",
    "bicgstab": "adapters.scipy",
}


class AlgebraicMultigrid:
    """A hierarchy by PyAMG, made once by `ruge_stuben` or `smoothed_aggregation`.

    As a preconditioner, `ml @ r` is one V-cycle from a zero guess.

    Attributes
    ----------
    shape, linear, symmetric
        The facts of a preconditioner. It is symmetric where A and the smoothing are.
    hierarchy
        PyAMG's own `MultilevelSolver`.
    levels : list of int
        Unknowns on each level.
    setup_seconds : float
        Time of the set-up.
    nbytes : int
        Bytes of the matrices and transfers on all levels.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers import cg
    >>> from conjugo.solvers.adapters.pyamg import ruge_stuben
    >>> A = 2 * np.eye(100) - np.eye(100, k=1) - np.eye(100, k=-1)
    >>> cg(A, np.ones(100), M=ruge_stuben(A), rtol=1e-8).iterations < 15
    True
    """

    linear = True

    def __init__(self, name: str, build: Callable[..., Any], A: LinearOperator, options: dict[str, Any]) -> None:
        started = time.perf_counter()
        A = as_operator(A)
        matrix = to_csr(A)
        if matrix.dtype.kind in "biu":
            matrix = matrix.astype(np.float64)
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"A has shape {matrix.shape}: expected a square matrix (n, n)")
        if not np.all(np.isfinite(matrix.data)):
            raise ValueError("A holds NaN or infinity: expected finite entries; look at how A was assembled")
        if not np.all(matrix.diagonal()):
            row = int(np.argmin(matrix.diagonal() != 0))
            raise ValueError(f"A[{row}, {row}] = 0: expected a diagonal without zeros; drop or fix such rows")
        self.name, self.A = name, A
        self.shape = tuple(matrix.shape)
        self.dtype = matrix.dtype
        self.hierarchy = build(_with_int32(matrix), **options)
        difference = abs(matrix - matrix.T.conj())
        scale = 1e3 * float(np.finfo(matrix.dtype).eps) * abs(matrix).max()
        self.symmetric = bool(self.hierarchy.symmetric_smoothing and difference.max() <= scale)
        self._cycle = self.hierarchy.aspreconditioner(cycle="V")
        self.setup_seconds = time.perf_counter() - started

    @property
    def levels(self) -> list[int]:
        """Unknowns on each level, finest first."""
        return [int(level.A.shape[0]) for level in self.hierarchy.levels]

    @property
    def nbytes(self) -> int:
        """Bytes of the matrices and transfers on all levels."""
        total = 0
        for level in self.hierarchy.levels:
            for name in ("A", "P", "R"):
                matrix = getattr(level, name, None)
                if matrix is not None:
                    total += matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
        return total

    def _apply(self, r: NDArray[Any]) -> NDArray[Any]:
        if np.iscomplexobj(r) and not np.issubdtype(self.dtype, np.complexfloating):
            return np.asarray(self._apply(r.real) + 1j * self._apply(r.imag))
        return np.asarray(self._cycle.matvec(np.ascontiguousarray(r, dtype=self.dtype)))

    def __matmul__(self, r: Array) -> Array:
        values = to_numpy(r)
        if values.ndim == 1:
            return like(self._apply(values), r)
        return like(np.stack([self._apply(column) for column in values.T], axis=1), r)

    def solve(
        self,
        b: Array,
        x0: Array | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callback | None = None,
        accel: str | None = "cg",
    ) -> SolveResult:
        """Solve A x = b by a Krylov method with the V-cycle as its preconditioner.

        Parameters
        ----------
        b, x0, rtol, atol, maxiter, callback
            As in `cg`.
        accel : {"cg", "fcg", "minres", "fgmres", "gmres", "bicgstab"} or None
            The method; None repeats V-cycles alone.

        Returns
        -------
        SolveResult
            `details` holds `setup_seconds`, `bytes` and `levels` of the hierarchy.

        Raises
        ------
        ValueError
            For an unknown accel, or wrong input as in `cg`.
        """
        rule: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
        if accel is None:
            result = self._cycles(b, x0, rule)
        elif accel in _ACCELERATORS:
            method = getattr(import_module(f"conjugo.solvers.{_ACCELERATORS[accel]}"), accel)
            result = method(self.A, b, x0, M=self, **rule)
        else:
            raise ValueError(f"accel = {accel!r}: expected one of {', '.join(_ACCELERATORS)}, or None for cycles alone")
        name = self.name if accel is None else f"{self.name}+{accel}"
        facts = {"setup_seconds": self.setup_seconds, "bytes": self.nbytes, "levels": len(self.levels)}
        return replace(result, method=name, details={**result.details, **facts})

    def _cycles(self, b: Array, x0: Array | None, rule: dict[str, Any]) -> SolveResult:
        monitor = Monitor(self.name, self.A, b, x0, **rule)
        x, r = monitor.x, monitor.r
        with monitor:
            while monitor.proceed(x, r, exact=True):
                x = x + self @ r
                r = monitor.b - self.A @ x
        return monitor.result(x)


def _with_int32(matrix: sp.csr_array) -> sp.csr_array:
    """PyAMG's compiled parts take sorted rows and 32-bit indices only; it breaks on others without a word."""
    if matrix.indices.dtype == np.int32 and matrix.indptr.dtype == np.int32 and matrix.has_canonical_format:
        return matrix
    indices, indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    canonical = sp.csr_array((matrix.data.copy(), indices, indptr), shape=matrix.shape)
    canonical.sum_duplicates()
    return canonical


def _pyamg() -> Any:
    try:
        return import_module("pyamg")
    except ImportError as error:
        raise ImportError("algebraic multigrid needs PyAMG: pip install conjugo[amg]") from error


def ruge_stuben(A: LinearOperator, **options: Any) -> AlgebraicMultigrid:
    """Set up classical (Ruge-Stueben) algebraic multigrid by PyAMG.

    Parameters
    ----------
    A : sparse or dense matrix, or an operator with `.tocsr()`
        Square, best an M-matrix.
    **options
        PyAMG's own: strength, CF, interpolation, presmoother, postsmoother, max_levels, max_coarse, coarse_solver.

    Returns
    -------
    AlgebraicMultigrid
        With `@`, `.solve(b, accel="cg")`, `.setup_seconds` and `.nbytes`.

    Raises
    ------
    ImportError
        Where PyAMG is not installed.
    ValueError
        If A is matrix-free, not square, holds NaN or has a zero on its diagonal.

    References
    ----------
    Ruge and Stueben (1987), "Algebraic multigrid", in McCormick (ed.), Multigrid Methods, SIAM.
    Bell, Olson, Schroder and Southworth (2023), "PyAMG: algebraic multigrid solvers in Python", JOSS 8(87).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.pyamg import ruge_stuben
    >>> A = 2 * np.eye(50) - np.eye(50, k=1) - np.eye(50, k=-1)
    >>> ml = ruge_stuben(A)
    >>> ml.levels[0], ml.solve(np.ones(50), rtol=1e-8).converged
    (50, True)
    """
    return AlgebraicMultigrid("ruge_stuben", _pyamg().ruge_stuben_solver, A, options)


def smoothed_aggregation(A: LinearOperator, **options: Any) -> AlgebraicMultigrid:
    """Set up smoothed-aggregation algebraic multigrid by PyAMG.

    Parameters
    ----------
    A : sparse or dense matrix, or an operator with `.tocsr()`
        Square.
    **options
        PyAMG's own: B (near null space), symmetry, strength, aggregate, smooth, presmoother, postsmoother, ...

    Returns
    -------
    AlgebraicMultigrid
        With `@`, `.solve(b, accel="cg")`, `.setup_seconds` and `.nbytes`.

    Raises
    ------
    ImportError
        Where PyAMG is not installed.
    ValueError
        If A is matrix-free, not square, holds NaN or has a zero on its diagonal.

    References
    ----------
    Vanek, Mandel and Brezina (1996), "Algebraic multigrid by smoothed aggregation for second and fourth order elliptic
    problems", Computing 56(3).
    Bell, Olson, Schroder and Southworth (2023), "PyAMG: algebraic multigrid solvers in Python", JOSS 8(87).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.pyamg import smoothed_aggregation
    >>> A = 2 * np.eye(50) - np.eye(50, k=1) - np.eye(50, k=-1)
    >>> ml = smoothed_aggregation(A)
    >>> ml.levels[0], ml.solve(np.ones(50), rtol=1e-8).converged
    (50, True)
    """
    return AlgebraicMultigrid("smoothed_aggregation", _pyamg().smoothed_aggregation_solver, A, options)
