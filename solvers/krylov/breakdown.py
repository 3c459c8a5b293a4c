"""How conjugate gradients end early: the signs of rho and p.T A p, and an unsymmetric preconditioner."""

from __future__ import annotations

from typing import Any

import numpy as np

from conjugo.solvers.krylov.lanczos import extreme_eigenvalues
from conjugo.solvers.monitor import Monitor, by_columns, column_products, norm, to_host
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.parallel import dot
from conjugo.solvers.result import Status

ASYMMETRY = 1e-2
"""|z.T r_old| / z.T r above which a preconditioner does not count as symmetric and fixed."""

ROUNDING = 1e-4
"""|z.T r_old| / (||z|| ||r_old||) up to which a product may be rounding, float32 inside M included."""

COMPARE_EVERY = 8
"""Iterations between two looks at the symmetry of M."""


def inner(xp: Any, u: Array, v: Array) -> Any:
    """Real part of u.H v of each column: a Python float for one NumPy vector, else an array where u is."""
    if type(u) is np.ndarray and u.ndim == 1:
        return dot(u, v)
    if by_columns(u, v):
        return column_products(u, v)
    product = xp.linalg.vecdot(u, v, axis=0)
    return xp.real(product) if xp.isdtype(product.dtype, "complex floating") else product


class Coefficients:
    """The scalars of one run of conjugate gradients, and what they say.

    Parameters
    ----------
    monitor : Monitor
        Of the solve; a failure is reported to it.
    preconditioned : bool
        Whether an M is at work.
    """

    def __init__(self, monitor: Monitor, *, preconditioned: bool = False) -> None:
        self.monitor = monitor
        self.preconditioned = preconditioned
        self.asymmetry = 0.0
        self._rhos: list[float] = []
        self._curvatures: list[float] = []
        self._first_run = monitor.b.ndim == 1
        self._largest = 0.0
        self._eps = float(monitor.xp.finfo(monitor.b.dtype).eps)

    def restart(self) -> None:
        """Stop collecting: a new Krylov space does not continue the Lanczos matrix."""
        self._first_run = False

    def compare(self, r_old: Array, z: Array, rho: Any) -> None:
        """Note z.T r_old against z.T r: zero for a fixed symmetric M, but for rounding in z."""
        xp = self.monitor.xp
        product = np.abs(to_host(inner(xp, r_old, z)))
        rho, size = to_host(rho), norm(z, xp) * norm(r_old, xp)
        with np.errstate(all="ignore"):
            counts = (rho > 0) & (product > ROUNDING * size)
            if self.monitor.b.ndim == 2:  # a frozen column keeps r, so that z.T r_old is z.T r
                counts &= self.monitor.history[-1] > self.monitor.tolerance
            seen = np.where(counts, product / rho, 0.0)
        self.asymmetry = max(self.asymmetry, float(np.max(seen)))
        if self.asymmetry > ASYMMETRY:  # stagnation is likely: do not wait long for it
            self.monitor.window = min(self.monitor.window, 100)

    def accept(self, rho: Any, curvature: Any, p: Array) -> bool:
        """Say whether a step is possible; if not, tell the monitor why.

        Parameters
        ----------
        rho, curvature : float or (k,) array
            r.T z and p.T A p of each column, on the host.
        p : array
            The direction.
        """
        active: Any = True
        if self.monitor.b.ndim == 1:
            rho, curvature = float(rho), float(curvature)
            if 0 < rho < np.inf and 4 * self._eps * self._largest * rho < curvature < np.inf:
                self._largest = max(self._largest, curvature / rho)
                if self._first_run:
                    self._rhos.append(rho)
                    self._curvatures.append(curvature)
                return True
        else:
            active = self.monitor.history[-1] > self.monitor.tolerance
            possible = (rho > 0) & (curvature > 0) & np.isfinite(rho) & np.isfinite(curvature)
            if np.all(possible | ~active):
                return True
        at = f"in iteration {self.monitor.iteration + 1}"
        if not np.all(np.isfinite(rho)):
            status, note = Status.NONFINITE, f"r.T z is NaN or infinite {at}; check M for NaN"
        elif np.any((rho <= 0) & active):
            status, note = self._bad_rho(at)
        elif not np.all(np.isfinite(curvature)):
            status, note = Status.NONFINITE, f"p.T A p is NaN or infinite {at}; check A for NaN"
        else:
            status, note = self._bad_curvature(float(np.min(np.where(active, curvature, np.inf))), p, at)
        self.monitor.fail(status, note)
        return False

    def _bad_rho(self, at: str) -> tuple[Status, str]:
        if not self.preconditioned:
            return Status.BREAKDOWN, f"r.T r vanished {at}: the numbers underflow; rescale the system"
        note = f"r.T M r <= 0 {at}: M is not symmetric positive definite; use fcg, or fgmres for any M"
        return Status.INDEFINITE, note

    def _bad_curvature(self, curvature: float, p: Array, at: str) -> tuple[Status, str]:
        """Tell a singular A from an indefinite one: compare p.T A p with ||A|| ||p||^2."""
        monitor = self.monitor
        largest = float(np.max(norm(p, monitor.xp))) ** 2 * monitor.size_of_A()
        if abs(curvature) <= 1e3 * self._eps * largest:
            note = (
                f"p.T A p = {curvature:.1e} is zero to rounding {at}: A may be singular and the system inconsistent; "
                "declare A.nullspace, or remove from b the part that A cannot reach"
            )
            return Status.BREAKDOWN, note
        note = f"p.T A p = {curvature:.1e} <= 0 {at}: A is not positive definite; use minres, or gmres if unsymmetric"
        return Status.INDEFINITE, note

    def details(self) -> dict[str, Any]:
        """Condition estimate, and the word on an unsymmetric M, for the result."""
        found: dict[str, Any] = {}
        extremes = extreme_eigenvalues(self._rhos, self._curvatures)
        if extremes is not None and extremes[0] > 0:
            found["condition"] = extremes[1] / extremes[0]
        if self.asymmetry > ASYMMETRY:
            found["asymmetry"] = self.asymmetry
            note = (
                f"M is not symmetric or not fixed (|z.T r_old| / z.T r = {self.asymmetry:.1e}, expected 0): "
                "use fcg, or a symmetric M"
            )
            found["note"] = note
            if self.monitor.status is Status.STAGNATED:
                self.monitor.fail(Status.BREAKDOWN)
        return found
