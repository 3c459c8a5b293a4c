"""From coefficients at the unknowns to a stencil: finite volumes, one conductance a face.

The flux through the face between unknowns i and j is c (u_i - u_j), with c = k_face / (h d), d the distance between
what the face separates and k_face the harmonic mean of its two neighbours' k. A wall face has its unknown's k, or,
where k is a known function, the harmonic mean of that and the wall's. Summing the fluxes out of every control volume
gives a symmetric M-matrix whatever k is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.grid import Centring
from conjugo.pde.poisson.boundary import Line
from conjugo.solvers.operators.variable import VariableStencil

type Values = NDArray[np.float64]

NULLSPACE_BYTES = 2**30


def along(values: Values, axis: int, dimensions: int) -> Values:
    """Shape a 1-D array so that it broadcasts along `axis`.

    Examples
    --------
    >>> along(np.ones(3), 1, 3).shape
    (1, 3, 1)
    """
    return values.reshape([-1 if a == axis else 1 for a in range(dimensions)])


def plane(array: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """View one plane across `axis`, writable.

    Examples
    --------
    >>> plane(np.arange(6).reshape(2, 3), 1, -1)
    array([2, 5])
    """
    place: tuple[Any, ...] = (*(slice(None),) * axis, index, ...)  # the dots keep a view in one dimension too
    view: NDArray[Any] = array[place]
    return view


def volumes(lines: Sequence[Line], skip: int | None = None) -> Values:
    """Return the product of the axes' control volumes (over h^d) at every node.

    Parameters
    ----------
    lines : sequence of Line
        The axes.
    skip : int, optional
        Leave this axis out: the area of the faces across it.

    Returns
    -------
    grid-shaped array
        1 inside, 1/2 on a vertex-centred Neumann wall, 1/4 where two meet.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_grid
    >>> volumes(make_grid((2, 3), bc="neumann")[1])
    array([[0.25, 0.5 , 0.25],
           [0.25, 0.5 , 0.25]])
    """
    weights = [np.ones(len(line)) if axis == skip else line.weight for axis, line in enumerate(lines)]
    return reduce(np.multiply.outer, weights)


def face_conductances(
    k: float | Values,
    lines: Sequence[Line],
    anisotropy: Sequence[float],
    wall_values: Callable[[int, int], Any] | None = None,
) -> list[Values]:
    """Compute the conductances of all faces, across every axis.

    Parameters
    ----------
    k : float or grid-shaped array
        Coefficient at the unknowns.
    lines : sequence of Line
        The axes.
    anisotropy : sequence of float
        Factor of the coefficient for each axis.
    wall_values : callable, optional
        wall_values(axis, side) returns k on a wall of the box, shaped like one layer of the grid (side 0 low, 1 high).

    Returns
    -------
    list of arrays
        For axis a, an array with one more entry than the grid along a: entry j belongs to the face below unknown j, the
        last one to the upper wall (on a periodic axis the first and the last are the same face). They carry the face's
        area, so that the rows of the operator are scaled by the control volume over h^d.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_line
    >>> line = make_line(3, 1.0, ("dirichlet", "neumann"), "cell")
    >>> face_conductances(np.array([1.0, 1.0, 3.0]), [line], [1.0])[0] / 9
    array([2. , 1. , 1.5, 0. ])
    """
    values = np.broadcast_to(np.asarray(k, dtype=np.float64), tuple(len(line) for line in lines))
    result = []
    for axis, (line, factor) in enumerate(zip(lines, anisotropy, strict=True)):
        nodes = np.moveaxis(values, axis, 0)
        faces = np.empty((len(line) + 1, *nodes.shape[1:]))
        low, high = nodes[:-1], nodes[1:]
        faces[1:-1] = 2.0 / (1.0 / low + 1.0 / high)  # no product low * high, which may overflow
        faces[0], faces[-1] = nodes[0], nodes[-1]
        if line.periodic:
            faces[0] = faces[-1] = 2.0 / (1.0 / nodes[0] + 1.0 / nodes[-1])
        elif wall_values is not None:
            for side in (0, 1):
                wall = plane(wall_values(axis, side), axis, 0)
                faces[-side] = 2.0 / (1.0 / nodes[-side] + 1.0 / wall)
        faces *= factor * along(line.conductance, 0, faces.ndim)
        faces = np.moveaxis(faces, 0, axis)
        faces *= _areas(lines, axis)
        result.append(np.ascontiguousarray(faces))
    return result


def _areas(lines: Sequence[Line], axis: int) -> Values:
    """Areas of the faces across an axis (over h^(d - 1)), to broadcast along it."""
    return reduce(np.multiply.outer, [np.ones(1) if a == axis else line.weight for a, line in enumerate(lines)])


def cut(
    conductances: Sequence[Values],
    k: float | Values,
    anisotropy: Sequence[float],
    lines: Sequence[Line],
    active: NDArray[np.bool_],
    edge: Literal["dirichlet", "neumann"],
    centring: Centring,
) -> None:
    """Close the faces of a mask, in place.

    Faces with an inactive node on both sides vanish. Where one side is active, the conductance becomes that of a wall:
    h away (vertex) or h / 2 away (cell) with the active node's k for a Dirichlet edge, 0 for a Neumann edge.

    Parameters
    ----------
    conductances : sequence of arrays
        As from `face_conductances`; changed.
    k, anisotropy, lines
        What they were made from.
    active : grid-shaped bool array
        True in the domain.
    edge : {"dirichlet", "neumann"}
        What holds at the edge of the mask.
    centring : {"vertex", "cell"}
        Where the unknowns are.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_line
    >>> lines, faces = [make_line(4, 4.0, ("neumann", "neumann"), "cell")], [np.array([0.0, 1.0, 1.0, 1.0, 0.0])]
    >>> cut(faces, 1.0, [1.0], lines, np.array([True, True, False, False]), "dirichlet", "cell")
    >>> faces[0]
    array([0., 1., 2., 0., 0.])
    """
    values = np.broadcast_to(np.asarray(k, dtype=np.float64), active.shape)
    for axis, (c, line) in enumerate(zip(conductances, lines, strict=True)):
        below, above, first, second = _sides(active, values, axis, line.periodic)
        wall = 0.0 if edge == "neumann" else anisotropy[axis] / line.spacing**2 * (2.0 if centring == "cell" else 1.0)
        inner = np.ones(c.shape, dtype=bool)
        if not line.periodic:
            plane(inner, axis, 0)[...] = plane(inner, axis, -1)[...] = False
        one = inner & (below ^ above)
        c[one] = (wall * np.where(below, first, second) * _areas(lines, axis))[one]
        c[~(below | above)] = 0.0


def _sides(
    active: NDArray[np.bool_], values: Values, axis: int, periodic: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Values, Values]:
    """Active flags and values below and above each face; walls see no neighbour unless the axis is periodic."""

    def shifted(array: NDArray[Any], filler: float, up: bool) -> NDArray[Any]:
        end = np.take(array, [-1 if up else 0], axis) if periodic else np.full_like(np.take(array, [0], axis), filler)
        return np.concatenate([end, array] if up else [array, end], axis)

    below, above = shifted(active, False, True), shifted(active, False, False)
    first, second = shifted(values, 1.0, True), shifted(values, 1.0, False)
    return below, above, first, second


def assemble_stencil(
    conductances: Sequence[Values],
    lines: Sequence[Line],
    *,
    reaction: float | Values = 0.0,
    active: NDArray[np.bool_] | None = None,
) -> tuple[VariableStencil, Values]:
    """Assemble the operator from its faces.

    Parameters
    ----------
    conductances : sequence of arrays
        As from `face_conductances`; a face between an active and an inactive node is a wall.
    lines : sequence of Line
        The axes.
    reaction : float or grid-shaped array
        Added to the diagonal of active nodes.
    active : grid-shaped bool array, optional
        Unknowns.

    Returns
    -------
    stencil : VariableStencil
        The symmetric operator; singular ones declare their null space.
    walls : grid-shaped array
        What the walls add to each diagonal entry.

    Examples
    --------
    >>> from conjugo.pde.poisson.boundary import make_line
    >>> line = make_line(3, 3.0, ("dirichlet", "neumann"), "cell")
    >>> A, walls = assemble_stencil(face_conductances(1.0, [line], [1.0]), [line])
    >>> A.diag, walls
    (array([3., 2., 1.]), array([2., 0., 0.]))
    """
    shape = tuple(len(line) for line in lines)
    diag, coupled, upper = np.zeros(shape), np.zeros(shape), []
    for axis, (c, line) in enumerate(zip(conductances, lines, strict=True)):
        low, high = np.split(c, [-1], axis)[0], np.split(c, [1], axis)[1]
        diag += low
        diag += high
        link = high.copy()
        if not line.periodic:
            plane(link, axis, -1)[...] = 0.0
        if active is not None:
            link[~(active & np.roll(active, -1, axis))] = 0.0
        coupled += link
        coupled += np.roll(link, 1, axis)
        upper.append(-link)
    walls = diag - coupled
    walls[np.abs(walls) <= 1e-12 * diag] = 0.0  # rounding of the subtraction
    diag += reaction
    if active is not None:
        diag[~active], walls[~active] = 1.0, 0.0
    stencil = VariableStencil(diag, upper, active=active)
    if np.all(np.asarray(reaction) == 0):
        nullspace = null_space(stencil, walls)
        if nullspace is not None:
            stencil = VariableStencil(diag, upper, active=active, nullspace=nullspace)
    return stencil, walls


def null_space(A: VariableStencil, walls: Values) -> Values | None:
    """Find one orthonormal null vector for each connected set of unknowns that touches no Dirichlet wall.

    Parameters
    ----------
    A : VariableStencil
        A symmetric operator whose rows sum to `walls`.
    walls : grid-shaped array
        Nonzero where a Dirichlet wall is coupled.

    Returns
    -------
    (n, k) array or None
        None where A is regular.

    Raises
    ------
    ValueError
        If there are so many enclosed sets that their null vectors would fill the memory.

    Examples
    --------
    >>> A = VariableStencil(np.array([1.0, 1.0]), [np.array([-1.0, 0.0])])
    >>> null_space(A, np.zeros(2))[:, 0] * 2**0.5
    array([1., 1.])
    """
    n = A.shape[0]
    if A.active is None:  # a box is connected
        return None if np.any(walls) else np.full((n, 1), n**-0.5)
    number, label = sp.csgraph.connected_components(A.tocsr(), directed=False)
    held = np.bincount(label, weights=walls.ravel(), minlength=number) > 0
    held[label[~A.active.ravel()]] = True
    floating = np.flatnonzero(~held)
    if len(floating) == 0:
        return None
    if len(floating) * n * 8 > NULLSPACE_BYTES:
        raise ValueError(f"{len(floating)} enclosed regions without a Dirichlet wall among {n} nodes: expected fewer; "
                         "fill small pockets (mask them) first")  # fmt: skip
    vectors = np.zeros((n, len(floating)))
    for column, component in enumerate(floating):
        member = label == component
        vectors[member, column] = np.count_nonzero(member) ** -0.5
    return vectors
