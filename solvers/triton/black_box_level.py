"""One level of a black-box or learned hierarchy on the device: the arrays and tables of the CPU's, and its launches."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conjugo.solvers.multigrid.black_box_level import RELAX, Level
from conjugo.solvers.triton import black_box_kernels as kernels
from conjugo.solvers.triton.language import divide_up

type Group = tuple[int, int, torch.Tensor, int]

_BLOCK = 512
_FEW = 2**15
"""Places below which a block is small, so that all multiprocessors get one."""


def _integers(values: Any, device: torch.device) -> torch.Tensor:
    return torch.tensor(np.asarray(values, dtype=np.int32), device=device)


class BlackBoxLevel:
    """A `Level` moved to the device, for several right-hand sides at once.

    Parameters
    ----------
    level : Level
        Set up on the CPU. It may carry `omega`, (parts, size) relaxation factors, and `transfer`, weights shaped like
        `w` that take its place in restriction and prolongation.
    columns : int
        Right-hand sides.
    device : torch.device
        Where.
    """

    def __init__(self, level: Level, columns: int, device: torch.device) -> None:
        grid = level.grid
        self.grid, self.device = grid, device
        self.k = torch.tensor(level.k, device=device)
        self.dinv = torch.tensor(level.dinv, device=device)
        omega, transfer = getattr(level, "omega", None), getattr(level, "transfer", None)
        self.w = torch.tensor(level.w if transfer is None else transfer, dtype=self.k.dtype, device=device)
        self.omega = None if omega is None else torch.tensor(omega, dtype=self.k.dtype, device=device)
        self.steps = _integers(level.steps, device)
        self.counts = np.asarray(level.counts)
        self.pre = [self._groups(stages) for stages in level.pre]
        self.post = self._groups(level.post)
        self._restriction(level)
        self._prolongation(level)
        self._layouts()
        self.reserve(columns)

    def reserve(self, columns: int) -> None:
        """Make the vectors for this many right-hand sides."""
        shape, dtype = (columns, self.grid.parts, self.grid.size), self.k.dtype
        self.columns = columns
        self.x, self.b, self.r = (torch.zeros(shape, dtype=dtype, device=self.device) for _ in range(3))
        self.coarse = torch.zeros((columns, self.grid.size), dtype=dtype, device=self.device)

    def _groups(self, stages: NDArray[np.int64]) -> list[Group]:
        """Stages that run side by side: kind, variant of the steps, sub-grids, steps."""
        groups: list[Group] = []
        for (kind, _, variant), rows in groupby(stages.tolist(), key=lambda row: (row[0], row[2], row[3])):
            members = [row[1] for row in rows]
            for count in sorted({int(self.counts[variant, s]) for s in members}):
                some = [s for s in members if self.counts[variant, s] == count]
                groups.append((kind, variant, _integers(some, self.device), count))
        return groups

    def _restriction(self, level: Level) -> None:
        rows = np.asarray(level.down).reshape(-1, 3)
        self.down, self.down_count, self.down_direct = _integers(rows, self.device), len(rows), level.down_direct

    def _prolongation(self, level: Level) -> None:
        entries: dict[int, list[tuple[int, int]]] = {}
        if level.up_direct >= 0:
            entries[int(level.up_direct)] = []
        for s, m, f, q, u in np.asarray(level.up).tolist():
            entries.setdefault(s, []).extend([(m, f), (q, u)])
        self.up_direct, self.up_most = int(level.up_direct), max([1, *map(len, entries.values())])
        table = np.zeros((max(1, len(entries)), self.up_most, 2), dtype=np.int64)
        for row, pairs in zip(table, entries.values(), strict=False):
            row[: len(pairs)] = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        self.up = _integers(table, self.device)
        self.up_members = _integers(list(entries), self.device)
        self.up_counts = _integers([len(pairs) for pairs in entries.values()], self.device)

    def _layouts(self) -> None:
        """Integers that `split` (which fills periodic ghosts) and `merge` (which does not) read."""
        grid = self.grid
        fill = 3 - grid.dimensions
        bits = (0,) * fill + tuple(2**a for a in range(grid.dimensions))[::-1]
        padded = (1,) * fill + grid.padded
        head = [*grid.layout[:3], *grid.layout[4:7], *bits, grid.layout[3], *padded[1:]]
        closed = (0,) * fill + tuple(map(int, grid.periodic))
        self.inner = _integers([*head, 0, 0, 0], self.device)
        self.outer = _integers([*head, *closed], self.device)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(t.nbytes for t in (self.k, self.dinv, self.w, self.x, self.b, self.r, self.coarse))

    def _block(self) -> int:
        return _BLOCK if self.grid.parts * self.grid.size > _FEW or self.device.type == "cpu" else 128

    def _wrap(self, v: torch.Tensor) -> None:
        """Copy the far ends of periodic axes into the ghosts of flat vectors, as `Parity.wrap`."""
        if any(self.grid.periodic):
            view = v.view(-1, *self.grid.padded)
            for axis, closed in enumerate(self.grid.periodic, start=1):
                if closed:
                    view.select(axis, 0).copy_(view.select(axis, -2))
                    view.select(axis, -1).copy_(view.select(axis, 1))

    def run(self, groups: list[Group]) -> None:
        """Relax and form residuals, group by group."""
        (lo, hi), block = self.grid.range, self._block()
        star = 0 if self.grid.compact else len(self.grid.directions)
        for kind, variant, members, count in groups:
            kernels.stage[(divide_up(hi - lo, block), len(members), self.columns)](
                self.x, self.b, self.r, self.k, self.dinv, self.dinv if self.omega is None else self.omega,
                self.steps[variant], members, self.grid.parts, self.grid.size, lo, hi, count,
                len(self.grid.directions), kind == RELAX, variant == 1, self.omega is not None,
                star if count == star else 0, block, num_warps=4,
            )  # fmt: skip
            self._wrap(self.x if kind == RELAX else self.r)

    def descend(self, zero: bool) -> None:
        """Relax, from a zero guess or from x, and restrict the residual to `coarse`."""
        self.run(self.pre[int(zero)])
        (lo, hi), block = self.grid.range, self._block()
        kernels.restrict[(divide_up(hi - lo, block), self.columns)](
            self.coarse, self.r, self.w, self.down, self.grid.parts, self.grid.size, lo, hi, self.down_direct,
            self.down_count, block, num_warps=4,
        )  # fmt: skip

    def ascend(self) -> None:
        """Add the interpolated `coarse` to x and relax."""
        self._wrap(self.coarse)
        (lo, hi), block = self.grid.range, self._block()
        if len(self.up_members):
            kernels.prolong[(divide_up(hi - lo, block), len(self.up_members), self.columns)](
                self.x, self.coarse, self.w, self.up_members, self.up_counts, self.up, self.grid.parts,
                self.grid.size, lo, hi, self.up_direct, self.up_most, block, num_warps=4,
            )  # fmt: skip
        self._wrap(self.x)
        self.run(self.post)

    def load(self, source: torch.Tensor) -> None:
        """Take the right-hand sides from flat vectors (columns, width)."""
        kernels.split[(divide_up(self.grid.size, _BLOCK), self.grid.parts, self.columns)](
            self.b, source, self.outer, self.grid.parts, self.grid.size, source.shape[1], _BLOCK, num_warps=4
        )

    def unload(self, target: torch.Tensor) -> None:
        """Write x to flat vectors (columns, width)."""
        kernels.merge[(divide_up(self.grid.size, _BLOCK), self.grid.parts, self.columns)](
            target, self.x, self.inner, self.grid.parts, self.grid.size, target.shape[1], _BLOCK, num_warps=4
        )
