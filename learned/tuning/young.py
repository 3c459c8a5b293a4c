"""The model prior: Young's theory of relaxation, with its one unknown estimated from ordinary solves.

Everything depends on lambda, the least eigenvalue of D^-1 A: Jacobi's radius is beta = 1 - lambda, and
mu = lambda_max(D A^-1) = 1 / lambda. In a family of systems with a constant diagonal, lambda at one context gives it at
all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, log, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.kernels import young as kernels
from conjugo.learned.tuning.learner import Context
from conjugo.solvers.krylov.lanczos import extreme_eigenvalues

type Floats = Sequence[float] | NDArray[np.float64]


def sor_factor(beta: float) -> float:
    """Return the relaxation factor that is best for SOR, 1 + (beta / (1 + sqrt(1 - beta^2)))^2.

    Parameters
    ----------
    beta : float
        Spectral radius of Jacobi's iteration, in [0, 1); A is consistently ordered.

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 6, eq. (2.8).

    Examples
    --------
    >>> round(float(sor_factor(np.cos(np.pi / 11))), 10)
    1.5603879213
    """
    if not 0 <= beta < 1:
        raise ValueError(f"beta = {beta}: expected the spectral radius of a Jacobi iteration that converges, in [0, 1)")
    return 1.0 + (beta / (1.0 + sqrt(1.0 - beta * beta))) ** 2


def sor_radius(omega: float, beta: float) -> float:
    """Return the spectral radius of SOR.

    Parameters
    ----------
    omega : float
        Relaxation factor in [1, 2).
    beta : float
        Spectral radius of Jacobi's iteration, in [0, 1); A is consistently ordered.

    References
    ----------
    D. M. Young, Iterative Solution of Large Linear Systems, Academic Press 1971, ch. 6, theorem 2.3.

    Examples
    --------
    >>> round(sor_radius(1.8, np.cos(np.pi / 11)), 10)
    0.8
    """
    if omega >= sor_factor(beta):
        return omega - 1.0
    return 0.25 * (omega * beta + sqrt(omega**2 * beta**2 - 4.0 * (omega - 1.0))) ** 2


def ssor_factor(mu: float) -> float:
    """Return the relaxation factor with the least bound for CG with SSOR, 2 / (1 + sqrt(2 / mu)), at least 1.

    Parameters
    ----------
    mu : float
        lambda_max(D A^-1), at least 1.

    References
    ----------
    O. Axelsson, V. A. Barker, Finite Element Solution of Boundary Value Problems (1984), section 1.4, with their
    delta = 0 (-0.03 ... 0 on model problems).

    Examples
    --------
    >>> round(ssor_factor(200.0), 12)
    1.818181818182
    """
    if not 1 <= mu < np.inf:
        raise ValueError(f"mu = {mu}: expected the largest eigenvalue of D A^-1, at least 1")
    return max(1.0, 2.0 / (1.0 + sqrt(2.0 / mu)))


def beta_from_sor(residuals: Floats, omega: float) -> float | None:
    """Estimate Jacobi's spectral radius from an ordinary SOR solve.

    Parameters
    ----------
    residuals : sequence of float
        Norms of its residuals, the first one first.
    omega : float
        Its relaxation factor; below the best one, best 1.

    Returns
    -------
    float or None
        beta = (lambda + omega - 1) / (omega sqrt(lambda)), lambda the last residual over the last but one; None where
        these cannot tell: fewer than two, or omega not below the best factor.

    References
    ----------
    L. A. Hageman, D. M. Young, Applied Iterative Methods, Academic Press 1981, section 9.5.

    Examples
    --------
    >>> round(beta_from_sor([1.0, 0.5, 0.25], 1.0) ** 2, 12)
    0.5
    """
    if len(residuals) < 2 or not residuals[-1] > 0 or not residuals[-2] > 0:
        return None
    ratio = float(residuals[-1] / residuals[-2])
    if not (
        ratio < 1 and ratio > 1.05 * (omega - 1.0)
    ):  # beyond the best factor every eigenvalue has the size omega - 1
        return None
    beta = (ratio + omega - 1.0) / (omega * sqrt(ratio))
    return beta if 0 <= beta < 1 else None


def least_from_cg(rhos: Floats, curvatures: Floats, diagonal: float = 1.0, omega: float | None = None) -> float | None:
    """Estimate lambda, the least eigenvalue of D^-1 A, from the coefficients of an ordinary CG solve.

    Parameters
    ----------
    rhos, curvatures : sequence of float
        r.T z and p.T A p of every iteration.
    diagonal : float
        Of A, where CG ran without preconditioner; 1 with Jacobi's.
    omega : float, optional
        Relaxation factor, where CG ran with SSOR, scaled so that lambda_max(M^-1 A) <= 1.

    Returns
    -------
    float or None
        From CG's own Lanczos matrix, not below the true one; None where there is no estimate. With SSOR it inverts
        1 / lambda_min(M^-1 A) <= (1 + (2 - omega)^2 / (4 omega lambda)) / (2 - omega) as if it were an equality: good
        at omega = 1, and the rougher the nearer omega comes to the best factor.

    References
    ----------
    Saad, Iterative Methods for Sparse Linear Systems, 2nd ed. (2003), section 6.7.3, eq. (6.103).

    Examples
    --------
    >>> least_from_cg([1.0], [2.0], diagonal=4.0)
    0.5
    """
    ends = extreme_eigenvalues(list(rhos), list(curvatures))
    if ends is None or not ends[0] > 0:
        return None
    if omega is None:
        return ends[0] / diagonal
    excess = (2.0 - omega) / ends[0] - 1.0
    return min(1.0, (2.0 - omega) ** 2 / (4.0 * omega * excess)) if excess > 0 else 1.0


class Family:
    """How lambda, the least eigenvalue of D^-1 A, depends on the context where the diagonal of A is constant.

    Parameters
    ----------
    kind : {"shift", "scale"}
        A(c) = A_0 + c I; or A(c) = I + c K, as in implicit steps of diffusion.
    diagonal : float
        Diagonal of A at one context.
    at : float
        That context; not 0 for "scale".

    Raises
    ------
    ValueError
        For bad arguments.

    Notes
    -----
    shift: lambda(c) = (a + c) / (d + c); scale: lambda(c) = (1 + c g q) / (1 + c g), with the unknowns a and q. Each
    observation gives one value of the unknown. Ritz values lie above the eigenvalue, so that the least is kept.

    Examples
    --------
    >>> from conjugo.learned.tuning.young import Family
    >>> family = Family("shift", 4.0)
    >>> family.observe(0.0, 0.04)
    >>> round(family.least(0.1) * 4.1, 12)
    0.26
    """

    def __init__(self, kind: Literal["shift", "scale"], diagonal: float, at: float = 0.0) -> None:
        if kind not in ("shift", "scale"):
            raise ValueError(f"kind = {kind!r}: expected 'shift' for A + c I or 'scale' for I + c K")
        if not (diagonal > 0 and isfinite(diagonal) and isfinite(at)):
            raise ValueError(f"diagonal = {diagonal} at {at}: expected a positive number at a finite context")
        if kind == "scale" and not (at > 0 and diagonal > 1):
            raise ValueError(f"diagonal = {diagonal} at {at}: expected one above 1 at a positive context, for I + c K")
        self.kind = kind
        self._diagonal = diagonal - at if kind == "shift" else (diagonal - 1.0) / at
        self.unknown: float | None = None

    def observe(self, context: float, least: float) -> None:
        """Take in an estimate of lambda at a context."""
        if self.kind == "shift":
            value = least * (self._diagonal + context) - context
        else:
            growth = context * self._diagonal
            if growth <= 0.1:  # A is nearly the identity, and says nothing of K
                return
            value = (least * (1.0 + growth) - 1.0) / growth
            if not value > 0:
                return
        if isfinite(value) and (self.unknown is None or value < self.unknown):
            self.unknown = value

    def least(self, context: float) -> float | None:
        """Return lambda at a context, in (0, 1]; None before the first observation, and where A is not definite."""
        if self.unknown is None:
            return None
        if self.kind == "shift":
            above, below = self.unknown + context, self._diagonal + context
        else:
            growth = max(context, 0.0) * self._diagonal
            above, below = 1.0 + growth * self.unknown, 1.0 + growth
        return min(1.0, above / below) if above > 0 and below > 0 else None

    def state(self) -> dict[str, Any]:
        """Return what was learned, fit for JSON."""
        return {"unknown": self.unknown}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.unknown = None if state["unknown"] is None else float(state["unknown"])


class _Prior:
    """What the priors of SOR and of SSOR-CG share: factors, a family, a tolerance."""

    def __init__(self, omegas: Floats, family: Family, rtol: float, tau: float) -> None:
        self.omegas = np.array(omegas, dtype=np.float64)
        if self.omegas.ndim != 1 or not np.all((self.omegas > 0) & (self.omegas < 2)):
            raise ValueError(f"omegas = {omegas}: expected relaxation factors between 0 and 2")
        if not (0 < rtol < 1 and 0 < tau <= 1):
            raise ValueError(f"rtol = {rtol}, tau = {tau}: expected numbers between 0 and 1")
        self.family, self.rtol, self.tau = family, rtol, tau
        self._log_rtol, self._out = log(rtol), np.empty(len(self.omegas))

    def _least(self, context: Context) -> float | None:
        return self.family.least(float(context))  # type: ignore[arg-type]  # families have one context

    def state(self) -> dict[str, Any]:
        """Return what was learned, fit for JSON."""
        return self.family.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.family.restore(state)


class SORPrior(_Prior):
    """Iterations of SOR for a list of factors, as a prior mean for `ThompsonSampling`.

    Parameters
    ----------
    omegas : (arms,) sequence of float
        Relaxation factors of the arms.
    family : Family
        How lambda depends on the context.
    rtol : float
        Relative tolerance of the solves.
    tau : float
        In (0, 1]: how far the rate stays above its asymptotic value while the transient lasts.

    Notes
    -----
    U = 1 + log rtol / log(rho + tau (1 - rho)), rho the spectral radius.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, lemma 2.1.

    Examples
    --------
    >>> prior = SORPrior([1.0, 1.5], Family("shift", 4.0))
    >>> prior(0.0) is None
    True
    >>> prior.observe(0.0, [1.0, 0.92], 1.0)
    >>> prior(0.0).round()
    array([280.,  75.])
    """

    def __init__(self, omegas: Floats, family: Family, *, rtol: float = 1e-8, tau: float = 0.2) -> None:
        super().__init__(omegas, family, rtol, tau)

    def observe(self, context: float, residuals: Floats, omega: float) -> None:
        """Learn from the residuals of a solve."""
        beta = beta_from_sor(residuals, omega)
        if beta is not None:
            self.family.observe(context, 1.0 - beta)

    def factor(self, context: float) -> float | None:
        """Return the best factor for a context; None while nothing is known."""
        least = self.family.least(context)
        return None if least is None else sor_factor(1.0 - least)

    def __call__(self, context: Context) -> NDArray[np.float64] | None:
        """Return the iterations predicted for every arm, (arms,); None while nothing is known."""
        least = self._least(context)
        if least is None:
            return None
        kernels.sor_iterations(self.omegas, 1.0 - least, self._log_rtol, self.tau, self._out)
        return self._out


class SSORPrior(_Prior):
    """Iterations of CG with SSOR for a list of factors, as a prior mean for `ThompsonSampling`.

    Parameters
    ----------
    omegas : (arms,) sequence of float
        Relaxation factors of the arms.
    family : Family
        How lambda depends on the context.
    rtol : float
        Relative tolerance of the solves.
    tau : float
        In (0, 1]: actual iterations over the bound; the surrogate corrects it.

    Notes
    -----
    U = 1 + tau log(2 sqrt(kappa_A) / rtol) / -log(1 - 2 / (1 + sqrt(kappa))), kappa = (1 + mu (2 - omega)^2 /
    (4 omega)) / (2 - omega), kappa_A = 2 mu, mu = 1 / lambda.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, section 2.4.

    Examples
    --------
    >>> prior = SSORPrior([1.0, 1.5], Family("scale", 5.0, at=1.0))
    >>> prior.observe(1.0, 0.21)
    >>> prior(1.0).round()
    array([11., 12.])
    """

    def __init__(self, omegas: Floats, family: Family, *, rtol: float = 1e-8, tau: float = 0.8) -> None:
        super().__init__(omegas, family, rtol, tau)

    def observe(self, context: float, least: float | None) -> None:
        """Learn from an estimate of lambda, such as `least_from_cg`; None is passed over."""
        if least is not None:
            self.family.observe(context, least)

    def factor(self, context: float) -> float | None:
        """Return the best factor for a context; None while nothing is known."""
        least = self.family.least(context)
        return None if least is None else ssor_factor(1.0 / least)

    def __call__(self, context: Context) -> NDArray[np.float64] | None:
        """Return the iterations predicted for every arm, (arms,); None while nothing is known."""
        least = self._least(context)
        if least is None:
            return None
        kernels.ssor_iterations(self.omegas, 1.0 / least, self._log_rtol, self.tau, self._out)
        return self._out
