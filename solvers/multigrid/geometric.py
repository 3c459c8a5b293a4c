"""Multigrid on tensor-product grids of any size, boundary condition and spacing."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.kernels.tensor_cycle import run_schedule
from conjugo.solvers.kernels.tensor_sweeps import plane_places
from conjugo.solvers.multigrid.layout import Axes, Layout, Transfers
from conjugo.solvers.multigrid.schedule import DEFECT, Cycle, ascent, schedule
from conjugo.solvers.multigrid.transfers import coarsen, strength
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.stencil import SERIAL_BELOW
from conjugo.solvers.parallel import get_threads, run_team

type Smoother = Literal["red_black", "chebyshev"]

_SMALLEST = 16
"""Unknowns at which coarsening stops."""
_DIRECT = 1100
"""Unknowns up to which a level without two colours is solved directly rather than smoothed by Chebyshev."""
_ALIKE = 2.0
"""Axes are coarsened whose coupling is within this factor of the strongest: point smoothing serves no others."""


def _three(axes: tuple[Axis, ...]) -> Axes:
    """Three axes: a missing one has a single node and no coupling; the last one stays last."""
    nothing = Axis(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1))
    if len(axes) == 1:
        return nothing, nothing, axes[0]
    if len(axes) == 2:
        return axes[0], nothing, axes[1]
    return axes[0], axes[1], axes[2]


def _coarser(axes: Axes) -> tuple[Axes, Transfers] | None:
    """Coarsen the axes that are coupled most strongly, or None where the grid is small enough."""
    if math.prod(len(axis) for axis in axes) <= (_SMALLEST if _two_colours(axes) else _DIRECT):
        return None
    couplings = [strength(axis) for axis in axes]
    strongest = max(couplings)
    if strongest == 0:
        return None
    pairs = [
        coarsen(axis) if coupling * _ALIKE >= strongest else (axis, None)
        for axis, coupling in zip(axes, couplings, strict=True)
    ]
    return (pairs[0][0], pairs[1][0], pairs[2][0]), (pairs[0][1], pairs[1][1], pairs[2][1])


def _two_colours(axes: Axes) -> bool:
    """Whether red-black colouring works: no axis closes after an odd number of nodes."""
    return not any(axis.periodic and len(axis) % 2 == 1 for axis in axes)


class TensorHierarchy:
    """The levels of a separable operator, and one cycle over them.

        Parameters
        ----------
        A : SeparableStencil
            Symmetric, positive (semi-)definite.
        cycle : {"V", "W", "F"}
            Order of the visits.
        smoother : {"red_black", "chebyshev"}
            Red-black Gauss-Seidel, or Chebyshev-Jacobi of degree 2 a sweep. A level with a periodic axis of an odd
            number of nodes has no two colours: it takes Chebyshev, or is the coarsest where it is small.
        sweeps : int
            Smoothing sweeps before and after the coarse correction; one is fused and fastest.
        symmetric : bool
            Post-smooth with the colours in reverse, so that the cycle is symmetric.
        dtype : dtype
            float32 or float64, of the levels and the cycle's arguments.
        full : bool
            Also prepare `first_guess`, the ascent of full multigrid; needs cycle "V".

        Notes
        -----
        In row-scaled form A' = W^{-1} A = sum_a T_a + shift. Each axis is coarsened on its own, to
        T_c = W_c^{-1} P^T W T P with W_c = P^T W lumped, so that every coarse operator is separable again with three
        numbers a node and axis; for 2^k - 1 nodes between Dirichlet walls it is the textbook's rediscretisation. The
        restriction is R = W_c^{-1} P^T W (full weighting). Axes coupled less than half as strongly as the strongest one
        wait, since point smoothing does not smooth along them.

        References
        ----------
        .. [1] U. Trottenberg, C. Oosterlee, A. Schueller, Multigrid, Academic Press 2001, sections 2.5, 4.5 and 5.1.

        Examples
        --------
        >>> import numpy as np
        >>> from conjugo.solvers.multigrid.geometric import TensorHierarchy
        >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
        >>> line = Axis(np.r_[0.0, -np.ones(6)], np.full(7, 2.0), np.r_[-np.ones(6), 0.0], np.ones(7))
        >>> hierarchy = TensorHierarchy(SeparableStencil((line, line)))
        >>> hierarchy.grid_shapes
        [(7, 7), (3, 3)]
    """

    def __init__(
        self,
        A: SeparableStencil,
        *,
        cycle: Cycle = "V",
        smoother: Smoother = "red_black",
        sweeps: int = 1,
        symmetric: bool = False,
        dtype: np.dtype[np.floating] | type = np.float32,
        full: bool = False,
    ) -> None:
        if not A.symmetric:
            raise ValueError("A is not symmetric: expected weight * upper = weight * lower on every axis; use fgmres")
        if symmetric and cycle == "F":
            raise ValueError("cycle = 'F' is not symmetric: choose 'V' or 'W', or symmetric=False")
        lowest = A.shift + sum(float(axis.diag.min()) for axis in A.axes)
        if not lowest > 0:
            raise ValueError(f"A / weight has the diagonal entry {lowest:.3g}: expected positive ones; use minres")
        self.dtype = np.dtype(dtype)
        self.symmetric = symmetric
        self.sweeps = sweeps
        self._ndim = len(A.axes)
        self._levels, self._transfers = self._coarsened(_three(A.axes))
        self._kinds = [0 if smoother == "red_black" and _two_colours(axes) else 1 for axes in self._levels]
        self._fused = [kind == 0 and sweeps == 1 for kind in self._kinds]
        sizes = [math.prod(len(axis) for axis in axes) for axes in self._levels]
        self._schedule = schedule(sizes, self._fused, cycle)
        self._ascent = ascent(self._schedule, len(sizes)) if full else self._schedule
        layout = self._laid_out(sizes, A.shift, full)
        self._table, self._coef = layout.table, layout.coefficients(self.dtype)
        self._store = np.zeros(layout.places, dtype=self.dtype)
        self._works = [np.zeros(self._work_size(), dtype=self.dtype)]
        self._ends = [(k, j, axis.weight[j]) for k, axis in enumerate(A.axes) for j in np.flatnonzero(axis.weight != 1)]
        self._scaled = np.empty(A.grid_shape, dtype=self.dtype) if self._ends else None

    @staticmethod
    def _coarsened(axes: Axes) -> tuple[list[Axes], list[Transfers]]:
        levels, transfers = [axes], []
        while (coarser := _coarser(levels[-1])) is not None:
            levels.append(coarser[0])
            transfers.append(coarser[1])
        return levels, transfers

    def _laid_out(self, sizes: list[int], shift: float, full: bool) -> Layout:
        layout = Layout(len(sizes))
        twice = {int(level) for op, level in self._ascent if op == DEFECT}
        for level, (axes, size) in enumerate(zip(self._levels, sizes, strict=True)):
            dimensions = sum(len(axis) > 1 for axis in axes)
            layout.operator(level, axes, shift, (0.9 / max(1, dimensions), 2.0))
            row, last = layout.table[level], level == len(sizes) - 1
            row[15] = self._kinds[level]
            if last:
                layout.solve(level, axes, shift)
            else:
                layout.transfer(level, self._transfers[level])
                if full:
                    layout.cubic(level, axes, self._transfers[level])
            if level > 0:
                row[26], row[27] = layout.reserve(size), layout.reserve(size)
            if self._fused[level] and not last:
                row[28] = layout.reserve(len(axes[0]) * plane_places(len(axes[1]), len(axes[2])))
            if last or level in twice:
                row[29] = layout.reserve(size)
            if not self._fused[level] and not last:
                row[30], row[34] = layout.reserve(size), layout.reserve(size)
        return layout

    def _work_size(self) -> int:
        """Places that the fused passes need for their rolling planes on the largest level."""
        n1, n2 = int(self._table[0, 1]), int(self._table[0, 2])
        return 13 * plane_places(n1, n2) + (n1 + 1) * n2 + 64

    @property
    def grid_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every level, finest first."""
        keep = {1: (2,), 2: (0, 2), 3: (0, 1, 2)}[self._ndim]
        return [tuple(len(axes[k]) for k in keep) for axes in self._levels]

    @property
    def nbytes(self) -> int:
        """Bytes of workspace and coefficients."""
        arrays = [self._store, self._coef, self._table, *self._works]
        return sum(a.nbytes for a in arrays) + (0 if self._scaled is None else self._scaled.nbytes)

    def cycle(self, r: NDArray[Any], z: NDArray[Any]) -> None:
        """One cycle from a zero guess: z = approximate A^{-1} r.

        Parameters
        ----------
        r, z : grid-shaped, C-contiguous, of the hierarchy's dtype
            Right-hand side (not changed) and result.
        """
        self._run(self._schedule, self._row_scaled(r).reshape(-1), z.reshape(-1))

    def first_guess(self, r: NDArray[Any], z: NDArray[Any]) -> None:
        """Full multigrid up to the finest level: z = cubic interpolation of the next level's solution.

        Parameters
        ----------
        r, z : grid-shaped, C-contiguous, of the hierarchy's dtype
            Right-hand side (not changed) and result.
        """
        self._run(self._ascent, self._row_scaled(r).reshape(-1), z.reshape(-1))

    def _row_scaled(self, r: NDArray[Any]) -> NDArray[Any]:
        """W^{-1} r; r itself where all weights are one."""
        if self._scaled is None:
            return r
        np.copyto(self._scaled, r)
        for axis, j, weight in self._ends:
            np.moveaxis(self._scaled, axis, 0)[j] /= weight
        return self._scaled

    def _run(self, schedule: NDArray[np.int64], b0: NDArray[Any], z0: NDArray[Any]) -> None:
        """Carry out a schedule, on several threads where the grid is large."""
        size = get_threads() if b0.size >= SERIAL_BELOW else 1
        while len(self._works) < size:
            self._works.append(np.zeros_like(self._works[0]))

        def member(rank: int, members: int, arrivals: NDArray[np.int64]) -> None:
            places = (self._store, self._coef, self._table, self._works[rank], int(self.symmetric), self.sweeps)
            run_schedule(schedule, b0, z0, *places, rank, members, arrivals)

        run_team(member, size)
