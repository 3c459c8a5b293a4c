"""Colour-split storage of a grid in one, two and three dimensions, and the index tables of a cycle on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.parallel import get_threads, run_rows

SERIAL = 100_000
"""Unknowns below which threads cost more than they bring."""

type Direction = tuple[int, ...]
type Table = NDArray[np.int64]


def directions(dimensions: int, compact: bool) -> list[Direction]:
    """Half of a node's neighbours, those that are later in C order: along the axes, or in the whole box (compact).

    Examples
    --------
    >>> from conjugo.solvers.multigrid.parity import directions
    >>> directions(2, False), directions(2, True)
    ([(1, 0), (0, 1)], [(0, 1), (1, -1), (1, 0), (1, 1)])
    """
    box = [n for n in product((-1, 0, 1), repeat=dimensions) if n > (0,) * dimensions]
    return box if compact else [tuple(int(a == axis) for a in range(dimensions)) for axis in range(dimensions)]


class Parity:
    """A grid dealt out to one padded, flat sub-grid for each parity of the indices.

    Parameters
    ----------
    shape : tuple of int
        Nodes along one, two or three axes.
    periodic : tuple of bool
        Whether an axis closes on itself; its size must be even.
    strides, base : tuple of int, int
        Where node (i, j, ..) lies in the flat array that the sub-grids are dealt from.
    compact : bool
        Whether nodes couple to the whole box of 3^d nodes or only along the axes.

    Notes
    -----
    Node i of an axis lies at 1 + i // 2 in the sub-grid of parity i % 2; both ends have one ghost. A step of +-1 from
    a sub-grid leads to another sub-grid at one constant flat shift. Coarse nodes are the odd ones: their sub-grid is
    the last.

    Examples
    --------
    >>> from conjugo.solvers.multigrid.parity import Parity
    >>> grid = Parity((5, 6), (False, False), (6, 1), 0, compact=False)
    >>> grid.parts, grid.padded, grid.coarse, grid.colours
    (4, (5, 5), (2, 3), [[0, 3], [1, 2]])
    >>> grid.step(0, (-1, 0))  # from (even, even) up to (odd, even), one row back there
    (2, -5)
    """

    def __init__(
        self, shape: tuple[int, ...], periodic: tuple[bool, ...], strides: tuple[int, ...], base: int, compact: bool
    ) -> None:
        self.shape, self.periodic, self.compact = shape, periodic, compact
        self.dimensions = len(shape)
        self.padded = tuple((n + 1) // 2 + 2 for n in shape)
        self.strides = tuple(int(np.prod(self.padded[a + 1 :], dtype=int)) for a in range(self.dimensions))
        self.size = self.padded[0] * self.strides[0]
        self.parts = 2**self.dimensions
        self.lag = sum(self.strides)
        self.range = (self.lag, self.size - self.lag)
        self.directions = directions(self.dimensions, compact)
        self.colours = [[s] for s in range(self.parts)] if compact else self._red_black()
        self.layout = self._layout(strides, base)

    def _layout(self, strides: tuple[int, ...], base: int) -> Table:
        """What `split` and `merge` read: sizes, base and strides outside, strides and numbers of sub-grids, start."""
        fill, shape = 3 - self.dimensions, self.shape
        extent, steps = (1,) * fill + shape, (0,) * fill + strides
        cells, bits = (0,) * fill + self.strides, (0,) * fill + tuple(2**a for a in range(self.dimensions))[::-1]
        return np.array([*extent, base, *steps, *cells[:2], *bits[:2], self.lag], dtype=np.int64)

    def _red_black(self) -> list[list[int]]:
        """Sub-grids by the parity of the sum of their indices; the coarse nodes are relaxed first."""
        odd = [s for s in range(self.parts) if s.bit_count() % 2]
        even = [s for s in range(self.parts) if s.bit_count() % 2 == 0]
        return [odd, even] if self.dimensions % 2 else [even, odd]

    @property
    def coarse(self) -> tuple[int, ...]:
        """Coarse nodes along each axis."""
        return tuple(n // 2 for n in self.shape)

    def share(self, work: Callable[[int, int], None]) -> None:
        """Call `work(lo, hi)` on the flat range: on several threads where the grid is large."""
        lo, hi = self.range
        threads = get_threads() if self.parts * self.size >= SERIAL else 1
        run_rows(lambda i, j: work(lo + i, lo + j), hi - lo, threads)

    def part(self, parity: Direction) -> int:
        """Number of the sub-grid with these index parities."""
        return sum((p & 1) << (self.dimensions - 1 - a) for a, p in enumerate(parity))

    def parity(self, part: int) -> Direction:
        """Index parities of a sub-grid."""
        return tuple(part >> (self.dimensions - 1 - a) & 1 for a in range(self.dimensions))

    def step(self, part: int, n: Direction) -> tuple[int, int]:
        """Sub-grid and flat shift of the neighbour in direction n."""
        parity = self.parity(part)
        moved = [p + d for p, d in zip(parity, n, strict=True)]
        shift = sum(stride * (m >> 1) for stride, m in zip(self.strides, moved, strict=True))
        return self.part(tuple(moved)), shift

    def coupling(self, part: int, n: Direction) -> tuple[int, int] | None:
        """Row (diagonals, then a block of sub-grids for each direction) and shift of a coupling; None if it is 0."""
        if n in self.directions:
            return (1 + self.directions.index(n)) * self.parts + part, 0
        back = tuple(-d for d in n)
        if back in self.directions:
            other, shift = self.step(part, n)
            return (1 + self.directions.index(back)) * self.parts + other, shift
        return (part, 0) if not any(n) else None

    @cached_property
    def kinds(self) -> list[tuple[int, ...]]:
        """Kinds of fine-only nodes: the axes along which they lie between coarse nodes, fewest first."""
        subsets = [
            tuple(a for a in range(self.dimensions) if bits[a]) for bits in product((0, 1), repeat=self.dimensions)
        ]
        return sorted((s for s in subsets if s), key=len)

    @cached_property
    def weights(self) -> dict[Direction, int]:
        """Row of each interpolation weight, by the direction from the fine node to its coarse node (0: on its line)."""
        return {c: row for row, c in enumerate(c for kind in self.kinds for c in self.corners(kind))}

    def corners(self, kind: tuple[int, ...]) -> list[Direction]:
        """Directions from a node of this kind to the coarse nodes around it."""
        return list(product(*[(-1, 1) if a in kind else (0,) for a in range(self.dimensions)]))

    def home(self, kind: tuple[int, ...]) -> int:
        """Sub-grid of the nodes of a kind."""
        return self.part(tuple(int(a not in kind) for a in range(self.dimensions)))

    def corner_shift(self, corner: Direction) -> int:
        """Flat shift from a fine node to the coarse node in this direction."""
        return -sum(stride for stride, c in zip(self.strides, corner, strict=True) if c < 0)

    def wrap(self, rows: NDArray[np.floating]) -> None:
        """Copy the far ends of the periodic axes into the ghosts of every row."""
        view = rows.reshape(-1, *self.padded)
        for axis, closed in enumerate(self.periodic, start=1):
            if closed:
                ends = np.moveaxis(view, axis, 0)
                ends[0], ends[-1] = ends[-2], ends[1]

    def offset(self, offset: Direction) -> tuple[int, int]:
        """Sub-grid and flat shift of the fine node at this offset from a coarse node."""
        return self.step(self.parts - 1, offset)

    def interpolation_row(self, offset: Direction) -> int:
        """Row of p that holds the interpolation to the fine node at this offset from a coarse node."""
        return 2 + self.weights[tuple(-d for d in offset)] if any(offset) else 1

    def steps(self, order: list[list[int]]) -> tuple[Table, Table]:
        """Neighbours (direction, part, shift, shift back) of each sub-grid: all (0), those earlier in `order` (1)."""
        table = np.zeros((2, self.parts, len(self.directions), 4), dtype=np.int64)
        counts = np.zeros((2, self.parts), dtype=np.int64)
        seen: list[int] = []
        for group in order:
            for s in group:
                for m, n in enumerate(self.directions):
                    t, forth = self.step(s, n)
                    row = (m, t, forth, self.step(s, tuple(-d for d in n))[1])
                    for variant in (0, 1) if t in seen else (0,):
                        table[variant, s, counts[variant, s]] = row
                        counts[variant, s] += 1
            seen += group
        return table, counts

    def restrict_pairs(self, nonzero: set[int]) -> Table:
        """Rows of the table of `restrict`, for the sub-grids whose residual is not zero."""
        rows = []
        for kind in self.kinds:
            if self.home(kind) in nonzero:
                entries = [(self.weights[c], self.home(kind), -self.corner_shift(c)) for c in self.corners(kind)]
                rows += [[*entries[i], *entries[i + 1]] for i in range(0, len(entries), 2)]
        return np.array(rows, dtype=np.int64).reshape(-1, 6)

    def prolong_pairs(self, wanted: set[int]) -> Table:
        """Rows of the table of `prolong`, for the sub-grids that are not relaxed before they are read."""
        rows = []
        for kind in self.kinds:
            if self.home(kind) in wanted:
                entries = [(self.weights[c], self.corner_shift(c)) for c in self.corners(kind)]
                rows += [[self.home(kind), *entries[i], *entries[i + 1]] for i in range(0, len(entries), 2)]
        return np.array(rows, dtype=np.int64).reshape(-1, 5)
