"""A small U-Net of residual blocks for fields on nodes, walls included, of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8
"""Groups of the normalisation; widths are multiples of it."""


class ResidualUNet(nn.Module):
    """Map (batch, inside, h, w) to (batch, outside, h, w) by residual blocks on several grids.

    Parameters
    ----------
    inside, outside : int
        Channels of input and output.
    widths : sequence of int
        Channels on each grid from the finest on, multiples of 8.
    depth : int
        Residual blocks on each grid, on the way down and again on the way up.

    Raises
    ------
    ValueError
        If a width is no multiple of 8 or depth is below 1; by `forward`, for a grid too small to coarsen.

    Notes
    -----
    Convolutions of 3 x 3 nodes, padded by the nearest value: a zero would mean something to a coefficient. Coarser
    grids keep every other node (a convolution of stride 2), finer ones are reached by interpolation that keeps the
    corners, so that the nodes of an odd grid stay where they are. The last convolution starts at zero.

    Examples
    --------
    >>> net = ResidualUNet(3, 1, (8, 16))
    >>> float(net(torch.randn(2, 3, 21, 21)).detach().abs().max())
    0.0
    """

    def __init__(self, inside: int, outside: int, widths: Sequence[int], depth: int = 1) -> None:
        super().__init__()
        if not widths or any(width < GROUPS or width % GROUPS for width in widths) or depth < 1:
            raise ValueError(
                f"widths = {tuple(widths)}, depth = {depth}: expected multiples of {GROUPS}, and at least 1"
            )
        self.first = _near(inside, widths[0])
        self.fall = nn.ModuleList(_near(fine, coarse, stride=2) for fine, coarse in pairwise(widths))
        self.down = nn.ModuleList(_blocks(width, depth) for width in widths)
        self.join = nn.ModuleList(nn.Conv2d(fine + coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(_blocks(width, depth) for width in widths[:-1])
        self.norm = nn.GroupNorm(GROUPS, widths[0])
        self.last = _near(widths[0], outside)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the network."""
        smallest = 2 ** len(self.fall) + 1
        if min(x.shape[2:]) < smallest:
            raise ValueError(
                f"a grid of {tuple(x.shape[2:])} nodes: at least {smallest} an axis are needed to coarsen it"
            )
        x = self.down[0](self.first(x))
        skips = [x]
        for fall, blocks in zip(self.fall, self.down[1:], strict=True):
            x = blocks(fall(x))
            skips.append(x)
        skips.pop()
        for join, blocks in zip(reversed(self.join), reversed(self.up), strict=True):
            skip = skips.pop()
            x = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
            x = blocks(join(torch.cat([skip, x.to(skip.dtype)], dim=1)))
        y: Tensor = self.last(functional.gelu(self.norm(x)))
        return y


class _Residual(nn.Module):
    """x + conv(gelu(norm(conv(gelu(norm(x))))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.between = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.one, self.two = _near(width, width), _near(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.one(functional.gelu(self.before(x)))
        y = x + self.two(functional.gelu(self.between(y)))
        return y


def _blocks(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width) for _ in range(depth)))


def _near(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, stride=stride, padding=1, padding_mode="replicate")
