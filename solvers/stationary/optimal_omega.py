"""The best relaxation factor of over-relaxation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.stationary.rows import diagonal_of, has_symmetric_entries
from conjugo.solvers.stationary.spectrum import jacobi_bounds


def optimal_omega(A: LinearOperator, *, steps: int = 1000, seed: int = 0) -> float:
    """Young's relaxation factor from the spectral radius of Jacobi's iteration.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        With a positive diagonal. The factor is optimal where A is consistently ordered: stencils without odd periodic
        axes.
    steps : int
        Most Lanczos (or power) steps where the radius must be estimated.
    seed : int
        Seed of the random start of the estimate.

    Returns
    -------
    float
        omega in [1, 2).

    Raises
    ------
    ValueError
        If Jacobi's radius is 1 or more because A is not positive definite.

    Notes
    -----
    omega = 2 / (1 + sqrt(1 - mu^2)), mu the spectral radius of I - D^{-1} A. For a `SeparableStencil` with constant
    diagonal mu is exact, from the eigenvalues of the axes; on the model Poisson problem it is cos(pi h). For another
    symmetric A mu = 1 - lambda_min(D^{-1} A) by Lanczos, at a cost of some dozens to hundreds of products; for a
    nonsymmetric A by the power method. A declared null space is left out.

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 6, eq. (2.8).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.optimal_omega import optimal_omega
    >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
    >>> n = 31
    >>> one = Axis(lower=-np.ones(n) * (np.arange(n) > 0), diag=np.full(n, 2.0),
    ...            upper=-np.ones(n) * (np.arange(n) < n - 1), weight=np.ones(n))
    >>> omega = optimal_omega(SeparableStencil((one, one)))
    >>> bool(abs(omega - 2 / (1 + np.sin(np.pi / 32))) < 1e-12)
    True
    """
    diagonal = np.asarray(diagonal_of(A, "optimal_omega"), dtype=np.float64)
    if has_symmetric_entries(A, "optimal_omega"):
        smallest = jacobi_bounds(A, diagonal, steps=steps, seed=seed)[0] if diagonal.min() > 0 else -np.inf
        if not smallest > 0:
            raise ValueError(
                f"D^-1 A has the eigenvalue {smallest:.3g}: Young's formula expects a positive definite A; "
                "pass omega yourself, declare A.nullspace where A is singular, or use minres"
            )
        mu = max(0.0, 1.0 - smallest)
    else:
        mu = _power_radius(A, diagonal, min(steps, 200), seed)
        if not mu < 1:
            raise ValueError(
                f"Jacobi's iteration for this nonsymmetric A has spectral radius {mu:.3g}: Young's formula expects "
                "one below 1; pass omega yourself, or use gmres or bicgstab"
            )
    return float(2.0 / (1.0 + np.sqrt(1.0 - mu**2)))


def _power_radius(A: LinearOperator, diagonal: NDArray[np.float64], steps: int, seed: int) -> float:
    """Mean growth over the second half of the steps of the power method on I - D^-1 A."""
    v = np.random.default_rng(seed).standard_normal(len(diagonal))
    growth: list[float] = []
    for _ in range(steps):
        v /= np.linalg.norm(v)
        v = v - np.asarray(A @ v, dtype=np.float64) / diagonal
        growth.append(float(np.linalg.norm(v)))
        if growth[-1] == 0:
            return 0.0
    return float(np.exp(np.mean(np.log(growth[steps // 2 :]))))
