"""Incompressible flow in time: incremental pressure correction, all matrices factored once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from conjugo.pde.fem.taylor_hood import TaylorHood

type Values = NDArray[np.float64]
type Indices = NDArray[np.int64]


class Projection:
    """Advance u_t + (u . grad) u - nu lap u + grad p = 0, div u = 0, with p = 0 on an open boundary.

    Parameters
    ----------
    space : TaylorHood
        Elements.
    viscosity : float
        nu, positive.
    dt : float
        Time step, positive.
    fixed : (k,) int array
        Unknowns of the velocity that are given.
    profile : (k, 2) array
        Their values.
    outlet : (j,) int array
        Unknowns of the pressure that are zero; the velocity is free there ("do nothing").
    body : int array, optional
        Unknowns of the velocity on a body, a part of `fixed`: `force` acts on it.
    ramp : callable, optional
        Factor of `profile` at a time; 1 by default. An impulsive start asks for steps far smaller than what follows.
    start : pair of (n, 2) and (m,) arrays, optional
        Velocity and pressure at time 0; zero by default, with `profile` imposed.

    Attributes
    ----------
    t : float
        Time.
    u, p : (n, 2) and (m,) arrays
        Velocity and pressure.
    force : (2,) array
        Of the fluid on the body in the last step, density 1.
    pressure_matrix : (l, l) csr_array
        Of the increment's system on the free unknowns `pressure_free` of the pressure.
    pressure_rhs : (l,) array
        Of the last step.

    Notes
    -----
    With the extrapolated convection N* = 3/2 N(u^n) - 1/2 N(u^(n-1)) a step is

        (M / dt + nu/2 K) u^(n+1) = (M / dt - nu/2 K) u^n - N* + D^T (p^n + phi^n),   u given on `fixed`,
        L phi^(n+1) = -D u^(n+1) / dt,    p^(n+1) = p^n + phi^(n+1).

    The velocity after the projection, u - dt grad phi, is never formed: it enters as the second phi^n. Second order in
    time for the velocity. The force is what the momentum equation of the first line leaves over in the rows of the
    body's unknowns (Babuska and Miller's volume integral with the discrete extension that vanishes off the body's
    elements), of a higher order than the integral of the stress. The factors are SuperLU's, symmetric mode.

    References
    ----------
    J. L. Guermond, P. Minev, J. Shen, Comput. Methods Appl. Mech. Engrg. 195 (2006) 6011-6045, sections 3.3, 3.5.
    I. Babuska, A. Miller, Int. J. Numer. Methods Engrg. 20 (1984) 1085-1109 (post-processing).

    Examples
    --------
    >>> from conjugo.pde import fem
    >>> space = TaylorHood(fem.square(4))
    >>> x, y = space.nodes.T
    >>> fixed = np.flatnonzero((x < 1e-9) | (y < 1e-9) | (y > 1 - 1e-9))
    >>> profile = np.stack([y * (1 - y), 0 * y], axis=1)
    >>> flow = Projection(space, viscosity=1.0, dt=0.01, fixed=fixed, profile=profile[fixed],
    ...                   outlet=np.flatnonzero(space.vertices[:, 0] > 1 - 1e-9))
    >>> for _ in range(300):
    ...     flow.step()
    >>> bool(np.allclose(flow.u, profile, atol=1e-6)), bool(np.allclose(flow.p, 2 * (1 - space.vertices[:, 0])))
    (True, True)
    """

    def __init__(
        self,
        space: TaylorHood,
        *,
        viscosity: float,
        dt: float,
        fixed: Indices,
        profile: Values,
        outlet: Indices,
        body: Indices | None = None,
        ramp: Callable[[float], float] | None = None,
        start: tuple[Values, Values] | None = None,
    ) -> None:
        for name, value in (("viscosity", viscosity), ("dt", dt)):
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} = {value}: expected a positive number")
        if profile.shape != (len(fixed), 2):
            raise ValueError(f"profile has shape {profile.shape}: expected ({len(fixed)}, 2), one row a fixed unknown")
        if len(outlet) == 0:
            raise ValueError("outlet is empty: expected unknowns of the pressure on an open boundary")
        self.space, self.dt, self.viscosity = space, dt, viscosity
        self._fixed, self._profile, self._ramp = np.asarray(fixed), np.array(profile), ramp
        n, m = len(space.nodes), len(space.vertices)
        free = np.setdiff1d(np.arange(n), fixed)
        implicit = sp.csr_array(space.mass / dt + viscosity / 2 * space.stiffness)
        self._explicit = sp.csr_array(space.mass / dt - viscosity / 2 * space.stiffness)
        self._gradient = tuple(sp.csr_array(D.T) for D in space.divergence)
        self._free, self._lu = free, factored(implicit[free][:, free])
        self._lifted: Values = implicit[free][:, self._fixed] @ self._profile
        self._body = np.zeros(0, dtype=np.int64) if body is None else np.asarray(body)
        self._body_rows = sp.csr_array(implicit[self._body])
        self.pressure_free = np.setdiff1d(np.arange(m), outlet)
        self.pressure_matrix = sp.csr_array(space.laplacian[self.pressure_free][:, self.pressure_free])
        self._pressure_lu = factored(self.pressure_matrix)
        self.t, self.steps = 0.0, 0
        self.u, self.p = np.zeros((n, 2)), np.zeros(m)
        if start is not None:
            self.u, self.p = np.array(start[0], dtype=np.float64), np.array(start[1], dtype=np.float64)
        self.u[self._fixed] = self._factor(0.0) * self._profile
        self._phi = np.zeros(m)
        self._convection = space.convection(self.u)
        self.force = np.zeros(2)
        self.pressure_rhs = np.zeros(len(self.pressure_free))

    def step(self) -> None:
        """Advance by dt.

        Raises
        ------
        FloatingPointError
            If the velocity is no longer finite: the explicit convection needs a smaller dt.
        """
        space, t = self.space, self.t + self.dt
        convection = space.convection(self.u)
        pressure = self.p + self._phi
        rhs = self._explicit @ self.u - (1.5 * convection - 0.5 * self._convection)
        rhs += np.stack([G @ pressure for G in self._gradient], axis=1)
        u = np.empty_like(self.u)
        factor = self._factor(t)
        u[self._fixed] = factor * self._profile
        u[self._free] = self._lu.solve(rhs[self._free] - factor * self._lifted)
        self.force = -np.sum(self._body_rows @ u - rhs[self._body], axis=0)
        outflow = sum(D @ u[:, i] for i, D in enumerate(space.divergence))
        self.pressure_rhs = -outflow[self.pressure_free] / self.dt
        self._phi[self.pressure_free] = self._pressure_lu.solve(self.pressure_rhs)
        self.p = self.p + self._phi
        self.u, self._convection, self.t, self.steps = u, convection, t, self.steps + 1
        if not math.isfinite(float(u.sum())):
            raise FloatingPointError(f"the velocity is not finite at t = {t:.4g}: take dt below {self.dt:.3g}")

    def _factor(self, t: float) -> float:
        return 1.0 if self._ramp is None else float(self._ramp(t))


def factored(A: Any) -> Any:
    """SuperLU's factors of a symmetric positive definite matrix: minimum degree, no pivoting.

    Parameters
    ----------
    A : (n, n) sparse array
        Symmetric positive definite.

    Returns
    -------
    scipy.sparse.linalg.SuperLU
        With `solve`.

    Examples
    --------
    >>> factored(sp.csr_array(np.diag([2.0, 4.0]))).solve(np.ones(2))
    array([0.5 , 0.25])
    """
    return splu(sp.csc_array(A), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
