"""Products of stencils with CUDA tensors, in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.triton.cg_kernels import product
from conjugo.solvers.triton.language import divide_up
from conjugo.solvers.triton.separable_level import WARPS, SeparableLevel, entries, three_axes, tile_of
from conjugo.solvers.triton.variable_kernels import variable_product

_BLOCK = 1024


def offers(A: Any, x: torch.Tensor) -> bool:
    """Whether a fused product of A with x is there: real tensors, every stencil of the package."""
    known = isinstance(A, SeparableStencil | VariableStencil)
    return known and x.dtype in (torch.float32, torch.float64) and 0 < x.numel() < 2**31


def multiply(A: SeparableStencil | VariableStencil, x: torch.Tensor, store: dict[Any, Any]) -> torch.Tensor:
    """Return A x for a tensor (n,) or (n, k), by a kernel.

    Parameters
    ----------
    A : SeparableStencil or VariableStencil
        The operator.
    x : (n,) or (n, k) float32 or float64 tensor
        On the device.
    store : dict
        Where the coefficients on the device are kept between calls.
    """
    key = ("fused", x.dtype, x.device)
    if key not in store:
        store[key] = _separable(A, x) if isinstance(A, SeparableStencil) else _variable(A, x)
    columns = x.reshape(len(x), -1).T.contiguous()
    out = torch.empty_like(columns)
    for column, result in zip(columns, out, strict=True):
        if isinstance(A, SeparableStencil):
            coef, weight = store[key]
            shape = tuple(len(axis) for axis in three_axes(A.axes))
            tile = tile_of(shape)
            product[SeparableLevel.grid(shape, tile)](
                result, column, column, coef, weight, coef, *shape, shape[0] > 1, shape[1] > 1, False, *tile,
                num_warps=WARPS,
            )  # fmt: skip
        else:
            variable_product[(divide_up(len(column), _BLOCK),)](
                result, column, *store[key], len(column), *_extents(A), A.lower is None, _BLOCK, num_warps=WARPS
            )
    return out.T.reshape(x.shape)


def _extents(A: VariableStencil) -> tuple[int, int, int]:
    """Nodes along three axes, missing ones first."""
    planes, rows, n = (1,) * (3 - len(A.grid_shape)) + A.grid_shape
    return planes, rows, n


def _separable(A: SeparableStencil, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    axes = three_axes(A.axes)
    coef = torch.tensor(entries(axes, A.shift), dtype=x.dtype, device=x.device)
    return coef, torch.tensor(np.concatenate([a.weight for a in axes]), dtype=x.dtype, device=x.device)


def _variable(A: VariableStencil, x: torch.Tensor) -> list[torch.Tensor]:
    """Diagonal, then upper and lower couplings of three axes; a missing axis repeats the last one, unread."""

    def three(arrays: tuple[Any, ...]) -> list[torch.Tensor]:
        moved = [torch.tensor(a.ravel(), dtype=x.dtype, device=x.device) for a in arrays]
        return [*[moved[-1]] * (3 - len(moved)), *moved]

    upper = three(A.upper)
    diag = torch.tensor(A.diag.ravel(), dtype=x.dtype, device=x.device)
    return [diag, *upper, *(upper if A.lower is None else three(A.lower))]
