"""Full multigrid: a solution as accurate as the discretisation for the price of a few residuals."""

from __future__ import annotations

import time

import numpy as np

from conjugo.solvers.monitor import Monitor
from conjugo.solvers.multigrid.geometric import TensorHierarchy
from conjugo.solvers.multigrid.multigrid import Precision
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.result import SolveResult, Status


def full_multigrid(
    A: SeparableStencil,
    b: Array,
    *,
    cycles: int | None = None,
    precision: Precision = "float32",
    rtol: float = 0.0,
    atol: float = 0.0,
) -> SolveResult:
    """Solve A x = b to the accuracy of the discretisation.

    The coarsest problem is solved, and its solution interpolated from level to level, on each corrected by one
    V(1, 1) cycle.

    Parameters
    ----------
    A : SeparableStencil
        Symmetric, positive (semi-)definite; any size and boundary condition.
    b : (n,) array
        Right-hand side, sampled from a smooth function: for noise the levels' solutions have nothing in common, and
        `Multigrid(A).solve` serves better.
    cycles : int, optional
        V cycles on the finest level; each beyond the first gains a factor of about ten (2-D) or five (3-D). By default
        one, in 3-D two: enough for a total error of at most 1.1 discretisation errors.
    precision : {"float32", "float64"}
        Precision of the levels; x and its residual are float64.
    rtol, atol : float
        What CONVERGED certifies. The default asks for `cycles` cycles and calls that converged: the aim is an error
        in x below the discretisation error, not a small residual.

    Returns
    -------
    SolveResult
        `residuals` holds ||b|| (x = 0), then the norm after interpolation to the finest level and after each cycle.

    Raises
    ------
    ValueError
        Where A is no SeparableStencil, not symmetric or indefinite.

    Notes
    -----
    Interpolation is cubic: of higher order than the solution's accuracy, else a cycle could not repair it.

    References
    ----------
    .. [1] A. Brandt, Multi-level adaptive solutions to boundary-value problems, Math. Comp. 31 (1977), 333-390.
    .. [2] U. Trottenberg, C. Oosterlee, A. Schueller, Multigrid, Academic Press 2001, section 2.6.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.fmg import full_multigrid
    >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
    >>> n, h = 31, 1 / 32
    >>> line = Axis(np.r_[0.0, -np.ones(n - 1)], np.full(n, 2.0), np.r_[-np.ones(n - 1), 0.0], np.ones(n))
    >>> s = np.sin(np.pi * h * np.arange(1, n + 1))
    >>> exact = np.outer(s, s).ravel()
    >>> result = full_multigrid(SeparableStencil((line, line)), 2 * np.pi**2 * h**2 * exact)
    >>> bool(np.max(np.abs(result.x - exact)) < h**2)
    True
    """
    started = time.perf_counter()
    if not isinstance(A, SeparableStencil):
        raise ValueError(f"A is a {type(A).__name__}: expected a SeparableStencil; for others use Multigrid or cg")
    if cycles is None:
        cycles = 2 if len(A.axes) == 3 else 1
    if cycles < 1:
        raise ValueError(f"cycles = {cycles}: expected at least 1, or None")
    A = A if A.dtype == np.float64 else A.astype(np.float64)
    hierarchy = TensorHierarchy(A, dtype=np.dtype(precision), full=True)
    r, z = np.empty(A.grid_shape, dtype=precision), np.empty(A.grid_shape, dtype=precision)
    setup = time.perf_counter() - started
    monitor = Monitor("full_multigrid", A, b, None, rtol=rtol, atol=atol, maxiter=cycles + 1)
    if monitor.b.ndim != 1 or monitor.b.dtype != np.float64:
        kind = f"{monitor.b.dtype} of shape {monitor.b.shape}"
        raise ValueError(f"b is {kind}: expected float64 of shape ({A.shape[0]},); solve columns one after another")
    x, N = monitor.x, A.nullspace
    b = np.ascontiguousarray(monitor.b)
    np.copyto(r, b.reshape(r.shape), casting="same_kind")
    with monitor:
        if monitor.proceed(x, monitor.r):
            step = hierarchy.first_guess  # x = 0, so that r = b
            while True:
                step(r, z)
                if N is not None:
                    z -= (N @ (N.T @ z.ravel())).reshape(z.shape)
                if not monitor.proceed(x, rnorm=np.sqrt(A.correct(x, z, b, r)), exact=True):
                    break
                step = hierarchy.cycle
    if monitor.status is Status.MAX_ITERATIONS and rtol == 0 and atol == 0:
        monitor.status = Status.CONVERGED
    size = hierarchy.nbytes + r.nbytes + z.nbytes + x.nbytes
    facts = {"setup_seconds": setup, "bytes": size, "levels": len(hierarchy.grid_shapes)}
    return monitor.result(x, cycle=f"F, {cycles} V(1, 1) on the finest level", **facts)
