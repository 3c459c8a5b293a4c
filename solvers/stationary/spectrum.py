"""The ends of the spectrum of M A: exact for a model stencil, by Lanczos otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.preconditioners.diagonal import Diagonal

FIRST_LOOK = 20
"""Lanczos steps before the first look at the Ritz values."""


def jacobi_bounds(
    A: LinearOperator, diagonal: NDArray[np.floating[Any]], *, steps: int = 1000, accuracy: float = 0.02, seed: int = 0
) -> tuple[float, float]:
    """Smallest and largest eigenvalue of D^-1 A for a symmetric A, null space apart.

    Exact (to rounding) for a `SeparableStencil` with a constant diagonal, whose eigenvalues are sums of those of its
    axes; by Lanczos otherwise.

    Parameters
    ----------
    A : operator
        Symmetric, (n, n).
    diagonal : (n,) array
        Its diagonal, positive.
    steps, accuracy, seed
        As in `lanczos_bounds`.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.spectrum import jacobi_bounds
    >>> A = np.array([[2.0, -1.0], [-1.0, 2.0]])
    >>> [round(end, 6) for end in jacobi_bounds(A, A.diagonal())]
    [0.5, 1.5]
    """
    exact = _separable_bounds(A, diagonal) if isinstance(A, SeparableStencil) else None
    if exact is not None:
        return exact
    like = np.empty(len(diagonal), getattr(A, "dtype", np.float64))
    return lanczos_bounds(A, Diagonal(1 / diagonal), like, steps=steps, accuracy=accuracy, seed=seed)


def _separable_bounds(A: SeparableStencil, diagonal: NDArray[np.floating[Any]]) -> tuple[float, float] | None:
    scaled = diagonal / A.weights().ravel()
    if not A.symmetric or np.ptp(scaled) > 1e-12 * abs(scaled[0]):
        return None
    smallest, largest = A.shift, A.shift
    gaps = []
    for axis in A.axes:
        values = axis_eigenvalues(axis)
        smallest += values[0]
        largest += values[-1]
        if len(values) > 1:
            gaps.append(values[1] - values[0])
    if A.nullspace is not None and gaps:  # the constant is no part of the solve
        smallest += min(gaps)
    return float(smallest / scaled[0]), float(largest / scaled[0])


def axis_eigenvalues(axis: Axis) -> NDArray[np.float64]:
    """All eigenvalues of one axis' T, ascending; the square roots of its weights make it symmetric.

    Parameters
    ----------
    axis : Axis
        Symmetric once weighted.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.separable import Axis
    >>> from conjugo.solvers.stationary.spectrum import axis_eigenvalues
    >>> axis_eigenvalues(Axis(np.array([0.0, -1.0]), np.full(2, 2.0), np.array([-1.0, 0.0]), np.ones(2))).round(6)
    array([1., 3.])
    """
    root = np.sqrt(axis.weight)
    off = axis.upper * root / np.roll(root, -1)
    if not axis.periodic:
        return scipy.linalg.eigh_tridiagonal(axis.diag, off[:-1], eigvals_only=True)  # type: ignore[no-any-return]
    n = len(axis)
    T = np.diag(axis.diag)
    for j in range(n):  # += because both neighbours are the same node where n = 2
        T[j, (j + 1) % n] += off[j]
        T[(j + 1) % n, j] += off[j]
    return np.linalg.eigvalsh(T)


def lanczos_bounds(
    A: LinearOperator,
    M: LinearOperator | None,
    like: Array,
    *,
    steps: int = 1000,
    accuracy: float = 0.02,
    seed: int = 0,
) -> tuple[float, float]:
    """Extreme Ritz values of M A (A symmetric, M symmetric positive definite), null space of A apart.

    The Lanczos matrix is read off the coefficients of the conjugate gradient method for a random right-hand side in the
    library, precision and device of the vector `like` (Saad, sec. 6.7.3). Stops once a quarter more steps moved the
    smallest value by less than `accuracy`, relative to itself. Ritz values lie inside the spectrum: the smallest is
    approached from above.

    Parameters
    ----------
    A : operator
        Symmetric (Hermitian), (n, n).
    M : operator or None
        Symmetric positive definite; None is the identity.
    like : (n,) array
        Whose library, precision and device to use; its values are not read.
    steps : int
        Most products with A.
    accuracy : float
        Relative.
    seed : int
        Of the random start.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.spectrum import lanczos_bounds
    >>> [round(end, 6) for end in lanczos_bounds(np.diag([1.0, 2.0, 4.0]), None, np.zeros(3))]
    [1.0, 4.0]
    """
    xp = array_namespace(like)
    real = xp.float32 if like.dtype in (xp.float32, xp.complex64) else xp.float64
    start = np.random.default_rng(seed).standard_normal(like.shape[0])
    r = xp.asarray(xp.asarray(start, dtype=real, device=device(like)), dtype=like.dtype)
    kernel = getattr(A, "nullspace", None)
    if kernel is not None:
        N = xp.asarray(np.asarray(kernel), dtype=like.dtype, device=device(like))
        r = r - N @ (xp.conj(N.T) @ r)
    z = r if M is None else M @ r
    p, rho = z, _real(xp.vecdot(r, z))
    floor = rho * float(xp.finfo(real).eps) ** 2
    diagonal: list[float] = []
    off: list[float] = []
    ends, carried, look = (np.inf, -np.inf), 0.0, FIRST_LOOK
    for step in range(1, min(steps, like.shape[0]) + 1):
        q = A @ p
        curvature = _real(xp.vecdot(p, q))
        if curvature == 0 or not np.isfinite(curvature):
            break
        alpha = rho / curvature
        r = r - alpha * q
        z = r if M is None else M @ r
        rho, previous = _real(xp.vecdot(r, z)), rho
        diagonal.append(1 / alpha + carried)
        ended = not rho > floor or step == min(steps, like.shape[0])
        if ended or step >= look:
            values = scipy.linalg.eigh_tridiagonal(diagonal, off, eigvals_only=True)
            settled = abs(ends[0] - values[0]) <= accuracy * abs(values[0])
            ends, look = (float(values[0]), float(values[-1])), max(step + 1, int(1.25 * step))
            if ended or settled:
                break
        beta = rho / previous
        carried = beta / alpha
        off.append(abs(beta) ** 0.5 / abs(alpha))
        p = z + beta * p
    return ends


def _real(value: Array) -> float:
    """Real part of a scalar array, on the host."""
    return float(value.real)
