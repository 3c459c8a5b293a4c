"""DirectionNet: the published network of the deep conjugate direction method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

CHANNELS = 16

BLOCKS = {64: (1, 3, 2), 128: (2, 5, 3)}
"""Residual pairs of the encoder, of the half-resolution level and of the decoder, by the size it was designed for."""


@dataclass(frozen=True, kw_only=True)
class DirectionNetConfig:
    """Which of the published networks.

    Parameters
    ----------
    dimension : {2, 3}
        Of the grid. The published networks are 3-D; 2 gives the same layers with 3 x 3 kernels.
    size : {64, 128}
        Cells a side that the network was designed for. It runs on any even size.
    """

    dimension: Literal[2, 3] = 3
    size: Literal[64, 128] = 64

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise ValueError(f"dimension = {self.dimension}: expected 2 or 3")
        if self.size not in BLOCKS:
            raise ValueError(f"size = {self.size}: expected one of {', '.join(map(str, BLOCKS))}")


class DirectionNet(nn.Module):
    """Map a residual to a search direction, (batch, 1, *grid) to the same shape.

    Parameters
    ----------
    config : DirectionNetConfig
        Dimension and size.

    Raises
    ------
    ValueError
        By `config` for an unknown size, and by `forward` for fields that it cannot coarsen.

    Notes
    -----
    A linear convolution to 16 channels, the encoder, average pooling by 2, the half-resolution level, nearest
    upsampling plus the encoder's output, the decoder, and a linear head. All kernels are 3 wide with zero padding
    and bias; ReLU comes before each residual add; there is no normalisation. In 3-D it has 97,457 parameters for
    size 64 and 152,881 for 128, and costs 122 and 184 kFLOP a voxel: it is slow. Biases make it depend on the scale
    of its input, so it must be given residuals of unit root mean square, as `NeuralPreconditioner` does. It sees
    44 or 68 voxels across: information does not cross larger grids in one call.

    References
    ----------
    Kaneda, Akar, Chen, Kala, Hyde, Teran (2023), "A deep conjugate direction method for iteratively solving linear
    systems", ICML; the layers are those of the code published with it.

    Examples
    --------
    >>> sum(p.numel() for p in DirectionNet(DirectionNetConfig(dimension=3, size=64)).parameters())
    97457
    """

    def __init__(self, config: DirectionNetConfig) -> None:
        super().__init__()
        self.config = config
        encoder, coarse, decoder = BLOCKS[config.size]
        conv = nn.Conv2d if config.dimension == 2 else nn.Conv3d
        self.first = conv(1, CHANNELS, 3, padding=1)
        self.enter = conv(CHANNELS, CHANNELS, 3, padding=1)
        self.encoder = nn.Sequential(*(_Pair(conv) for _ in range(encoder)))
        self.leave = conv(CHANNELS, CHANNELS, 3, padding=1)
        self.pool = nn.AvgPool2d(2) if config.dimension == 2 else nn.AvgPool3d(2)
        self.coarse = nn.Sequential(*(_Pair(conv) for _ in range(coarse)))
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.decoder = nn.Sequential(*(_Pair(conv) for _ in range(decoder)))
        self.head = conv(CHANNELS, 1, 1)

    def coarsening(self, shape: tuple[int, ...]) -> int:
        """Return what every side must be a multiple of."""
        check_grid(shape, self.config.dimension, smallest=2)
        return 2

    def forward(self, residual: Tensor, geometry: Tensor | None = None) -> Tensor:
        """Propose a direction; `geometry` is not looked at."""
        check_sides(residual, self.coarsening(tuple(residual.shape[2:])))
        fine = torch.relu(self.enter(self.first(residual)))
        fine = torch.relu(self.leave(self.encoder(fine)))
        coarse = self.coarse(self.pool(fine))
        direction: Tensor = self.head(self.decoder(self.up(coarse) + fine))
        return direction


class _Pair(nn.Module):
    """Two convolutions with ReLU, and the input added."""

    def __init__(self, conv: type[nn.Conv2d] | type[nn.Conv3d]) -> None:
        super().__init__()
        self.one = conv(CHANNELS, CHANNELS, 3, padding=1)
        self.two = conv(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.two(torch.relu(self.one(x)))) + x


def check_grid(shape: tuple[int, ...], dimension: int, smallest: int) -> None:
    """Refuse a grid of another dimension, or too small to coarsen.

    Raises
    ------
    ValueError
        Naming the grid, what was expected and the remedy.
    """
    if len(shape) != dimension:
        raise ValueError(
            f"the grid {shape} has {len(shape)} axes but the network's dimension is {dimension}: "
            f"use weights trained in {len(shape)}-D"
        )
    if min(shape) < smallest:
        raise ValueError(f"the grid {shape} has a side below {smallest}, which the network cannot coarsen: use cg")


def check_sides(field: Tensor, multiple: int) -> None:
    """Refuse a field whose sides are not multiples of the coarsening.

    Raises
    ------
    ValueError
        Naming the remedy.
    """
    if any(side % multiple for side in field.shape[2:]):
        raise ValueError(
            f"the field has sides {tuple(field.shape[2:])}: expected multiples of {multiple}; NeuralPreconditioner pads"
        )
