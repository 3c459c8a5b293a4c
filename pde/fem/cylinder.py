"""A cylinder in a flow: the DFG channel and the open domain, with their boundary data and coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.fem.projection import Projection
from conjugo.pde.fem.quadratic import around_cylinder, spread
from conjugo.pde.fem.steady import SteadyFlow, steady
from conjugo.pde.fem.taylor_hood import TaylorHood

type Values = NDArray[np.float64]
type Indices = NDArray[np.int64]

COURANT = 0.35
"""Largest speed times the time step over the spacing of the unknowns on the cylinder; above about 0.6 runs blow up."""


@dataclass(frozen=True, slots=True, eq=False)
class Cylinder:
    """Elements round a cylinder, what is given on the boundary, and the units of its coefficients.

    Parameters
    ----------
    space : TaylorHood
        Elements.
    viscosity : float
        nu.
    fixed, profile : (k,) int and (k, 2) arrays
        Unknowns of the velocity that are given, and their values.
    outlet : int array
        Unknowns of the pressure that are zero.
    body : int array
        Unknowns of the velocity on the cylinder.
    stagnation : (int, int)
        Unknowns of the pressure at the front and the back of the cylinder.
    diameter, speed : float
        For the Reynolds number, the Strouhal number and the coefficients.
    dt : float
        A time step that is stable.
    rise : float
        Time over which the inflow is ramped from rest.
    name : str
        Short name.
    """

    space: TaylorHood
    viscosity: float
    fixed: Indices
    profile: Values
    outlet: Indices
    body: Indices
    stagnation: tuple[int, int]
    diameter: float
    speed: float
    dt: float
    rise: float
    name: str

    @property
    def reynolds(self) -> float:
        """speed diameter / nu."""
        return self.speed * self.diameter / self.viscosity

    def flow(self, dt: float | None = None, *, start: tuple[Values, Values] | None = None) -> Projection:
        """Set up the time loop: from rest with the inflow ramped, or from a velocity and pressure.

        Parameters
        ----------
        dt : float, optional
            Time step; `self.dt` by default.
        start : pair of arrays, optional
            Velocity (n, 2) and pressure (m,) to start from, with the whole inflow.

        Returns
        -------
        Projection
            At time 0.
        """
        ramp = self._ramp if start is None else None
        return Projection(self.space, viscosity=self.viscosity, dt=dt or self.dt, fixed=self.fixed,
                          profile=self.profile, outlet=self.outlet, body=self.body, ramp=ramp, start=start)  # fmt: skip

    def coefficients(self, force: Values) -> Values:
        """Drag and lift coefficients of a force of density 1: 2 F / (speed^2 diameter)."""
        return 2 * force / (self.speed**2 * self.diameter)

    def steady(self, *, rtol: float = 1e-9) -> SteadyFlow:
        """The steady flow at this Reynolds number, by Newton's method from those at lower ones (20, 40, ...)."""
        found: SteadyFlow | None = None
        lower = [20.0 * k for k in range(1, math.ceil(self.reynolds / 20))]
        for reynolds in (*lower, self.reynolds):
            viscosity = self.speed * self.diameter / reynolds
            start = None if found is None else (found.u, found.p)
            last = reynolds == self.reynolds
            found = steady(self.space, viscosity, self.fixed, self.profile, start=start, rtol=rtol if last else 1e-3)
        assert found is not None
        return found

    def disturbance(self, amplitude: float, *, seed: int = 0, index: int = 0) -> Values:
        """A random divergence-free velocity behind the cylinder, (n, 2), zero where the velocity is given.

        Parameters
        ----------
        amplitude : float
            Largest speed, in units of `speed`.
        seed, index : int
            It depends on these alone.

        Returns
        -------
        (n, 2) array
            Derivatives of four Gaussian bumps of a stream function, 0.5 to 1 diameters wide.
        """
        rng = np.random.default_rng([seed, index])
        unit = self.diameter
        middle = self.space.nodes[self.body].mean(axis=0)
        u = np.zeros_like(self.space.nodes)
        for _ in range(4):
            centre = middle + unit * rng.uniform([1.0, -1.0], [4.0, 1.0])
            width, height = unit * rng.uniform(0.5, 1.0), rng.standard_normal()
            offset = (self.space.nodes - centre) / width
            bump = height * np.exp(-np.sum(offset**2, axis=1) / 2)
            u += bump[:, None] * np.stack([-offset[:, 1], offset[:, 0]], axis=1)
        u[self.fixed] = 0
        return np.asarray(u * (amplitude * self.speed / np.linalg.norm(u, axis=1).max()))

    def _ramp(self, t: float) -> float:
        return (1 - math.cos(math.pi * min(t / self.rise, 1.0))) / 2


def dfg_cylinder(resolution: int = 16) -> Cylinder:
    """The benchmark DFG 2D-2: a cylinder slightly off the axis of a channel, Re = 100 by the mean inflow.

    Parameters
    ----------
    resolution : int
        Elements across the channel, at least 8; four times as many round the cylinder.

    Returns
    -------
    Cylinder
        In the benchmark's units: channel 2.2 x 0.41, diameter 0.1, mean speed 1, nu = 0.001.

    Raises
    ------
    ValueError
        If the resolution is below 8.
    ImportError
        Without dolfinx.

    Notes
    -----
    Published bounds: largest drag coefficient 3.22 to 3.24, largest lift coefficient 0.99 to 1.01, Strouhal number
    0.295 to 0.305, pressure difference 2.46 to 2.50 half a period after the largest lift.

    References
    ----------
    M. Schaefer, S. Turek, *Benchmark computations of laminar flow around a cylinder*, Notes Numer. Fluid Mech. 52
    (1996) 547-566, test case 2D-2.

    Examples
    --------
    >>> case = dfg_cylinder(8)
    >>> round(case.reynolds), case.body.size
    (100, 64)
    """
    _check_resolution(resolution)
    height, length, radius, centre = 0.41, 2.2, 0.05, (0.2, 0.2)
    across = np.linspace(0.0, height, resolution + 1)
    side = height / resolution
    along = np.concatenate([across, spread(height, length, side, max(side, 0.03))[1:]])
    space = TaylorHood(around_cylinder(along, across, (0.0, height, 0.0, height), centre, radius))
    y = space.nodes[:, 1]
    inflow = 4 * 1.5 * y * (height - y) / height**2
    dt = COURANT * (math.pi * 2 * radius / (4 * resolution) / 2) / (1.5 * 1.4)
    return _assemble(space, centre, radius, np.where(space.nodes[:, 0] < 1e-9, inflow, 0.0), length, 1e-3, dt,
                     rise=0.5, name="DFG 2D-2", speed=1.0)  # fmt: skip


def open_cylinder(
    reynolds: float = 100.0,
    resolution: int = 16,
    *,
    upstream: float = 12.0,
    side: float = 12.0,
    downstream: float = 20.0,
) -> Cylinder:
    """A cylinder of diameter 1 in a uniform stream of speed 1.

    Parameters
    ----------
    reynolds : float
        1 / nu, positive.
    resolution : int
        Elements along a side of the box of 4 x 4 diameters round the cylinder, at least 8.
    upstream, side, downstream : float
        From the centre to the inflow, to either side and to the outflow, above 3. The blockage is 1 / (2 side).

    Returns
    -------
    Cylinder
        The uniform stream is given at the inflow and on both sides; the outflow is open.

    Raises
    ------
    ValueError
        For a Reynolds number that is not positive, a resolution below 8 or a boundary closer than 3 diameters.
    ImportError
        Without dolfinx.

    Notes
    -----
    Unstable above Re = 47; the vortex street's Strouhal number is near 0.136 at Re = 60 and 0.164 at Re = 100 in an
    unbounded stream.

    References
    ----------
    C. H. K. Williamson, Phys. Fluids 31 (1988) 2742-2744.

    Examples
    --------
    >>> case = open_cylinder(60.0, 8, downstream=8.0)
    >>> case.reynolds, bool(np.all(case.profile[:, 1] == 0))
    (60.0, True)
    """
    _check_resolution(resolution)
    if not (reynolds > 0 and math.isfinite(reynolds)):
        raise ValueError(f"reynolds = {reynolds}: expected a positive number")
    for name, value in (("upstream", upstream), ("side", side), ("downstream", downstream)):
        if not value > 3:
            raise ValueError(f"{name} = {value}: expected more than 3 diameters from the cylinder")
    box = np.linspace(-2.0, 2.0, resolution + 1)
    h = 4 / resolution
    far, wake = max(h, 2.5), max(h, 0.75)
    left, above = spread(2.0, upstream, h, far)[1:], spread(2.0, side, h, far)[1:]
    along = np.concatenate([-left[::-1], box, spread(2.0, downstream, h, wake)[1:]])
    across = np.concatenate([-above[::-1], box, above])
    space = TaylorHood(around_cylinder(along, across, (-2.0, 2.0, -2.0, 2.0), (0.0, 0.0), 0.5))
    stream = np.where(np.hypot(*space.nodes.T) < 0.5 + 1e-9, 0.0, 1.0)
    dt = COURANT * (math.pi / (4 * resolution) / 2) / 1.4
    return _assemble(space, (0.0, 0.0), 0.5, stream, downstream, 1 / reynolds, dt, rise=5.0,
                     name=f"open domain, Re {reynolds:g}", speed=1.0)  # fmt: skip


def _check_resolution(resolution: int) -> None:
    if not isinstance(resolution, int | np.integer) or resolution < 8:
        raise ValueError(f"resolution = {resolution!r}: expected an integer of at least 8 elements")


def _assemble(
    space: TaylorHood, centre: tuple[float, float], radius: float, inflow: Values, length: float, viscosity: float,
    dt: float, *, rise: float, name: str, speed: float,
) -> Cylinder:  # fmt: skip
    """Find the parts of the boundary: all but the inside of the outflow is given."""
    x, y = space.nodes.T
    edge = space.boundary()
    margin = 1e-9 * length
    lowest, highest = y[edge].min() + margin, y[edge].max() - margin
    leaving = edge[(x[edge] > length - margin) & (y[edge] > lowest) & (y[edge] < highest)]
    fixed = np.setdiff1d(edge, leaving)
    distance = np.hypot(x[fixed] - centre[0], y[fixed] - centre[1])
    profile = np.stack([inflow[fixed], np.zeros(len(fixed))], axis=1)
    front, back = (
        int(np.argmin(np.hypot(space.vertices[:, 0] - centre[0] - sign * radius, space.vertices[:, 1] - centre[1])))
        for sign in (-1, 1)
    )
    outlet = np.flatnonzero(space.vertices[:, 0] > length - margin)
    return Cylinder(space, viscosity, fixed, profile, outlet, fixed[distance < radius + margin], (front, back),
                    2 * radius, speed, dt, rise, name)  # fmt: skip
