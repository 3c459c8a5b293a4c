"""The steady flow, stable or not: Newton's method on Taylor-Hood elements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from conjugo.pde.fem.taylor_hood import TaylorHood
from conjugo.solvers.result import Status

type Values = NDArray[np.float64]
type Indices = NDArray[np.int64]


class SteadyFlow(NamedTuple):
    """A solution of the steady equations.

    Parameters
    ----------
    u : (n, 2) array
        Velocity.
    p : (m,) array
        Pressure.
    residuals : (steps + 1,) array
        Euclidean norm of the equations left over before every Newton step and after the last.
    status : Status
        CONVERGED, MAX_ITERATIONS or NONFINITE.
    """

    u: Values
    p: Values
    residuals: Values
    status: Status


def steady(
    space: TaylorHood,
    viscosity: float,
    fixed: Indices,
    profile: Values,
    *,
    start: tuple[Values, Values] | None = None,
    rtol: float = 1e-9,
    maxiter: int = 15,
) -> SteadyFlow:
    """Solve (u . grad) u - nu lap u + grad p = 0, div u = 0, with a part of the boundary open ("do nothing").

    Parameters
    ----------
    space : TaylorHood
        Elements.
    viscosity : float
        nu, positive.
    fixed : (k,) int array
        Unknowns of the velocity that are given.
    profile : (k, 2) array
        Their values.
    start : pair of (n, 2) and (m,) arrays, optional
        First guess of velocity and pressure; default the Stokes flow.
    rtol : float
        Stop when the equations' norm falls below this times that of the Stokes equations' right-hand side.
    maxiter : int
        Most Newton steps.

    Returns
    -------
    SteadyFlow
        At high Reynolds numbers start from a lower one's flow: Newton's method converges near a solution only.

    Raises
    ------
    ValueError
        For a viscosity that is not positive or a profile of another shape.

    Notes
    -----
    One sparse LU (SuperLU with COLAMD and pivoting, as the pressure block is zero) a step. The flow need not be stable:
    the wake of a cylinder at Re = 100 is found, that no time stepping would reach.

    Examples
    --------
    >>> from conjugo.pde import fem
    >>> space = TaylorHood(fem.square(4))
    >>> x, y = space.nodes.T
    >>> fixed = np.flatnonzero((x < 1e-9) | (y < 1e-9) | (y > 1 - 1e-9))
    >>> exact = np.stack([y * (1 - y), 0 * y], axis=1)
    >>> flow = steady(space, 0.01, fixed, exact[fixed])
    >>> flow.status.value, bool(np.allclose(flow.u, exact))
    ('converged', True)
    >>> bool(np.allclose(flow.p, 0.02 * (1 - space.vertices[:, 0])))
    True
    """
    if not (viscosity > 0 and np.isfinite(viscosity)):
        raise ValueError(f"viscosity = {viscosity}: expected a positive number")
    if profile.shape != (len(fixed), 2):
        raise ValueError(f"profile has shape {profile.shape}: expected ({len(fixed)}, 2), one row a fixed unknown")
    n, m = len(space.nodes), len(space.vertices)
    free = np.setdiff1d(np.arange(n), fixed)
    system = _System(space, viscosity, free)
    u = np.zeros((n, 2))
    u[fixed] = profile
    p = np.zeros(m)
    scale = float(np.linalg.norm(system.residual(u, p, convection=False)))
    if start is None:
        u, p = system.correct(u, p, convection=False)
    else:
        u[free], p = start[0][free], np.array(start[1], dtype=np.float64)
    history = [float(np.linalg.norm(system.residual(u, p)))]
    status = Status.MAX_ITERATIONS
    while True:
        if not np.isfinite(history[-1]):
            status = Status.NONFINITE
        elif history[-1] <= rtol * scale:
            status = Status.CONVERGED
        if status is not Status.MAX_ITERATIONS or len(history) > maxiter:
            return SteadyFlow(u, p, np.array(history), status)
        u, p = system.correct(u, p)
        history.append(float(np.linalg.norm(system.residual(u, p))))


class _System:
    """The equations on the free unknowns, and Newton's correction."""

    def __init__(self, space: TaylorHood, viscosity: float, free: Indices) -> None:
        self.space, self.free = space, free
        self.viscous = sp.csr_array(viscosity * space.stiffness)
        self.divergence = [sp.csr_array(D[:, free]) for D in space.divergence]

    def residual(self, u: Values, p: Values, *, convection: bool = True) -> Values:
        momentum = self.viscous @ u - np.stack([D.T @ p for D in self.space.divergence], axis=1)
        if convection:
            momentum += self.space.convection(u)
        mass = sum(D @ u[:, i] for i, D in enumerate(self.space.divergence))
        return np.concatenate([momentum[self.free, 0], momentum[self.free, 1], -mass])

    def correct(self, u: Values, p: Values, *, convection: bool = True) -> tuple[Values, Values]:
        """Newton's step, or that of the Stokes equations."""
        zero = sp.csr_array(self.viscous.shape)
        change = [[zero, zero], [zero, zero]]
        diagonal = self.viscous
        if convection:
            change = self.space.reaction_matrices(u)
            diagonal = sp.csr_array(diagonal + self.space.convection_matrix(u))
        free = self.free
        rows = []
        for i in (0, 1):
            blocks = [change[i][j] + diagonal if i == j else change[i][j] for j in (0, 1)]
            rows.append([*(sp.csr_array(block)[free][:, free] for block in blocks), -self.divergence[i].T])
        rows.append([-self.divergence[0], -self.divergence[1], None])
        lu = splu(sp.csc_array(sp.block_array(rows)))
        step = lu.solve(self.residual(u, p, convection=convection))
        u, k = u.copy(), len(free)
        u[free] -= np.stack([step[:k], step[k : 2 * k]], axis=1)
        return u, p - step[2 * k :]
