"""The ends of the spectrum of M A: exact for a model stencil, by Lanczos otherwise."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.operators.separable import Axis, SeparableStencil

CHECK_EVERY = 10
"""Lanczos steps between two looks at the Ritz values."""


def jacobi_bounds(
    A: LinearOperator, diagonal: NDArray[np.float64], *, steps: int = 1000, accuracy: float = 0.02, seed: int = 0
) -> tuple[float, float]:
    """Smallest and largest eigenvalue of D^-1 A for a symmetric A, null space apart.

    Exact (to rounding) for a `SeparableStencil` with a constant diagonal, whose eigenvalues are sums of those of its
    axes; by Lanczos otherwise.
    """
    exact = _separable_bounds(A, diagonal) if isinstance(A, SeparableStencil) else None
    if exact is not None:
        return exact
    return lanczos_bounds(A, diagonal, steps=steps, accuracy=accuracy, seed=seed)


def _separable_bounds(A: SeparableStencil, diagonal: NDArray[np.float64]) -> tuple[float, float] | None:
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
    """All eigenvalues of one axis' T, ascending; the square roots of its weights make it symmetric."""
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
    diagonal: NDArray[np.float64],
    *,
    steps: int = 1000,
    accuracy: float = 0.02,
    seed: int = 0,
) -> tuple[float, float]:
    """Extreme Ritz values of D^-1/2 A D^-1/2 from a random start, null space of A apart.

    Stops once the smallest has settled to `accuracy`, relative to itself. Ritz values lie inside the spectrum: the
    smallest is approached from above. No reorthogonalisation: ghosts are copies of ends already found.
    """
    root = np.sqrt(np.abs(diagonal))
    n = len(diagonal)
    steps = min(steps, n)
    kernel = getattr(A, "nullspace", None)
    basis = None if kernel is None else np.linalg.qr(np.asarray(kernel, dtype=np.float64) * root[:, None])[0]
    dtype = np.dtype(getattr(A, "dtype", np.float64))

    def project(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return v if basis is None else v - basis @ (basis.T @ v)

    v = project(np.random.default_rng(seed).standard_normal(n))
    v /= np.linalg.norm(v)
    before, beta = np.zeros(n), 0.0
    alphas: list[float] = []
    betas: list[float] = []
    ends = (np.inf, -np.inf)
    for step in range(1, steps + 1):
        w = project(np.asarray(A @ (v / root).astype(dtype), dtype=np.float64) / root) - beta * before
        alpha = float(v @ w)
        w -= alpha * v
        alphas.append(alpha)
        beta = float(np.linalg.norm(w))
        ended = beta <= 1e-12 * max(abs(alpha), 1e-300) or step == steps
        if ended or step % CHECK_EVERY == 0:
            values = scipy.linalg.eigh_tridiagonal(alphas, betas, eigvals_only=True)
            settled = abs(ends[0] - values[0]) <= accuracy * abs(values[0])
            ends = (float(values[0]), float(values[-1]))
            if ended or settled:
                break
        betas.append(beta)
        before, v = v, w / beta
    return ends
