"""Black-box multigrid: operator-dependent interpolation and Galerkin coarse operators on structured grids."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.kernels.black_box_cycle import split
from conjugo.solvers.multigrid.black_box_level import Level
from conjugo.solvers.multigrid.coarsest import DENSE, CoarsestSolve
from conjugo.solvers.multigrid.galerkin import galerkin, interpolation
from conjugo.solvers.multigrid.parity import Direction, Parity, directions
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil

type Floats = NDArray[np.float64]
type Weigh = Callable[[Parity, Floats, Floats], tuple[Floats, Floats | None]]

TWICE = range(1, 5)
"""Depths whose coarser level a W-cycle visits twice."""
LARGEST_DIRECT = 20_000
"""Unknowns of the largest coarsest grid that is factorised, where an odd periodic axis ends coarsening early."""


class BlackBoxHierarchy:
    """Grids, operators and transfers of black-box multigrid for a variable stencil, in 1, 2 and 3 dimensions.

    Parameters
    ----------
    A : VariableStencil or CompactStencil
        Symmetric, any grid size; inactive nodes, any contrast, Neumann and periodic ends.
    cycle : {"V", "W", "F"}
        How the coarser levels are visited. The first coarse level is always visited once; from the second on W visits
        twice (F: a W-like visit and a V), which costs little there and cures what many jumps of the coefficient leave.
    smoother : {"red_black"}
        Gauss-Seidel by colours: two on the finest grid of a VariableStencil, one for each index parity on the others.
    sweeps : int
        Relaxations before and after each coarse correction.
    symmetric : bool
        Run the colours backwards after the correction, so that the cycle is a symmetric positive operator.
    dtype : dtype
        Precision of the two finest levels; set-up and coarser levels are in float64, because a residual formed in
        float32 at a second visit is noise where the contrast is high.
    weigh : callable, optional
        `weigh(grid, a, p)` returns other interpolation weights and relaxation factors (or None) for a level; see
        `galerkin.interpolation` and `Level`. Needs symmetric = True and sweeps = 1.

    Raises
    ------
    ValueError
        If A is not symmetric, has a non-positive diagonal, or has a periodic axis that cannot be halved far enough;
        if an option is unknown.

    Notes
    -----
    The coarse operator is P^T A P with Dendy's weights (`galerkin.interpolation`), nine- or 27-point from the second
    level on. Coarse nodes are the odd ones, n // 2 along an axis: 255, 256 and 1000 nodes do alike, because the
    weights, not the geometry, know where the boundary is. An axis with one node left is dropped.

    The coarse grid is fixed by the geometry. Where k jumps from node to node at random, independently, strong chains of
    nodes pass between the coarse ones and the count of iterations grows with the grid (a cycle stays cheap): algebraic
    coarsening (`ruge_stuben`) then takes fewer, dearer ones. Blobs several nodes wide need no such care.

    References
    ----------
    J. E. Dendy, Black box multigrid, J. Comput. Phys. 48 (1982) 366-386.
    R. E. Alcouffe, A. Brandt, J. E. Dendy and J. W. Painter, The multi-grid method for the diffusion equation with
    strongly discontinuous coefficients, SIAM J. Sci. Stat. Comput. 2 (1981) 430-454.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> u = np.full(100, -1.0)
    >>> u[-1] = 0.0
    >>> A = VariableStencil(np.full(100, 2.0), [u])
    >>> M = BlackBoxHierarchy(A, dtype=np.float64)
    >>> z = np.empty(100)
    >>> M.cycle(A @ np.ones(100), z)  # in one dimension the cycle is a direct solve
    >>> bool(abs(z - 1).max() < 1e-10)
    True
    """

    def __init__(
        self,
        A: VariableStencil | CompactStencil,
        *,
        cycle: str = "V",
        smoother: str = "red_black",
        sweeps: int = 1,
        symmetric: bool = False,
        dtype: np.dtype[np.floating] | type = np.float32,
        weigh: Weigh | None = None,
    ) -> None:
        _check(A, cycle, smoother, sweeps)
        if weigh is not None and (not symmetric or sweeps != 1):
            raise ValueError(f"weigh with symmetric = {symmetric}, sweeps = {sweeps}: expected True and 1")
        self.dtype: np.dtype[np.floating] = np.dtype(dtype)
        self.symmetric = symmetric and cycle != "F"
        self.kind = cycle
        self.levels: list[Level] = []
        self.grid_shapes: list[tuple[int, ...]] = []
        eps = 16 * float(np.finfo(A.dtype).eps)
        grid, rows = finest(A)
        while math.prod(grid.shape) > DENSE and _halvable(grid):
            a = deal(grid, rows)
            p = interpolation(grid, a, eps)
            omega = None
            if weigh is not None:
                p, omega = weigh(grid, a, p)
            product = galerkin(grid, a, p)
            precision = self.dtype if len(self.levels) <= TWICE.start else np.dtype(np.float64)
            level = Level(grid, a, p, sweeps=sweeps, symmetric=symmetric, dtype=precision, omega=omega)
            self.levels.append(level)
            self.grid_shapes.append(grid.shape)
            grid, rows = coarser(grid, product)
        self.grid_shapes.append(grid.shape)
        if math.prod(grid.shape) > LARGEST_DIRECT:
            raise ValueError(
                f"the grid {A.grid_shape} has a periodic axis that stops halving at {grid.shape}: use sizes with more "
                f"factors of two, or cg with M=ic0(A), or ruge_stuben"
            )
        self.index = flat_index(grid)
        self.direct = CoarsestSolve(assemble(grid, [row[self.index] for row in rows]), eps)
        self.nbytes = sum(level.nbytes for level in self.levels) + self.direct.nbytes

    def cycle(self, r: NDArray[np.floating], z: NDArray[np.floating]) -> None:
        """Write one cycle's approximation of A^-1 r to z, from a zero guess; both C contiguous, of either precision."""
        source, target = r.reshape(-1), z.reshape(-1)
        if not self.levels:
            self._solve_coarsest(source, target)
            return
        self.levels[0].load(source)
        self._cycle(0, True, self.kind)
        self.levels[0].unload(target)

    def _cycle(self, depth: int, zero: bool, kind: str) -> None:
        """Improve x on one level."""
        level = self.levels[depth]
        level.descend(zero)
        if depth + 1 == len(self.levels):
            self._solve_coarsest(level.coarse, level.coarse)
        else:
            below = self.levels[depth + 1]
            below.load(level.coarse)
            self._cycle(depth + 1, True, kind)
            if kind != "V" and depth in TWICE:
                self._cycle(depth + 1, False, "V" if kind == "F" else kind)
            below.unload(level.coarse)
        level.ascend()

    def _solve_coarsest(self, source: NDArray[np.floating], target: NDArray[np.floating]) -> None:
        """Solve the coarsest problem from and to flat arrays in the layout of the level above."""
        target[self.index] = self.direct(source[self.index].astype(np.float64, copy=False))


def _check(A: VariableStencil | CompactStencil, cycle: str, smoother: str, sweeps: int) -> None:
    """Refuse what the method cannot do."""
    if not A.symmetric:
        raise ValueError(
            "A has `lower` couplings, so it is not symmetric: use gmres or bicgstab, with M=ruge_stuben(A)"
        )
    if cycle not in ("V", "W", "F"):
        raise ValueError(f"cycle = {cycle!r}: expected 'V', 'W' or 'F'")
    if smoother != "red_black":
        raise ValueError(f"smoother = {smoother!r}: black-box multigrid offers 'red_black'")
    if sweeps < 1:
        raise ValueError(f"sweeps = {sweeps}: expected at least 1")
    if not float(A.diag.min()) > 0:
        raise ValueError(f"the diagonal has minimum {A.diag.min()}: black-box multigrid needs positive entries")
    for axis, (n, periodic) in enumerate(zip(A.grid_shape, A.periodic, strict=True)):
        if periodic and (n % 2 or n < 4):
            raise ValueError(
                f"axis {axis} is periodic with {n} nodes: black-box multigrid needs an even number of at least 4; "
                f"use cg with M=ic0(A), or ruge_stuben"
            )


def _halvable(grid: Parity) -> bool:
    """Whether every periodic axis has an even number of nodes and keeps at least two."""
    return all(n % 2 == 0 and n >= 4 for n, closed in zip(grid.shape, grid.periodic, strict=True) if closed)


def finest(A: VariableStencil | CompactStencil) -> tuple[Parity, list[NDArray[np.float64]]]:
    """Storage of the finest level and its flat diagonal and couplings; axes with one node are dropped."""
    kept = [axis for axis, n in enumerate(A.grid_shape) if n > 1] or [0]
    shape = tuple(A.grid_shape[axis] for axis in kept)
    strides = tuple(math.prod(A.grid_shape[axis + 1 :]) for axis in kept)
    compact = isinstance(A, CompactStencil)
    grid = Parity(shape, tuple(A.periodic[axis] for axis in kept), strides, 0, compact=compact)
    if isinstance(A, CompactStencil):
        arrays = [A.diag, *(A.couplings[A.directions.index(n)] for n in _embedded(grid, kept, len(A.grid_shape)))]
    else:
        arrays = [A.diag, *(A.upper[axis] for axis in kept)]
    return grid, [np.ascontiguousarray(array, dtype=np.float64).reshape(-1) for array in arrays]


def _embedded(grid: Parity, kept: list[int], dimensions: int) -> list[Direction]:
    """The directions of a grid in the space of the one that it came from, where some axes were dropped."""
    return [tuple(n[kept.index(a)] if a in kept else 0 for a in range(dimensions)) for n in grid.directions]


def coarser(fine: Parity, product: NDArray[np.float64]) -> tuple[Parity, list[NDArray[np.float64]]]:
    """Storage of the next level and its flat diagonal and couplings; axes with one node are dropped."""
    kept = [axis for axis, n in enumerate(fine.coarse) if n > 1] or [0]
    shape, strides = tuple(fine.coarse[a] for a in kept), tuple(fine.strides[a] for a in kept)
    grid = Parity(shape, tuple(fine.periodic[a] for a in kept), strides, fine.lag, compact=True)
    every = directions(fine.dimensions, True)
    return grid, [product[0], *(product[1 + every.index(n)] for n in _embedded(grid, kept, fine.dimensions))]


def deal(grid: Parity, rows: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Colour-split diagonal and couplings, one row for each array and sub-grid, ghosts wrapped along periodic axes."""
    a = np.zeros((len(rows), grid.parts, grid.size))
    for source, parts in zip(rows, a, strict=True):
        split(source, parts, grid.layout)
        for part in parts:
            grid.wrap(part)
    return a.reshape(-1, grid.size)


def flat_index(grid: Parity) -> NDArray[np.int64]:
    """Flat positions of the nodes in the array that the grid is dealt from."""
    n, base, steps = grid.layout[:3], grid.layout[3], grid.layout[4:7]
    i, j, k = np.ix_(*(np.arange(size) for size in n))
    return np.asarray((base + i * steps[0] + j * steps[1] + k * steps[2]).ravel())


def assemble(grid: Parity, rows: list[NDArray[np.float64]]) -> sp.csr_array:
    """Sparse matrix of a level from the diagonal and the forward couplings of its nodes in C order."""
    n = math.prod(grid.shape)
    index = np.arange(n).reshape(grid.shape)
    A = sp.csr_array(sp.diags_array(rows[0]))
    for way, row in zip(grid.directions, rows[1:], strict=True):
        there = np.roll(index, [-d for d in way], range(grid.dimensions)).ravel()
        forth = sp.csr_array((row, (index.ravel(), there)), shape=(n, n))
        A = A + forth + forth.T
    A.eliminate_zeros()
    return A
