"""Iterations that theory predicts for a list of relaxation factors."""

from __future__ import annotations

from math import log, sqrt

from numba import njit


@njit("void(f8[::1],f8,f8,f8,f8[::1])", cache=True, nogil=True)
def sor_iterations(omegas, beta, log_rtol, tau, out):  # type: ignore[no-untyped-def]
    """Set out = 1 + log rtol / log(rho + tau (1 - rho)), rho SOR's spectral radius for Jacobi's radius beta."""
    best = 1.0 + (beta / (1.0 + sqrt(1.0 - beta * beta))) ** 2
    for i in range(omegas.size):
        omega = omegas[i]
        rho = omega - 1.0
        if omega < best:
            root = sqrt(max(omega * omega * beta * beta - 4.0 * (omega - 1.0), 0.0))
            rho = 0.25 * (omega * beta + root) ** 2
        out[i] = 1.0 + log_rtol / log(max(rho + tau * (1.0 - rho), 1e-12))


@njit("void(f8[::1],f8,f8,f8,f8[::1])", cache=True, nogil=True)
def ssor_iterations(omegas, mu, log_rtol, tau, out):  # type: ignore[no-untyped-def]
    """Set out = 1 + tau log(2 sqrt(2 mu) / rtol) / -log(1 - 2 / (1 + sqrt(kappa))), kappa SSOR's condition number."""
    reduction = tau * (log(2.0 * sqrt(2.0 * mu)) - log_rtol)
    for i in range(omegas.size):
        omega = omegas[i]
        kappa = (1.0 + mu * (2.0 - omega) ** 2 / (4.0 * omega)) / (2.0 - omega)
        root = sqrt(max(kappa, 1.0 + 1e-9))
        out[i] = 1.0 + reduction / (log(root + 1.0) - log(root - 1.0))
