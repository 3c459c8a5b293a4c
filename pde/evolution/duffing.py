"""The unforced Duffing equation, x'' = -damping x' - x (stiffness + cubic x^2): two wells and a saddle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.evolution.sequence import checked_count
from conjugo.pde.trajectories import Trajectories

STEP = 0.0025
"""Longest step of the Runge-Kutta method, in units of time."""


def duffing(
    count: int,
    steps: int,
    *,
    dt: float = 0.25,
    seed: int = 0,
    first: int = 0,
    box: float = 2.0,
    damping: float = 0.5,
    stiffness: float = -1.0,
    cubic: float = 1.0,
) -> Trajectories:
    """Make trajectories from random states in a box.

    Parameters
    ----------
    count : int
        Number of trajectories.
    steps : int
        Snapshots after the first one.
    dt : float
        Time between snapshots.
    seed, first : int
        Trajectory i of the result is number first + i of this seed, whatever the count.
    box : float
        x and x' start uniformly distributed in [-box, box].
    damping, stiffness, cubic : float
        Coefficients of the equation.

    Returns
    -------
    Trajectories
        u: (count, steps + 1, 2), x and x'; t: (steps + 1,), from 0.

    Raises
    ------
    ValueError
        For counts and numbers that make no sense.

    Notes
    -----
    With the default coefficients, x = 1 and x = -1 are stable spirals, of exponents -0.25 +- 1.39194 i, and x = 0 is a
    saddle, of exponents 0.7808 and -1.2808; almost every state falls into one of the two wells.

    References
    ----------
    M. Williams, I. Kevrekidis, C. Rowley, J. Nonlinear Sci. 25 (2015), section 4.2; S. Otto and C. Rowley, SIAM J.
    Appl. Dyn. Syst. 18 (2019).

    Examples
    --------
    >>> data = duffing(3, 160)
    >>> data.u.shape, float(data.t[-1])
    ((3, 161, 2), 40.0)
    >>> np.round(np.abs(data.u[:, -1, 0]), 3)
    array([1., 1., 1.])
    """
    count, first = checked_count("count", count), checked_count("first", first, 0)
    if not (np.isfinite(box) and box > 0):
        raise ValueError(f"box = {box}: expected a positive half-width")
    u0 = np.stack([np.random.default_rng([seed, first + i]).uniform(-box, box, 2) for i in range(count)])
    return evolve(u0, steps, dt=dt, damping=damping, stiffness=stiffness, cubic=cubic)


def evolve(
    u0: NDArray[np.float64],
    steps: int,
    *,
    dt: float = 0.25,
    damping: float = 0.5,
    stiffness: float = -1.0,
    cubic: float = 1.0,
) -> Trajectories:
    """Follow given states of the Duffing equation.

    Parameters
    ----------
    u0 : (N, 2) array
        x and x' at time 0.
    steps : int
        Snapshots after the first one.
    dt : float
        Time between snapshots.
    damping, stiffness, cubic : float
        Coefficients of the equation.

    Returns
    -------
    Trajectories
        u: (N, steps + 1, 2); t: (steps + 1,), from 0.

    Raises
    ------
    ValueError
        If u0 is not a finite (N, 2) array, or dt or steps make no sense.
    FloatingPointError
        If a state runs away to infinity, as it may where cubic < 0.

    Notes
    -----
    The classical Runge-Kutta method with the longest step up to 0.0025 that divides dt, on all states at once. Against
    DOP853 at tolerance 1e-13 it is good to 1e-8 over 15 units of time from [-2, 2]^2, but for states so near the
    saddle's stable manifold that they come within about 1e-2 of it: the saddle multiplies every error.

    Examples
    --------
    >>> evolve(np.array([[1.0, 0.0], [0.0, 0.0]]), 4).u[:, -1]
    array([[1., 0.],
           [0., 0.]])
    """
    state = np.array(u0, dtype=np.float64)
    if state.ndim != 2 or state.shape[1] != 2 or not np.all(np.isfinite(state)):
        raise ValueError(f"u0 has shape {state.shape}: expected (N, 2) finite numbers, x and x'")
    if not (np.isfinite(dt) and dt > 0):
        raise ValueError(f"dt = {dt}: expected a positive time between snapshots")
    steps = checked_count("steps", steps)
    substeps = int(np.ceil(dt / STEP - 1e-9))
    h = dt / substeps

    def slope(z: NDArray[np.float64]) -> NDArray[np.float64]:
        x, v = z
        return np.stack([v, -damping * v - x * (stiffness + cubic * x * x)])

    z = np.ascontiguousarray(state.T)
    u = np.empty((len(state), steps + 1, 2))
    u[:, 0] = state
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, steps + 1):
            for _ in range(substeps):
                k1 = slope(z)
                k2 = slope(z + 0.5 * h * k1)
                k3 = slope(z + 0.5 * h * k2)
                z = z + (h / 6.0) * (k1 + 2.0 * (k2 + k3) + slope(z + h * k3))
            u[:, k] = z.T
    if not np.all(np.isfinite(u)):
        raise FloatingPointError(f"a trajectory runs away to infinity before t = {dt * steps:g}: take fewer steps")
    return Trajectories(u, dt * np.arange(steps + 1, dtype=np.float64), name="duffing")
