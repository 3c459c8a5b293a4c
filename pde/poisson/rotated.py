"""Diffusion with a preferred direction that the grid does not share: bilinear and trilinear finite elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.boundary import Boundary, Line, make_grid
from conjugo.pde.poisson.exact_solutions import product_solution
from conjugo.pde.poisson.faces import volumes
from conjugo.pde.poisson.right_hand_side import compatible, given, sampled
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.multigrid.parity import directions
from conjugo.solvers.operators.compact import CompactStencil

type Values = NDArray[np.float64]
type Field = float | Values | Callable[..., Any]

_MASS = np.array([[2.0, 1.0], [1.0, 2.0]]) / 6
_MIXED = np.array([[-0.5, -0.5], [0.5, 0.5]])
_STIFF = np.array([[1.0, -1.0], [-1.0, 1.0]])


def rotated(
    shape: Sequence[int] | int,
    *,
    angle: Field = 0.5,
    ratio: Field = 100.0,
    tilt: Field = 0.0,
    bc: Boundary = "dirichlet",
    lengths: float | Sequence[float] = 1.0,
    rhs: Literal["white", "smooth", "discrete"] | Values = "white",
    seed: int = 0,
) -> LinearProblem:
    """Discretise -div(K grad u) = f where K conducts along one direction and `ratio` times less across it.

    Parameters
    ----------
    shape : sequence of int
        Unknowns per axis; two or three axes.
    angle, tilt : float, array or callable
        Direction t = (cos tilt cos angle, cos tilt sin angle, sin tilt) in radians; tilt counts in 3-D only. A field is
        a function of the coordinates (arrays that broadcast), or one value an element: see `element_shape`.
    ratio : float, array or callable
        Conductivity along t over that across it, positive; 1 is isotropic.
    bc : str or sequence
        As for `poisson`: "dirichlet" (u = 0), "neumann" (no flux t . K grad u through the wall), "periodic".
    lengths : float or sequence of float
        Side lengths of the box.
    rhs : str or grid-shaped array
        "white": seeded normal numbers, b itself. "smooth": f is the product solution of the boundary conditions.
        "discrete": b = A u with it, so that `error` measures the solver alone. An array is f at the nodes.
    seed : int
        Seed of white noise.

    Returns
    -------
    LinearProblem
        A is a CompactStencil (nine points, 27 in 3-D), symmetric positive (semi-)definite, divided by the volume of
        an element so that it approximates -div(K grad u), rows on Neumann walls by halves, as those of `poisson`.

    Raises
    ------
    ValueError
        For one axis, fields of a wrong shape, and ratios that are not positive.

    Notes
    -----
    K = I / ratio + (1 - 1 / ratio) t t^T, in 2-D R(angle) diag(1, 1 / ratio) R(angle)^T, constant on each element; A
    sums the exact integrals of grad phi_p . K grad phi_q over elements, phi the (bi-, tri-)linear basis: each is
    positive semi-definite, so that A is, for every angle and ratio, though it is no M-matrix. Sources are lumped. The
    order is 2.

    References
    ----------
    H. Elman, D. Silvester, A. Wathen, *Finite Elements and Fast Iterative Solvers*, 2nd ed. (2014), sections 1.3, 1.5.

    Examples
    --------
    >>> problem = rotated((31, 31), angle=0.4, ratio=100.0)
    >>> type(problem.A).__name__, problem.n
    ('CompactStencil', 961)
    """
    grid, lines = make_grid(shape, bc=bc, lengths=lengths)
    if len(grid.shape) < 2:
        raise ValueError(f"shape = {shape}: expected two or three axes; one has no direction to rotate")
    K = _tensor(grid, lines, angle, tilt, ratio)
    regular = any("dirichlet" in line.ends for line in lines)
    nullspace = None if regular else np.full((grid.size, 1), grid.size**-0.5)
    A = _assemble(grid, lines, K, nullspace)
    if isinstance(rhs, str) and rhs not in ("white", "smooth", "discrete"):
        raise ValueError(f"rhs = {rhs!r}: expected 'white', 'smooth', 'discrete' or an array")
    name = f"rotated {'x'.join(map(str, grid.shape))}"
    if isinstance(rhs, str) and rhs == "white":
        b = np.random.default_rng([seed, 1]).standard_normal(grid.shape)
        return LinearProblem(A, compatible(b, A), None, grid, name)
    if isinstance(rhs, str):
        u = product_solution([line.ends for line in lines], grid.lengths)
        values = sampled(u.value(*grid.open_mesh()), grid.shape)
        if rhs == "discrete":
            return LinearProblem(A, compatible(A @ values.ravel(), A), values.ravel(), grid, name)
    else:
        values = given(rhs, grid.shape)
    return LinearProblem(A, compatible(values * volumes(lines), A), None, grid, name)


def element_shape(shape: Sequence[int], bc: Boundary = "dirichlet") -> tuple[int, ...]:
    """Return the number of elements along each axis: one more than unknowns between two Dirichlet walls.

    Examples
    --------
    >>> element_shape((31, 31)), element_shape((31, 32), ["neumann", "periodic"])
    ((32, 32), (30, 32))
    """
    return tuple(_elements(line) for line in make_grid(shape, bc=bc)[1])


def _elements(line: Line) -> int:
    """Elements along an axis."""
    return len(line) if line.periodic else len(line) - 1 + line.ends.count("dirichlet")


def _tensor(
    grid: Grid, lines: Sequence[Line], angle: Field, tilt: Field, ratio: Field
) -> dict[tuple[int, int], Values]:
    """K's entries (a, b), a <= b, on every element."""
    shape = tuple(_elements(line) for line in lines)
    starts = [0.0 if not line.periodic else line.first for line in lines]
    centres = [s + h * (np.arange(n) + 0.5) for s, h, n in zip(starts, grid.spacing, shape, strict=True)]
    x = np.meshgrid(*centres, indexing="ij", sparse=True)

    def on_elements(name: str, field: Field) -> Values:
        values = np.asarray(field(*x) if callable(field) else field, dtype=np.float64)
        if values.ndim and values.shape != shape and callable(field):
            values = np.broadcast_to(values, shape)
        if values.ndim and values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}: expected a number or one value an element, {shape}")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name} holds NaN or infinity: expected finite numbers")
        return values

    theta, phi, weak = on_elements("angle", angle), on_elements("tilt", tilt), on_elements("ratio", ratio)
    if not np.all(weak > 0):
        raise ValueError(f"ratio has minimum {weak.min()}: expected positive numbers, 1 where K is isotropic")
    weak = 1.0 / weak
    along = [np.cos(theta), np.sin(theta)]
    if len(shape) == 3:
        along = [np.cos(phi) * along[0], np.cos(phi) * along[1], np.sin(phi)]
    d = len(shape)
    return {(a, b): (weak if a == b else 0.0) + (1 - weak) * along[a] * along[b] for a in range(d) for b in range(a, d)}


def _assemble(
    grid: Grid, lines: Sequence[Line], K: dict[tuple[int, int], Values], nullspace: Values | None
) -> CompactStencil:
    """Sum the elements' matrices over the nodes, walls included, and keep the unknowns."""
    d = len(grid.shape)
    nodes = tuple(_elements(line) + (not line.periodic) for line in lines)
    ways = directions(d, True)
    values = np.zeros((1 + len(ways), *nodes))
    for p, q in product(product((0, 1), repeat=d), repeat=2):
        way = tuple(b - a for a, b in zip(p, q, strict=True))
        if way in ways or not any(way):
            entry: Any = sum(_weight(p, q, a, b, grid.spacing) * k for (a, b), k in K.items())
            _scatter(values[1 + ways.index(way) if any(way) else 0], entry, p, lines)
    kept = tuple(
        slice(line.ends[0] == "dirichlet", n - (line.ends[1] == "dirichlet"))
        for line, n in zip(lines, nodes, strict=True)
    )
    diag, *couplings = values[(slice(None), *kept)]
    for way, coupling in zip(ways, couplings, strict=True):
        for axis, (line, n) in enumerate(zip(lines, way, strict=True)):
            if n and not line.periodic:  # towards a wall where u = 0
                np.moveaxis(coupling, axis, 0)[-1 if n > 0 else 0] = 0.0
    return CompactStencil(diag, couplings, nullspace=nullspace)


def _weight(p: tuple[int, ...], q: tuple[int, ...], a: int, b: int, h: Sequence[float]) -> float:
    """Integral of d_a phi_p d_b phi_q (and b, a where they differ) over an element, divided by its volume."""

    def one(a: int, b: int) -> float:
        value = 1.0
        for axis, (i, j) in enumerate(zip(p, q, strict=True)):
            if axis == a == b:
                value *= _STIFF[i, j] / h[axis] ** 2
            elif axis == a:
                value *= _MIXED[i, j] / h[axis]
            elif axis == b:
                value *= _MIXED[j, i] / h[axis]
            else:
                value *= _MASS[i, j]
        return value

    return one(a, a) if a == b else one(a, b) + one(b, a)


def _scatter(target: Values, entry: Any, p: tuple[int, ...], lines: Sequence[Line]) -> None:
    """Add an entry of every element to its corner p."""
    shape = tuple(_elements(line) for line in lines)
    entry = np.broadcast_to(entry, shape)
    axes = tuple(axis for axis, line in enumerate(lines) if line.periodic and p[axis])
    entry = np.roll(entry, (1,) * len(axes), axes) if axes else entry
    window = tuple(
        slice(None) if line.periodic else slice(corner, corner + n)
        for line, corner, n in zip(lines, p, shape, strict=True)
    )
    target[window] += entry
