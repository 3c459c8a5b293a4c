"""Black-box and learned multigrid cycles on a CUDA device, from a hierarchy that was set up on the CPU."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from conjugo.solvers.multigrid.black_box import TWICE, BlackBoxHierarchy
from conjugo.solvers.triton.black_box_level import BlackBoxLevel
from conjugo.solvers.triton.graph import Recorded
from conjugo.solvers.triton.language import check_device

_LARGEST_INVERSE = 4096
"""Unknowns of the largest coarsest grid whose inverse is formed."""


class CudaBlackBox:
    """The cycle of a black-box hierarchy as a preconditioner of CUDA tensors.

    Parameters
    ----------
    hierarchy : BlackBoxHierarchy
        Set up for a VariableStencil; its levels may carry `omega` and `transfer`, as a learned hierarchy's do.
    device : str or torch.device
        Where.

    Attributes
    ----------
    shape, linear, symmetric
        What Krylov methods ask of a preconditioner.
    setup_seconds : float
        Time to move the hierarchy. Kernels compile at the first use of each.
    nbytes : int
        Bytes on the device.

    Raises
    ------
    ValueError
        If the device is missing, or the coarsest grid too large for a stored inverse.

    Notes
    -----
    The storage is the CPU's: a flat, ghost-padded sub-grid for each index parity, neighbours at constant shifts. All
    sub-grids of a colour and all right-hand sides relax in one launch; the whole cycle is one CUDA graph. The coarsest
    problem is a product with the stored inverse in float64.

    Examples
    --------
    On a machine with a CUDA device::

        M = CudaBlackBox(BlackBoxHierarchy(A, symmetric=True))
        x, info = cg(A, b_on_the_device, M=M)
    """

    linear = True

    def __init__(self, hierarchy: BlackBoxHierarchy, *, device: str | torch.device = "cuda") -> None:
        started = time.perf_counter()
        self.device = check_device(device)
        self.kind = hierarchy.kind
        self.symmetric = bool(hierarchy.symmetric)
        n = int(np.prod(hierarchy.grid_shapes[0]))
        self.shape = (n, n)
        self.levels = [BlackBoxLevel(level, 1, self.device) for level in hierarchy.levels]
        self._index = torch.tensor(np.asarray(hierarchy.index), device=self.device)
        self._inverse = torch.tensor(_inverse(hierarchy), device=self.device)
        self.columns = 0
        self._reserve(1)
        self.setup_seconds = time.perf_counter() - started

    def _reserve(self, columns: int) -> None:
        """Make the vectors and the graph for this many right-hand sides."""
        if columns != self.columns:
            for level in self.levels:
                level.reserve(columns)
            dtype = self.levels[0].k.dtype if self.levels else torch.float64
            self._r, self._z = (torch.zeros((columns, self.shape[0]), dtype=dtype, device=self.device) for _ in "rz")
            self.columns = columns
            self._replay = Recorded(self.run_cycle, self.device)

    @property
    def nbytes(self) -> int:
        """Bytes on the device."""
        return sum(level.nbytes for level in self.levels) + int(self._inverse.nbytes + self._r.nbytes + self._z.nbytes)

    def run_cycle(self) -> None:
        """One cycle on the vectors in place; nothing is synchronised."""
        if not self.levels:
            self._solve_coarsest(self._r, self._z)
            return
        self.levels[0].load(self._r)
        self._cycle(0, True, self.kind)
        self.levels[0].unload(self._z)

    def _cycle(self, depth: int, zero: bool, kind: str) -> None:
        """Improve x on one level, in the CPU's order of visits."""
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

    def _solve_coarsest(self, source: torch.Tensor, target: torch.Tensor) -> None:
        """Solve the coarsest problem from and to flat vectors in the layout of the level above."""
        solved = source.index_select(1, self._index).to(torch.float64) @ self._inverse.T
        target.index_copy_(1, self._index, solved.to(target.dtype))

    def __matmul__(self, r: torch.Tensor) -> torch.Tensor:
        if not isinstance(r, torch.Tensor) or r.device != self.device or not r.dtype.is_floating_point:
            where = f"{r.dtype} on {r.device}" if isinstance(r, torch.Tensor) else type(r).__name__
            raise ValueError(f"r is {where}: expected a real tensor on {self.device}; convert it with .to(...)")
        if r.ndim not in (1, 2) or r.shape[0] != self.shape[0]:
            raise ValueError(f"r has shape {tuple(r.shape)}: expected ({self.shape[0]},) or ({self.shape[0]}, k)")
        block = r.reshape(self.shape[0], -1).T
        self._reserve(block.shape[0])
        self._r.copy_(block)
        self._replay()
        return self._z.T.to(r.dtype, copy=True).reshape(r.shape).contiguous()


def _inverse(hierarchy: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Inverse of the coarsest operator, or its pseudo-inverse where it is singular."""
    direct, n = hierarchy.direct, len(hierarchy.index)
    if direct.inverse is not None:
        return np.asarray(direct.inverse, dtype=np.float64)
    if n > _LARGEST_INVERSE:
        raise ValueError(
            f"the coarsest grid has {n} unknowns: at most {_LARGEST_INVERSE} fit a stored inverse; use grid sizes "
            "with more factors of two"
        )
    return np.stack([direct(column) for column in np.eye(n)], axis=1)
