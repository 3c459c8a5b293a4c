"""A staggered (MAC) grid among solids: divergence, gradient, and the pressure problem that joins them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.boundary import Boundary, make_grid
from conjugo.pde.poisson.faces import plane
from conjugo.pde.poisson.masks import Cell
from conjugo.pde.poisson.pressure import divergence, open_faces, pressure
from conjugo.pde.poisson.right_hand_side import compatible
from conjugo.pde.problem import LinearProblem

type Values = NDArray[np.float64]
type Mask = NDArray[np.bool_]


class Staggered:
    """Pressures and scalars in the cells, velocity components on the faces across their axis.

    Parameters
    ----------
    cells : grid-shaped int array
        `Cell` codes: 0 fluid, 1 solid, 2 air. Fluid that solids wall in on all sides counts as solid.
    bc : str or sequence
        What surrounds the box, as for `pressure`: "neumann" a wall, "dirichlet" air, "periodic".
    lengths : float or sequence of float
        Side lengths of the box.

    Attributes
    ----------
    problem : LinearProblem
        The operator A = -div grad on the fluid, with its null space; its b is zero.
    grid : Grid
        The cells.
    fluid, solid : grid-shaped bool arrays
        What the cells hold.
    conductances : list of arrays
        1 / (h d) of the faces across each axis that fluid crosses, d the distance between the pressures on its two
        sides; 0 of closed faces.

    Raises
    ------
    ValueError
        As for `pressure`, and for grids that do not have 2 or 3 axes.

    Notes
    -----
    (div v)_cell = sum_a (v_above - v_below) / h_a, (grad p)_face = c h (p_above - p_below) with p = 0 in air. With the
    inner product <u, v>_W = sum u v / (c h^2) over open faces, <div v, p> = -<v, grad p>_W and A = -div grad.

    References
    ----------
    F. Harlow and J. Welch, Phys. Fluids 8 (1965); R. Bridson, *Fluid Simulation for Computer Graphics*, 2nd ed. (2015),
    sections 5.1 to 5.3.

    Examples
    --------
    >>> import numpy as np
    >>> grid = Staggered(np.zeros((4, 6), dtype=int))
    >>> v = grid.still()
    >>> v[1][2, 3] = 1.0
    >>> p = np.linalg.lstsq(grid.problem.A.tocsr().toarray(), grid.right_hand_side(v), rcond=None)[0]
    >>> bool(np.abs(grid.divergence(grid.projected(v, p))).max() < 1e-12)
    True
    """

    def __init__(
        self, cells: NDArray[np.integer], *, bc: Boundary = "neumann", lengths: float | Sequence[float] = 1.0
    ) -> None:
        codes = np.asarray(cells)
        if codes.ndim not in (2, 3):
            raise ValueError(f"cells have {codes.ndim} axes: expected 2 or 3")
        self.problem: LinearProblem = pressure(codes, bc=bc, lengths=lengths, rhs=np.zeros(codes.shape))
        self.grid: Grid
        self.grid, lines = make_grid(codes.shape, bc=bc, centring="cell", lengths=lengths)
        self.periodic = tuple(line.periodic for line in lines)
        active = self.problem.active
        self.fluid: Mask = np.ones(codes.shape, dtype=bool) if active is None else active.reshape(codes.shape)
        self.solid: Mask = ~self.fluid & (codes != Cell.AIR)
        self.conductances = open_faces(self.fluid, self.solid, lines)
        self._open: list[Mask] = [c > 0 for c in self.conductances]
        known = [self._touches_fluid(axis) for axis in range(codes.ndim)]
        self._beyond_faces = [_Beyond(flag) for flag in known]
        self._beyond_cells = _Beyond(self.fluid)

    def still(self) -> list[Values]:
        """Return the velocity zero: one array for the faces across each axis."""
        return [np.zeros(c.shape) for c in self.conductances]

    def closed(self, velocity: Sequence[Values]) -> list[Values]:
        """Return a velocity with zero on the faces that nothing crosses."""
        return [np.where(is_open, v, 0.0) for v, is_open in zip(velocity, self._open, strict=True)]

    def divergence(self, velocity: Sequence[Values]) -> Values:
        """Return the divergence in the fluid cells, zero in others, grid-shaped (1 / time)."""
        return np.where(self.fluid, divergence(velocity, self.grid.spacing), 0.0)

    def right_hand_side(self, velocity: Sequence[Values]) -> Values:
        """Return b = -div v, (n,); what rounding leaves of it in the null space of A is taken out."""
        return compatible(-self.divergence(velocity), self.problem.A)

    def gradient(self, p: Values) -> list[Values]:
        """Return the gradient of a pressure on the open faces, zero on closed ones.

        Parameters
        ----------
        p : (n,) or grid-shaped array
            Pressures in the fluid cells; in others, none is read.
        """
        inside = np.where(self.fluid, p.reshape(self.grid.shape), 0.0)
        result = []
        for axis, (c, h) in enumerate(zip(self.conductances, self.grid.spacing, strict=True)):
            first, last = np.take(inside, [0], axis), np.take(inside, [-1], axis)
            if not self.periodic[axis]:
                first, last = np.zeros_like(first), np.zeros_like(last)
            below, above = np.concatenate([last, inside], axis), np.concatenate([inside, first], axis)
            result.append(c * h * (above - below))
        return result

    def projected(self, velocity: Sequence[Values], p: Values) -> list[Values]:
        """Return the velocity less the gradient of p: free of divergence where A p = -div v."""
        return [v - g for v, g in zip(self.closed(velocity), self.gradient(p), strict=True)]

    def on_faces(self, values: Values, axis: int) -> Values:
        """Return the mean of the cells on both sides of every open face across an axis, zero on closed ones.

        At the ends of the box, and beside air, the fluid cell alone counts.
        """
        weight = self.fluid.astype(np.float64)
        total, count = (_both_sides(part, axis, self.periodic[axis]) for part in (values * weight, weight))
        return np.where(self._open[axis], total / np.maximum(count, 1.0), 0.0)

    def extended(self, velocity: Sequence[Values]) -> list[Values]:
        """Return a velocity continued by one layer into solids and air, so that paths along a wall slip."""
        return [beyond(v) for v, beyond in zip(velocity, self._beyond_faces, strict=True)]

    def extended_scalar(self, values: Values) -> Values:
        """Return cell values continued by one layer into solids and air, zero further in."""
        return self._beyond_cells(np.where(self.fluid, values, 0.0))

    def _touches_fluid(self, axis: int) -> Mask:
        return _both_sides(self.fluid.astype(np.float64), axis, self.periodic[axis]) > 0


def _both_sides(values: Values, axis: int, periodic: bool) -> Values:
    """Sum of the two cells beside every face; of one cell at the ends of the box."""
    shape = list(values.shape)
    shape[axis] += 1
    total = np.zeros(shape)
    place = (slice(None),) * axis
    total[(*place, slice(1, None))] += values
    total[(*place, slice(None, -1))] += values
    if periodic:
        ends = plane(values, axis, 0) + plane(values, axis, -1)
        plane(total, axis, 0)[...] = plane(total, axis, -1)[...] = ends
    return total


class _Beyond:
    """Fill the nodes next to known ones with the mean of their known neighbours."""

    def __init__(self, known: Mask) -> None:
        index = np.arange(known.size).reshape(known.shape)
        targets, sources = [], []
        for axis in range(known.ndim):
            low, high = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
            for here, there in ((low, high), (high, low)):
                edge = ~known[here] & known[there]
                targets.append(index[here][edge])
                sources.append(index[there][edge])
        target, source = np.concatenate(targets), np.concatenate(sources)
        self.rows, place = np.unique(target, return_inverse=True)
        share = 1.0 / np.bincount(place, minlength=len(self.rows))
        self.mean = sp.csr_array((share[place], (place, source)), shape=(len(self.rows), known.size))

    def __call__(self, values: Values) -> Values:
        filled = np.array(values, dtype=np.float64)
        if len(self.rows):
            filled.ravel()[self.rows] = self.mean @ values.ravel()
        return filled
