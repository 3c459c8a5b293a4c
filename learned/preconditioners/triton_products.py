"""The Triton kernel of `term_products`: one program for a block of one row of one problem."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(out, a, p, terms, starts, size, rows, a_rows, p_rows, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(1)
    item = tl.program_id(2).to(tl.int64)
    f = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), dtype=tl.float64)
    for t in range(tl.load(starts + row), tl.load(starts + row + 1)):
        term = terms + 8 * t
        scale = tl.load(term + 1).to(tl.float64)
        i = f + tl.load(term + 3)
        j = f + tl.load(term + 5)
        k = f + tl.load(term + 7)
        left = tl.load(a + (item * a_rows + tl.load(term + 2)) * size + i, mask=(i >= 0) & (i < size), other=0.0)
        first = tl.load(p + (item * p_rows + tl.load(term + 4)) * size + j, mask=(j >= 0) & (j < size), other=0.0)
        second = tl.load(p + (item * p_rows + tl.load(term + 6)) * size + k, mask=(k >= 0) & (k < size), other=0.0)
        total += scale * left * first * second
    tl.store(out + (item * rows + row) * size + f, total, mask=f < size)


def add_products_cuda(a: Tensor, p: Tensor, terms: Tensor, starts: Tensor, rows: int) -> Tensor:
    """Return the sums of products of `term_products`; terms sorted by row, row o from starts[o] to starts[o + 1]."""
    batch, a_rows, size = a.shape
    out = torch.empty((batch, rows, size), dtype=a.dtype, device=a.device)
    grid = (triton.cdiv(size, _BLOCK), rows, batch)
    _kernel[grid](out, a, p, terms, starts, size, rows, a_rows, p.shape[1], BLOCK=_BLOCK)
    return out
