"""Meshes of curved triangles with six nodes, put together from structured blocks: channels with a cylinder, pipes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.fem.backend import require_dolfinx
from conjugo.pde.fem.meshes import _distribute

type Values = NDArray[np.float64]
type Indices = NDArray[np.int64]


def spread(start: float, end: float, first: float, last: float) -> Values:
    """Points from start to end whose spacing goes geometrically from about `first` to about `last`.

    Parameters
    ----------
    start, end : float
        Ends; end may lie below start.
    first, last : float
        Spacings wanted at the ends, positive.

    Returns
    -------
    (n + 1,) array
        With the fewest intervals that do not exceed the spacings, up to rounding.

    Raises
    ------
    ValueError
        If a spacing is not positive or the ends agree.

    Examples
    --------
    >>> spread(0.0, 3.0, 1.0, 1.0)
    array([0., 1., 2., 3.])
    >>> np.diff(spread(0.0, 7.0, 1.0, 4.0)).round(2)
    array([0.97, 1.37, 1.93, 2.73])
    """
    length = end - start
    if not (first > 0 and last > 0 and length):
        raise ValueError(f"start = {start}, end = {end}, spacings {first}, {last}: expected two ends, spacings > 0")
    slope = math.log(last / first) / (last - first) if not math.isclose(first, last) else 1 / first
    n = max(1, math.ceil(abs(length) * slope - 1e-9))
    ratio = (last / first) ** (1 / n)
    k = np.arange(n + 1)
    share = k / n if math.isclose(ratio, 1.0) else np.expm1(k * math.log(ratio)) / math.expm1(n * math.log(ratio))
    return np.asarray(start + length * share, dtype=np.float64)


def halved(points: Values) -> Values:
    """Put the middle of every interval between its ends: (n + 1,) to (2 n + 1,).

    Examples
    --------
    >>> halved(np.array([0.0, 2.0, 6.0]))
    array([0., 1., 2., 4., 6.])
    """
    fine = np.empty(2 * len(points) - 1)
    fine[::2] = points
    fine[1::2] = (points[:-1] + points[1:]) / 2
    return fine


def block(nodes: Values, keep: NDArray[np.bool_] | None = None) -> tuple[Values, Indices]:
    """Split the quadrilaterals of a structured block into two triangles of six nodes each.

    Parameters
    ----------
    nodes : (2 a + 1, 2 b + 1, 2) array
        Corners, middles of sides and middles of a x b quadrilaterals.
    keep : (a, b) bool array, optional
        Which quadrilaterals to keep.

    Returns
    -------
    points : ((2 a + 1) (2 b + 1), 2) array
        The nodes.
    cells : (triangles, 6) array
        Three corners, then the middle of the side opposite each.

    Examples
    --------
    >>> x = np.stack(np.meshgrid(np.arange(3.0), np.arange(5.0), indexing="ij"), axis=-1)
    >>> block(x)[1].shape
    (4, 6)
    """
    rows, columns = nodes.shape[0] // 2, nodes.shape[1] // 2
    number = np.arange(nodes.shape[0] * nodes.shape[1]).reshape(nodes.shape[:2])
    kept = np.ones((rows, columns), dtype=bool) if keep is None else keep
    i, j = (2 * index for index in np.nonzero(kept))

    def at(di: int, dj: int) -> Indices:
        return np.asarray(number[i + di, j + dj], dtype=np.int64)

    lower = [at(0, 0), at(2, 0), at(2, 2), at(2, 1), at(1, 1), at(1, 0)]
    upper = [at(0, 0), at(2, 2), at(0, 2), at(1, 2), at(0, 1), at(1, 1)]
    return nodes.reshape(-1, 2), np.concatenate([np.stack(lower, 1), np.stack(upper, 1)])


def join(*blocks: tuple[Values, Indices], comm: Any = None) -> Any:
    """Make one mesh of second degree from blocks whose nodes meet.

    Parameters
    ----------
    blocks : pairs (points, cells)
        From `block`; nodes closer than 1e-9 of the mesh's size are one.
    comm : MPI communicator, optional
        Over which the mesh is spread; COMM_SELF by default.

    Returns
    -------
    dolfinx.mesh.Mesh
        Curved triangles of degree 2.

    Raises
    ------
    ImportError
        Without dolfinx.

    Examples
    --------
    >>> x = np.stack(np.meshgrid(np.arange(3.0), np.arange(3.0), indexing="ij"), axis=-1)
    >>> join(block(x), block(x + [2.0, 0.0])).topology.index_map(2).size_global
    4
    """
    MPI = require_dolfinx()
    offsets = np.cumsum([0, *(len(points) for points, _ in blocks)])
    points = np.concatenate([points for points, _ in blocks])
    cells = np.concatenate([cells + offset for (_, cells), offset in zip(blocks, offsets, strict=False)])
    grain = 1e-9 * float(np.ptp(points, axis=0).max())
    _, first, index = np.unique(np.round(points / grain), axis=0, return_index=True, return_inverse=True)
    cells = index.ravel()[cells]
    used, cells = np.unique(cells, return_inverse=True)
    return _distribute(points[first][used], cells.reshape(-1, 6), 2, MPI.COMM_SELF if comm is None else comm)


def around_cylinder(
    x: Values, y: Values, box: tuple[float, float, float, float], centre: tuple[float, float], radius: float
) -> Any:
    """Mesh a rectangle with a cylinder: a tensor grid, and an O-grid between a box of it and the circle.

    Parameters
    ----------
    x, y : arrays
        Ascending lines of the tensor grid.
    box : (float, float, float, float)
        left, right, bottom, top of the box around the cylinder; each must be a line.
    centre : (float, float)
        Of the cylinder, inside the box.
    radius : float
        Of the cylinder.

    Returns
    -------
    dolfinx.mesh.Mesh
        Curved triangles of degree 2; as many sides on the circle as on the box, layers as thick as the sides are long,
        from the circle's to the box's.

    Raises
    ------
    ValueError
        If the box is not made of lines, or the cylinder does not fit in it.

    Examples
    --------
    >>> lines = np.linspace(-2.0, 2.0, 9)
    >>> mesh = around_cylinder(lines, lines, (-1.0, 1.0, -1.0, 1.0), (0.0, 0.0), 0.5)
    >>> mesh.topology.index_map(2).size_global
    160
    """
    left, right, bottom, top = box
    sides = [int(np.argmin(abs(lines - value))) for lines, value in ((x, left), (x, right), (y, bottom), (y, top))]
    found = [x[sides[0]], x[sides[1]], y[sides[2]], y[sides[3]]]
    if not np.allclose(found, box, atol=1e-12 * float(np.ptp(x))):
        raise ValueError(f"box = {box}: expected lines of the grid; the nearest are {[float(f) for f in found]}")
    room = min(centre[0] - left, right - centre[0], centre[1] - bottom, top - centre[1])
    if not 0 < radius < room:
        raise ValueError(f"radius = {radius}: expected between 0 and {room}, the distance from the centre to the box")
    fine = np.stack(np.meshgrid(halved(x), halved(y), indexing="ij"), axis=-1)
    keep = np.ones((len(x) - 1, len(y) - 1), dtype=bool)
    keep[sides[0] : sides[1], sides[2] : sides[3]] = False
    edge = fine[2 * sides[0] : 2 * sides[1] + 1, 2 * sides[2] : 2 * sides[3] + 1]
    ring = block(_ring(edge, np.asarray(centre), radius))
    return join(block(fine, keep), ring) if keep.any() else join(ring)


def _ring(box: Values, centre: Values, radius: float) -> Values:
    """Nodes of the O-grid between the circle and the edge of a box of nodes."""
    sides = (box[-1, :-1], box[:0:-1, -1], box[0, :0:-1], box[:-1, 0])  # right, top, left, bottom: round the circle
    outer = np.concatenate([*sides, box[-1:, 0]])
    corners = [0, *np.cumsum([len(side) for side in sides])]
    at_corner = np.unwrap(np.arctan2(*(outer[corners] - centre).T[::-1]))
    angle = np.interp(np.arange(len(outer)), corners, at_corner)
    inner = centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    gap = float(np.min(np.linalg.norm(outer - inner, axis=1)))
    arc, side = (
        4 * math.pi * radius / (len(outer) - 1),
        2 * float(np.max(np.linalg.norm(np.diff(outer, axis=0), axis=1))),
    )
    share = halved(spread(0.0, gap, arc, side)) / gap
    return np.asarray(inner + share[:, None, None] * (outer - inner))
