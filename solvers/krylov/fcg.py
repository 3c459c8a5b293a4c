"""Flexible conjugate gradients: a preconditioner that is learned, non-linear or changes is welcome."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.solvers.krylov.columns import inner, live, mask, on_host, positive, quotient, real_inner
from conjugo.solvers.krylov.preconditioned import check_preconditioner, preconditioner
from conjugo.solvers.monitor import Callback, Monitor, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult


def fcg(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
    window: int | None = 1,
) -> SolveResult:
    """Solve A x = b for a Hermitian positive definite A with a preconditioner that need not be fixed.

    Parameters
    ----------
    A : operator
        Hermitian positive definite, (n, n).
    b : (n,) or (n, k) array
        One right-hand side or a block; NumPy or torch, real or complex. A block's converged columns are frozen.
    x0 : array, optional
        First guess, shaped like b; zero if None.
    rtol, atol : float
        Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol), the true residual.
    maxiter : int, optional
        Default 10 n.
    M : operator, optional
        Approximates the inverse of A. It may be non-linear, unsymmetric or change from one application to the next: it
        only proposes directions.
    callback : callable, optional
        Called with x after every iteration; True or StopIteration stops the solve.
    window : int or None
        How many earlier directions the new one is made A-orthogonal to; None keeps all of them
        (2 n numbers each). 1 equals cg for a fixed M, 2 is the recurrence of DCDM.

    Returns
    -------
    SolveResult
        `details["rejected"]` counts the directions of M that were NaN or zero; the residual took their place.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, or a window below 1.

    Notes
    -----
    With z = M r and the kept directions p_i::

        p = z - sum_i (p_i^H A z / p_i^H A p_i) p_i
        alpha = p^H r / p^H A p,   x += alpha p,   r -= alpha A p

    The error in the energy norm falls in every step whatever M returns, save where p^H r = 0.

    References
    ----------
    Notay (2000), "Flexible conjugate gradients", SIAM J. Sci. Comput. 22(4), eq. (2.1) and Algorithm FCG(m).
    Kaneda, Akar, Chen, Kala, Hyde, Teran (2023), "A deep conjugate direction method for iteratively
    solving linear systems", ICML, Algorithm 1: window=2.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.fcg import fcg
    >>> A = np.diag(np.arange(1.0, 6.0))
    >>> class Sign:
    ...     shape, linear = (5, 5), False
    ...     def __matmul__(self, r):
    ...         return r + 0.1 * np.abs(r)
    >>> fcg(A, np.ones(5), M=Sign(), window=2, rtol=1e-10).status
    <Status.CONVERGED: 'converged'>
    """
    if window is not None and window < 1:
        raise ValueError(f"window = {window}: expected at least 1 earlier direction, or None to keep all of them")
    check_preconditioner(A, M)
    monitor = Monitor("fcg", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    A, b = monitor.A, monitor.b
    x, r = monitor.x, monitor.r
    propose, plain = preconditioner(monitor, M), preconditioner(monitor, None)
    kept: deque[_Direction] = deque(maxlen=window)
    rejected = 0
    with monitor, np.errstate(invalid="ignore", over="ignore"):  # what M returns is checked below
        while monitor.proceed(x, r):
            if monitor.replaced:
                r = monitor.r
                kept.clear()
            open_ = live(monitor)
            z = _only(propose(r), open_)
            p, along, useless = _direction(A, r, z, kept)
            useless &= open_
            if M is not None and np.any(useless):
                rejected += 1
                z = monitor.xp.where(mask(useless, b), plain(r), z)
                p, along, _ = _direction(A, r, z, kept)
            if not positive(monitor, to_host(p.curvature), open_):
                break
            step = quotient(along, p.curvature, mask(open_, b))
            x += step * p.p
            r = r - step * p.q  # not in place: z, and so p, may be r itself
            kept.append(p)
    return monitor.result(x, window=window, **({"rejected": rejected} if rejected else {}))


class _Direction(NamedTuple):
    """A search direction, its product with A, and p^H A p of each column."""

    p: Array
    q: Array
    curvature: Array


def _direction(
    A: LinearOperator, r: Array, z: Array, kept: deque[_Direction]
) -> tuple[_Direction, Array, NDArray[np.bool_]]:
    """Make z A-orthogonal to what is kept; return the direction, p^H r, and the columns where it is of no use."""
    p, shared = z, 0.0
    for old in reversed(kept):
        share = quotient(inner(old.q, p), old.curvature, old.curvature > 0)
        p = p - share * old.p
        shared = shared + abs(share) ** 2 * old.curvature
    q = A @ p
    curvature, along = real_inner(p, q), inner(p, r)
    energy = to_host(curvature)
    # A proposal inside the span of the kept directions leaves only rounding: z^H A z = p^H A p + shared.
    noise = array_namespace(r).finfo(r.dtype).eps * to_host(shared)
    lost = ~np.isfinite(on_host(along)) | ~np.isfinite(energy) | (np.abs(energy) <= noise) | (on_host(along) == 0)
    return _Direction(p, q, curvature), along, np.asarray(lost)


def _only(z: Array, open_: NDArray[np.bool_]) -> Array:
    """Set the frozen columns of a block to zero, so that nothing M returns for them can spread."""
    if z.ndim == 1 or np.all(open_):
        return z
    xp = array_namespace(z)
    return xp.where(mask(open_, z), z, xp.zeros_like(z))
