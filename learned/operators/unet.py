"""The U-Net of the Latent Spectral Model: convolutions between five grids, a neural spectral block on every skip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conjugo.learned.operators.neural_spectral_block import NeuralSpectralBlock

COARSEST = 16
"""Pixels of the finest grid for one of the coarsest along an axis, and patches of the finest grid along an axis."""


class DoubleConv(nn.Sequential):
    """Twice: a convolution of 3 nodes an axis without bias, batch normalisation, ReLU.

    Parameters
    ----------
    dimension : int
        Spatial axes, 2 or 3.
    inside, outside : int
        Channels of input and output.
    middle : int, optional
        Channels between; by default as the output.
    """

    def __init__(self, dimension: int, inside: int, outside: int, middle: int | None = None) -> None:
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if dimension == 2 else nn.Conv3d
        norm: type[nn.BatchNorm2d] | type[nn.BatchNorm3d] = nn.BatchNorm2d if dimension == 2 else nn.BatchNorm3d
        middle = outside if middle is None else middle
        super().__init__(
            conv(inside, middle, 3, padding=1, bias=False),
            norm(middle),
            nn.ReLU(inplace=True),
            conv(middle, outside, 3, padding=1, bias=False),
            norm(outside),
            nn.ReLU(inplace=True),
        )


class LatentSpectralUNet(nn.Module):
    """Features to features on one grid: encoder, spectral blocks on the five skips, decoder, a last 1x1 convolution.

    Parameters
    ----------
    dimension : int
        Spatial axes, 2 or 3.
    width : int
        Channels C of input and output; the five grids have C, 2C, 4C, 8C and 8C.
    tokens, modes, heads : int
        Of the `NeuralSpectralBlock`s.

    Notes
    -----
    Every grid is cut into patches of p = n / 16 pixels along an axis, n that of the finest grid: 16, 8, 4, 2 and 1
    patches an axis. The decoder doubles the grid by (multi)linear interpolation that keeps the corners.
    """

    def __init__(self, dimension: int, width: int, *, tokens: int, modes: int, heads: int) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8, 8)]
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.pool = nn.MaxPool2d(2) if dimension == 2 else nn.MaxPool3d(2)
        self.upsample = Double()
        pairs = zip([width, *widths[:-1]], widths, strict=True)
        self.down = nn.ModuleList([DoubleConv(dimension, inside, outside) for inside, outside in pairs])
        self.blocks = nn.ModuleList(
            [NeuralSpectralBlock(w, dimension, tokens=tokens, modes=modes, heads=heads) for w in widths]
        )
        outsides = [width * factor for factor in (4, 2, 1, 1)]
        pairs = zip(reversed(widths[:-1]), outsides, strict=True)
        self.up = nn.ModuleList([DoubleConv(dimension, 2 * skip, out, middle=skip) for skip, out in pairs])
        self.last = conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, *spatial) to the same; each axis of the grid is a multiple of 16."""
        patch = tuple(n // COARSEST for n in x.shape[2:])
        skips: list[Tensor] = []
        for level, layer in enumerate(self.down):
            x = layer(x if level == 0 else self.pool(skips[-1]))
            skips.append(x)
        x = self.blocks[-1](x, patch)
        for layer, skip, block in zip(self.up, reversed(skips[:-1]), reversed(self.blocks[:-1]), strict=True):
            x = layer(torch.cat([block(skip, patch), self.upsample(x)], dim=1))
        out: Tensor = self.last(x)
        return out


class Double(nn.Module):
    """Double a grid by (multi)linear interpolation that maps corners to corners.

    Notes
    -----
    Equal to `interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)`, as a small dense product along each
    axis: its derivative is a product too, where the library's adds atomically, in an order that changes.

    Examples
    --------
    >>> Double()(torch.tensor([[[[0.0, 3.0], [0.0, 3.0]]]]))[0, 0, 0].round(decimals=5).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, *spatial) to twice the nodes along each axis; the result is in channels_last."""
        y = x.movedim(1, -1)
        shape = list(y.shape)
        for axis in reversed(range(1, y.ndim - 1)):
            n = shape[axis]
            weights = hats(n, 2 * n, like=y)
            before, shape[axis] = torch.Size(shape[:axis]).numel(), 2 * n
            columns = y.reshape(before, n, -1)
            y = torch.bmm(weights.expand(before, -1, -1), columns).reshape(shape)
        return y.movedim(-1, 1)


def hats(n: int, m: int, like: Tensor) -> Tensor:
    """Weights (m, n) of linear interpolation from n to m nodes of the same interval, ends on ends."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    at = torch.arange(m, device=like.device, dtype=dtype) * (n - 1) / (m - 1)
    nodes = torch.arange(n, device=like.device, dtype=dtype)
    return (1 - (at[:, None] - nodes).abs()).clamp(min=0).to(like.dtype)


def padding(shape: Sequence[int]) -> tuple[int, ...]:
    """Nodes to add behind each axis, the last axis first as `torch.nn.functional.pad` wants: up to multiples of 16.

    Examples
    --------
    >>> padding((101, 31, 20))
    (0, 12, 0, 1, 0, 11)
    """
    return tuple(size for n in reversed(shape) for size in (0, -n % COARSEST))
