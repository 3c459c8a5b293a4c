"""The one private object that owns tolerance, history, clock, callback and status of a solve.

Stopping rule, the same for every method: ||b - A x||_2 <= max(rtol ||b||_2, atol) on the
unpreconditioned residual. A recurrence may drive the loop, but the true residual is recomputed before
CONVERGED is claimed; where it is larger, the method continues from the true residual with a fresh
direction, at most three times, and then the status is STAGNATED.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult, Status

REPLACEMENTS = 3
"""How often a residual is replaced before the attainable accuracy is declared."""

type Callback = Callable[[Array], Any]


def to_host(value: Array) -> NDArray[np.float64]:
    """Copy a small array, from any library and device, into a float64 NumPy array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value, dtype=np.float64)


def norm(v: Array) -> NDArray[np.float64]:
    """Euclidean norm of each column, on the host: shape () for (n,), (k,) for (n, k)."""
    xp = array_namespace(v)
    if v.ndim == 1 and xp.__name__.endswith("numpy"):
        return np.asarray(np.sqrt(np.vdot(v, v).real), dtype=np.float64)
    square = xp.vecdot(v, v, axis=0)
    return np.asarray(np.sqrt(to_host(xp.real(square) if xp.isdtype(v.dtype, "complex floating") else square)))


def check_system(A: LinearOperator, b: Array, x0: Array | None) -> None:
    """Reject wrong input before the first product.

    Raises
    ------
    ValueError
        Naming the value, what was expected and the remedy.
    """
    shape = tuple(getattr(A, "shape", ()))
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"A has shape {shape}: expected a square matrix or operator (n, n)")
    if not hasattr(b, "ndim") or b.ndim not in (1, 2):
        raise ValueError(f"b has {getattr(b, 'ndim', 'no')} dimensions: expected (n,) or (n, k)")
    if b.shape[0] != shape[0]:
        raise ValueError(f"b has {b.shape[0]} rows but A is {shape[0]} x {shape[1]}: pass b.reshape({shape[0]}, ...)")
    xp = array_namespace(b)
    if not xp.isdtype(b.dtype, ("real floating", "complex floating")):
        raise ValueError(f"b has dtype {b.dtype}: expected a floating type; convert with b.astype(float)")
    if x0 is not None and tuple(x0.shape) != tuple(b.shape):
        raise ValueError(f"x0 has shape {tuple(x0.shape)} but b has {tuple(b.shape)}: they must agree")
    for name, value in (("b", b), ("x0", x0)):
        if value is not None and not bool(xp.all(xp.isfinite(value))):
            raise ValueError(f"{name} holds NaN or infinity: expected finite values; look at how {name} was computed")


class Monitor:
    """Follow one solve.

    Use it as a context manager around the loop, so that Ctrl-C keeps what was reached::

        monitor = Monitor("cg", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
        x, r = monitor.x, monitor.r
        with monitor:
            while monitor.proceed(x, r):
                if monitor.replaced:      # the recurrence had drifted: restart the direction
                    r = monitor.r
                ...
        return monitor.result(x)

    Parameters
    ----------
    method : str
        Name of the method, for the result.
    A, b, x0
        The system; `x0 = None` means zero. Neither b nor x0 is changed.
    rtol, atol : float
        Tolerances of the stopping rule.
    maxiter : int, optional
        Default 10 n, as SciPy's.
    callback : callable, optional
        Called with x after every iteration; raising StopIteration or returning True stops the solve.

    Attributes
    ----------
    x, r : array
        Copies to start from: x0 (or zeros) and b - A x0.
    replaced : bool
        True for one iteration after the true residual took the recurrence's place.
    """

    def __init__(
        self,
        method: str,
        A: LinearOperator,
        b: Array,
        x0: Array | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callback | None = None,
    ) -> None:
        check_system(A, b, x0)
        if not (np.isfinite(rtol) and np.isfinite(atol) and rtol >= 0 and atol >= 0):
            raise ValueError(f"rtol = {rtol}, atol = {atol}: expected finite numbers >= 0, such as rtol=1e-8")
        if maxiter is not None and maxiter < 0:
            raise ValueError(f"maxiter = {maxiter}: expected a number >= 0, or None for ten times the rows of A")
        self.started = time.perf_counter()
        self.method, self.A, self.b, self.callback = method, A, b, callback
        self.xp = array_namespace(b)
        self.maxiter = 10 * b.shape[0] if maxiter is None else int(maxiter)
        self.window = min(max(50, self.maxiter // 10), 1000)
        self.tolerance = np.maximum(rtol * norm(b), atol)
        self.x = self.xp.zeros_like(b) if x0 is None else self.xp.asarray(x0, dtype=b.dtype, copy=True)
        self.r = self.xp.asarray(b, copy=True) if x0 is None else b - A @ self.x
        self.history: list[NDArray[np.float64]] = []
        self.status: Status | None = None
        self.details: dict[str, Any] = {}
        self.replaced = False
        self._replacements = 0
        self._best: NDArray[np.float64] | None = None
        self._best_at = 0
        self._verified = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is KeyboardInterrupt and self.history:
            self.status = Status.STOPPED
            self._verified = False
            self.details["note"] = "interrupted; x holds the last iterate"
            return True
        return False

    @property
    def iteration(self) -> int:
        """Iterations done so far."""
        return max(0, len(self.history) - 1)

    def fail(self, status: Status, note: str | None = None) -> None:
        """End the solve with `status`; `note` says what happened and what to try."""
        self.status = status
        self._verified = False
        if note is not None:
            self.details["note"] = note

    def proceed(self, x: Array, r: Array | None = None, *, rnorm: Any = None, exact: bool = False) -> bool:
        """Record the residual's norm after an iteration and say whether to go on.

        Parameters
        ----------
        x : array
            The iterate.
        r : array, optional
            The residual, by recurrence or exact.
        rnorm : float or array, optional
            Its norm where the method has it already.
        exact : bool
            True where r was computed as b - A x in this iteration.

        Returns
        -------
        bool
            False when the solve has ended; `status` then says how.
        """
        self.replaced = False
        if self.status is not None:
            return False
        current = np.asarray(norm(r) if rnorm is None else rnorm, dtype=np.float64)
        self.history.append(current)
        self._verified = exact
        if not np.all(np.isfinite(current)):
            where = f"at iteration {self.iteration}"
            self.fail(Status.NONFINITE, f"the residual became NaN or infinite {where}; check A and M for NaN")
        elif self.iteration > 0 and self._stopped_by_callback(x):
            self.status = Status.STOPPED
        elif np.all(current <= self.tolerance):
            self._verify(x, exact)
        if self.status is None and self.iteration >= self.maxiter:
            self.status = Status.MAX_ITERATIONS
        if self.status is None:
            self._check_progress(current)
        return self.status is None

    def _stopped_by_callback(self, x: Array) -> bool:
        if self.callback is None:
            return False
        try:
            return self.callback(x) is True
        except StopIteration:
            return True

    def _verify(self, x: Array, exact: bool) -> None:
        """Claim convergence only on the true residual; else replace the residual."""
        if not exact:
            self.r = self.b - self.A @ x
            self.history[-1] = norm(self.r)
            self._verified = True
        if np.all(self.history[-1] <= self.tolerance):
            self.status = Status.CONVERGED
        elif self._replacements == REPLACEMENTS:
            eps = float(self.xp.finfo(self.b.dtype).eps)
            note = (
                f"the recurrence converged but ||b - A x|| = {float(np.max(self.history[-1])):.2e} stays above the "
                f"tolerance {float(np.max(self.tolerance)):.2e} after {REPLACEMENTS} restarts: this is the accuracy "
                f"attainable with eps = {eps:.1e}; loosen rtol or use a higher precision"
            )
            self.fail(Status.STAGNATED, note)
            self._verified = True
        else:
            self._replacements += 1
            self.replaced = True

    def _check_progress(self, current: NDArray[np.float64]) -> None:
        """Stop when no column's best residual fell by 1 % in a window of iterations."""
        if self._best is None or np.any(current < 0.99 * self._best):
            self._best = current if self._best is None else np.minimum(self._best, current)
            self._best_at = self.iteration
        elif self.iteration - self._best_at >= self.window:
            note = f"no residual fell by 1 % in {self.window} iterations; check that A and M are symmetric, or change M"
            self.fail(Status.STAGNATED, note)

    def result(self, x: Array, **details: Any) -> SolveResult:
        """Close the solve: recompute the residual where it was not exact, and return the result."""
        if not self._verified:
            self.history[-1] = norm(self.b - self.A @ x)
        status = self.status or Status.STOPPED
        if status in (Status.MAX_ITERATIONS, Status.STOPPED) and np.all(self.history[-1] <= self.tolerance):
            status = Status.CONVERGED
        seconds = time.perf_counter() - self.started
        residuals = np.asarray(self.history, dtype=np.float64)
        return SolveResult(x, status, residuals, seconds, self.method, {**self.details, **details})
