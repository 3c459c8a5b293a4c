"""Sums of products over colour-split arrays that can be differentiated: the Galerkin product of multigrid in torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.solvers.multigrid.parity import Table


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Terms (out, scale, row of a, shift, row of p, shift, row of p, shift) of `term_products`, and their derivatives.

    Parameters
    ----------
    table : (t, 8) int array
        As `solvers.multigrid.terms` makes them.
    rows : tuple of int
        Rows of the result, of a and of p.
    """

    table: Table
    rows: tuple[int, int, int]

    @property
    def for_a(self) -> Table:
        """Terms of the derivative by a: products of the incoming gradient with p and p."""
        out, scale, a, sa, p, sp, q, sq = self.table.T
        return np.stack([a, scale, out, -sa, p, sp - sa, q, sq - sa], axis=1)

    @property
    def for_p(self) -> Table:
        """Terms of the derivative by p: products of the incoming gradient with rows of a and p stacked."""
        out, scale, a, sa, p, sp, q, sq = self.table.T
        below = self.rows[1]
        first = np.stack([p, scale, out, -sp, a, sa - sp, below + q, sq - sp], axis=1)
        second = np.stack([q, scale, out, -sq, a, sa - sq, below + p, sp - sq], axis=1)
        return np.concatenate([first, second])


def term_products(a: Tensor, p: Tensor, terms: Terms) -> Tensor:
    """Return out[b, o, f] = sum over the terms of scale a[b, i, f + s] p[b, j, f + t] p[b, k, f + u].

    Parameters
    ----------
    a : (batch, rows, size) float64 tensor
        Values outside 0 <= f < size count as zero.
    p : (batch, rows, size) float64 tensor
        Likewise.
    terms : Terms
        What is summed.

    Returns
    -------
    (batch, rows, size) tensor
        Differentiable by a and p: the derivatives are sums of the same form. Numba on the CPU, Triton on CUDA.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from conjugo.learned.preconditioners.term_products import Terms, term_products
    >>> one = Terms(np.array([[0, 1, 0, 0, 0, 1, 0, 1]]), (1, 1, 1))  # out[f] = a[f] p[f + 1]^2
    >>> term_products(torch.ones(1, 1, 3, dtype=torch.float64), torch.arange(3.0).double().reshape(1, 1, 3), one)
    tensor([[[1., 4., 0.]]], dtype=torch.float64)
    """
    if a.dtype != torch.float64 or p.dtype != torch.float64:
        raise ValueError(f"a is {a.dtype} and p is {p.dtype}: expected float64, because high contrasts cancel")
    result: Tensor = _Products.apply(a, p, terms)
    return result


class _Products(torch.autograd.Function):
    """The sum of products and its derivatives."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, p: Tensor, terms: Terms) -> Tensor:
        ctx.save_for_backward(a, p)
        ctx.terms = terms
        return _sum(a, p, terms.table, terms.rows[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        a, p = ctx.saved_tensors
        terms: Terms = ctx.terms
        (g,) = gradients
        by_a = _sum(g, p, terms.for_a, terms.rows[1]) if ctx.needs_input_grad[0] else None
        by_p = _sum(g, torch.cat([a, p], dim=1), terms.for_p, terms.rows[2]) if ctx.needs_input_grad[1] else None
        return by_a, by_p, None


def _sum(a: Tensor, p: Tensor, table: Table, rows: int) -> Tensor:
    """Sum the products of one table on the device of a."""
    if a.is_cuda:
        from conjugo.learned.preconditioners.triton_products import add_products_cuda

        return add_products_cuda(a.contiguous(), p.contiguous(), *_sorted(table.tobytes(), rows, str(a.device)), rows)
    return _sum_on_host(a, p, table, rows)


def _sum_on_host(a: Tensor, p: Tensor, table: Table, rows: int) -> Tensor:
    """Sum by the Numba kernel of the classical set-up, problem by problem, with zeros beyond both ends."""
    from conjugo.solvers.kernels.black_box_setup import add_products

    size = a.shape[-1]
    pad = int(np.abs(table[:, [3, 5, 7]]).max(initial=0))
    out = np.zeros((a.shape[0], rows, size + 2 * pad))

    def padded(x: Tensor) -> NDArray[np.float64]:
        return np.pad(x.detach().numpy(), ((0, 0), (0, 0), (pad, pad)))

    table = np.ascontiguousarray(table)
    for result, left, right in zip(out, padded(a), padded(p), strict=True):
        add_products(result, left, right, table, pad, pad + size)
    return torch.from_numpy(np.ascontiguousarray(out[..., pad : pad + size]))


@lru_cache(maxsize=256)
def _sorted(table: bytes, rows: int, device: str) -> tuple[Tensor, Tensor]:
    """The table on a device, ordered by its output row, and where each row's terms begin."""
    terms = np.frombuffer(table, dtype=np.int64).reshape(-1, 8)
    terms = terms[np.argsort(terms[:, 0], kind="stable")]
    starts = np.searchsorted(terms[:, 0], np.arange(rows + 1))
    return torch.tensor(terms, device=device), torch.tensor(starts, device=device)
