"""Right-hand sides: sampled sources, boundary data folded into b, and compatibility with a null space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.boundary import Line
from conjugo.pde.poisson.coefficients import Coefficient
from conjugo.pde.poisson.exact_solutions import ExactSolution
from conjugo.pde.poisson.faces import plane, volumes
from conjugo.solvers.operators.variable import VariableStencil

type Values = NDArray[np.float64]
type Data = float | Callable[..., Any]

RIGHT_HAND_SIDES = ("white", "smooth", "exact", "discrete")


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryData:
    """What holds on the walls.

    Parameters
    ----------
    value : callable
        u(x, y, ...) on Dirichlet walls.
    flux : callable
        flux(axis, outward, x, y, ...) on Neumann walls: the outward flux a k du/dn, `outward` +1 or -1.

    Examples
    --------
    >>> wall = BoundaryData(lambda *x: 1.0, lambda axis, outward, *x: 0.0)
    >>> wall.value(0.0, 0.5)
    1.0
    """

    value: Callable[..., Any]
    flux: Callable[..., Any]

    @classmethod
    def of_solution(cls, u: ExactSolution, k: Coefficient, anisotropy: Sequence[float]) -> BoundaryData:
        """Return the data that an exact solution has on the walls."""

        def flux(axis: int, outward: int, *x: Any) -> Any:
            return outward * anisotropy[axis] * k.value(*x) * u.gradient(*x)[axis]

        return cls(u.value, flux)

    @classmethod
    def of_numbers(cls, value: Data, flux: Data) -> BoundaryData | None:
        """Return data given as numbers or functions of the coordinates; None where both are zero."""
        if not callable(value) and not callable(flux) and value == 0 and flux == 0:
            return None
        g = value if callable(value) else lambda *x: value
        q = flux if callable(flux) else lambda *x: flux
        return cls(g, lambda axis, outward, *x: q(*x))


def sampled(values: Any, shape: tuple[int, ...]) -> Values:
    """Return a writable grid-shaped copy of something that broadcasts.

    Examples
    --------
    >>> sampled(2.0, (2,))
    array([2., 2.])
    """
    return np.array(np.broadcast_to(values, shape), dtype=np.float64)


def given(rhs: Any, shape: tuple[int, ...]) -> Values:
    """Check a right-hand side that the user passed as an array, flat or grid-shaped.

    Raises
    ------
    ValueError
        For a wrong shape or values that are not finite.

    Examples
    --------
    >>> given([1, 2, 3, 4], (2, 2)).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    array = np.asarray(rhs, dtype=np.float64)
    if array.shape != shape and array.shape != (int(np.prod(shape)),):
        raise ValueError(f"rhs has shape {array.shape}: expected {shape} or its flat form, one value an unknown")
    if not np.all(np.isfinite(array)):
        raise ValueError("rhs has values that are NaN or infinite: expected finite numbers")
    return array.reshape(shape).copy()


def fold_walls(
    b: Values, wall: Callable[[int, int], Any], lines: Sequence[Line], grid: Grid, data: BoundaryData
) -> None:
    """Add what the walls of the box contribute to b, in place.

    Parameters
    ----------
    b : grid-shaped array
        Right-hand side, scaled by the control volumes.
    wall : callable
        wall(axis, side) returns the conductances of the plane of faces at a wall; side 0 is low, 1 is high.
    lines : sequence of Line
        The axes.
    grid : Grid
        Where the unknowns sit.
    data : BoundaryData
        Values and fluxes on the walls.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> grid, lines = make_grid(3, bc=("dirichlet", "neumann"), lengths=3.0)
    >>> b = np.zeros(3)
    >>> fold_walls(b, lambda axis, side: 1.0, lines, grid, BoundaryData.of_numbers(5.0, 7.0))
    >>> b
    array([5., 0., 7.])
    """
    for axis, line in enumerate(lines):
        if line.periodic:
            continue
        area = volumes(lines, skip=axis)
        for side, outward in ((0, -1), (1, 1)):
            target = plane(b, axis, -side)
            if line.ends[side] == "dirichlet":
                target += wall(axis, side) * plane(grid.on_wall(data.value, axis, side), axis, 0)
            else:
                flux = grid.on_wall(partial(data.flux, axis, outward), axis, side)
                target += plane(area, axis, -side) * plane(flux, axis, 0) / line.spacing


def fold_mask(
    b: Values,
    conductances: Sequence[Values],
    lines: Sequence[Line],
    grid: Grid,
    data: BoundaryData,
    active: NDArray[np.bool_],
) -> None:
    """Add what the edge of a mask contributes to b, in place.

    A Dirichlet value is taken where the wall is: at the inactive vertex, or on the face between two cells. A flux is
    taken on the face half-way.

    Parameters
    ----------
    b, lines, grid, data
        As for `fold_walls`.
    conductances : sequence of arrays
        All faces, after `faces.cut`.
    active : grid-shaped bool array
        True in the domain.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> grid, lines = make_grid(3, bc="neumann", centring="cell", lengths=3.0)
    >>> b, active, faces = np.zeros(3), np.array([True, True, False]), [np.array([0.0, 1.0, 2.0, 0.0])]
    >>> fold_mask(b, faces, lines, grid, BoundaryData.of_numbers(5.0, 0.0), active)
    >>> b
    array([ 0., 10.,  0.])
    """
    x = grid.mesh()
    for axis, (c, line) in enumerate(zip(conductances, lines, strict=True)):
        for side, outward in ((0, -1), (1, 1)):
            edge = active & ~np.roll(active, -outward, axis)
            if not line.periodic:
                plane(edge, axis, -side)[...] = False
            if not edge.any():
                continue
            faces = np.split(c, [1], axis)[1] if side else np.split(c, [-1], axis)[0]
            place = [s[edge] for s in x]
            reach = line.spacing * (0.5 if grid.centring == "cell" else 1.0)
            wall = [s + outward * reach if a == axis else s for a, s in enumerate(place)]
            middle = [s + outward * line.spacing / 2 if a == axis else s for a, s in enumerate(place)]
            area = volumes(lines, skip=axis)[edge]
            flux = np.where(faces[edge] == 0, area * data.flux(axis, outward, *middle) / line.spacing, 0.0)
            b[edge] += faces[edge] * data.value(*wall) + flux


def compatible(b: Values, A: VariableStencil | Any) -> Values:
    """Return b flat, zero at inactive nodes and orthogonal to A's null space.

    A symmetric singular system is solvable only for such b. Sampled sources miss it by their quadrature error (second
    order); what is subtracted is constant on every enclosed region.

    Parameters
    ----------
    b : grid-shaped array
        Right-hand side; changed where it is contiguous.
    A : operator
        With `nullspace`, and `active` if it is masked.

    Returns
    -------
    (n,) array
        The compatible right-hand side.

    Examples
    --------
    >>> A = VariableStencil(np.ones(2), [np.array([-1.0, 0.0])], nullspace=np.full((2, 1), 0.5**0.5))
    >>> compatible(np.array([3.0, 1.0]), A).round(12)
    array([ 1., -1.])
    """
    flat = b.ravel()
    active, nullspace = getattr(A, "active", None), A.nullspace
    if active is not None:
        flat[~active.ravel()] = 0.0
    if nullspace is not None:
        for _ in range(2):  # twice: the second takes away the rounding of the first
            flat -= nullspace @ (nullspace.T @ flat)
    return flat
