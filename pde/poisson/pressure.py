"""The pressure solve of incompressible flow: fluid, solid and air cells on a staggered grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.poisson.boundary import Boundary, Line, make_grid
from conjugo.pde.poisson.faces import assemble_stencil, face_conductances, plane
from conjugo.pde.poisson.masks import CELLS, Cell
from conjugo.pde.poisson.right_hand_side import compatible, given
from conjugo.pde.problem import LinearProblem

type Values = NDArray[np.float64]
type Cells = NDArray[np.integer]


def pressure(
    cells: Cells | str,
    shape: Sequence[int] | None = None,
    *,
    bc: Boundary = "neumann",
    lengths: float | Sequence[float] = 1.0,
    rhs: Values | None = None,
    seed: int = 0,
) -> LinearProblem:
    """Build the Poisson problem whose solution makes a velocity field free of divergence.

    Parameters
    ----------
    cells : grid-shaped int array or str
        `Cell` codes: 0 fluid, 1 solid, 2 air; or a name in `masks.CELLS` ("enclosed", "tank", "dam_break", "porous",
        "slabs").
    shape : sequence of int, optional
        Cells per axis, for a name.
    bc : str or sequence
        What surrounds the box: "neumann" is a solid wall, "dirichlet" is air, "periodic" closes the axis. As for
        `poisson`.
    lengths : float or sequence of float
        Side lengths of the box.
    rhs : grid-shaped array, optional
        Right-hand side at the cells, projected so that it is compatible; by default minus the divergence of a seeded
        random velocity that vanishes on solid faces.
    seed : int
        Seed of the velocity.

    Returns
    -------
    LinearProblem
        A is a VariableStencil with the fluid cells active: -laplace p = -div v.

    Raises
    ------
    ValueError
        For unknown codes or names, and for domains without any fluid cell that has a neighbour.

    Notes
    -----
    Neumann at solids (no coupling), p = 0 in the centre of an air cell (coupling removed, 1 / h^2 stays on the
    diagonal), which is first order for a surface between the cells; air outside the box is half a cell away. Every
    connected region of fluid that touches no air is singular and declares its own null vector. A fluid cell walled in
    on all sides has an empty row; it counts as solid.

    References
    ----------
    R. Bridson, *Fluid Simulation for Computer Graphics*, 2nd ed. (2015), section 5.3.

    Examples
    --------
    >>> import numpy as np
    >>> problem = pressure("tank", (32, 32))
    >>> problem.nullspace is None
    True
    >>> problem = pressure(np.zeros((8, 8), dtype=int))  # all fluid, solid walls
    >>> problem.nullspace.shape, bool(abs(problem.b.sum()) < 1e-10)
    ((64, 1), True)
    """
    codes = _codes(cells, shape)
    grid, lines = make_grid(codes.shape, bc=bc, centring="cell", lengths=lengths)
    codes = _without_lone_cells(codes, [line.periodic for line in lines], [line.ends for line in lines])
    fluid, solid = codes == Cell.FLUID, codes == Cell.SOLID
    if not fluid.any():
        raise ValueError("cells have no fluid cell with a neighbour: expected 0 for fluid, 1 for solid, 2 for air")
    conductances = open_faces(fluid, solid, lines)
    A, _ = assemble_stencil(conductances, lines, active=fluid)
    if rhs is None:
        v = random_velocity(conductances, [line.periodic for line in lines], seed)
        b = -divergence(v, grid.spacing)
    else:
        b = given(rhs, grid.shape)
    name = "pressure " + "x".join(str(n) for n in grid.shape) + (f" {cells}" if isinstance(cells, str) else "")
    return LinearProblem(A, compatible(b, A), None, grid, name)


def open_faces(fluid: NDArray[np.bool_], solid: NDArray[np.bool_], lines: Sequence[Line]) -> list[Values]:
    """Return the conductance of every face that fluid crosses, and zero of all others.

    Parameters
    ----------
    fluid, solid : grid-shaped bool arrays
        Where there is fluid, and where there is solid; the rest is air.
    lines : sequence of Line
        The axes.

    Returns
    -------
    list of arrays
        1 / (h d) on the faces across each axis (1 / length^2), d the distance between the pressures on its two sides.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> lines = make_grid((3,), bc="neumann", centring="cell", lengths=3.0)[1]
    >>> open_faces(np.array([True, True, False]), np.array([False, False, True]), lines)[0].tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    conductances = face_conductances(1.0, lines, (1.0,) * len(lines))
    for axis, (c, line) in enumerate(zip(conductances, lines, strict=True)):
        below, above = _neighbours(fluid, axis, line.periodic)
        c[~(below | above)] = 0.0
        below, above = _neighbours(solid, axis, line.periodic)
        c[below | above] = 0.0
    return conductances


def random_velocity(conductances: Sequence[Values], periodic: Sequence[bool], seed: int) -> list[Values]:
    """Draw a staggered velocity: normal numbers on the faces that fluid may cross, zero on solid faces and beyond.

    Parameters
    ----------
    conductances : sequence of arrays
        One number a face; zero where nothing flows.
    periodic : sequence of bool
        Whether the first and the last faces across an axis are the same.
    seed : int
        Seed.

    Returns
    -------
    list of arrays
        Velocity components on the faces across each axis, shaped as the conductances (length over time).

    Examples
    --------
    >>> random_velocity([np.array([0.0, 1.0, 0.0])], [False], seed=0)[0][[0, 2]]
    array([0., 0.])
    """
    rng = np.random.default_rng(seed)
    velocity = []
    for axis, (c, closes) in enumerate(zip(conductances, periodic, strict=True)):
        v = np.where(c > 0, rng.standard_normal(c.shape), 0.0)
        if closes:
            plane(v, axis, -1)[...] = plane(v, axis, 0)
        velocity.append(v)
    return velocity


def divergence(velocity: Sequence[Values], spacing: Sequence[float]) -> Values:
    """Return the divergence of a staggered velocity in every cell: sum_a (v_high - v_low) / h_a.

    Parameters
    ----------
    velocity : sequence of arrays
        Components on the n + 1 faces across each axis.
    spacing : sequence of float
        Cell sizes.

    Returns
    -------
    grid-shaped array
        One over time.

    Examples
    --------
    >>> import numpy as np
    >>> divergence([np.array([0.0, 1.0, 1.0])], [0.5])
    array([2., 0.])
    """
    return np.asarray(sum(np.diff(v, axis=axis) / h for axis, (v, h) in enumerate(zip(velocity, spacing, strict=True))))


def _codes(cells: Cells | str, shape: Sequence[int] | None) -> NDArray[np.int8]:
    """Check or make the cells."""
    if isinstance(cells, str):
        if cells not in CELLS:
            raise ValueError(f"cells = {cells!r}: expected one of {', '.join(CELLS)}, or an int array")
        if shape is None:
            raise ValueError(f"cells = {cells!r} needs shape=, the number of cells an axis")
        return CELLS[cells](shape)
    codes = np.asarray(cells)
    if codes.ndim not in (1, 2, 3) or codes.dtype.kind not in "iu":
        raise ValueError(f"cells have {codes.ndim} axes and type {codes.dtype}: expected 1 to 3 axes of integers")
    if not np.isin(codes, [cell.value for cell in Cell]).all():
        raise ValueError(f"cells hold the codes {np.unique(codes)[:8].tolist()}: expected 0 fluid, 1 solid, 2 air")
    return codes.astype(np.int8)


def _neighbours(flag: NDArray[np.bool_], axis: int, periodic: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The flag below and above every face; False beyond a wall."""
    first, last = np.take(flag, [0], axis), np.take(flag, [-1], axis)
    low = last if periodic else np.zeros_like(first)
    high = first if periodic else np.zeros_like(first)
    return np.concatenate([low, flag], axis), np.concatenate([flag, high], axis)


def _without_lone_cells(
    codes: NDArray[np.int8], periodic: Sequence[bool], ends: Sequence[tuple[str, str]]
) -> NDArray[np.int8]:
    """Turn fluid cells whose neighbours are all solid into solid."""
    open_to = np.zeros(codes.shape, dtype=bool)
    for axis, closes in enumerate(periodic):
        below, above = _neighbours(codes != Cell.SOLID, axis, closes)
        for side, faces in ((0, below), (-1, above)):
            if ends[axis][side] == "dirichlet":
                plane(faces, axis, side)[...] = True
        open_to |= np.split(below, [-1], axis)[0] | np.split(above, [1], axis)[1]
    return np.where((codes == Cell.FLUID) & ~open_to, np.int8(Cell.SOLID), codes)
