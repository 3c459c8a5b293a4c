"""Convection-diffusion: the standard non-symmetric problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Centring, Grid
from conjugo.pde.poisson.boundary import Boundary, Line, make_grid
from conjugo.pde.poisson.coefficients import constant_coefficient
from conjugo.pde.poisson.exact_solutions import ExactSolution, product_solution, source
from conjugo.pde.poisson.faces import along, plane, volumes
from conjugo.pde.poisson.right_hand_side import given, sampled
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil

type Values = NDArray[np.float64]
type Scheme = Literal["upwind", "central"]
type Velocity = Sequence[float] | Literal["recirculating"] | Callable[..., Sequence[Any]]
type Row = tuple[Values, Values, Values]


def recirculating(*x: Any) -> tuple[Any, ...]:
    """Return the divergence-free vortex v = (4 x (x - 1)(1 - 2 y), -4 y (y - 1)(1 - 2 x), 0) of the unit square.

    Parameters
    ----------
    x : arrays
        Two or three coordinates, in units of the sides.

    Returns
    -------
    tuple of arrays
        Velocity components; at most 1 in size.

    References
    ----------
    H. Elman, D. Silvester, A. Wathen, *Finite Elements and Fast Iterative Solvers*, 2nd ed. (2014), example 6.1.4
    (a recirculating wind; here on the unit square, half as fast).

    Examples
    --------
    >>> [float(v) for v in recirculating(0.5, 0.0)]
    [-1.0, 0.0]
    """
    first, second = x[0], x[1]
    v = 4 * first * (first - 1) * (1 - 2 * second), -4 * second * (second - 1) * (1 - 2 * first)
    return (*v, *(0.0 * s for s in x[2:]))


def convection_diffusion(
    shape: Sequence[int] | int,
    *,
    velocity: Velocity | None = None,
    diffusion: float = 1e-2,
    scheme: Scheme = "upwind",
    bc: Boundary = "dirichlet",
    centring: Centring = "vertex",
    lengths: float | Sequence[float] = 1.0,
    rhs: Literal["white", "smooth", "exact"] | ExactSolution | Values = "white",
    seed: int = 0,
    shift: float = 0.0,
) -> LinearProblem:
    """Discretise -eps laplace u + v . grad u + shift u = f.

    Parameters
    ----------
    shape, bc, centring, lengths, seed
        As for `poisson`; the sides of a Neumann axis have zero diffusive flux (an outflow).
    velocity : sequence of float, "recirculating" or callable
        v: constant, one number an axis, by default (1, 0.5, 0.25) as far as there are axes; a vortex (2 and 3
        dimensions); or a function of the coordinates that returns one component an axis.
    diffusion : float
        eps > 0.
    scheme : {"upwind", "central"}
        First order and always an M-matrix, or second order and one only while |v| h <= 2 eps (it then may oscillate).
    rhs : str, ExactSolution or array
        "white", "smooth" or "exact" as for `poisson`, or f at the unknowns.
    shift : float
        Multiple of u.

    Returns
    -------
    LinearProblem
        A is a SeparableStencil with lower != upper for a constant velocity, else a VariableStencil with `lower`.

    Raises
    ------
    ValueError
        For a diffusion that is not positive, unknown schemes and names, and singular problems (no Dirichlet wall).

    Notes
    -----
    v . grad u at each unknown by the difference of its two neighbours (central) or the one upstream (upwind), so that
    rows sum to the walls' share. Half a cell from a wall (cell-centred) the differences use the wall's value where it
    is; that costs an order there and none in the solution.

    Examples
    --------
    >>> problem = convection_diffusion((31, 31), diffusion=1e-3)
    >>> type(problem.A).__name__, problem.A.symmetric
    ('SeparableStencil', False)
    """
    grid, lines = make_grid(shape, bc=bc, centring=centring, lengths=lengths)
    if not (diffusion > 0 and math.isfinite(diffusion)):
        raise ValueError(f"diffusion = {diffusion}: expected a positive number; use 1e-6 for nearly pure convection")
    if scheme not in ("upwind", "central"):
        raise ValueError(f"scheme = {scheme!r}: expected 'upwind' or 'central'")
    if shift == 0 and not any("dirichlet" in line.ends for line in lines):
        raise ValueError(f"bc = {bc!r} leaves the problem singular: give a Dirichlet wall, or shift > 0")
    v, constant = _velocity(velocity, grid)
    rows = [_rows(line, scheme) for line in lines]
    weights = volumes(lines)
    if constant:
        axes = [_axis(line, diffusion, float(s), row) for line, s, row in zip(lines, v, rows, strict=True)]
        A: SeparableStencil | VariableStencil = SeparableStencil(axes, shift)
    else:
        A = _variable(lines, grid.shape, diffusion, v, rows, shift * weights)

    kind = rhs if isinstance(rhs, str) else "exact" if isinstance(rhs, ExactSolution) else "given"
    if kind not in ("white", "smooth", "exact", "given"):
        raise ValueError(f"rhs = {rhs!r}: expected 'white', 'smooth', 'exact', an ExactSolution or an array")
    u = rhs if isinstance(rhs, ExactSolution) else product_solution([line.ends for line in lines], grid.lengths)
    x, exact = grid.open_mesh(), None
    if kind == "white":
        b = np.random.default_rng([seed, 1]).standard_normal(grid.shape)
    elif kind == "exact":
        eps, one = constant_coefficient(diffusion), (1.0,) * len(lines)
        b = sampled(source(u, x, coefficient=eps, anisotropy=one, velocity=v, shift=shift), grid.shape)
        _fold(b, u, grid, lines, diffusion, v, rows)
        exact = sampled(u.value(*x), grid.shape).ravel()
    else:
        b = given(rhs, grid.shape) if kind == "given" else sampled(u.value(*x), grid.shape)
    if kind != "white":
        b *= weights
    name = f"convection {'x'.join(str(n) for n in grid.shape)} eps={diffusion:g} {scheme}"
    return LinearProblem(A, b.ravel(), exact, grid, name)


def _velocity(velocity: Velocity | None, grid: Grid) -> tuple[list[Values], bool]:
    """Velocity components at the unknowns, and whether they are constant."""
    if velocity is None:
        velocity = (1.0, 0.5, 0.25)[: len(grid.shape)]
    if isinstance(velocity, str):
        if velocity != "recirculating":
            raise ValueError(f"velocity = {velocity!r}: expected 'recirculating', numbers or a function")
        if len(grid.shape) < 2:
            raise ValueError("velocity = 'recirculating' needs 2 or 3 axes")
        return [sampled(v, grid.shape) for v in recirculating(*grid.unit_mesh())], False
    if callable(velocity):
        parts = list(velocity(*grid.open_mesh()))
    else:
        parts = list(velocity)
    if len(parts) != len(grid.shape) or not all(np.all(np.isfinite(v)) for v in parts):
        raise ValueError(f"velocity has {len(parts)} components: expected {len(grid.shape)} finite ones, one an axis")
    if callable(velocity):
        return [sampled(v, grid.shape) for v in parts], False
    return [np.asarray(float(v)) for v in parts], True


def _rows(line: Line, scheme: Scheme) -> tuple[Row, Row]:
    """Rows (lower, diag, upper) of d/dx for v > 0 and for v < 0; wall values enter through lower[0] and upper[-1].

    At a Neumann end the difference across the wall is zero.
    """
    n, h = len(line), line.spacing
    back, ahead = np.full(n, 1 / h), np.full(n, 1 / h)
    if scheme == "upwind":
        for end, side, difference in ((0, 0, back), (-1, 1, ahead)):
            difference[end] = 0.0 if line.ends[side] == "neumann" else 1.0 / line.reach[side]
        zero = np.zeros(n)
        return (-back, back, zero), (zero, -ahead, ahead)
    lower, diag, upper = -back / 2, np.zeros(n), ahead / 2
    for end, side, sign, outer in ((0, 0, -1.0, lower), (-1, 1, 1.0, upper)):
        halved = line.reach[side] == h / 2  # cell-centred: the wall is a face of the cell
        if line.ends[side] == "neumann":  # the ghost equals the mirror image
            inner = upper if side == 0 else lower
            outer[end] = 0.0
            diag[end], inner[end] = (sign / (2 * h), -sign / (2 * h)) if halved else (0.0, 0.0)
        elif halved and line.ends[side] == "dirichlet":
            diag[end], outer[end] = -sign / (2 * h), sign / h
    row = (lower, diag, upper)
    return row, row


def _axis(line: Line, diffusion: float, v: float, rows: tuple[Row, Row]) -> Axis:
    """T = -eps d^2/dx^2 + v d/dx as one tridiagonal."""
    plain = line.axis(diffusion)
    lower, diag, upper = (entry * v for entry in rows[0 if v >= 0 else 1])
    if not line.periodic:
        lower[0] = upper[-1] = 0.0
    return Axis(plain.lower + lower, plain.diag + diag, plain.upper + upper, line.weight, line.periodic)


def _variable(
    lines: Sequence[Line],
    shape: tuple[int, ...],
    diffusion: float,
    v: Sequence[Values],
    rows: Sequence[tuple[Row, Row]],
    reaction: Values,
) -> VariableStencil:
    """Assemble the stencil whose velocity changes from node to node."""
    d, weights = len(lines), volumes(lines)
    diag, lowers, uppers = reaction.copy(), [], []
    for axis, line in enumerate(lines):
        plain = line.axis(diffusion)
        parts = [np.zeros(shape) for _ in range(3)]
        for part, base, ahead, behind in zip(
            parts, (plain.lower, plain.diag, plain.upper), rows[axis][0], rows[axis][1], strict=True
        ):
            wind, against = along(ahead, axis, d), along(behind, axis, d)
            part += weights * (along(base, axis, d) + np.where(v[axis] >= 0, wind, against) * v[axis])
        if not line.periodic:
            plane(parts[0], axis, 0)[...] = plane(parts[2], axis, -1)[...] = 0.0
        lowers.append(parts[0])
        diag += parts[1]
        uppers.append(parts[2])
    return VariableStencil(diag, uppers, lowers)


def _fold(
    f: Values,
    u: ExactSolution,
    grid: Grid,
    lines: Sequence[Line],
    diffusion: float,
    v: Sequence[Values],
    rows: Sequence[tuple[Row, Row]],
) -> None:
    """Add what the walls contribute to f (before the weights), in place."""
    for axis, line in enumerate(lines):
        if line.periodic:
            continue
        speed = np.broadcast_to(v[axis], grid.shape)
        for side, outward in ((0, -1), (1, 1)):
            near, edge = plane(speed, axis, -side), plane(f, axis, -side)
            if line.ends[side] == "dirichlet":
                g = plane(grid.on_wall(u.value, axis, side), axis, 0)
                entry = [row[0][0] if side == 0 else row[2][-1] for row in rows[axis]]
                share = diffusion * line.conductance[-side] - np.where(near >= 0, entry[0], entry[1]) * near
                edge += share * g
            else:
                slope = plane(grid.on_wall(lambda *x, a=axis: u.gradient(*x)[a], axis, side), axis, 0)
                edge += outward * diffusion * slope / (line.spacing * line.weight[-side])
                # the scheme takes the slope at the wall as zero: half of a cell's, or all of a node's difference
                edge -= _wall_share(line, side, rows[axis], near) * slope * near


def _wall_share(line: Line, side: int, rows: tuple[Row, Row], near: Values) -> Values | float:
    """Which part of du/dx next to a Neumann wall the scheme takes from the wall's slope."""
    if rows[0] is rows[1]:  # central
        return 0.5 if line.reach[side] > 0 else 1.0
    inflow = near > 0 if side == 0 else near < 0  # upstream lies beyond the wall
    return np.where(inflow, 1.0, 0.0)
