"""The wake of a cylinder in time: forces, the Strouhal number, snapshots on a grid, and the pressure systems met."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.pde.fem.cylinder import Cylinder, open_cylinder
from conjugo.pde.fem.projection import Projection
from conjugo.pde.grid import Grid
from conjugo.pde.trajectories import Trajectories

type Values = NDArray[np.float64]


class Forces(NamedTuple):
    """What acts on the cylinder, step by step.

    Parameters
    ----------
    t : (steps,) array
        Times.
    drag, lift : (steps,) arrays
        Coefficients.
    pressure_drop : (steps,) array
        Pressure at the front less that at the back.
    """

    t: Values
    drag: Values
    lift: Values
    pressure_drop: Values

    def after(self, time: float) -> Forces:
        """The part from a time on."""
        late = self.t >= time
        return Forces(*(part[late] for part in self))


def advance(
    case: Cylinder,
    flow: Projection,
    time: float,
    *,
    every: float | None = None,
    take: Callable[[Projection], None] | None = None,
    progress: bool = False,
) -> Forces:
    """Advance a flow by a time and record the forces.

    Parameters
    ----------
    case : Cylinder
        What `flow` was made from.
    flow : Projection
        The time loop; it is left at the end.
    time : float
        By how much, a multiple of `every`.
    every : float, optional
        Time between two calls of `take`, a whole number of steps; every step by default.
    take : callable, optional
        Called with the flow, to record what it likes.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Forces
        Of every step.

    Raises
    ------
    ValueError
        If `every` is not a whole number of steps.
    FloatingPointError
        If the flow blows up: its time step is too long.
    """
    stride = 1 if every is None else round(every / flow.dt)
    if stride < 1 or (every is not None and not math.isclose(stride * flow.dt, every, rel_tol=1e-6)):
        raise ValueError(f"every = {every}: expected a whole number of steps of {flow.dt}; see fitting_step()")
    rows = []
    front, back = case.stagnation
    for k in tqdm(range(round(time / flow.dt)), desc=case.name, unit="step", disable=not progress, mininterval=1.0):
        flow.step()
        rows.append((flow.t, *case.coefficients(flow.force), flow.p[front] - flow.p[back]))
        if take is not None and (k + 1) % stride == 0:
            take(flow)
    return Forces(*np.array(rows).reshape(-1, 4).T)


def fitting_step(every: float, largest: float) -> float:
    """The longest time step up to `largest` that divides `every`.

    Examples
    --------
    >>> fitting_step(0.25, 0.1)
    0.08333333333333333
    """
    return every / math.ceil(every / largest - 1e-9)


def strouhal(forces: Forces, case: Cylinder) -> float:
    """Strouhal number f D / U from the upward zero crossings of the lift about its mean.

    Parameters
    ----------
    forces : Forces
        Of at least two whole periods, transient left out.
    case : Cylinder
        Gives D and U.

    Returns
    -------
    float
        NaN where there are not two crossings.

    Examples
    --------
    >>> t = np.arange(0.0, 30.0, 0.1)
    >>> case = open_cylinder(60.0, 8, downstream=8.0)
    >>> round(strouhal(Forces(t, t, np.sin(2 * np.pi * 0.2 * t), t), case), 4)
    0.2
    """
    value = forces.lift - forces.lift.mean()
    up = np.flatnonzero((value[:-1] < 0) & (value[1:] >= 0))
    if len(up) < 2:
        return float("nan")
    crossing = forces.t[up] - value[up] * (forces.t[up + 1] - forces.t[up]) / (value[up + 1] - value[up])
    period = (crossing[-1] - crossing[0]) / (len(crossing) - 1)
    return float(case.diameter / (case.speed * period))


@dataclass(frozen=True, slots=True, eq=False)
class Wake:
    """Snapshots of wakes from the unstable steady flow to the vortex street.

    Parameters
    ----------
    trajectories : Trajectories
        u of shape (N, times, 3, nx, ny): both components of the velocity and the vorticity; zero in the cylinder.
    drag, lift : (N, times) arrays
        Coefficients at the times of the snapshots.
    steady : (3, nx, ny) array
        The steady flow.
    grid : Grid
        Nodes of the snapshots.
    strouhal : (N,) array
        Over the last quarter of the time.
    """

    trajectories: Trajectories
    drag: Values
    lift: Values
    steady: Values
    grid: Grid
    strouhal: Values


def wake(
    count: int = 1,
    *,
    reynolds: float = 100.0,
    resolution: int = 16,
    time: float = 120.0,
    dt: float = 0.25,
    amplitude: float = 1e-2,
    window: tuple[float, float, float, float] = (-2.0, 13.0, -3.0, 3.0),
    spacing: float = 0.15,
    extent: tuple[float, float, float] = (12.0, 12.0, 20.0),
    seed: int = 0,
    first: int = 0,
    progress: bool = False,
) -> Wake:
    """Record wakes in the open domain, each from the steady flow and a small random disturbance.

    Parameters
    ----------
    count : int
        Trajectories.
    reynolds, resolution
        As for `open_cylinder`.
    time, dt : float
        Length of a trajectory, and between two snapshots, in diameters over speed.
    amplitude : float
        Largest speed of the disturbance.
    window : (float, float, float, float)
        left, right, bottom, top of the snapshots.
    spacing : float
        Of their nodes.
    extent : (float, float, float)
        From the cylinder upstream, to either side and downstream, as for `open_cylinder`.
    seed, first : int
        A disturbance depends on seed and the number of its trajectory alone, counted from `first`.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Wake
        Memory: 3 nx ny times numbers a trajectory.

    Raises
    ------
    ValueError
        If the Reynolds number has no steady flow that Newton's method finds, or numbers are out of range.
    """
    if count < 1 or not (time > 0 and dt > 0 and spacing > 0):
        raise ValueError(f"count = {count}, time = {time}, dt = {dt}, spacing = {spacing}: expected positive numbers")
    case = open_cylinder(reynolds, resolution, upstream=extent[0], side=extent[1], downstream=extent[2])
    base = case.steady()
    if base.status != "converged":
        raise ValueError(f"Newton's method ended as {base.status} at reynolds = {reynolds}: take a finer resolution")
    grid, sample = sampler(case, window, spacing)
    step = fitting_step(dt, case.dt)
    frames: list[Values] = []
    drag, lift, numbers = [], [], []
    for index in range(first, first + count):
        u = base.u + case.disturbance(amplitude, seed=seed, index=index)
        taken = [sample(u)]
        flow = case.flow(step, start=(u, base.p))
        forces = advance(case, flow, time, every=dt, take=lambda f, to=taken: to.append(sample(f.u)),  # type: ignore[misc]
                         progress=progress)  # fmt: skip
        stride = round(dt / step)
        at = np.arange(len(taken)) * stride - 1
        at[0] = 0
        frames.append(np.stack(taken))
        drag.append(forces.drag[at])
        lift.append(forces.lift[at])
        numbers.append(strouhal(forces.after(0.75 * time), case))
    t: Values = dt * np.arange(len(frames[0]), dtype=np.float64)
    made = Trajectories(np.asarray(frames, dtype=np.float64), t, f"wake Re {reynolds:g}")
    return Wake(made, np.stack(drag), np.stack(lift), sample(base.u), grid, np.array(numbers))


def sampler(
    case: Cylinder, window: tuple[float, float, float, float], spacing: float
) -> tuple[Grid, Callable[[Values], Values]]:
    """A grid over a window, and what takes the velocity (n, 2) to (3, nx, ny): u, v and the vorticity there.

    Examples
    --------
    >>> case = open_cylinder(60.0, 8, downstream=8.0)
    >>> grid, sample = sampler(case, (-2.0, 4.0, -2.0, 2.0), 0.5)
    >>> y = case.space.nodes[:, 1]
    >>> found = sample(np.stack([y, 0 * y], axis=1))
    >>> found.shape, bool(np.allclose(found[2, 0], -1.0)), float(found[2, 4, 4])
    ((3, 13, 9), True, 0.0)
    """
    left, right, bottom, top = window
    shape = (round((right - left) / spacing) + 1, round((top - bottom) / spacing) + 1)
    x, y = left + spacing * np.arange(shape[0]), bottom + spacing * np.arange(shape[1])
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    at, _ = case.space.at(points)

    def sample(u: Values) -> Values:
        velocity = at.value @ u
        vorticity = at.dx @ u[:, 1] - at.dy @ u[:, 0]
        return np.stack([velocity[:, 0], velocity[:, 1], vorticity]).reshape(3, *shape)

    return Grid(shape, (spacing, spacing), (left, bottom)), sample


def pressure_systems(
    case: Cylinder, flow: Projection, steps: int, *, progress: bool = False
) -> tuple[sp.csr_array, Values]:
    """Record the systems of the pressure increment that a flow meets.

    Parameters
    ----------
    case : Cylinder
        What `flow` was made from.
    flow : Projection
        Left at the end.
    steps : int
        How many.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    A : (l, l) csr_array
        The same for all; symmetric positive definite.
    b : (steps, l) array
        Right-hand sides.
    """
    taken: list[Values] = []
    advance(case, flow, steps * flow.dt, take=lambda f: taken.append(f.pressure_rhs.copy()), progress=progress)
    return flow.pressure_matrix, np.stack(taken)
