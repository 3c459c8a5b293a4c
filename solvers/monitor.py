"""The one private object that owns tolerance, history, clock, callback and status of a solve.

Stopping rule, the same for every method: ||b - A x||_2 <= max(rtol ||b||_2, atol) on the
unpreconditioned residual. A recurrence may drive the loop, but the true residual is recomputed before
CONVERGED is claimed; where it is larger, the method continues from the true residual with a fresh
direction, at most three times, and then the status is STAGNATED.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.parallel import dot
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.system import as_floating, check_system

REPLACEMENTS = 3
"""How often a residual is replaced before the attainable accuracy is declared."""

LONGEST_WINDOW = 10_000
"""Iterations without progress that are never exceeded, however large the system."""

DIVERGED = 1e10
"""Growth of the residual above its best that no convergent method shows."""

type Callback = Callable[[Array], Any]


def to_host(value: Array) -> NDArray[np.float64]:
    """Copy a small array, from any library and device, into a float64 NumPy array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value, dtype=np.float64)


def by_columns(u: Array, v: Array) -> bool:
    """Whether u and v are real NumPy blocks in Fortran order, whose columns are contiguous."""
    return all(type(w) is np.ndarray and w.ndim == 2 and w.flags.f_contiguous and w.dtype.kind == "f" for w in (u, v))


def column_products(u: Array, v: Array) -> Array:
    """u.T v of each column of real NumPy blocks."""
    return np.array([dot(a, b) for a, b in zip(u.T, v.T, strict=True)], dtype=np.result_type(u, v))


def square_norm(v: Array, xp: Any) -> Array:
    """Square of the Euclidean norm of each column, left in its library and on its device."""
    square = column_products(v, v) if by_columns(v, v) else xp.linalg.vecdot(v, v, axis=0)
    return xp.real(square) if xp.isdtype(v.dtype, "complex floating") else square


def norm(v: Array, xp: Any = None) -> NDArray[np.float64]:
    """Euclidean norm of each column, on the host: shape () for (n,), (k,) for (n, k).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.monitor import norm
    >>> float(norm(np.array([3e-200, 4e-200])))
    5e-200
    """
    xp = array_namespace(v) if xp is None else xp
    with np.errstate(over="ignore", under="ignore"):
        square = np.asarray(dot(v, v)) if type(v) is np.ndarray and v.ndim == 1 else to_host(square_norm(v, xp))
    small, large = (1e-30, 1e30) if str(v.dtype).endswith(("float32", "complex64")) else (1e-280, 1e280)
    if np.all((square > small) & (square < large)):
        return np.asarray(np.sqrt(square, dtype=np.float64))
    top = xp.max(xp.abs(v), axis=0)  # squares that may over- or underflow: scale first
    scale = xp.where((top > 0) & xp.isfinite(top), top, xp.ones_like(top))
    return np.asarray(to_host(scale) * np.sqrt(to_host(square_norm(v / scale, xp))))


def _any(condition: Any) -> bool:
    """any() for one comparison or an array of them."""
    return condition if type(condition) is bool else bool(np.any(condition))


class Monitor:
    """Follow one solve.

    Use it as a context manager around the loop, so that Ctrl-C keeps what was reached::

        monitor = Monitor("cg", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
        A, x, r = monitor.A, monitor.x, monitor.r
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
        The system; `x0 = None` means zero. Neither b nor x0 is changed. Lists and integers become
        float64 arrays; NumPy vectors take the wider dtype of A and b, as in SciPy.
    rtol, atol : float
        Tolerances of the stopping rule.
    maxiter : int, optional
        Default 10 n, as SciPy's.
    callback : callable, optional
        Called with x after every iteration; raising StopIteration or returning True stops the solve.
    verify : bool
        Whether the true residual is computed where the solve ends. False trusts the recurrence and saves that product:
        for the few steps of a method inside another one.

    Attributes
    ----------
    A : operator
        A with a fast `@` (see `as_operator`).
    x, r : array
        Copies to start from: x0 (or zeros) and b - A x0.
    replaced : bool
        True for one iteration after the true residual took the recurrence's place.
    from_zero : bool
        Whether x starts at zero, so that r is b.
    window : int
        Iterations in which the best residual must fall by 1 %; a method may set its own.
    details : dict
        Goes into the result.

    Notes
    -----
    Where A declares a null space N, a right-hand side whose component in N exceeds the tolerance has no
    solution: the solve ends at once as STAGNATED and says so. Else `r` comes without that component, and a method
    passes preconditioned residuals through `project`, so that rounding does not accumulate there.
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
        verify: bool = True,
    ) -> None:
        self.started = time.perf_counter()
        self.A = A = as_operator(A)
        b = as_floating("b", b, A)
        x0 = as_floating("x0", x0, A)
        check_system(A, b, x0)
        if not (math.isfinite(rtol) and math.isfinite(atol) and rtol >= 0 and atol >= 0):
            raise ValueError(f"rtol = {rtol}, atol = {atol}: expected finite numbers >= 0, such as rtol=1e-8")
        if maxiter is not None and maxiter < 0:
            raise ValueError(f"maxiter = {maxiter}: expected a number >= 0, or None for ten times the rows of A")
        n = b.shape[0]
        if type(b) is np.ndarray and getattr(A, "columnwise", False):
            b = np.asfortranarray(b)
        self.method, self.b, self.callback, self.verify = method, b, callback, verify
        self.xp = xp = array_namespace(b)
        self.maxiter = 10 * n if maxiter is None else int(maxiter)
        self.window = max(50, min(n, LONGEST_WINDOW))
        self.bnorm = norm(b, xp)
        self.tolerance = np.maximum(rtol * self.bnorm, atol)
        self.history: list[Any] = []
        self.status: Status | None = None
        self.details: dict[str, Any] = {}
        self.replaced = False
        self._replacements = 0
        self._best: Any = None
        self._best_at = 0
        self._verified = False
        self._limits: Any = float(self.tolerance) if b.ndim == 1 else self.tolerance
        self._nullspace = self._declared_nullspace()
        self.from_zero = x0 is None or not np.any(self.bnorm)
        if x0 is None or self.from_zero:
            self.x = xp.zeros_like(b)
        else:  # a column b = 0 has the solution 0, whatever x0
            self.x = x0 * xp.asarray(self.bnorm > 0, dtype=b.dtype, device=device(b))
        self._check_consistency()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if kind is KeyboardInterrupt and self.history:
            self.fail(Status.STOPPED, "interrupted; x holds the last iterate")
            return True
        return False

    @cached_property
    def r(self) -> Array:
        """The residual to start from or, after a replacement, to go on from; made when first asked for."""
        r = self.xp.asarray(self.b, copy=True) if self.from_zero else self.b - self.A @ self.x
        return self.project(r) if self.status is None else r

    @property
    def iteration(self) -> int:
        """Iterations done so far."""
        return max(0, len(self.history) - 1)

    def project(self, v: Array) -> Array:
        """Remove the component of v in A's declared null space; v itself where none is declared."""
        if self._nullspace is None:
            return v
        N, adjoint = self._nullspace
        share = adjoint @ v
        if type(v) is np.ndarray and v.flags.f_contiguous:
            return v - (share.T @ N.T).T  # a block keeps its Fortran order
        return v - N @ share

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
        current: Any = norm(r, self.xp) if rnorm is None else rnorm
        current = float(current) if self.b.ndim == 1 else np.asarray(current, dtype=np.float64)
        exact = exact or not self.verify or (r is self.r and not self.history and self._nullspace is None)
        if self.status is not None:  # the first call records the residual even where there is nothing to do
            self.history = self.history or [current]
            return False
        self.history.append(current)
        self._verified = exact
        if not (math.isfinite(current) if type(current) is float else np.isfinite(current).all()):
            where = f"at iteration {self.iteration}"
            self.fail(Status.NONFINITE, f"the residual became NaN or infinite {where}; check A and M for NaN")
        elif self.iteration > 0 and self._stopped_by_callback(x):
            self.status = Status.STOPPED
        elif self._met(current):
            self._verify(x, exact)
        if self.status is None and self.iteration >= self.maxiter:
            self.status = Status.MAX_ITERATIONS
        if self.status is None:
            self._check_progress(x, current)
        return self.status is None

    def result(self, x: Array, **details: Any) -> SolveResult:
        """Close the solve: recompute the residual where it was not exact, and return the result."""
        if self.verify and not self._verified:
            current = norm(self.b - self.A @ x, self.xp)
            self.history[-1:] = [float(current) if self.b.ndim == 1 else current]
        status = self.status or Status.STOPPED
        if status in (Status.MAX_ITERATIONS, Status.STOPPED) and self._met(self.history[-1]):
            status = Status.CONVERGED
        seconds = time.perf_counter() - self.started
        residuals = np.asarray(self.history, dtype=np.float64)
        return SolveResult(x, status, residuals, seconds, self.method, {**self.details, **details})

    def _met(self, current: Any) -> bool:
        """Whether every column meets its tolerance."""
        return bool(current <= self._limits) if self.b.ndim == 1 else bool((current <= self._limits).all())

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
            true = norm(self.r, self.xp)
            self.history[-1] = float(true) if self.b.ndim == 1 else true
            self._verified = True
        if self._met(self.history[-1]):
            self.status = Status.CONVERGED
        elif self._replacements == REPLACEMENTS:
            worst = int(np.argmax(np.atleast_1d(self.history[-1] / np.maximum(self._limits, np.finfo(float).tiny))))
            reached, wanted = (float(np.atleast_1d(v)[worst]) for v in (self.history[-1], self._limits))
            eps = float(self.xp.finfo(self.b.dtype).eps)
            note = (
                f"the recurrence converged but ||b - A x|| = {reached:.2e} stays above the tolerance {wanted:.2e} "
                f"after {REPLACEMENTS} restarts: this is the accuracy attainable with eps = {eps:.1e}; loosen rtol "
                "or use a higher precision"
            )
            self.fail(Status.STAGNATED, note)
            self._verified = True
        else:
            self._replacements += 1
            self.replaced = True
            self.r = self.project(self.r)

    def _check_progress(self, x: Array, current: Any) -> None:
        """Stop when no column's best residual fell by 1 % in a window of iterations, or when the method diverges."""
        if self._best is None:
            self._best = current
        elif _any(current < 0.99 * self._best):
            self._best = current if type(current) is float else np.minimum(self._best, current)
            self._best_at = self.iteration
        elif self.iteration - self._best_at >= self.window:
            self.fail(Status.STAGNATED, f"no residual fell by 1 % in {self.window} iterations; {self._suspicion(x)}")
        elif _any((current > DIVERGED * self._best) & (current > DIVERGED * self._limits)):
            note = f"the residual grew {DIVERGED:.0e} times above its best: the method diverges for this A and M"
            self.fail(Status.BREAKDOWN, note)

    def _suspicion(self, x: Array) -> str:
        """What may lie behind a residual that does not fall."""
        eps = float(self.xp.finfo(self.b.dtype).eps)
        accuracy = eps * self.size_of_A() * norm(x, self.xp)
        if np.any(accuracy > 1e-3 * self.bnorm):
            return (
                f"||x|| has grown to {float(np.max(norm(x, self.xp))):.1e}: A may be singular and the system "
                "inconsistent; declare A.nullspace, or remove from b the part that A cannot reach"
            )
        return "check that A and M are symmetric, or change M"

    def size_of_A(self) -> float:  # noqa: N802
        """Rough size of ||A||_2 by one product with random signs; for messages and singularity tests."""
        signs = np.random.default_rng(0).choice([-1.0, 1.0], self.b.shape[0])
        v = self.xp.asarray(signs, dtype=self.b.dtype, device=device(self.b))
        return float(norm(self.A @ v, self.xp)) / math.sqrt(self.b.shape[0])

    def _declared_nullspace(self) -> tuple[Array, Array] | None:
        """Null space of A in b's library, and its adjoint."""
        declared = getattr(self.A, "nullspace", None)
        if declared is None:
            return None
        N = self.xp.asarray(declared, dtype=self.b.dtype, device=device(self.b))
        N = N.reshape((self.b.shape[0], -1))
        return N, self.xp.conj(N.T) if self.xp.isdtype(N.dtype, "complex floating") else N.T

    def _check_consistency(self) -> None:
        """End at once where b has a component in the null space that no x can reach."""
        if self._nullspace is None:
            return
        component = norm(self._nullspace[1] @ self.b, self.xp)
        rounding = 10 * float(self.xp.finfo(self.b.dtype).eps) * self.bnorm
        if np.any(component > np.maximum(self.tolerance, rounding)):
            share = float(np.max(component / np.where(self.bnorm > 0, self.bnorm, 1.0)))
            note = (
                f"the system is inconsistent: A is singular and the part of b in its null space is {share:.1e} ||b||; "
                "project it out with N = A.nullspace; b = b - N @ (N.T @ b)"
            )
            self.fail(Status.STAGNATED, note)
