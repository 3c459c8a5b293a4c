"""What the methods that run in one compiled loop share: the checks, the true residual, and the result."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.monitor import REPLACEMENTS
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.system import as_floating, check_system

type Vector = NDArray[np.float64]
type Core = Callable[[Vector, Vector, NDArray[np.float64], float], int]
"""core(x, r, history, tolerance) adds to x the correction for the residual r, fills `history` (3, iterations + 1) with
the norms, r.T z and p.T A p, and returns the number of iterations, or -1 - that number where the method broke down."""

_kept = threading.local()


def suits(b: Any) -> bool:
    """Whether a right-hand side is one vector of doubles, as the compiled loops take it.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.compiled import suits
    >>> suits(np.ones(3)), suits(np.ones((3, 2)))
    (True, False)
    """
    return isinstance(b, np.ndarray) and b.ndim == 1 and b.dtype == np.float64


def workspace(kind: str, number: int, size: int) -> list[Vector]:
    """Return vectors of zeros at first and of what the last call left later: each thread keeps those it used last.

    Parameters
    ----------
    kind : str
        Who asks; others get other vectors.
    number, size : int
        How many vectors, and their length.

    Examples
    --------
    >>> from conjugo.solvers.krylov.compiled import workspace
    >>> first = workspace("doc", 2, 3)
    >>> first[0] is workspace("doc", 2, 3)[0]
    True
    """
    store: dict[str, list[Vector]] = _kept.__dict__
    found = store.get(kind)
    if found is None or len(found) != number or found[0].size != size:
        found = store[kind] = [np.zeros(size) for _ in range(number)]
    return found


def run_compiled(
    method: str,
    A: LinearOperator,
    b: Array,
    x0: Array | None,
    core: Core,
    *,
    rtol: float,
    atol: float,
    maxiter: int | None,
    details: dict[str, Any],
    started: float,
) -> SolveResult:
    """Run a compiled loop until the true residual meets the tolerance.

    Parameters
    ----------
    method : str
        Name, for the result.
    A, b, x0
        A system of doubles with one right-hand side.
    core : callable
        The loop.
    rtol, atol, maxiter
        As in every method.
    details : dict
        Facts for the result.
    started : float
        `time.perf_counter()` at the start.

    Returns
    -------
    SolveResult
        `details["coefficients"]` (2, iterations) holds r.T z and p.T A p, from which `extreme_eigenvalues` makes Ritz
        values.

    Raises
    ------
    ValueError
        As `Monitor`: for shapes that disagree, NaN, and bad tolerances.
    """
    x0 = as_floating("x0", x0, A)
    check_system(A, b, x0)
    if not (math.isfinite(rtol) and math.isfinite(atol) and rtol >= 0 and atol >= 0):
        raise ValueError(f"rtol = {rtol}, atol = {atol}: expected finite numbers >= 0, such as rtol=1e-8")
    if maxiter is not None and maxiter < 0:
        raise ValueError(f"maxiter = {maxiter}: expected a number >= 0, or None for ten times the rows of A")
    limit = 10 * b.shape[0] if maxiter is None else int(maxiter)
    bnorm = math.sqrt(float(b @ b))
    tolerance = max(rtol * bnorm, atol)
    x = np.zeros_like(b) if x0 is None or bnorm == 0 else np.array(x0, dtype=np.float64)
    r = b - A @ x if x.any() else b.copy()
    norms: list[Vector] = []
    status, done = Status.STAGNATED, 0
    for _ in range(REPLACEMENTS + 1):
        history = np.empty((3, limit - done + 1))
        code = core(x, r, history, tolerance)
        count = code if code >= 0 else -1 - code
        done += count
        if not norms:
            details["coefficients"] = history[1:, :count].copy()
        norms.append(history[0, : count + 1].copy() if not norms else history[0, 1 : count + 1])
        r = b - A @ x
        true = math.sqrt(float(r @ r))
        status = _status(true, tolerance, code, done >= limit)
        if status is not Status.STAGNATED:
            break
    residuals = np.concatenate(norms)
    residuals[-1] = true
    if status is Status.STAGNATED:
        details["note"] = (
            f"the recurrence converged but ||b - A x|| = {true:.2e} stays above the tolerance {tolerance:.2e} after "
            f"{REPLACEMENTS} restarts: this is the attainable accuracy; loosen rtol"
        )
    return SolveResult(x, status, residuals, time.perf_counter() - started, method, details)


def _status(true: float, tolerance: float, code: int, exhausted: bool) -> Status:
    """How a run of the loop ended; STAGNATED where another one may help."""
    if not math.isfinite(true):
        return Status.NONFINITE
    if true <= tolerance:
        return Status.CONVERGED
    if code < 0:
        return Status.INDEFINITE
    return Status.MAX_ITERATIONS if exhausted else Status.STAGNATED
