"""A plume of smoke among solids: what makes the right-hand sides of real pressure solves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.evolution.advection import SCHEMES, Paths, Scheme
from conjugo.pde.evolution.bodies import Ball, Body
from conjugo.pde.evolution.confinement import confinement
from conjugo.pde.evolution.staggered import Staggered
from conjugo.pde.grid import Grid
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.masks import CELLS, Cell
from conjugo.pde.problem import LinearProblem

type Values = NDArray[np.float64]
type Cells = NDArray[np.integer]
type PressureSolve = Callable[[Any, Values, Values], Any]
"""solve(A, b, x0) returns what has `.x`, (n,): `partial(cg, rtol=1e-6)` is one."""


@dataclass(frozen=True, slots=True, eq=False)
class SmokeState:
    """The flow after one step, and the pressure solve that led to it.

    Parameters
    ----------
    step : int
        Number of the step, from 1.
    time : float
        Time at its end.
    velocity : tuple of arrays
        Components on the faces across each axis (length over time), zero on the faces of solids.
    density, temperature : grid-shaped arrays
        Of the smoke, from 0 to 1 where the source is 1; temperature above that of the surroundings. 0 in solids.
    b, guess : (n,) arrays
        Right-hand side of the pressure solve, and the first guess that the solver was given: the last pressure.
    result : SolveResult
        What the solver returned; x is the pressure times the time step over the density of air.
    """

    step: int
    time: float
    velocity: tuple[Values, ...]
    density: Values
    temperature: Values
    b: Values
    guess: Values
    result: Any


class Smoke:
    """A box of air with solids, a source of hot smoke, and gravity against the first axis.

    Parameters
    ----------
    shape : sequence of int
        Cells along each axis, the height first: (up, across) or (up, across, across).
    lengths : sequence of float, optional
        Side lengths; by default the cells are cubes and the last axis has length 1.
    cells : grid-shaped int array or str, optional
        `Cell` codes, or a name in `masks.CELLS`; by default all fluid.
    solids : sequence of Ball or Block
        Set into the cells.
    source : Ball, Block or None
        Where density and temperature are held at 1; by default a ball near the middle of the floor.
    top : {"open", "closed"}
        Whether smoke leaves through the top; a closed box has a singular pressure problem.
    sides : {"wall", "periodic"}
        What the other axes do.
    buoyancy, weight : float
        Upward acceleration for temperature 1 and downward acceleration for density 1 (length over time squared).
    strength : float
        Of vorticity confinement; 0 for none.
    scheme : {"maccormack", "semi-lagrangian"}
        How the smoke and the velocity are transported.
    dt : float, optional
        Time step; by default air at the speed sqrt(buoyancy height), which a plume
        does not quite reach, crosses 2 cells in it. Steps much longer than that show combs in strong shear.

    Attributes
    ----------
    problem : LinearProblem
        The pressure problem: A and its null space, from which solvers are set up. Its b is zero.
    staggered : Staggered
        The grid with its divergence and gradient.
    source : grid-shaped bool array
        Fluid cells of the source.
    dt : float
        The time step.

    Raises
    ------
    ValueError
        For unknown choices, numbers that make no sense, and sources without any fluid.

    Notes
    -----
    The inviscid Boussinesq equations, dv/dt + (v . grad) v = -grad p + (buoyancy T - weight s) e_up, div v = 0, with s
    and T carried along. A step moves v, s and T along v, adds the forces, and projects: A p = -div v, v -= grad p.

    References
    ----------
    R. Fedkiw, J. Stam and H. W. Jensen, "Visual simulation of smoke", SIGGRAPH (2001), equations 1, 2 and 8.

    Examples
    --------
    >>> from functools import partial
    >>> from conjugo.solvers import cg
    >>> plume = Smoke((24, 16), solids=[Ball((0.9, 0.5), 0.15)])
    >>> states = list(plume.run(partial(cg, rtol=1e-8), steps=3))
    >>> states[-1].step, states[-1].density.shape, bool(states[-1].velocity[0].max() > 0)
    (3, (24, 16), True)
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        lengths: Sequence[float] | None = None,
        cells: Cells | str | None = None,
        solids: Sequence[Body] = (),
        source: Body | Literal["floor"] | None = "floor",
        top: Literal["open", "closed"] = "open",
        sides: Literal["wall", "periodic"] = "wall",
        buoyancy: float = 1.0,
        weight: float = 0.1,
        strength: float = 0.0,
        scheme: Scheme = "maccormack",
        dt: float | None = None,
    ) -> None:
        shape = tuple(shape)
        _check_choices(shape, top, sides, scheme, buoyancy, weight, strength, dt)
        sides_of_box = tuple(n / shape[-1] for n in shape) if lengths is None else tuple(lengths)
        around = "periodic" if sides == "periodic" else "neumann"
        bc: Any = [("neumann", "dirichlet" if top == "open" else "neumann"), *[around] * (len(shape) - 1)]
        grid = make_grid(shape, bc=bc, centring="cell", lengths=sides_of_box)[0]
        self.staggered = Staggered(_cells(cells, solids, grid), bc=bc, lengths=sides_of_box)
        self.buoyancy, self.weight, self.strength, self.scheme = buoyancy, weight, strength, scheme
        self.source = self._emitting(_floor(grid) if source == "floor" else source)
        speed = math.sqrt(max(abs(buoyancy), abs(weight), 1e-12) * grid.lengths[0])
        self.dt = 2.0 * min(grid.spacing) / speed if dt is None else dt

    @property
    def problem(self) -> LinearProblem:
        """The pressure problem."""
        return self.staggered.problem

    @property
    def grid(self) -> Grid:
        """The cells."""
        return self.staggered.grid

    def run(
        self,
        solve: PressureSolve,
        *,
        steps: int | None = None,
        velocity: Sequence[Values] | None = None,
        density: Values | None = None,
        temperature: Values | None = None,
    ) -> Iterator[SmokeState]:
        """Advance the plume, one state a step.

        Parameters
        ----------
        solve : callable
            solve(A, b, x0) returns a SolveResult; b is compatible with the null space of A. What it returns is used
            as it is: a poor solve leaves its residual as divergence.
        steps : int, optional
            How many; default without end.
        velocity, density, temperature : arrays, optional
            Where it starts; default at rest, without smoke, at the temperature of the surroundings. The velocity should
            be free of divergence.

        Yields
        ------
        SmokeState

        Raises
        ------
        ValueError
            For arrays of other shapes.
        """
        mac = self.staggered
        v = self._start_velocity(velocity)
        s, T = self._start_scalar("density", density), self._start_scalar("temperature", temperature)
        p = np.zeros(self.problem.n)
        step = 0
        while steps is None or step < steps:
            step += 1
            v, s, T = self._transported(v, s, T)
            s[self.source] = T[self.source] = 1.0
            self._push(v, s, T)
            v = mac.closed(v)
            b = mac.right_hand_side(v)
            result = solve(self.problem.A, b, p)
            guess, p = p, np.asarray(result.x, dtype=np.float64)
            v = mac.projected(v, p)
            yield SmokeState(step, step * self.dt, tuple(v), s, T, b, guess, result)

    def _transported(self, v: list[Values], s: Values, T: Values) -> tuple[list[Values], Values, Values]:
        """Move velocity, density and temperature along the velocity."""
        mac = self.staggered
        wind = mac.extended(v)
        steps = [self.dt / h for h in self.grid.spacing]
        rules: dict[str, Any] = {"periodic": mac.periodic, "scheme": self.scheme}
        moved = [Paths(wind, steps, axis=axis, **rules).carry(u) for axis, u in enumerate(wind)]
        paths = Paths(wind, steps, **rules)
        scalars = [np.where(mac.fluid, paths.carry(mac.extended_scalar(q)), 0.0) for q in (s, T)]
        return moved, scalars[0], scalars[1]

    def _push(self, v: list[Values], s: Values, T: Values) -> None:
        """Add the forces of one step, in place."""
        mac = self.staggered
        v[0] += self.dt * mac.on_faces(self.buoyancy * T - self.weight * s, 0)
        if self.strength:
            for axis, force in enumerate(confinement(mac.closed(v), self.grid.spacing, self.strength)):
                v[axis] += self.dt * mac.on_faces(force, axis)

    def _emitting(self, source: Body | None) -> NDArray[np.bool_]:
        if source is None:
            return np.zeros(self.grid.shape, dtype=bool)
        where = source.inside(self.grid) & self.staggered.fluid
        if not where.any():
            raise ValueError(f"source = {source} holds no fluid cell: move it out of the solids, or make it larger")
        return where

    def _start_velocity(self, velocity: Sequence[Values] | None) -> list[Values]:
        still = self.staggered.still()
        if velocity is None:
            return still
        if [np.shape(v) for v in velocity] != [v.shape for v in still]:
            raise ValueError(f"velocity has shapes {[np.shape(v) for v in velocity]}: expected "
                             f"{[v.shape for v in still]}, the faces across each axis")  # fmt: skip
        return self.staggered.closed([np.asarray(v, dtype=np.float64) for v in velocity])

    def _start_scalar(self, name: str, values: Values | None) -> Values:
        if values is None:
            return np.zeros(self.grid.shape)
        if np.shape(values) != self.grid.shape:
            raise ValueError(f"{name} has shape {np.shape(values)}: expected {self.grid.shape}, one value a cell")
        return np.where(self.staggered.fluid, np.asarray(values, dtype=np.float64), 0.0)


def smoke(
    shape: Sequence[int], *, solve: PressureSolve, steps: int | None = None, **options: Any
) -> Iterator[SmokeState]:
    """Simulate a plume of smoke, one state a step.

    Parameters
    ----------
    shape, **options
        As for `Smoke`, which gives the operator too, for solvers that are set up beforehand.
    solve, steps
        As for `Smoke.run`.

    Returns
    -------
    iterator of SmokeState

    Examples
    --------
    >>> from functools import partial
    >>> from conjugo.solvers import cg
    >>> [state.result.converged for state in smoke((16, 12), solve=partial(cg, rtol=1e-6), steps=2)]
    [True, True]
    """
    return Smoke(shape, **options).run(solve, steps=steps)


def _floor(grid: Grid) -> Ball:
    """The source by default."""
    up, *across = grid.lengths
    radius = 0.12 * min(grid.lengths)
    return Ball((min(1.5 * radius, 0.5 * up), *(0.5 * side for side in across)), radius)


def _cells(cells: Cells | str | None, solids: Sequence[Body], grid: Grid) -> NDArray[np.int8]:
    """Cell codes from a name, an array or nothing, with the solids set in."""
    if isinstance(cells, str):
        if cells not in CELLS:
            raise ValueError(f"cells = {cells!r}: expected one of {', '.join(CELLS)}, or an int array")
        codes = CELLS[cells](grid.shape)
    else:
        codes = np.zeros(grid.shape, dtype=np.int8) if cells is None else np.array(cells)
    if codes.shape != grid.shape:
        raise ValueError(f"cells have shape {codes.shape}: expected {grid.shape}, as shape says")
    for body in solids:
        codes[body.inside(grid)] = Cell.SOLID
    return codes


def _check_choices(
    shape: tuple[int, ...],
    top: str,
    sides: str,
    scheme: str,
    buoyancy: float,
    weight: float,
    strength: float,
    dt: float | None,
) -> None:
    if len(shape) not in (2, 3):
        raise ValueError(f"shape = {shape}: expected 2 or 3 axes, the height first")
    for name, value, choices in (("top", top, ("open", "closed")), ("sides", sides, ("wall", "periodic")),
                                 ("scheme", scheme, SCHEMES)):  # fmt: skip
        if value not in choices:
            raise ValueError(f"{name} = {value!r}: expected one of {', '.join(choices)}")
    for name, number in (("buoyancy", buoyancy), ("weight", weight), ("strength", strength)):
        if not math.isfinite(number):
            raise ValueError(f"{name} = {number}: expected a finite number")
    if dt is not None and not (dt > 0 and math.isfinite(dt)):
        raise ValueError(f"dt = {dt}: expected a positive time step, or None")
