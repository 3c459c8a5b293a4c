"""Taylor-Hood elements P2/P1 on curved triangles: the matrices of incompressible flow, and what evaluates it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.fem.backend import require_dolfinx

type Values = NDArray[np.float64]

DEGREE = 6
"""Of the quadrature: exact for the convective term on straight triangles (5), and one more for curved ones."""


class Evaluation(NamedTuple):
    """Sparse matrices (points, nodes) that give a finite element function and its derivatives at points."""

    value: sp.csr_array
    dx: sp.csr_array
    dy: sp.csr_array


class TaylorHood:
    """Velocity of degree 2 and pressure of degree 1 on a mesh of triangles, on one process.

    Parameters
    ----------
    mesh : dolfinx.mesh.Mesh
        Triangles, straight or curved, with communicator COMM_SELF.
    degree : int
        Degree of the quadrature.

    Attributes
    ----------
    nodes : (n, 2) array
        Where the velocity's unknowns sit.
    vertices : (m, 2) array
        Where the pressure's unknowns sit.
    weights : (q,) array
        Of all quadrature points; `velocity` and `pressure` are the `Evaluation` there.
    mass, stiffness : (n, n) csr_array
        (u, v) and (grad u, grad v) of one component of the velocity.
    divergence : pair of (m, n) csr_array
        (q, du/dx) and (q, dv/dy).
    laplacian : (m, m) csr_array
        (grad p, grad q).

    Notes
    -----
    A matrix is a product of the evaluations, B^T W B: a time step needs no assembly, only these matrices' products.

    References
    ----------
    C. Taylor, P. Hood, Computers & Fluids 1 (1973) 73-100.

    Examples
    --------
    >>> from conjugo.pde import fem
    >>> space = TaylorHood(fem.square(4))
    >>> space.mass.shape, round(float(space.mass.sum()), 12)
    ((81, 81), 1.0)
    """

    def __init__(self, mesh: Any, *, degree: int = DEGREE) -> None:
        require_dolfinx()
        import basix
        from dolfinx.fem import functionspace

        if mesh.comm.size > 1:
            raise ValueError(f"the mesh is spread over {mesh.comm.size} processes: expected comm=MPI.COMM_SELF")
        self.mesh = mesh
        self._spaces = functionspace(mesh, ("Lagrange", 2)), functionspace(mesh, ("Lagrange", 1))
        self.nodes, self.vertices = (np.array(V.tabulate_dof_coordinates()[:, :2]) for V in self._spaces)
        points, weights = basix.make_quadrature(basix.CellType.triangle, degree)
        count = mesh.topology.index_map(2).size_local
        cells, X = np.repeat(np.arange(count), len(weights)), np.tile(points, (count, 1))
        determinant, inverse = self._jacobian(cells, X)
        self.weights: Values = np.tile(weights, count) * np.abs(determinant)
        self.velocity, self.pressure = (self._evaluation(V, cells, X, inverse) for V in self._spaces)

    @cached_property
    def mass(self) -> sp.csr_array:
        """(u, v) of one component."""
        return self._product(self.velocity.value, self.velocity.value)

    @cached_property
    def stiffness(self) -> sp.csr_array:
        """(grad u, grad v) of one component."""
        B = self.velocity
        return sp.csr_array(self._product(B.dx, B.dx) + self._product(B.dy, B.dy))

    @cached_property
    def laplacian(self) -> sp.csr_array:
        """(grad p, grad q)."""
        B = self.pressure
        return sp.csr_array(self._product(B.dx, B.dx) + self._product(B.dy, B.dy))

    @cached_property
    def divergence(self) -> tuple[sp.csr_array, sp.csr_array]:
        """(q, du/dx) and (q, dv/dy)."""
        return tuple(self._product(self.pressure.value, d) for d in (self.velocity.dx, self.velocity.dy))

    @cached_property
    def _test(self) -> sp.csr_array:
        """B^T W, which integrates values at quadrature points against the velocity's functions."""
        return sp.csr_array((self.velocity.value * self.weights[:, None]).T)

    def convection(self, u: Values) -> Values:
        """((u . grad) u, v) for velocities (n, 2)."""
        at, along, across = (B @ u for B in self.velocity)
        return np.asarray(self._test @ (at[:, :1] * along + at[:, 1:] * across))

    def convection_matrix(self, u: Values) -> sp.csr_array:
        """((u . grad) w, v) as a matrix (n, n) on one component of w."""
        at = self.velocity.value @ u
        B = self.velocity
        return sp.csr_array(self._test @ (B.dx * at[:, :1] + B.dy * at[:, 1:]))

    def reaction_matrices(self, u: Values) -> list[list[sp.csr_array]]:
        """((w . grad) u, v) as 2 x 2 matrices (n, n): row the component of v, column that of w."""
        B = self.velocity
        slopes = (B.dx @ u, B.dy @ u)
        return [[sp.csr_array(self._test @ (B.value * slopes[j][:, i : i + 1])) for j in (0, 1)] for i in (0, 1)]

    def at(self, points: Values) -> tuple[Evaluation, NDArray[np.bool_]]:
        """Evaluation of the velocity at points, and which of them lie in the mesh (rows of the others are zero).

        Parameters
        ----------
        points : (k, 2) array
            Anywhere.

        Returns
        -------
        Evaluation
            Matrices (k, n).
        (k,) bool array
            True inside.
        """
        from dolfinx import geometry

        wide = np.zeros((len(points), 3))
        wide[:, :2] = points
        tree = geometry.bb_tree(self.mesh, 2, padding=1e-10)
        near = geometry.compute_collisions_points(tree, wide)
        hits = geometry.compute_colliding_cells(self.mesh, near, wide)
        point = np.repeat(np.arange(len(points)), np.diff(np.asarray(hits.offsets)))
        cells = np.asarray(hits.array).astype(np.int64)
        X = self._pull_back(cells, points[point])
        outside = -np.minimum(X.min(axis=1), 1 - X.sum(axis=1))  # dolfinx takes the convex hull of a curved cell
        order = np.lexsort((outside, point))
        _, first = np.unique(point[order], return_index=True)
        best = order[first][outside[order[first]] < 1e-8]
        inside = np.zeros(len(points), dtype=bool)
        inside[point[best]] = True
        cells, X = cells[best], X[best]
        _, inverse = self._jacobian(cells, X)
        found = self._evaluation(self._spaces[0], cells, X, inverse)
        select = sp.csr_array((np.ones(len(cells)), (np.flatnonzero(inside), np.arange(len(cells)))),
                              shape=(len(points), len(cells)))  # fmt: skip
        return Evaluation(*(sp.csr_array(select @ part) for part in found)), inside

    def boundary(self, V: int = 0) -> NDArray[np.int64]:
        """Unknowns on the edge of the mesh: of the velocity (0) or of the pressure (1)."""
        from dolfinx.fem import locate_dofs_topological
        from dolfinx.mesh import exterior_facet_indices

        self.mesh.topology.create_connectivity(1, 2)
        found = locate_dofs_topological(self._spaces[V], 1, exterior_facet_indices(self.mesh.topology))
        return np.asarray(found, dtype=np.int64)

    def _product(self, left: sp.csr_array, right: sp.csr_array) -> sp.csr_array:
        return sp.csr_array(left.T @ sp.csr_array(right * self.weights[:, None]))

    def _geometry(self, cells: NDArray[np.int64], X: Values) -> tuple[Values, Values]:
        """Images (k, 2) of reference points X in cells, and Jacobians (k, 2, 2): row x, column X."""
        import basix

        geometry = self.mesh.geometry
        corners = geometry.x[geometry.dofmaps[0][cells], :2]
        element = basix.create_element(basix.ElementFamily.P, basix.CellType.triangle, geometry.cmaps[0].degree,
                                       basix.LagrangeVariant(geometry.cmaps[0].variant))  # fmt: skip
        table = element.tabulate(1, X)[..., 0]
        return np.einsum("kv,kva->ka", table[0], corners), np.einsum("bkv,kva->kab", table[1:], corners)

    def _jacobian(self, cells: NDArray[np.int64], X: Values) -> tuple[Values, Values]:
        J = self._geometry(cells, X)[1]
        return J[:, 0, 0] * J[:, 1, 1] - J[:, 0, 1] * J[:, 1, 0], np.linalg.inv(J)

    def _pull_back(self, cells: NDArray[np.int64], points: Values) -> Values:
        """Reference points whose images are given: Newton's method, one step on straight triangles."""
        X = np.full((len(points), 2), 1 / 3)
        for _ in range(20):
            image, J = self._geometry(cells, X)
            step = np.linalg.solve(J, (points - image)[..., None])[..., 0]
            X = X + step
            if not len(X) or np.abs(step).max() < 1e-12:
                break
        return X

    def _evaluation(self, V: Any, cells: NDArray[np.int64], X: Values, inverse: Values) -> Evaluation:
        table = V.element.basix_element.tabulate(1, X)[..., 0]
        slopes = np.einsum("bkv,kba->akv", table[1:], inverse)
        columns = np.asarray(V.dofmap.list)[cells]
        shape = (len(X), V.dofmap.index_map.size_local)
        rows = np.arange(0, columns.size + 1, columns.shape[1])
        parts = (table[0], slopes[0], slopes[1])
        made = [sp.csr_array((part.ravel(), columns.ravel(), rows), shape=shape) for part in parts]
        for part in made:
            part.sort_indices()
        return Evaluation(*made)
