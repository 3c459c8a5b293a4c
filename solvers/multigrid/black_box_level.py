"""One level of black-box multigrid: its arrays, its tables, and the two halves of a cycle."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.kernels.black_box_cycle import merge, prolong, restrict, split, wave
from conjugo.solvers.multigrid.parity import SERIAL, Parity
from conjugo.solvers.parallel import get_threads

RELAX, RESIDUAL = 0, 1


class Level:
    """Operator, weights and vectors of one level in colour-split storage.

    Parameters
    ----------
    grid : Parity
        Geometry and tables.
    a : (rows, size) float64
        Diagonals and couplings.
    p : (rows, size) float64
        Interpolation, as `galerkin.interpolation` returns it.
    sweeps : int
        Relaxations before and after the coarse correction.
    symmetric : bool
        Whether the colours run backwards in post-smoothing.
    dtype : dtype
        Precision of the cycle.
    omega : (parts, size), optional
        Relaxation factors. The last colour before and the first after the coarse correction keeps 1, because its
        residual is taken to be zero. Default 1 everywhere.
    """

    def __init__(
        self,
        grid: Parity,
        a: NDArray[np.float64],
        p: NDArray[np.float64],
        *,
        sweeps: int,
        symmetric: bool,
        dtype: np.dtype[np.floating],
        omega: NDArray[np.floating] | None = None,
    ) -> None:
        self.grid = grid
        parts = grid.parts
        diag = a[:parts]
        self.dinv = np.zeros(diag.shape, dtype=dtype)
        np.divide(1.0, diag, out=self.dinv, where=diag > 0, casting="same_kind")
        self.k = a[parts:].astype(dtype).reshape(len(grid.directions), parts, grid.size)
        self.w = p[2:-1].astype(dtype)
        self.omega: NDArray[np.floating] | None = None
        if omega is not None:
            self.omega = np.array(omega, dtype=dtype, order="C")
            self.omega[grid.colours[-1]] = 1.0
        self._factors = np.zeros((0, grid.size), dtype=dtype) if self.omega is None else self.omega
        self.x = np.zeros((parts, grid.size), dtype=dtype)
        self.b = np.zeros((parts, grid.size), dtype=dtype)
        self.r = np.zeros((parts, grid.size), dtype=dtype)
        self.coarse = np.zeros(grid.size, dtype=dtype)
        before = grid.colours
        after = before[::-1] if symmetric else before
        self.steps, self.counts = grid.steps(before)
        last = parts - 1
        rough = {s for s in range(parts) if s not in before[-1]}
        stale = {s for s in range(parts) if s not in after[0]}
        self.pre = [self._stages(before, sweeps, zero, rough) for zero in (False, True)]
        self.post = self._stages(after, sweeps, False, set())
        self.down, self.down_direct = grid.restrict_pairs(rough), last if last in rough else -1
        self.up, self.up_direct = grid.prolong_pairs(stale), last if last in stale else -1

    @property
    def nbytes(self) -> int:
        """Bytes of this level's arrays."""
        return sum(v.nbytes for v in (self.dinv, self.k, self.w, self.x, self.b, self.r, self.coarse, self._factors))

    @staticmethod
    def _stages(order: list[list[int]], sweeps: int, zero: bool, rough: set[int]) -> NDArray[np.int64]:
        """Rows (kind, sub-grid, position, variant of the steps): the sweeps, then the residual where it is not zero."""
        groups = order * sweeps
        rows = [
            (RELAX, s, place, int(zero and place < len(order))) for place, group in enumerate(groups) for s in group
        ]
        rows += [(RESIDUAL, s, len(groups), 0) for s in sorted(rough)]
        return np.array(rows, dtype=np.int64)

    def _run(self, stages: NDArray[np.int64]) -> None:
        """All stages in one wavefront; stage by stage where threads or periodic ghosts need it."""
        grid = self.grid
        tables = (self.steps, self.counts, grid.lag)
        arrays = (self.x, self.b, self.r, self.k, self.dinv, self._factors)
        if (get_threads() == 1 or self.x.size < SERIAL) and not any(grid.periodic):
            wave(*arrays, stages, *tables, *grid.range)
            return
        for place in range(stages[-1, 2] + 1):
            some = stages[stages[:, 2] == place].copy()
            some[:, 2] = 0
            grid.share(partial(wave, *arrays, some, *tables))
            for kind, s, *_ in some:
                grid.wrap(self.x[s] if kind == RELAX else self.r[s])

    def descend(self, zero: bool) -> None:
        """Relax (from a zero guess or from x) and restrict the residual to `coarse`."""
        self._run(self.pre[int(zero)])
        self.grid.share(partial(restrict, self.coarse, self.r, self.w, self.down, self.down_direct))

    def ascend(self) -> None:
        """Add the interpolated `coarse` to x and relax."""
        self.grid.wrap(self.coarse)
        self.grid.share(partial(prolong, self.x, self.coarse, self.w, self.up, self.up_direct))
        for s in range(self.grid.parts) if any(self.grid.periodic) else ():
            self.grid.wrap(self.x[s])
        self._run(self.post)

    def load(self, source: NDArray[np.floating]) -> None:
        """Take the right-hand side from a flat array of either precision."""
        split(source, self.b, self.grid.layout)
        for s in range(self.grid.parts) if any(self.grid.periodic) else ():
            self.grid.wrap(self.b[s])

    def unload(self, target: NDArray[np.floating]) -> None:
        """Write x to a flat array of either precision."""
        merge(target, self.x, self.grid.layout)
