"""The loop that all sweeping methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.monitor import Callback, Monitor, check_system
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult

type Step = Callable[[NDArray[Any], NDArray[Any]], float]
"""One iteration on one column, in place: step(x, b) returns ||b - A x||^2 afterwards."""


def check_sweepable(A: LinearOperator, b: Array, x0: Array | None, method: str) -> np.dtype[Any]:
    """Check the system and return the precision of the sweeps.

    Raises
    ------
    ValueError
        If the right-hand side is not a real NumPy array of single or double precision, or does not fit A.
    """
    if not isinstance(b, np.ndarray):
        raise ValueError(
            f"b is a {type(b).__module__}.{type(b).__name__}: {method} sweeps over NumPy arrays; "
            "convert it with numpy.asarray, or use jacobi_iteration, chebyshev or cg"
        )
    check_system(A, b, x0)
    if b.dtype not in (np.float32, np.float64):
        raise ValueError(f"b has dtype {b.dtype}: {method} expects float32 or float64; convert with b.astype(float)")
    return b.dtype


def iterate(
    method: str,
    A: LinearOperator,
    b: NDArray[Any],
    x0: NDArray[Any] | None,
    step: Step,
    *,
    rtol: float,
    atol: float,
    maxiter: int | None,
    callback: Callback | None,
    details: dict[str, Any],
) -> SolveResult:
    """Repeat `step` on every column until the true residual meets the tolerance."""
    monitor = Monitor(method, A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    X, B = contiguous_columns(monitor.x), contiguous_columns(b)
    x = X[0] if b.ndim == 1 else X.T
    squares = [float(np.vdot(r, r)) for r in contiguous_columns(monitor.r)]
    with monitor:
        while monitor.proceed(x, rnorm=np.sqrt(squares[0] if b.ndim == 1 else squares), exact=True):
            squares = [step(column, rhs) for column, rhs in zip(X, B, strict=True)]
    return monitor.result(np.ascontiguousarray(x), **details)


def contiguous_columns(v: NDArray[Any]) -> NDArray[Any]:
    """Copy (n,) or (n, k) into contiguous columns, (1, n) or (k, n)."""
    return np.array(v.reshape(v.shape[0], -1).T, order="C")
