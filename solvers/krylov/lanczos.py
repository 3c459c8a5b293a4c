"""What the coefficients of conjugate gradients say about the spectrum."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal


def extreme_eigenvalues(rhos: list[float], curvatures: list[float]) -> tuple[float, float] | None:
    """Estimate the smallest and the largest eigenvalue of A (of M A where there is a preconditioner).

    Parameters
    ----------
    rhos, curvatures : list of float
        r_k.T z_k and p_k.T A p_k of m iterations in a row.

    Returns
    -------
    (float, float) or None
        Extreme eigenvalues of the Lanczos matrix T_m; None where no finite estimate exists.

    Notes
    -----
    With alpha_k = rho_k / p_k.T A p_k and beta_k = rho_{k+1} / rho_k, T_m has the diagonal
    1/alpha_k + beta_{k-1}/alpha_{k-1} and the off-diagonal sqrt(beta_k)/alpha_k. Its extreme eigenvalues lie inside
    the spectrum and reach its ends long before the solution converges to full precision.

    References
    ----------
    Saad, Iterative Methods for Sparse Linear Systems, 2nd ed. (2003), section 6.7.3, eq. (6.103).

    Examples
    --------
    >>> from conjugo.solvers.krylov.lanczos import extreme_eigenvalues
    >>> extreme_eigenvalues([1.0], [2.0])
    (2.0, 2.0)
    """
    rho, curvature = np.asarray(rhos), np.asarray(curvatures)
    if rho.size == 0:
        return None
    alpha, beta = rho / curvature, rho[1:] / rho[:-1]
    diagonal = 1.0 / alpha
    diagonal[1:] += beta / alpha[:-1]
    off = np.sqrt(beta) / alpha[:-1]
    if not (np.all(np.isfinite(diagonal)) and np.all(np.isfinite(off))):
        return None
    last = rho.size - 1
    low = eigvalsh_tridiagonal(diagonal, off, select="i", select_range=(0, 0), check_finite=False)
    high = eigvalsh_tridiagonal(diagonal, off, select="i", select_range=(last, last), check_finite=False)
    return float(low[0]), float(high[0])
