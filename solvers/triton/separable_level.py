"""One level of a separable operator on the device: its tables, its vectors and the launches on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from conjugo.solvers.multigrid.transfers import Transfer
from conjugo.solvers.operators.separable import Axis
from conjugo.solvers.triton import cycle_kernels as kernels
from conjugo.solvers.triton.language import divide_up, power_of_two

type Axes = tuple[Axis, Axis, Axis]
type Transfers = tuple[Transfer | None, Transfer | None, Transfer | None]

TILE = (1, 2, 256)
"""Nodes of a tile along the three axes, at most."""
BLOCK = (1, 256)
"""Rows and columns of a marching program's block, at most: thin ones were fastest on an H100."""
CHUNK = 8
"""Planes that it marches through, at most."""
COARSE_TILE = (1, 1, 128) if torch.cuda.is_available() else (8, 8, 16)
"""The same for the coarse nodes of the restriction, whose unrolled kernel takes long to compile: one size for all."""
WARPS = 4
TILES = 256 if torch.cuda.is_available() else 1
"""Tiles that a grid is cut into at least, so that a small one keeps the device busy; the interpreter wants few."""


def three_axes(axes: tuple[Axis, ...]) -> Axes:
    """Three axes: a missing one has a single node and no coupling; the last one stays last."""
    nothing = Axis(np.zeros(1), np.zeros(1), np.zeros(1), np.ones(1))
    first, second = {1: (nothing, nothing), 2: (axes[0], nothing), 3: (axes[0], axes[1 % len(axes)])}[len(axes)]
    return first, second, axes[-1]


def tile_of(shape: tuple[int, ...], most: tuple[int, int, int] = TILE) -> tuple[int, int, int]:
    """Tile of powers of two for a grid: short axes give their share to the others, small grids get small tiles."""
    budget = most[0] * most[1] * most[2]
    while budget > 128 and math.prod(shape) < TILES * budget:
        budget //= 2
    last = min(most[2], power_of_two(shape[2]), budget)
    middle = min(most[1], power_of_two(shape[1]), budget // last)
    return min(power_of_two(shape[0]), budget // (last * middle)), middle, last


def block_of(shape: tuple[int, ...]) -> tuple[tuple[int, int], int]:
    """Rows and columns of a marching program's block, and how many planes it marches through."""
    columns = min(BLOCK[1], power_of_two(shape[2]))
    rows = min(power_of_two(shape[1]), max(1, BLOCK[0] * BLOCK[1] // columns))
    blocks = divide_up(shape[1], rows) * divide_up(shape[2], columns)
    return (rows, columns), max(1, min(CHUNK, blocks * shape[0] // (8 * TILES))) if TILES > 1 else CHUNK


def entries(axes: Axes, shift: float) -> NDArray[np.float64]:
    """Lower, diagonal and upper entries of the axes one after the other; the shift goes with the first."""
    rows = [np.concatenate([a.lower, a.diag + (shift if at == 0 else 0.0), a.upper]) for at, a in enumerate(axes)]
    return np.concatenate(rows)


def restriction_table(axis: Axis, transfer: Transfer | None) -> NDArray[np.float64]:
    """Rows of R, then of R T, at the fine places -2 .. 2 around each coarse node, (10, m)."""
    n = len(axis)
    m = n if transfer is None else len(transfer.centre)
    table = np.zeros((10, m))
    coarse = np.arange(n) if transfer is None else 2 * np.arange(m) + transfer.first
    if transfer is None:
        table[2] = 1.0
    else:
        table[1:4] = transfer.lower, transfer.centre, transfer.upper
    for d in (-1, 0, 1):
        at = (coarse + d) % n
        table[6 + d] += table[2 + d] * axis.lower[at]
        table[7 + d] += table[2 + d] * axis.diag[at]
        table[8 + d] += table[2 + d] * axis.upper[at]
    return table


class SeparableLevel:
    """Tables and launches of one level.

    Parameters
    ----------
    axes : three Axis
        As `three_axes` gives them.
    shift : float
        Multiple of the identity.
    transfers : three Transfer or None, optional
        To the next level; None on the coarsest.
    device : torch.device
        Where.
    interval : (float, float)
        Part of the spectrum of D^-1 T that the smoother damps; the upper end bounds the spectrum.
    """

    def __init__(
        self,
        axes: Axes,
        shift: float,
        transfers: Transfers | None,
        device: torch.device,
        interval: tuple[float, float],
    ) -> None:
        self.shape = tuple(len(axis) for axis in axes)
        self.active = tuple(n > 1 for n in self.shape[:2])
        self.coarsened: tuple[bool, ...] = ()
        self.coarse_shape: tuple[int, ...] = ()
        self.tile = tile_of(self.shape)
        self.block, self.chunk = block_of(self.shape)
        self.even = all(bool(np.all(a.diag == a.diag[0])) for a in axes)
        self.coef = torch.tensor(entries(axes, shift), dtype=torch.float32, device=device)
        self.weight = torch.tensor(np.concatenate([a.weight for a in axes]), device=device)
        self.b, self.x, self.y = (torch.zeros(self.shape, dtype=torch.float32, device=device) for _ in range(3))
        middle, half = (interval[1] + interval[0]) / 2, (interval[1] - interval[0]) / 2
        self.omegas = tuple(1 / (middle + half * math.cos(math.pi * at / 4)) for at in (1, 3))
        if transfers is not None:
            self._transfer(axes, shift, transfers, device)

    def _transfer(self, axes: Axes, shift: float, transfers: Transfers, device: torch.device) -> None:
        self.coarsened = tuple(t is not None for t in transfers[:2])
        self.coarse_shape = tuple(len(a) if t is None else len(t.centre) for a, t in zip(axes, transfers, strict=True))
        self.coarse_tile = COARSE_TILE
        self.firsts = tuple(0 if t is None else t.first for t in transfers)
        self.steps = tuple(1 if t is None else 2 for t in transfers)
        down = []
        for at, (axis, transfer) in enumerate(zip(axes, transfers, strict=True)):
            shifted = axis if at else Axis(axis.lower, axis.diag + shift, axis.upper, axis.weight, axis.periodic)
            down.append(restriction_table(shifted, transfer).ravel())
        up = []
        for axis, t in zip(axes, transfers, strict=True):
            n = len(axis)
            left, right = (np.zeros(n), np.zeros(n)) if t is None else (t.left.copy(), t.right)
            left[slice(None) if t is None else slice(t.first, None, 2)] = 1.0
            up.append(np.concatenate([left, right]))
        self.down = torch.tensor(np.concatenate(down), dtype=torch.float32, device=device)
        self.up = torch.tensor(np.concatenate(up), dtype=torch.float32, device=device)

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors and tables."""
        return sum(t.nbytes for t in (self.coef, self.weight, self.b, self.x, self.y))

    @staticmethod
    def grid(shape: tuple[int, ...], tile: tuple[int, int, int]) -> tuple[int, int, int]:
        """Programs along the axes, the contiguous one first."""
        return divide_up(shape[2], tile[2]), divide_up(shape[1], tile[1]), divide_up(shape[0], tile[0])

    def marched(self, planes: int, chunk: int | None = None) -> tuple[int, int, int]:
        """Programs of a kernel that marches through chunks of planes."""
        first, second = divide_up(self.shape[2], self.block[1]), divide_up(self.shape[1], self.block[0])
        return first, second, divide_up(planes, chunk or self.chunk)

    @property
    def programs(self) -> int:
        """Most programs of any kernel on the level, which each have a share of a sum."""
        return max(math.prod(self.grid(self.shape, self.tile)), math.prod(self.marched(self.shape[0])))

    def smooth_zero(self) -> None:
        """x = both smoothing steps from zero."""
        kernels.smooth_zero[self.marched(self.shape[0])](
            self.x, self.b, self.coef, *self.shape, *self.omegas, self.chunk, *self.active, self.even,
            *self.block, num_warps=WARPS,
        )  # fmt: skip

    def restrict(self, coarse: torch.Tensor) -> None:
        """coarse = R (b - T x)."""
        kernels.restrict[self.grid(self.coarse_shape, self.coarse_tile)](
            coarse, self.x, self.b, self.down, *self.shape, *self.coarse_shape, *self.firsts, *self.steps,
            *self.active, *self.coarse_tile, num_warps=WARPS,
        )  # fmt: skip

    def prolong(self, coarse: torch.Tensor) -> None:
        """x += P coarse."""
        chunk = divide_up(self.chunk, self.steps[0])
        kernels.prolong[self.marched(self.coarse_shape[0] + self.steps[0] - 1, chunk)](
            self.x, coarse, self.up, *self.shape, *self.coarse_shape, *self.firsts, *self.steps[1:], chunk,
            self.steps[0], self.coarsened[1], *self.block, num_warps=WARPS,
        )  # fmt: skip

    def smooth(self, y: torch.Tensor, x: torch.Tensor, omega: float, partial: torch.Tensor | None = None) -> None:
        """y = x + omega D^-1 (b - T x); the shares of y . W b go to `partial`."""
        sums: Any = self.coef if partial is None else partial
        kernels.smooth[self.marched(self.shape[0])](
            y, x, self.b, self.coef, self.weight, sums, *self.shape, omega, self.chunk, *self.active,
            partial is not None, *self.block, num_warps=WARPS,
        )  # fmt: skip

    def ascend(self, coarse: torch.Tensor, partial: torch.Tensor | None = None) -> None:
        """Add the correction and smooth; the result is in x."""
        self.prolong(coarse)
        self.smooth(self.y, self.x, self.omegas[0])
        self.smooth(self.x, self.y, self.omegas[1], partial)
