"""The heat equation on the unit square by Crank-Nicolson, with a diffusivity that swings and a source that circles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.evolution.sequence import System, checked_count, checked_state
from conjugo.pde.grid import Grid
from conjugo.solvers.operators.separable import Axis, SeparableStencil

DT = 1e-3
"""Length of a step."""


def diffusivity(t: float) -> float:
    """Return kappa(t) = max(0.1 sin(2 pi t), -10 sin(2 pi t)).

    Examples
    --------
    >>> diffusivity(0.25), diffusivity(0.75)
    (0.1, 10.0)
    """
    wave = float(np.sin(2 * np.pi * t))
    return max(0.1 * wave, -10.0 * wave)


def bump(
    x: NDArray[np.float64], y: NDArray[np.float64], centre: tuple[float, float], radius: float
) -> NDArray[np.float64]:
    """Return exp(1 - 1 / (1 - rho^2)) inside a disc, rho the distance from its centre over its radius; 0 outside.

    Examples
    --------
    >>> bump(np.array([0.0, 1.0]), np.array([0.0, 0.0]), (0.0, 0.0), 1.0)
    array([1., 0.])
    """
    rest = 1.0 - ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2
    inside = rest > 0
    return np.exp(1.0 - 1.0 / np.where(inside, rest, 1.0)) * inside


class HeatSequence:
    """Time steps of u_t = kappa(t) laplace u + f on the unit square, u = 0 on the walls.

    Parameters
    ----------
    nx : int
        Intervals per side; n = (nx - 1)^2 unknowns.
    steps : int
        Number of time steps of 0.001.
    start : float
        Time of the first one.

    Raises
    ------
    ValueError
        For bad arguments, and by `advance` for a state of another size or with NaN.
    RuntimeError
        If the next system is asked for before `advance` has taken the last one's solution.

    Notes
    -----
    A = I - (kappa dt / 2) L and b = (2 I - A) u + dt f, L the five-point Laplacian, kappa and f in the middle of the
    step. f is 32 bumps of radius 1/8 high, around 1/2 + (cos 16 pi t, sin 16 pi t) / 4; u starts as a bump of radius
    1/4 in the middle. The context is kappa(t), at the beginning of the step. Iterating again starts over.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, section 4 and the authors' `h2d`.

    Examples
    --------
    >>> from conjugo.pde.evolution import HeatSequence
    >>> from conjugo.solvers import cg
    >>> heat = HeatSequence(16, steps=3)
    >>> for A, b, kappa in heat:
    ...     heat.advance(cg(A, b, heat.u, rtol=1e-8).x)
    >>> heat.u.shape, round(heat.time, 6)
    ((225,), 0.003)
    """

    low, high = 0.0, 10.0
    """Range of the contexts."""

    def __init__(self, nx: int = 50, *, steps: int = 5000, start: float = 0.0) -> None:
        self.nx, self.steps = checked_count("nx", nx, 2), checked_count("steps", steps)
        if not np.isfinite(start):
            raise ValueError(f"start = {start}: expected a finite time")
        self.start = float(start)
        m = nx - 1
        self.grid = Grid((m, m), (1.0 / nx, 1.0 / nx), (1.0 / nx, 1.0 / nx))
        self._x, self._y = self.grid.open_mesh()
        self._off, self._ones = np.full(m, -1.0), np.ones(m)
        self.restart()

    def restart(self) -> None:
        """Go back to the first step."""
        self.u: NDArray[np.float64] = bump(self._x, self._y, (0.5, 0.5), 0.25).ravel()
        self.step, self._ready = 0, True

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return (self.nx - 1) ** 2

    @property
    def time(self) -> float:
        """Time at the beginning of the next step."""
        return self.start + self.step * DT

    def source(self, t: float) -> NDArray[np.float64]:
        """Return f(t) at the unknowns, (n,)."""
        centre = 0.5 + 0.25 * float(np.cos(16 * np.pi * t)), 0.5 + 0.25 * float(np.sin(16 * np.pi * t))
        return 32.0 * bump(self._x, self._y, centre, 0.125).ravel()

    def operator(self, kappa: float) -> SeparableStencil:
        """Return A = I - (kappa dt / 2) L.

        Parameters
        ----------
        kappa : float
            Diffusivity, at least 0.

        Returns
        -------
        SeparableStencil
            On (nx - 1) x (nx - 1) unknowns.
        """
        s = 0.5 * kappa * DT * self.nx**2
        lower, upper = s * self._off, s * self._off
        lower[0] = upper[-1] = 0.0
        axis = Axis(lower, 2.0 * s * self._ones, upper, self._ones)
        return SeparableStencil((axis, axis), 1.0)

    def system(self) -> System:
        """Return the system of the current step, made from the current state."""
        t = self.time
        middle = t + 0.5 * DT
        A = self.operator(diffusivity(middle))
        b = 2.0 * self.u - A @ self.u + DT * self.source(middle)
        return System(A, b, diffusivity(t))

    def advance(self, u: NDArray[np.float64]) -> None:
        """Take the solution of the last system as the new state.

        Parameters
        ----------
        u : (n,) or grid-shaped array
            The solution; it is copied.
        """
        self.u = checked_state(u, self.n)
        self.step += 1
        self._ready = True

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[System]:
        self.restart()
        while self.step < self.steps:
            if not self._ready:
                raise RuntimeError(f"step {self.step} has no solution yet: call advance(u) before the next system")
            self._ready = False
            yield self.system()
