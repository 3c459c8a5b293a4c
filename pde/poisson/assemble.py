"""Poisson's equation on a box: the one call that builds a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Centring, Grid
from conjugo.pde.poisson import faces
from conjugo.pde.poisson.boundary import Boundary, Line, make_grid
from conjugo.pde.poisson.coefficients import Coefficient, resolve_coefficient
from conjugo.pde.poisson.exact_solutions import ExactSolution, product_solution, source
from conjugo.pde.poisson.masks import resolve_mask
from conjugo.pde.poisson.right_hand_side import (
    RIGHT_HAND_SIDES,
    BoundaryData,
    Data,
    compatible,
    fold_mask,
    fold_walls,
    given,
    sampled,
)
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil

type Values = NDArray[np.float64]
type Mask = NDArray[np.bool_]
type RightHandSide = Literal["white", "smooth", "exact", "discrete"] | ExactSolution | Values


def poisson(
    shape: Sequence[int] | int,
    *,
    coefficient: float | str | Coefficient | Values = 1.0,
    bc: Boundary = "dirichlet",
    centring: Centring = "vertex",
    lengths: float | Sequence[float] = 1.0,
    rhs: RightHandSide = "white",
    seed: int = 0,
    anisotropy: Sequence[float] | None = None,
    mask: str | Mask | None = None,
    mask_bc: Literal["dirichlet", "neumann"] = "dirichlet",
    shift: float = 0.0,
    contrast: float | None = None,
    boundary_value: Data = 0.0,
    boundary_flux: Data = 0.0,
) -> LinearProblem:
    """Discretise -div(a k grad u) + shift u = f on a box in one, two or three dimensions.

    Parameters
    ----------
    shape : sequence of int
        Unknowns per axis (n,), (n, m) or (n, m, l).
    coefficient : float, str, Coefficient or grid-shaped array
        k > 0: a constant, a name in `coefficients.COEFFICIENTS` ("smooth", "lognormal", "checkerboard", "inclusions",
        "channels", "two_phase", "noise"), a function with its gradient, or values at the unknowns.
    bc : str or sequence
        "dirichlet", "neumann" or "periodic" for all sides, or one entry an axis, each a kind or (low side, high side).
    centring : {"vertex", "cell"}
        Whether unknowns are grid points or cells (see Notes).
    lengths : float or sequence of float
        Side lengths of the box.
    rhs : str, ExactSolution or array
        "white": seeded normal numbers, b itself. "smooth": f = the product solution of the boundary conditions.
        "exact": manufactured from that product solution, or from the `ExactSolution` passed, walls included; needs a
        constant or differentiable k. "discrete": b = A u with it, for any k: then `error` measures the solver alone.
        An array is f at the unknowns.
    seed : int
        Seed of the coefficient and of white noise.
    anisotropy : sequence of float, optional
        Factors a > 0 of k, one an axis.
    mask : str or grid-shaped bool array, optional
        A name in `masks.MASKS`, or True where the domain is.
    mask_bc : {"dirichlet", "neumann"}
        What holds at the edge of the mask.
    shift : float
        Multiple of u: positive for a reaction, negative for Helmholtz.
    contrast : float, optional
        max k / min k of a named coefficient.
    boundary_value, boundary_flux : float or callable
        u on Dirichlet walls and the outward flux a k du/dn on Neumann walls, as functions of the coordinates.

    Returns
    -------
    LinearProblem
        A is a SeparableStencil where k is constant and there is no mask, else a symmetric VariableStencil; scaled
        as -div(a k grad u), with 1 / h^2. A singular A (no Dirichlet wall, shift 0) declares its null space, and b is
        projected on the range of A.

    Raises
    ------
    ValueError
        For input that makes no problem, naming the value, what was expected and the remedy.

    Notes
    -----
    Finite volumes, second order for smooth k: the harmonic mean of k between neighbours, and at a wall the unknown's
    own k (where k is a known function, the harmonic mean with the wall's). Vertex-centred: Dirichlet walls are grid
    points but no unknowns, Neumann walls are unknowns with half a control volume; those rows are halved (weights W), so
    that A is symmetric. Cell-centred: walls lie half a cell outside (diagonal 3 / h^2 next to a Dirichlet wall). Masks
    have staircase edges: first order on curved domains, unless the edge is where the exact solution's data are taken.

    References
    ----------
    P. Wesseling, *An Introduction to Multigrid Methods* (1992), sections 3.3-3.5 (finite volumes, harmonic means).

    Examples
    --------
    >>> problem = poisson((31, 31), rhs="exact")
    >>> type(problem.A).__name__, problem.n
    ('SeparableStencil', 961)
    >>> poisson((16, 16), coefficient="channels", contrast=1e6, bc="neumann", centring="cell").nullspace.shape
    (256, 1)
    """
    grid, lines = make_grid(shape, bc=bc, centring=centring, lengths=lengths)
    k, function = resolve_coefficient(coefficient, grid, contrast=contrast, seed=seed)
    medium = _Medium(grid, lines, k, function, _factors(anisotropy, grid), resolve_mask(mask, grid), mask_bc)
    kind = rhs if isinstance(rhs, str) else "exact" if isinstance(rhs, ExactSolution) else "given"
    data = BoundaryData.of_numbers(boundary_value, boundary_flux)
    _check(kind, data, medium, shift)

    u = rhs if isinstance(rhs, ExactSolution) else product_solution([line.ends for line in lines], grid.lengths)
    x = grid.open_mesh()
    if kind == "white":
        b = np.random.default_rng([seed, 1]).standard_normal(grid.shape)  # not the coefficient's own stream
    elif kind == "exact" and function is not None:
        data = BoundaryData.of_solution(u, function, medium.factors)
        b = sampled(source(u, x, coefficient=function, anisotropy=medium.factors, shift=shift), grid.shape)
    else:
        b = given(rhs, grid.shape) if kind == "given" else sampled(u.value(*x), grid.shape)
    if kind != "white":
        b *= faces.volumes(lines)

    A, conductances = _operator(medium, shift)
    if data is not None:
        fold_walls(b, partial(_wall_conductance, medium, conductances), lines, grid, data)
        if conductances is not None and medium.active is not None:
            fold_mask(b, conductances, lines, grid, data, medium.active)
    exact = None
    if kind in ("exact", "discrete"):
        exact = sampled(u.value(*x), grid.shape)
        if medium.active is not None:
            exact[~medium.active] = 0.0
        exact = exact.ravel()
        if kind == "discrete":
            b = np.asarray(A @ exact)
    return LinearProblem(A, compatible(b, A), exact, grid, _name(grid, coefficient, mask))


@dataclass(frozen=True, slots=True, eq=False)
class _Medium:
    """Where the unknowns are and what surrounds them: everything the operator is made of, save the shift."""

    grid: Grid
    lines: tuple[Line, ...]
    k: float | Values
    function: Coefficient | None
    factors: tuple[float, ...]
    active: Mask | None
    edge: Literal["dirichlet", "neumann"]


def _factors(anisotropy: Sequence[float] | None, grid: Grid) -> tuple[float, ...]:
    """Check the anisotropy factors."""
    d = len(grid.shape)
    factors = (1.0,) * d if anisotropy is None else tuple(float(a) for a in anisotropy)
    if len(factors) != d or not all(a > 0 and math.isfinite(a) for a in factors):
        raise ValueError(f"anisotropy = {anisotropy}: expected {d} positive factors, one an axis")
    return factors


def _check(kind: str, data: BoundaryData | None, medium: _Medium, shift: float) -> None:
    """Refuse options that are unknown or contradict each other."""
    if kind not in (*RIGHT_HAND_SIDES, "given"):
        raise ValueError(f"rhs = {kind!r}: expected one of {', '.join(RIGHT_HAND_SIDES)}, an ExactSolution or an array")
    if medium.edge not in ("dirichlet", "neumann"):
        raise ValueError(f"mask_bc = {medium.edge!r}: expected 'dirichlet' or 'neumann'")
    if not math.isfinite(shift):
        raise ValueError(f"shift = {shift}: expected a finite number")
    if kind in ("exact", "discrete") and data is not None:
        raise ValueError("boundary_value and boundary_flux must stay 0 with a manufactured rhs, which brings its own")
    if kind == "exact" and medium.function is None:
        raise ValueError("rhs = 'exact' needs a constant or differentiable coefficient: pass a Coefficient with its "
                         "gradient, or use rhs='discrete'")  # fmt: skip


def _operator(medium: _Medium, shift: float) -> tuple[SeparableStencil | VariableStencil, list[Values] | None]:
    """Build A, and the faces' conductances where it is a VariableStencil."""
    grid, lines, function = medium.grid, medium.lines, medium.function
    if isinstance(medium.k, float) and medium.active is None:
        walled = any("dirichlet" in line.ends for line in lines)
        nullspace = None if walled or shift != 0 else np.full((grid.size, 1), grid.size**-0.5)
        axes = [line.axis(medium.k * factor) for line, factor in zip(lines, medium.factors, strict=True)]
        return SeparableStencil(axes, shift, nullspace=nullspace), None
    wall_values = None if function is None else partial(grid.on_wall, function.value)
    conductances = faces.face_conductances(medium.k, lines, medium.factors, wall_values)
    if medium.active is not None:
        faces.cut(conductances, medium.k, medium.factors, lines, medium.active, medium.edge, grid.centring)
    reaction = shift * faces.volumes(lines) if shift else 0.0
    A, _ = faces.assemble_stencil(conductances, lines, reaction=reaction, active=medium.active)
    return A, conductances


def _wall_conductance(medium: _Medium, conductances: list[Values] | None, axis: int, side: int) -> Any:
    """Conductances of the faces on a wall of the box; where A is separable they were never stored."""
    if conductances is not None:
        return faces.plane(conductances[axis], axis, -side)
    area = faces.plane(faces.volumes(medium.lines, skip=axis), axis, 0)
    return medium.k * medium.factors[axis] * medium.lines[axis].conductance[-side] * area


def _name(grid: Grid, coefficient: Any, mask: Any) -> str:
    """Return a short name for tables."""
    parts = ["poisson", "x".join(str(n) for n in grid.shape)]
    if isinstance(coefficient, str):
        parts.append(coefficient)
    elif not np.isscalar(coefficient):
        parts.append("variable")
    if mask is not None:
        parts.append(mask if isinstance(mask, str) else "masked")
    return " ".join(parts)
