"""Chebyshev's semi-iteration."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from conjugo.solvers.krylov.preconditioned import check_preconditioner
from conjugo.solvers.monitor import Callback, Monitor, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator, is_linear, is_symmetric
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.preconditioners.diagonal import Diagonal
from conjugo.solvers.result import SolveResult
from conjugo.solvers.stationary.correction import corrector
from conjugo.solvers.stationary.rows import diagonal_of
from conjugo.solvers.stationary.spectrum import jacobi_bounds, lanczos_bounds

LANCZOS_STEPS = 100
"""Most steps of the estimate of the bounds; the iteration improves the lower one."""
SAFETY = 1.02
"""Factor on the estimated upper bound: beyond it the polynomial grows fast."""
SETTLING = 30
"""Iterations before the measured rate is compared with the promised one."""


def chebyshev(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b by Chebyshev's semi-iteration: no inner products, for a symmetric (Hermitian) positive definite A.

    Parameters
    ----------
    A : (n, n) operator
        Anything with `@`.
    b : (n,) or (n, k) array
        Right-hand side, NumPy or torch, real or complex.
    x0 : array, optional
        First guess, shaped like b; default zero.
    bounds : (float, float), optional
        0 < smallest, largest eigenvalue of M A. Exact by default for a `SeparableStencil` with constant diagonal;
        otherwise estimated by Lanczos, and the lower one improved on the way.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most iterations, default 10 n.
    M : operator, optional
        Linear symmetric positive definite preconditioner; default D^{-1} where A knows its diagonal, else the identity.
    callback : callable, optional
        Called with x after every iteration; returning True stops.

    Returns
    -------
    SolveResult
        `residuals` holds the true residual after each iteration, `details["bounds"]` the bounds in use at the end.

    Raises
    ------
    ValueError
        If the bounds are not 0 < smallest < largest, M is not linear and symmetric, A has no positive bounds, or the
        shapes disagree.

    Notes
    -----
    The error polynomial is T_k((theta - lambda) / delta) / T_k(theta / delta) with theta and delta the middle and half
    the width of the bounds; asymptotically the error falls by (sqrt(kappa) - 1) / (sqrt(kappa) + 1) an iteration. An
    estimated lower bound is too large; where the residual falls slower than promised, it is rich in the modes below
    the bound, and its Rayleigh quotient becomes the new one (with a restart of the polynomial).

    References
    ----------
    Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM 2003, alg. 12.1.
    T. A. Manteuffel, Numer. Math. 31 (1978) 183-208 (adaptive bounds).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.chebyshev import chebyshev
    >>> A = np.diag(np.linspace(1.0, 10.0, 50))
    >>> result = chebyshev(A, np.ones(50), bounds=(0.1, 10.0), M=np.eye(50), rtol=1e-8)
    >>> bool(np.allclose(result.x, 1 / np.linspace(1.0, 10.0, 50)))
    True
    """
    A = as_operator(A)
    check_preconditioner(A, M)
    M = _preconditioner(A, M)
    monitor = Monitor("chebyshev", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    smallest, largest, adapt = _bounds(A, M, monitor.b, bounds)
    x, r, rnorm = monitor.x, monitor.r, None
    correct = corrector(A, monitor.b)
    d, since = None, 0
    rho = theta = delta = 0.0
    with monitor:
        while monitor.proceed(x, r, rnorm=rnorm, exact=True):
            z = r if M is None else M @ r
            since += 1
            if adapt and since > SETTLING and _slower_than_promised(monitor.history[-SETTLING:], smallest, largest):
                quotient = _rayleigh(A, r, z)
                if 0 < quotient < 0.9 * smallest:
                    smallest, d = quotient, None
                since = 0
            if d is None:
                theta, delta = (largest + smallest) / 2, (largest - smallest) / 2
                rho, d = delta / theta, z / theta
            else:
                rho, before = 1 / (2 * theta / delta - rho), rho
                d = rho * before * d + (2 * rho / delta) * z
            x, r, rnorm = correct(x, d, r)
    return monitor.result(x, bounds=(smallest, largest))


def _preconditioner(A: LinearOperator, M: LinearOperator | None) -> LinearOperator | None:
    if M is None:
        knows = isinstance(A, np.ndarray) or hasattr(A, "diagonal")
        return Diagonal(1 / diagonal_of(A, "chebyshev")) if knows else None
    if not (is_linear(M) and is_symmetric(M)):
        raise ValueError(
            f"M = {type(M).__name__} declares linear={is_linear(M)}, symmetric={is_symmetric(M)}: "
            "chebyshev expects a linear symmetric positive definite preconditioner; use fcg or fgmres"
        )
    return as_operator(M)


def _bounds(
    A: LinearOperator, M: LinearOperator | None, b: Array, bounds: tuple[float, float] | None
) -> tuple[float, float, bool]:
    """Smallest and largest eigenvalue of M A, and whether the smallest may be improved."""
    if bounds is not None:
        smallest, largest = (float(value) for value in bounds)
        if not 0 < smallest < largest < np.inf:
            raise ValueError(
                f"bounds = {bounds}: expected 0 < smallest < largest eigenvalue of M A, or None to estimate"
            )
        return smallest, largest, False
    if isinstance(A, SeparableStencil) and isinstance(M, Diagonal):
        smallest, largest = jacobi_bounds(A, np.asarray(1 / M.values, dtype=np.float64), steps=LANCZOS_STEPS)
    else:
        vector = b if b.ndim == 1 else b[:, 0]
        smallest, largest = lanczos_bounds(A, M, vector, steps=LANCZOS_STEPS)
    if not 0 < smallest <= largest:
        raise ValueError(
            f"M A has eigenvalues from {smallest:.3g} to {largest:.3g}: chebyshev expects a positive definite A; "
            "use minres for a symmetric indefinite A"
        )
    # an interval of one point has no polynomial: widen it a little
    return min(smallest, largest / 1.01), SAFETY * largest, True


def _slower_than_promised(history: list[Any], smallest: float, largest: float) -> bool:
    """Whether the residual fell by less than the square root of the promise over the last iterations."""
    root = (largest / smallest) ** 0.5
    promised = ((root - 1) / (root + 1)) ** (len(history) - 1)
    return bool(np.any(history[-1] > history[0] * promised**0.5))


def _rayleigh(A: LinearOperator, r: Array, z: Array) -> float:
    """Smallest z^T A z / z^T r of the columns: an eigenvalue of M A where z = M r is an eigenvector."""
    xp = array_namespace(z)
    energy, mass = to_host(xp.vecdot(z, A @ z, axis=0).real), to_host(xp.vecdot(z, r, axis=0).real)
    return float(np.min(np.where(mass > 0, energy, np.inf) / np.where(mass > 0, mass, 1.0)))
