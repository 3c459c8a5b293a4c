"""Transformer blocks on a periodic grid: attention that knows relative places only, and a convolution beside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PeriodicRotary(nn.Module):
    """Rotary positions on a torus: a product of query and key depends on their distance alone, and has its period.

    Parameters
    ----------
    head_width : int
        Components of a head, a multiple of 4.
    largest : int
        Largest wave number.

    Raises
    ------
    ValueError
        If head_width is no multiple of 4, or largest is below 1.

    Notes
    -----
    Half of the pairs of components turn by k x, half by k y, with x and y in [0, 2 pi) and integers k from 1 to
    `largest` in geometric progression: a shift of all tokens around the torus changes no product.

    References
    ----------
    J. Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021, equation 34, with integer
    wave numbers in place of its powers.

    Examples
    --------
    >>> rotary = PeriodicRotary(8, 4)
    >>> turn = rotary((4, 4))
    >>> turned(torch.randn(2, 3, 16, 8), turn).shape
    torch.Size([2, 3, 16, 8])
    """

    waves: Tensor

    def __init__(self, head_width: int, largest: int) -> None:
        super().__init__()
        if head_width % 4 or largest < 1:
            raise ValueError(
                f"head_width = {head_width}, largest = {largest}: expected a multiple of 4, and at least 1"
            )
        exponents = torch.linspace(0, 1, head_width // 4, dtype=torch.float64)
        self.register_buffer("waves", (largest**exponents).round().float(), persistent=False)

    def forward(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of all angles, each (tokens, head_width / 2)."""
        x, y = (torch.arange(n, device=self.waves.device) * (2 * torch.pi / n) for n in grid)
        by_x = (x[:, None, None] * self.waves).expand(*grid, -1)
        by_y = (y[None, :, None] * self.waves).expand(*grid, -1)
        angle = torch.cat([by_x, by_y], dim=-1).flatten(0, 1)
        return angle.cos(), angle.sin()


def turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the pairs of components of (batch, heads, tokens, head_width) by the angles of `PeriodicRotary`."""
    cosine, sine = turn[0].to(x.dtype), turn[1].to(x.dtype)
    one, two = x.chunk(2, dim=-1)
    return torch.cat([one * cosine - two * sine, one * sine + two * cosine], dim=-1)


class PeriodicBlock(nn.Module):
    """A pre-norm block: a circular depthwise convolution, softmax attention over all tokens, a perceptron.

    Parameters
    ----------
    width : int
        Components of a token.
    heads : int
        Attention heads; width must be a multiple of 4 * heads.
    expansion : int
        Hidden width of the perceptron over `width`.

    Raises
    ------
    ValueError
        If width is no multiple of 4 * heads.

    Notes
    -----
    Queries and keys are normalised to a learned root mean square before they turn, so that products stay bounded in
    bfloat16. The last map of each branch starts at zero: a new block is the identity.

    Examples
    --------
    >>> block, rotary = PeriodicBlock(16, 2, 2), PeriodicRotary(8, 2)
    >>> x = torch.randn(2, 16, 4, 4)
    >>> torch.equal(block(x, rotary((4, 4))), x)
    True
    """

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        if width % (4 * heads):
            raise ValueError(f"width = {width}, heads = {heads}: the width must be a multiple of 4 * heads")
        self.heads = heads
        self.near = nn.Conv2d(width, width, 3, padding=1, padding_mode="circular", groups=width)
        self.before = nn.LayerNorm(width)
        self.mixed = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.query_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.key_norm = nn.RMSNorm(width // heads, eps=1e-6)
        self.after = nn.LayerNorm(width)
        self.rise = nn.Linear(width, expansion * width)
        self.fall = nn.Linear(expansion * width, width)
        for last in (self.near, self.joined, self.fall):
            nn.init.zeros_(last.weight)
            if last.bias is not None:
                nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """Map (batch, width, *grid) to the same shape; `turn` is `PeriodicRotary(grid)`."""
        x = x + self.near(x)
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self._attended(self.before(tokens), turn)
        tokens = tokens + self.fall(functional.gelu(self.rise(self.after(tokens))))
        found: Tensor = tokens.transpose(1, 2).reshape(x.shape)
        return found

    def _attended(self, tokens: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        batch, count, width = tokens.shape
        parts = self.mixed(tokens).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        full = self.query_norm.weight.dtype  # norms and angles are not for bfloat16
        query, key = turned(self.query_norm(query.to(full)), turn), turned(self.key_norm(key.to(full)), turn)
        found = functional.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value)
        joined: Tensor = self.joined(found.transpose(1, 2).reshape(batch, count, width))
        return joined
