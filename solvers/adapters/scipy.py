"""SciPy's Krylov methods behind this package's result, stopping rule and statuses.

SciPy's own criterion stops its loop; the true residual decides. Where it is still above the tolerance the method
is started again from there, at most three times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from conjugo.solvers.adapters.host import HostOperator, by_columns
from conjugo.solvers.krylov.preconditioned import check_preconditioner
from conjugo.solvers.monitor import REPLACEMENTS, Callback, Monitor, norm
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator, is_linear
from conjugo.solvers.result import SolveResult, Status

PATIENCE = 3
"""Restarts in a row without a fall of 1 % before a solve is called stagnated."""

type Vector = NDArray[Any]


class _StopSciPy(Exception):  # noqa: N818 -- not an error: it leaves SciPy's loop when the monitor has decided
    pass


def _check(A: LinearOperator, M: LinearOperator | None, method: str) -> None:
    check_preconditioner(A, M)
    if M is not None and not is_linear(M):
        raise ValueError(f"M says that it is not linear: {method} needs a fixed M; use fgmres or fcg")


def _operator(A: HostOperator, dtype: np.dtype[Any], product: Callable[[Vector], Vector] | None = None) -> Any:
    return spla.LinearOperator(A.shape, matvec=A.__matmul__ if product is None else product, dtype=dtype)


def gmres(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callable[[Any], Any] | None = None,
    callback_type: str | None = None,
) -> SolveResult:
    """Solve A x = b by SciPy's restarted GMRES, for any square A.

    Parameters
    ----------
    A : operator
        Any square operator, (n, n).
    b : (n,) or (n, k) array
        A block is solved column by column.
    x0 : array, optional
        First guess, shaped like b; zero if None.
    rtol, atol : float
        Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol), the true residual.
    restart : int, optional
        Iterations between restarts; default min(20, n), as SciPy's.
    maxiter : int, optional
        Restart cycles, as in SciPy; default 10 n.
    M : operator, optional
        Linear approximation of the inverse of A. It is applied from the right, unlike SciPy's, so that the residual
        that GMRES minimises is the true one.
    callback : callable, optional
        Returning True or raising StopIteration stops the solve after the cycle.
    callback_type : {"x", "pr_norm", "legacy"}, optional
        "x" (default): called with x after every cycle. "pr_norm" and "legacy": called with the relative residual
        after every inner iteration.

    Returns
    -------
    SolveResult
        One residual an inner iteration, true at each restart; `details["products"]` counts the products with A.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, an unknown callback_type, or an M that says it is not linear.

    References
    ----------
    Saad and Schultz (1986), "GMRES: a generalized minimal residual algorithm", SIAM J. Sci. Stat. Comput. 7(3).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.scipy import gmres
    >>> x, info = gmres(np.array([[2.0, 1.0], [-1.0, 1.0]]), np.array([3.0, 0.0]), rtol=1e-10)
    >>> x.round(8), info
    (array([1., 1.]), 0)
    """
    A = as_operator(A)
    _check(A, M, "gmres")
    if callback_type not in (None, "x", "pr_norm", "legacy"):
        raise ValueError(f"callback_type = {callback_type!r}: expected 'x', 'pr_norm' or 'legacy'")
    if restart is not None and restart < 1:
        raise ValueError(f"restart = {restart}: expected at least 1, or None for 20")
    steps = min(20 if restart is None else restart, A.shape[0])
    cycles = 10 * A.shape[0] if maxiter is None else maxiter
    by_norm = callback if callback_type in ("pr_norm", "legacy") else None
    by_x = callback if by_norm is None else None

    def one(A: HostOperator, b: Vector, x0: Vector | None, M: HostOperator | None, skip: bool) -> SolveResult:
        budget = 0 if skip else cycles * steps
        monitor = Monitor("gmres", A, b, x0, rtol=rtol, atol=atol, maxiter=budget, callback=by_x)
        monitor.window = PATIENCE * steps
        x, r = monitor.x, monitor.r
        product = A.__matmul__ if M is None else (lambda v: A @ (M @ v))
        operator, scale = _operator(A, b.dtype, product), float(norm(b)) or 1.0
        with monitor, np.errstate(all="ignore"):  # the monitor looks at what comes out
            while monitor.proceed(x, r, exact=True):
                start, stopped = float(norm(r)), False

                def inner(relative: float, start: float = start) -> None:
                    nonlocal stopped
                    monitor.history.append(np.asarray(relative * start))
                    stopped = stopped or _asks_to_stop(by_norm, relative * start / scale)

                atol_now = float(monitor.tolerance)
                u, _ = spla.gmres(
                    operator, r, rtol=0.0, atol=atol_now, restart=steps, maxiter=1, callback=inner,
                    callback_type="pr_norm",
                )  # fmt: skip
                x = x + (u if M is None else M @ u)
                r = b - A @ x
                if len(monitor.history) > 1:
                    monitor.history.pop()  # proceed records the true one in its place
                if stopped:
                    monitor.proceed(x, r, exact=True)
                    monitor.status = monitor.status or Status.STOPPED
        return monitor.result(x, restart=steps)

    return by_columns(one, A, b, x0, M)


def _asks_to_stop(callback: Callable[[Any], Any] | None, value: Any) -> bool:
    try:
        return callback is not None and callback(value) is True
    except StopIteration:
        return True


def _restarted(
    method: str,
    run: Callable[..., tuple[Vector, int]],
    system: tuple[LinearOperator, Array, Array | None, LinearOperator | None],
    options: dict[str, Any],
    window: int | None = None,
    **rule: Any,
) -> SolveResult:
    """Run a SciPy method that calls back with x; start it again where it stopped above the tolerance."""

    def one(A: HostOperator, b: Vector, x0: Vector | None, M: HostOperator | None, skip: bool) -> SolveResult:
        monitor = Monitor(method, A, b, x0, **({**rule, "maxiter": 0} if skip else rule))
        monitor.window = window or monitor.window
        seen, info, starts = monitor.x, 0, 0
        monitor.proceed(seen, monitor.r, exact=True)

        def record(x: Vector) -> None:
            nonlocal seen
            if not np.array_equal(x, seen, equal_nan=True):  # some call back with the first guess
                seen = x.copy()
                if not monitor.proceed(seen, b - A @ seen, exact=True):
                    raise _StopSciPy

        operators = {"A": _operator(A, b.dtype), "M": None if M is None else _operator(M, b.dtype)}
        tolerances = {"rtol": 0.0, "atol": float(monitor.tolerance)}
        with monitor, np.errstate(all="ignore"):  # the monitor looks at what comes out
            while monitor.status is None and starts <= REPLACEMENTS:
                left = monitor.maxiter - monitor.iteration
                try:
                    x, info = run(
                        b=b, x0=seen.copy(), maxiter=left, callback=record, **operators, **tolerances, **options
                    )
                    record(x)
                except _StopSciPy:
                    break
                except (ValueError, RuntimeError, np.linalg.LinAlgError):
                    if not _explained(monitor, A, M, b - A @ seen):
                        raise
                starts += 1
            if monitor.status is None and not _explained(monitor, A, M, b - A @ seen):
                _give_up(monitor, method, info)
        return monitor.result(seen, restarts=max(0, starts - 1))

    return by_columns(one, *system)


def _explained(monitor: Monitor, A: HostOperator, M: HostOperator | None, r: Vector) -> bool:
    """Say whether NaN or a zero vector from A or M is why SciPy gave up, by its return or an exception."""
    z = r if M is None else M @ r
    if not (np.all(np.isfinite(z)) and np.all(np.isfinite(A @ z))):
        monitor.fail(Status.NONFINITE, "A or M returned NaN or infinity; check A and M")
    elif not np.any(z):
        monitor.fail(Status.BREAKDOWN, "M returned zero for a residual that is not: M is singular")
    return monitor.status is not None


def _give_up(monitor: Monitor, method: str, info: int) -> None:
    """SciPy stopped although iterations were left."""
    if info < 0:
        note = f"SciPy's {method} broke down (info = {info}) in each of {REPLACEMENTS} restarts; use gmres"
        monitor.fail(Status.BREAKDOWN, note)
    else:
        note = f"SciPy's {method} stopped above the tolerance of the true residual in each of {REPLACEMENTS} restarts"
        monitor.fail(Status.STAGNATED, f"{note}; loosen rtol or use a higher precision")


def bicgstab(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b by SciPy's BiCGStab, for any square A, in memory that does not grow.

    Parameters
    ----------
    A, b, x0, rtol, atol, maxiter, M, callback
        As in `gmres`; M may be any fixed linear operator. The default of maxiter is 10 n iterations of two products.

    Returns
    -------
    SolveResult
        A true residual for every iteration, which costs one product more than SciPy's two. `details["restarts"]`
        counts how often SciPy stopped above the tolerance and was started again.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, or an M that says it is not linear.

    References
    ----------
    van der Vorst (1992), "Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG", SIAM J. Sci. Stat. Comput.
    13(2).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.scipy import bicgstab
    >>> x, info = bicgstab(np.array([[2.0, 1.0], [-1.0, 1.0]]), np.array([3.0, 0.0]), rtol=1e-10)
    >>> x.round(8), info
    (array([1., 1.]), 0)
    """
    rule: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    _check(A, M, "bicgstab")
    return _restarted("bicgstab", spla.bicgstab, (A, b, x0, M), {}, **rule)


def lgmres(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int = 1000,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> SolveResult:
    """Solve A x = b by SciPy's LGMRES: GMRES that keeps error approximations over its restarts.

    Parameters
    ----------
    A, b, x0, rtol, atol, M, callback
        As in `gmres`.
    maxiter : int
        Outer iterations, of `inner_m` + `outer_k` products each.
    **options
        SciPy's own: inner_m, outer_k, outer_v, store_outer_Av, prepend_outer_v.

    Returns
    -------
    SolveResult
        A true residual for every outer iteration; `details["products"]` counts the products with A.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, or an M that says it is not linear.

    References
    ----------
    Baker, Jessup and Manteuffel (2005), "A technique for accelerating the convergence of restarted GMRES", SIAM J.
    Matrix Anal. Appl. 26(4).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.scipy import lgmres
    >>> lgmres(np.array([[2.0, 1.0], [-1.0, 1.0]]), np.array([3.0, 0.0]), rtol=1e-10).converged
    True
    """
    rule: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    _check(A, M, "lgmres")
    return _restarted("lgmres", spla.lgmres, (A, b, x0, M), options, window=2 * PATIENCE, **rule)


def gcrotmk(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int = 1000,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> SolveResult:
    """Solve A x = b by SciPy's flexible GCROT(m, k): GMRES that recycles a subspace over its restarts.

    Parameters
    ----------
    A, b, x0, rtol, atol, callback
        As in `gmres`.
    M : operator, optional
        Approximates the inverse of A; it may change.
    maxiter : int
        Outer iterations, of about m products each.
    **options
        SciPy's own: m, k, CU, discard_C, truncate.

    Returns
    -------
    SolveResult
        A true residual for every outer iteration; `details["products"]` counts the products with A.

    Raises
    ------
    ValueError
        For shapes that disagree, or NaN in b or x0.

    References
    ----------
    de Sturler (1999), "Truncation strategies for optimal Krylov subspace methods", SIAM J. Numer. Anal. 36(3).
    Hicken and Zingg (2010), "A simplified and flexible variant of GCROT", SIAM J. Sci. Comput. 32(3).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.scipy import gcrotmk
    >>> gcrotmk(np.array([[2.0, 1.0], [-1.0, 1.0]]), np.array([3.0, 0.0]), rtol=1e-10).converged
    True
    """
    rule: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    check_preconditioner(A, M)
    return _restarted("gcrotmk", spla.gcrotmk, (A, b, x0, M), options, window=2 * PATIENCE, **rule)
