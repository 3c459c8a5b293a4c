"""Multigrid as a solver and as a preconditioner, whatever the hierarchy beneath."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal, Protocol

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.monitor import Callback, Monitor
from conjugo.solvers.multigrid.schedule import Cycle
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.parallel import dot
from conjugo.solvers.parallel import threads as use_threads
from conjugo.solvers.result import SolveResult, Status

type Precision = Literal["float32", "float64"]
type Smoother = Literal["red_black", "chebyshev"]

_PATIENCE = 4
"""Cycles in which the residual must fall by 1 %."""
_SAFE = (1e-20, 1e20)
"""Norms of a right-hand side that float32 residuals follow without over- or underflow."""
_WORST_FIRST = (
    Status.NONFINITE,
    Status.BREAKDOWN,
    Status.INDEFINITE,
    Status.STOPPED,
    Status.STAGNATED,
    Status.MAX_ITERATIONS,
    Status.CONVERGED,
)


class Hierarchy(Protocol):
    """Levels and one cycle over them."""

    dtype: np.dtype[Any]
    symmetric: bool

    @property
    def grid_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every level, finest first."""

    @property
    def nbytes(self) -> int:
        """Bytes of workspace and coefficients."""

    def cycle(self, r: NDArray[Any], z: NDArray[Any], /) -> None:
        """z = approximate A^{-1} r from a zero guess."""


def _choose(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} = {value!r}: expected one of {', '.join(map(repr, allowed))}")


def _hierarchy(A: SeparableStencil | VariableStencil | CompactStencil, **options: Any) -> Hierarchy:
    """Pick the hierarchy; its module, whose import compiles kernels, is loaded only here."""
    if isinstance(A, SeparableStencil):
        module, name = "geometric", "TensorHierarchy"
    else:
        module, name = "black_box", "BlackBoxHierarchy"
    hierarchy: Hierarchy = getattr(import_module(f"conjugo.solvers.multigrid.{module}"), name)(A, **options)
    return hierarchy


class Multigrid:
    """Multigrid for stencils on structured grids: set up once, solve or precondition many times.

    Parameters
    ----------
    A : SeparableStencil, VariableStencil or CompactStencil
        Symmetric, positive (semi-)definite. The first gets the tensor-product hierarchy (any size, boundary condition
        and spacing), the others black-box coarsening (varying coefficients, masks, tensors that are not aligned).
    cycle : {"V", "W", "F"}, optional
        Order in which the levels are visited. Default V for a SeparableStencil and W for the others, where
        jumps of the coefficient need it: there W visits twice from the second coarse level on, for little.
    smoother : {"red_black", "chebyshev"}
        Red-black Gauss-Seidel in fused passes, or Chebyshev-Jacobi of degree 2 a sweep.
    sweeps : int
        Smoothing sweeps before and after each coarse correction.
    symmetric : bool
        False smooths red, black before and after the correction: the best stationary rate, for `solve` and `fcg`.
        True reverses the colours after it, so that M is symmetric positive definite, for `cg` and `minres`.
    precision : {"float32", "float64"}
        Precision of the cycle. The residual and the solution are float64 in either case, so that float32 costs no
        accuracy and halves the memory traffic.
    threads : int, optional
        Default `get_threads()`, read at each call.

    Attributes
    ----------
    setup_seconds : float
        Wall-clock time of the set-up.
    linear, symmetric : bool
        What Krylov methods ask of a preconditioner.

    Raises
    ------
    ValueError
        Where A is no stencil (CSR matrices: `ruge_stuben` or `smoothed_aggregation`), not symmetric, or indefinite.

    Notes
    -----
    `solve` iterates x <- x + B (b - A x), B being one cycle. For Poisson's equation the residual falls by about 0.1
    a V(1, 1) cycle in 2-D and 0.2 in 3-D, for every number of unknowns.

    References
    ----------
    .. [1] U. Trottenberg, C. Oosterlee, A. Schueller, Multigrid, Academic Press 2001, chapters 2 and 5.
    .. [2] S. F. McCormick, J. Benzaken, R. Tamstorf, Algebraic error analysis for mixed-precision multigrid solvers,
       SIAM J. Sci. Comput. 43 (2021), S392-S419.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.multigrid import Multigrid
    >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
    >>> line = Axis(np.r_[0.0, -np.ones(14)], np.full(15, 2.0), np.r_[-np.ones(14), 0.0], np.ones(15))
    >>> A = SeparableStencil((line, line))
    >>> M = Multigrid(A)
    >>> M.levels
    [(15, 15), (7, 7), (3, 3)]
    >>> x, info = M.solve(np.ones(225), rtol=1e-8)
    >>> info, bool(np.linalg.norm(A @ x - 1) < 1e-8 * 15)
    (0, True)
    """

    linear = True

    def __init__(
        self,
        A: SeparableStencil | VariableStencil | CompactStencil,
        *,
        cycle: Cycle | None = None,
        smoother: Smoother = "red_black",
        sweeps: int = 1,
        symmetric: bool = False,
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> None:
        started = time.perf_counter()
        if not isinstance(A, SeparableStencil | VariableStencil | CompactStencil):
            raise ValueError(
                f"A is a {type(A).__name__}: expected a SeparableStencil, VariableStencil or CompactStencil; for a "
                "sparse matrix use ruge_stuben(A) or smoothed_aggregation(A)"
            )
        if cycle is None:
            cycle = "V" if isinstance(A, SeparableStencil) else "W"
        _choose("cycle", cycle, ("V", "W", "F"))
        _choose("smoother", smoother, ("red_black", "chebyshev"))
        _choose("precision", precision, ("float32", "float64"))
        if sweeps < 1:
            raise ValueError(f"sweeps = {sweeps}: expected at least 1")
        self._A = A if A.dtype == np.float64 else A.astype(np.float64)
        self._name = f"{cycle}({sweeps}, {sweeps}) {smoother}"
        self._threads = threads
        options = {"cycle": cycle, "smoother": smoother, "sweeps": sweeps, "symmetric": symmetric}
        self._hierarchy = self._make(**options, dtype=np.dtype(precision))
        self.symmetric = self._hierarchy.symmetric
        self._r = np.empty(A.grid_shape, dtype=precision)
        self._z = np.empty(A.grid_shape, dtype=precision)
        self.setup_seconds = time.perf_counter() - started

    def _make(self, **options: Any) -> Hierarchy:
        return _hierarchy(self._A, **options)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._A.shape

    @property
    def levels(self) -> list[tuple[int, ...]]:
        """Grid shape of every level, finest first."""
        return self._hierarchy.grid_shapes

    @property
    def nbytes(self) -> int:
        """Bytes of workspace that are kept between solves; `solve` needs x besides."""
        return int(self._hierarchy.nbytes + self._r.nbytes + self._z.nbytes)

    def describe(self) -> str:
        """Say in a few lines what was set up."""
        n = self.shape[0]
        head = f"{type(self._hierarchy).__name__}: {self._name}, {self._hierarchy.dtype} cycle"
        cost = f"{self.nbytes / n:.1f} bytes an unknown, set up in {self.setup_seconds:.3g} s"
        return "\n".join([head, cost, *(" x ".join(map(str, level)) for level in self.levels)])

    def __repr__(self) -> str:
        return f"Multigrid({' x '.join(map(str, self.levels[0]))}, {self._name}, {len(self.levels)} levels)"

    def _concurrency(self) -> AbstractContextManager[None]:
        return nullcontext() if self._threads is None else use_threads(self._threads)

    def __matmul__(self, r: Array) -> Array:
        """One cycle from a zero guess, for (n,) or (n, k): the preconditioner."""
        if not isinstance(r, np.ndarray):
            xp = array_namespace(r)
            host = np.asarray(r.detach().cpu() if hasattr(r, "detach") else r)
            return xp.asarray(self @ host, device=device(r))
        if r.ndim not in (1, 2) or r.shape[0] != self.shape[0]:
            n = self.shape[0]
            raise ValueError(f"r has shape {r.shape}: expected ({n},) or ({n}, k); flatten grids with r.ravel()")
        if r.dtype.kind == "c":
            out = np.empty_like(r)
            out.real, out.imag = self @ r.real, self @ r.imag
            return out
        with self._concurrency():
            if r.ndim == 2:
                return np.stack([self._once(column) for column in r.T], axis=1)
            return self._once(r)

    def _once(self, r: NDArray[Any]) -> NDArray[Any]:
        """One cycle, r scaled so that float32 holds it."""
        size = _norm(r)
        scale = size if size > 0 and not _SAFE[0] < size < _SAFE[1] else 1.0
        if scale == 1.0:
            np.copyto(self._r, r.reshape(self._r.shape), casting="same_kind")
        else:
            np.divide(r.reshape(self._r.shape), scale, out=self._r, casting="same_kind")
        self._hierarchy.cycle(self._r, self._z)
        z = self._z.ravel().astype(np.result_type(r.dtype, np.float32))
        N = self._A.nullspace
        if N is not None:
            z -= (N @ (N.T @ z)).astype(z.dtype)
        return z if scale == 1.0 else z * z.dtype.type(scale)

    def solve(
        self,
        b: Array,
        x0: Array | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int = 100,
        callback: Callback | None = None,
    ) -> SolveResult:
        """Solve A x = b by cycles until ||b - A x||_2 <= max(rtol ||b||_2, atol).

        Parameters
        ----------
        b : (n,) or (n, k) ndarray
            Right-hand side, or a block of them, solved one after another. A float32 b is solved in float64 and x
            rounded at the end; the status holds for the rounded x.
        x0 : array like b, optional
            First guess; zero by default.
        rtol, atol : float
            Tolerances.
        maxiter : int
            Most cycles.
        callback : callable, optional
            Called with x after each cycle; returning True or raising StopIteration stops the solve.

        Returns
        -------
        SolveResult
            `details` holds `setup_seconds`, `bytes` (kept workspace and x), `cycle` and `levels`.
        """
        if not isinstance(b, np.ndarray) or b.dtype.kind == "c":
            kind = getattr(b, "dtype", type(b).__name__)
            raise ValueError(f"b is of type {kind}: expected a real NumPy array; else use fcg with M=Multigrid(A)")
        options: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
        if b.ndim == 2 and b.shape[1] > 0:
            starts = [None] * b.shape[1] if x0 is None else list(x0.T)
            results = [self.solve(column, start, **options) for column, start in zip(b.T, starts, strict=True)]
            return _joined(results)
        with self._concurrency():
            result = self._solve(b.astype(np.float64, copy=False), x0, **options)
        return result if b.dtype != np.float32 else self._rounded(result, b, max(rtol * _norm(b), atol))

    def _solve(
        self, b: NDArray[Any], x0: Array | None, *, atol: float, callback: Callback | None, **k: Any
    ) -> SolveResult:
        size = _norm(b)
        if np.isfinite(size) and size > 0 and not _SAFE[0] < size < _SAFE[1]:  # scale so that float32 holds it
            scaled = None if callback is None else lambda x: callback(x * size)
            start = None if x0 is None else x0 / size
            result = self._solve(b / size, start, atol=atol / size, callback=scaled, **k)
            return replace(result, x=result.x * size, residuals=result.residuals * size)
        monitor = Monitor("multigrid", self._A, np.ascontiguousarray(b), x0, atol=atol, callback=callback, **k)
        monitor.window = _PATIENCE
        x, r, z = monitor.x, self._r, self._z
        if monitor.from_zero:
            np.copyto(r, monitor.b.reshape(r.shape), casting="same_kind")
            rnorm = float(monitor.bnorm)
        else:
            rnorm = np.sqrt(self._A.residual(monitor.b, x, r))
        N = self._A.nullspace
        with monitor:
            while monitor.proceed(x, rnorm=rnorm, exact=True):
                self._hierarchy.cycle(r, z)
                if N is not None:
                    z -= (N @ (N.T @ z.ravel())).reshape(z.shape)
                rnorm = np.sqrt(self._A.correct(x, z, monitor.b, r))
        facts = {"setup_seconds": self.setup_seconds, "bytes": self.nbytes + x.nbytes, "levels": len(self.levels)}
        return monitor.result(x, cycle=self._name, **facts)

    def _rounded(self, result: SolveResult, b: NDArray[Any], tolerance: float) -> SolveResult:
        """The result with x in float32, judged by the residual of the rounded x."""
        x = result.x.astype(np.float32)
        residuals = result.residuals.copy()
        residuals[-1] = _norm(b - self._A @ x.astype(np.float64))
        if not result.converged or residuals[-1] <= tolerance:
            return replace(result, x=x, residuals=residuals)
        note = f"rounding x to float32 leaves ||b - A x|| = {residuals[-1]:.2e}; pass b.astype(np.float64)"
        details = {**result.details, "note": note}
        return replace(result, x=x, residuals=residuals, status=Status.STAGNATED, details=details)


def _norm(v: NDArray[Any]) -> float:
    """Euclidean norm that neither over- nor underflows."""
    wide = v.astype(np.float64, copy=False)
    square = dot(wide, wide)
    if 1e-280 < square < 1e280:
        return float(np.sqrt(square))
    largest = float(np.max(np.abs(v), initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return largest * float(np.linalg.norm(v / largest))


def _joined(results: list[SolveResult]) -> SolveResult:
    """One result for a block: histories continue at their last value, the status is the worst column's."""
    rows = max(len(result.residuals) for result in results)
    residuals = np.stack([np.pad(r.residuals, (0, rows - len(r.residuals)), "edge") for r in results], axis=1)
    worst = min(results, key=lambda result: _WORST_FIRST.index(result.status))
    x = np.stack([result.x for result in results], axis=1)
    seconds = sum(result.seconds for result in results)
    return replace(worst, x=x, residuals=residuals, seconds=seconds)
