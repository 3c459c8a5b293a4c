"""Poisson's equation on a box: the one call that builds a problem."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
        "channels", "two_phase"), a function with its gradient, or values at the unknowns.
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
    Finite volumes, with the harmonic mean of k between neighbours and the unknown's own k at a wall:
    second order for smooth k. Vertex-centred: Dirichlet walls are grid points but no unknowns, Neumann walls are
    unknowns with half a control volume; those rows are halved (weights W), so that A is symmetric. Cell-centred: walls
    lie half a cell outside (diagonal 3 / h^2 next to a Dirichlet wall). Masks have staircase edges: first order on
    curved domains, unless the edge is where the exact solution's data are taken.

    References
    ----------
    P. Wesseling, *An Introduction to Multigrid Methods* (1992), sections 3.2-3.4 (finite volumes, harmonic means).

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
    factors = _factors(anisotropy, len(grid.shape))
    active = resolve_mask(mask, grid)
    if mask_bc not in ("dirichlet", "neumann"):
        raise ValueError(f"mask_bc = {mask_bc!r}: expected 'dirichlet' or 'neumann'")
    if not math.isfinite(shift):
        raise ValueError(f"shift = {shift}: expected a finite number")
    if isinstance(rhs, str) and rhs not in RIGHT_HAND_SIDES:
        raise ValueError(f"rhs = {rhs!r}: expected one of {', '.join(RIGHT_HAND_SIDES)}, an ExactSolution or an array")

    manufactured = isinstance(rhs, ExactSolution) or (isinstance(rhs, str) and rhs in ("exact", "discrete"))
    solution = rhs if isinstance(rhs, ExactSolution) else product_solution([line.ends for line in lines], grid.lengths)
    data = BoundaryData.of_numbers(boundary_value, boundary_flux)
    if manufactured and data is not None:
        raise ValueError("boundary_value and boundary_flux must stay 0 with a manufactured rhs, which brings its own")
    if manufactured and not (isinstance(rhs, str) and rhs == "discrete"):
        if function is None:
            raise ValueError(f"rhs = 'exact' needs a constant or differentiable coefficient, not {coefficient!r}: "
                             "pass a Coefficient with its gradient, or use rhs='discrete'")  # fmt: skip
        x = grid.open_mesh()
        f = sampled(source(solution, x, coefficient=function, anisotropy=factors, shift=shift), grid.shape)
        data = BoundaryData.of_solution(solution, function, factors)
    else:
        f = _plain(rhs, solution, grid, seed)

    A, conductances = _operator(k, function, lines, factors, grid, active, mask_bc, shift)
    if not (isinstance(rhs, str) and rhs == "white"):
        f *= faces.volumes(lines)
    if data is not None:
        _fold(f, k, lines, factors, grid, active, conductances, data)
    exact = sampled(solution.value(*grid.open_mesh()), grid.shape).ravel() if manufactured else None
    if exact is not None and active is not None:
        exact[~active.ravel()] = 0.0
    if isinstance(rhs, str) and rhs == "discrete":
        f = np.asarray(A @ exact).reshape(grid.shape)
    return LinearProblem(A, compatible(f, A), exact, grid, _name(grid, coefficient, mask))


def _factors(anisotropy: Sequence[float] | None, dimensions: int) -> tuple[float, ...]:
    """Check the anisotropy factors."""
    if anisotropy is None:
        return (1.0,) * dimensions
    factors = tuple(float(a) for a in anisotropy)
    if len(factors) != dimensions or not all(a > 0 and math.isfinite(a) for a in factors):
        raise ValueError(f"anisotropy = {anisotropy}: expected {dimensions} positive factors, one an axis")
    return factors


def _plain(rhs: Any, solution: ExactSolution, grid: Grid, seed: int) -> Values:
    """Sample f where nothing is manufactured."""
    if not isinstance(rhs, str):
        return given(rhs, grid.shape)
    if rhs == "white":
        # its own stream: the coefficient may have used the same seed
        return np.random.default_rng([seed, 1]).standard_normal(grid.shape)
    return sampled(solution.value(*grid.open_mesh()), grid.shape)


def _operator(
    k: float | Values,
    function: Coefficient | None,
    lines: Sequence[Line],
    factors: Sequence[float],
    grid: Grid,
    active: Mask | None,
    mask_bc: Literal["dirichlet", "neumann"],
    shift: float,
) -> tuple[SeparableStencil | VariableStencil, list[Values] | None]:
    """Build A, and the faces' conductances where it is a VariableStencil."""
    if isinstance(k, float) and active is None:
        n = grid.size
        walled = any("dirichlet" in line.ends for line in lines)
        nullspace = None if walled or shift != 0 else np.full((n, 1), n**-0.5)
        axes = [line.axis(k * factor) for line, factor in zip(lines, factors, strict=True)]
        return SeparableStencil(axes, shift, nullspace=nullspace), None

    def wall_values(axis: int, side: int) -> Any:
        return grid.on_wall(function.value, axis, side) if function is not None else None

    conductances = faces.face_conductances(k, lines, factors, None if function is None else wall_values)
    if active is not None:
        faces.cut(conductances, k, factors, lines, active, mask_bc, grid.centring)
    reaction = shift * faces.volumes(lines) if shift else 0.0
    A, _ = faces.assemble_stencil(conductances, lines, reaction=reaction, active=active)
    return A, conductances


def _fold(
    f: Values,
    k: float | Values,
    lines: Sequence[Line],
    factors: Sequence[float],
    grid: Grid,
    active: Mask | None,
    conductances: list[Values] | None,
    data: BoundaryData,
) -> None:
    """Add the walls' data to the right-hand side, in place."""

    def wall(axis: int, side: int) -> Any:
        if conductances is not None:
            return faces.plane(conductances[axis], axis, -side)
        area = faces.plane(faces.volumes(lines, skip=axis), axis, 0)
        return k * factors[axis] * lines[axis].conductance[-side] * area

    fold_walls(f, wall, lines, grid, data)
    if active is not None and conductances is not None:
        fold_mask(f, conductances, lines, grid, data, active)


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
