"""Poisson's equation by Lagrange elements of degree 1 to 3: the one call that builds a finite element problem."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from conjugo.pde.fem.backend import require_dolfinx
from conjugo.pde.fem.meshes import MESHES
from conjugo.pde.fem.problem import FemProblem

type Field = float | Callable[[Any], Any]


def poisson(
    domain: str | Any = "square",
    n: int = 16,
    *,
    order: int = 1,
    coefficient: Field = 1.0,
    exact: Callable[[Any], Any] | str | None = "default",
    source: Field | None = None,
    boundary_value: Field = 0.0,
    geometry_order: int | None = None,
    comm: Any = None,
) -> FemProblem:
    """Discretise -div(k grad u) = f with u given on the whole boundary.

    Parameters
    ----------
    domain : {"square", "cube", "l_shape", "disc"} or dolfinx mesh
        The unit square or cube, (-1, 1)^2 without a quadrant, the unit disc, or a mesh of one's own.
    n : int
        Elements along a side; rings of the disc.
    order : int
        Degree of the elements, 1, 2 or 3.
    coefficient : float or callable
        k > 0, or a function of the UFL coordinate that returns a UFL expression.
    exact : callable, "default" or None
        Exact solution as a function of the UFL coordinate; f follows by UFL's differentiation and u is taken on the
        boundary. "default" is sin(pi x) sin(pi y) ... on the box, r^(2/3) sin(2 theta / 3) on the L-shape and
        (1 - r^2) exp(x) on the disc, where u = 0 is imposed on the mesh's own edge. None: f = `source`.
    source : float or callable, optional
        f; only with exact=None, where it is 1 by default.
    boundary_value : float or callable
        u on the boundary; only with exact=None.
    geometry_order : int, optional
        Degree of the disc's curved edges; `order` by default (isoparametric).
    comm : MPI communicator, optional
        Over which the mesh is spread; COMM_WORLD by default.

    Returns
    -------
    FemProblem
        With `problem` (CSR, one process), `petsc_matrix()`, `petsc_vector()`, `V` and `error(x)`.

    Raises
    ------
    ValueError
        For unknown domains, other orders, or data that contradict each other.
    ImportError
        Without dolfinx.

    Notes
    -----
    Order p + 1 in L2 on the square, the cube and the disc (isoparametric; 2 on a polygon), 4/3 on the L-shape.
    FFCx compiles each form once and keeps it in ~/.cache/fenics.

    References
    ----------
    S. Brenner, R. Scott, *The Mathematical Theory of Finite Element Methods*, 3rd ed. (2008), theorem 5.4.8,
    and section 10.4 (isoparametric elements).

    Examples
    --------
    >>> from conjugo.pde import fem
    >>> from scipy.sparse.linalg import spsolve
    >>> case = fem.poisson("square", 8, order=2)
    >>> case.error(spsolve(case.problem.A, case.problem.b)) < 1e-3
    True
    """
    require_dolfinx()
    import ufl
    from dolfinx.fem import form, functionspace

    if order not in (1, 2, 3):
        raise ValueError(f"order = {order}: expected 1, 2 or 3")
    if not callable(coefficient) and not (coefficient > 0 and math.isfinite(coefficient)):
        raise ValueError(
            f"coefficient = {coefficient}: expected a positive number, or a function of the UFL coordinate"
        )
    if exact is not None and (source is not None or boundary_value != 0.0):
        raise ValueError("source and boundary_value follow from the exact solution: pass exact=None to give them")
    mesh, name = _mesh(domain, n, order, geometry_order, comm)
    V = functionspace(mesh, ("Lagrange", order))
    x = ufl.SpatialCoordinate(mesh)
    k = _field(coefficient, x, mesh)
    u, f, wall = None, _field(1.0 if source is None else source, x, mesh), _field(boundary_value, x, mesh)
    if isinstance(exact, str):
        u, f, wall = _default(exact, name, x, k, callable(coefficient), mesh)
    elif exact is not None:
        u = wall = exact(x)
        f = -ufl.div(k * ufl.grad(u))
    # f is no polynomial: integrate it so that quadrature does not set the order
    dx = ufl.dx(metadata={"quadrature_degree": 2 * order + 2})
    trial, test = ufl.TrialFunction(V), ufl.TestFunction(V)
    a = form(k * ufl.inner(ufl.grad(trial), ufl.grad(test)) * (dx if callable(coefficient) else ufl.dx))
    case = FemProblem(V, a, form(f * test * dx), [], u, f"fem {name} n={n} p={order}")
    case.bcs.append(_walls(case, wall))
    return case


def _mesh(domain: str | Any, n: int, order: int, geometry_order: int | None, comm: Any) -> tuple[Any, str]:
    """Build or pass on the mesh, with its name."""
    if not isinstance(domain, str):
        return domain, "mesh"
    if domain not in MESHES:
        raise ValueError(f"domain = {domain!r}: expected one of {', '.join(MESHES)}, or a dolfinx mesh")
    if domain == "disc":
        return MESHES[domain](n, geometry_order=geometry_order or order, comm=comm), domain
    if geometry_order not in (None, 1):
        raise ValueError(f"geometry_order = {geometry_order}: {domain!r} has straight edges; only 'disc' is curved")
    return MESHES[domain](n, comm=comm), domain


def _field(value: Field, x: Any, mesh: Any) -> Any:
    """Return a UFL expression; a number becomes a Constant, so that another value compiles nothing."""
    from dolfinx.fem import Constant

    return value(x) if callable(value) else Constant(mesh, float(value))


def _default(exact: str, name: str, x: Any, k: Any, varies: bool, mesh: Any) -> tuple[Any, Any, Any]:
    """Return the default exact solution of a domain, its source and its boundary values."""
    import ufl

    if exact != "default":
        raise ValueError(f"exact = {exact!r}: expected 'default', a function of the UFL coordinate, or None")
    zero = _field(0.0, x, mesh)
    if name == "l_shape":
        # the angle from the bisector of the domain: the branch cut lies in the quadrant that is missing
        half = math.sqrt(0.5)
        along, across = half * (x[1] - x[0]), -half * (x[0] + x[1])
        u = (x[0] ** 2 + x[1] ** 2) ** (1 / 3) * ufl.sin(2 / 3 * (ufl.atan2(across, along) + 0.75 * math.pi))
        return u, -ufl.inner(ufl.grad(k), ufl.grad(u)) if varies else zero, u  # u is harmonic
    if name == "disc":
        u = (1 - x[0] ** 2 - x[1] ** 2) * ufl.exp(x[0])
    else:
        u = math.prod((ufl.sin(math.pi * s) for s in x), start=1)
    return u, -ufl.div(k * ufl.grad(u)), u if name == "mesh" else zero


def _walls(case: FemProblem, value: Any) -> Any:
    """Dirichlet condition on every outer facet."""
    from dolfinx.fem import dirichletbc, locate_dofs_topological
    from dolfinx.mesh import exterior_facet_indices

    topology = case.V.mesh.topology
    topology.create_connectivity(topology.dim - 1, topology.dim)
    dofs = locate_dofs_topological(case.V, topology.dim - 1, exterior_facet_indices(topology))
    return dirichletbc(case.interpolate(value), dofs)
