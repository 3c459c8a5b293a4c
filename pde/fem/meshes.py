"""Unstructured meshes of triangles and tetrahedra, with dolfinx's own tools only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.fem.backend import require_dolfinx

type Points = NDArray[np.float64]
type Triangles = NDArray[np.int64]


def _checked(n: int, geometry_order: int = 1) -> int:
    if n < 1:
        raise ValueError(f"n = {n}: expected at least 1 element along a side")
    if geometry_order not in (1, 2, 3):
        raise ValueError(f"geometry_order = {geometry_order}: expected 1, 2 or 3")
    return int(n)


def square(n: int, *, comm: Any = None) -> Any:
    """Mesh the unit square with 2 n^2 triangles.

    Parameters
    ----------
    n : int
        Elements along a side.
    comm : MPI communicator, optional
        Over which the mesh is spread; COMM_WORLD by default.

    Returns
    -------
    dolfinx.mesh.Mesh
        The mesh.

    Raises
    ------
    ValueError
        If n < 1.
    ImportError
        Without dolfinx.

    Examples
    --------
    >>> square(4).topology.index_map(2).size_global
    32
    """
    MPI = require_dolfinx()
    from dolfinx.mesh import create_unit_square

    return create_unit_square(MPI.COMM_WORLD if comm is None else comm, _checked(n), n)


def cube(n: int, *, comm: Any = None) -> Any:
    """Mesh the unit cube with 6 n^3 tetrahedra; parameters and errors as for `square`.

    Examples
    --------
    >>> cube(2).topology.index_map(3).size_global
    48
    """
    MPI = require_dolfinx()
    from dolfinx.mesh import create_unit_cube

    return create_unit_cube(MPI.COMM_WORLD if comm is None else comm, _checked(n), n, n)


def l_shape(n: int, *, comm: Any = None) -> Any:
    """Mesh (-1, 1)^2 without its lower right quadrant with 6 n^2 triangles; parameters as for `square`.

    The interior angle at the origin is 3 pi / 2. Solutions behave like r^(2/3) there, which limits the order in L2 to
    4/3 on uniform meshes, whatever the elements.

    References
    ----------
    G. Strang, G. Fix, *An Analysis of the Finite Element Method*, 2nd ed. (2008), chapter 8 (singularities).

    Examples
    --------
    >>> l_shape(2).topology.index_map(2).size_global
    24
    """
    require_dolfinx()
    side = np.linspace(-1.0, 1.0, 2 * _checked(n) + 1)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(2 * n), np.arange(2 * n), indexing="ij"))
    kept = (i < n) | (j >= n)  # i runs along x: no cells with x > 0 and y < 0
    corner = (i * (2 * n + 1) + j)[kept]
    right, up, across = corner + 2 * n + 1, corner + 1, corner + 2 * n + 2
    cells = np.concatenate([np.stack([corner, right, across], 1), np.stack([corner, up, across], 1)])
    used, renumbered = np.unique(cells, return_inverse=True)
    return _distribute(points[used], renumbered.reshape(cells.shape), 1, comm)


def disc(n: int, *, geometry_order: int = 1, comm: Any = None) -> Any:
    """Mesh the unit disc with 6 n^2 nearly equilateral triangles.

    Parameters
    ----------
    n : int
        Rings of triangles.
    geometry_order : int
        Degree of the curved edges on the circle: 1 (a polygon), 2 or 3.
    comm : MPI communicator, optional
        Over which the mesh is spread; COMM_WORLD by default.

    Returns
    -------
    dolfinx.mesh.Mesh
        The mesh.

    Raises
    ------
    ValueError
        If n < 1 or the geometry order is not 1, 2 or 3.
    ImportError
        Without dolfinx.

    Notes
    -----
    Ring i has 6 i vertices. A polygon misses the circle by O(h^2), so that elements of any degree are of order 2 in L2
    with u = 0 on its edge; edges of the elements' degree p restore order p + 1 (isoparametric elements). Nodes inside a
    curved triangle move by (1 - l)^2 times the arc's displacement, l the barycentric coordinate of the corner inside.

    References
    ----------
    M. Lenoir, *Optimal isoparametric finite elements and error estimates for domains involving curved boundaries*,
    SIAM J. Numer. Anal. 23 (1986) 562-580, section 3.

    Examples
    --------
    >>> disc(3).topology.index_map(2).size_global
    54
    """
    require_dolfinx()
    points, cells = _rings(_checked(n, geometry_order))
    if geometry_order == 1:
        return _distribute(points, cells, 1, comm)
    nodes, elements = _curve(points, cells, geometry_order)
    return _distribute(nodes, elements, geometry_order, comm)


def _rings(n: int) -> tuple[Points, Triangles]:
    """Vertices and triangles of n rings around the origin."""
    angles = [2 * np.pi * np.arange(max(6 * i, 1)) / max(6 * i, 1) for i in range(n + 1)]
    radii = np.concatenate([np.full(len(a), i / n) for i, a in enumerate(angles)])
    points = np.stack([np.cos(np.concatenate(angles)), np.sin(np.concatenate(angles))], axis=1) * radii[:, None]
    start = np.concatenate([[0], np.cumsum([len(a) for a in angles])])

    def vertex(ring: int, place: int) -> int:
        return int(start[ring]) + (place % (6 * ring) if ring else 0)

    cells = []
    for ring in range(1, n + 1):
        for sector in range(6):
            for k in range(ring):
                outer, inner = sector * ring + k, sector * (ring - 1) + k
                cells.append((vertex(ring - 1, inner), vertex(ring, outer), vertex(ring, outer + 1)))
                if k < ring - 1:
                    cells.append((vertex(ring - 1, inner), vertex(ring, outer + 1), vertex(ring - 1, inner + 1)))
    return points, np.array(cells, dtype=np.int64)


def _curve(points: Points, cells: Triangles, order: int) -> tuple[Points, Triangles]:
    """Add the nodes of curved triangles of a degree; edges between two vertices on the circle become arcs."""
    import basix
    from basix import CellType, ElementFamily

    element = basix.create_element(ElementFamily.P, CellType.triangle, order, basix.LagrangeVariant.equispaced)
    X: Points = np.asarray(element.points, dtype=np.float64)
    barycentric = np.stack([1 - X[:, 0] - X[:, 1], X[:, 0], X[:, 1]], axis=1)
    corners = points[cells]
    nodes = np.einsum("nv,cvd->cnd", barycentric, corners)
    outside = np.abs(np.linalg.norm(corners, axis=2) - 1) < 1e-12
    angle = np.arctan2(corners[..., 1], corners[..., 0])
    for inner in range(3):
        a, b = (v for v in range(3) if v != inner)
        rim = np.flatnonzero(outside[:, a] & outside[:, b])
        share = barycentric[:, a] + barycentric[:, b]
        s = np.divide(barycentric[:, b], share, out=np.zeros_like(share), where=share > 0)
        turn = (angle[rim, b] - angle[rim, a] + np.pi) % (2 * np.pi) - np.pi
        theta = angle[rim, a, None] + s * turn[:, None]
        arc = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
        chord = corners[rim, a, None] + s[:, None] * (corners[rim, b] - corners[rim, a])[:, None]
        nodes[rim] += share[:, None] ** 2 * (arc - chord)
    flat = nodes.reshape(-1, 2)
    _, first, index = np.unique(np.round(flat, 10), axis=0, return_index=True, return_inverse=True)
    return flat[first], index.reshape(len(cells), -1)


def _distribute(points: Points, cells: Triangles, order: int, comm: Any) -> Any:
    """Hand points and triangles (all from the first process) to dolfinx."""
    MPI = require_dolfinx()
    import basix.ufl
    from dolfinx.mesh import GhostMode, create_cell_partitioner, create_mesh

    comm = MPI.COMM_WORLD if comm is None else comm
    element: Any = basix.ufl.element(
        "Lagrange", "triangle", order, basix.LagrangeVariant.equispaced, shape=(2,), dtype=np.float64
    )
    if comm.rank != 0:
        points, cells = np.empty((0, 2)), np.empty((0, cells.shape[1]), dtype=np.int64)
    make_partitioner: Any = create_cell_partitioner
    partitioner = make_partitioner(GhostMode.shared_facet, 2) if comm.size > 1 else None
    return create_mesh(comm, np.ascontiguousarray(cells), element, np.ascontiguousarray(points), partitioner)


MESHES: dict[str, Callable[..., Any]] = {"square": square, "cube": cube, "l_shape": l_shape, "disc": disc}
