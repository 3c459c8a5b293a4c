"""The loop that all sweeping methods share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj
from numpy.typing import NDArray

from conjugo.solvers.monitor import Callback, Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.system import as_floating, check_system

type Step = Callable[[NDArray[Any], NDArray[Any]], float]
"""One iteration on one column, in place: step(x, b) returns ||b - A x||^2 afterwards."""


def sweepable_system(A: LinearOperator, b: Array, x0: Array | None, method: str) -> tuple[LinearOperator, NDArray[Any]]:
    """Check the system; return A as an operator and b in the precision of the sweeps, the wider of A's and b's.

    Parameters
    ----------
    A : operator or nested list
        The matrix, (n, n).
    b : (n,) or (n, k) array or list
        Right-hand side.
    x0 : array, optional
        First guess, shaped like b.
    method : str
        Who asks, for the messages.

    Raises
    ------
    ValueError
        If A is complex, or b is not a real NumPy array of single or double precision, or does not fit A.

    Examples
    --------
    >>> from conjugo.solvers.stationary.iterate import sweepable_system
    >>> sweepable_system([[2, 0], [0, 1]], [1, 1], None, "doc")[1]
    array([1., 1.])
    """
    if is_array_api_obj(b) and not isinstance(b, np.ndarray):
        raise ValueError(
            f"b is a {type(b).__module__}.{type(b).__name__}: {method} sweeps over NumPy arrays; "
            "convert it with numpy.asarray, or use jacobi_iteration, chebyshev or cg"
        )
    A = as_operator(A)
    of_A = getattr(A, "dtype", None)
    if isinstance(of_A, np.dtype) and of_A.kind == "c":
        raise ValueError(f"A has dtype {of_A}: {method} expects real entries; use cg or gmres")
    b = as_floating("b", b, A)
    if b.dtype not in (np.float32, np.float64):
        raise ValueError(f"b has dtype {b.dtype}: {method} expects float32 or float64; convert with b.astype(float)")
    check_system(A, b, as_floating("x0", x0, A))
    return A, b


def iterate(
    method: str,
    A: LinearOperator,
    b: NDArray[Any],
    x0: Array | None,
    step: Step,
    *,
    rtol: float,
    atol: float,
    maxiter: int | None,
    callback: Callback | None,
    details: dict[str, Any],
) -> SolveResult:
    """Repeat `step` on every column until the true residual meets the tolerance.

    Parameters
    ----------
    method : str
        Name, for the result.
    A, b, x0
        The system, from `sweepable_system`.
    step : callable
        One iteration on one contiguous column, in place; it returns the square of the true residual's norm.
    rtol, atol, maxiter, callback
        As in every method.
    details : dict
        Facts for the result.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.iterate import iterate
    >>> def half_way(x, b):
    ...     x += (b - x) / 2
    ...     return float((b - x) @ (b - x))
    >>> iterate("halving", np.eye(1), np.ones(1), None, half_way,
    ...         rtol=0.1, atol=0.0, maxiter=9, callback=None, details={}).residuals
    array([1.    , 0.5   , 0.25  , 0.125 , 0.0625])
    """
    monitor = Monitor(method, A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    X, B = contiguous_columns(monitor.x), contiguous_columns(monitor.b)
    x = X[0] if b.ndim == 1 else X.T
    squares = [float(np.vdot(r, r)) for r in contiguous_columns(monitor.r)]
    with monitor:
        while monitor.proceed(x, rnorm=np.sqrt(squares[0] if b.ndim == 1 else squares), exact=True):
            squares = [step(column, rhs) for column, rhs in zip(X, B, strict=True)]
    return monitor.result(np.ascontiguousarray(x), **details)


def contiguous_columns(v: NDArray[Any]) -> NDArray[Any]:
    """Copy (n,) or (n, k) into contiguous columns, (1, n) or (k, n).

    Parameters
    ----------
    v : (n,) or (n, k) array
        A vector or a block of them.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.iterate import contiguous_columns
    >>> contiguous_columns(np.ones((4, 2))).shape
    (2, 4)
    """
    return np.array(v.reshape(v.shape[0], -1).T, order="C")
