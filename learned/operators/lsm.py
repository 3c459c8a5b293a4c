"""The Latent Spectral Model on grids in two and three dimensions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from conjugo.learned.operators.fields import check_fields
from conjugo.learned.operators.scaling import Scaling
from conjugo.learned.operators.unet import COARSEST, LatentSpectralUNet, padding

ScalingKind = Literal["pixelwise", "channel"]


@dataclass(frozen=True, kw_only=True)
class LSMConfig:
    """Size of an `LSM`; the defaults are the paper's for Darcy flow.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    dimension: int = 2
    """Spatial axes: 2 or 3."""
    in_channels: int = 1
    """Channels of the input; coordinates are added inside."""
    out_channels: int = 1
    """Channels of the output."""
    width: int = 64
    """Channels of the finest grid, a multiple of `heads`."""
    tokens: int = 4
    """Latent tokens of a patch."""
    modes: int = 12
    """Frequencies of the spectral series."""
    heads: int = 8
    """Heads of the attention."""
    projection: int = 128
    """Channels of the last hidden layer."""
    grid: tuple[int, ...] = (85, 85)
    """Grid of the training data; others are taken too."""
    scaling: ScalingKind = "pixelwise"
    """Whether normalisation differs from node to node or from channel to channel only."""

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3) or len(self.grid) != self.dimension:
            raise ValueError(
                f"dimension = {self.dimension} and grid = {self.grid}: expected 2 or 3, and as many nodes as axes"
            )
        if min(self.grid) < COARSEST:
            raise ValueError(
                f"grid = {self.grid}: at least {COARSEST} nodes an axis are needed, the grid is halved 4 times"
            )
        check_sizes(self)
        if self.in_channels < 1:
            raise ValueError(f"in_channels = {self.in_channels}: at least 1 is needed")
        if self.scaling not in get_args(ScalingKind):
            raise ValueError(f"scaling = {self.scaling!r}: choose one of {', '.join(map(repr, get_args(ScalingKind)))}")


def check_sizes(config: Any) -> None:
    """Refuse sizes that no U-Net with spectral blocks can have.

    Raises
    ------
    ValueError
        Naming the field.
    """
    for name in ("out_channels", "width", "tokens", "modes", "heads", "projection"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} = {getattr(config, name)}: at least 1 is needed")
    if config.width % config.heads:
        raise ValueError(f"width = {config.width}: expected a multiple of heads = {config.heads}")


class LSM(nn.Module):
    """Latent Spectral Model: physical fields on a grid to physical fields on the same grid.

    Parameters
    ----------
    config : LSMConfig
        Sizes.

    Notes
    -----
    Normalise; append x, y (and z) in [0, 1]; lift each node to C channels; pad with zeros behind each axis to multiples
    of 16; `LatentSpectralUNet`; crop; C -> 128, GELU, 128 -> outputs; undo the normalisation (`scaling`, identity until
    `scaling.measure`). Patches have n / 16 pixels along an axis of n padded nodes, so that any grid of 16 nodes or more
    is taken at any time. It is not free of the grid: the convolutions see neighbours, so that the answer on another
    grid than the training one is to be measured before it is trusted.

    Works on channels_last memory inside, whatever comes in; `model.to(memory_format=torch.channels_last)` saves the
    conversions of weights. In bfloat16 autocast normalisation, lifting and the last layer stay in float32.

    References
    ----------
    H. Wu, T. Hu, H. Luo, J. Wang, M. Long, "Solving High-Dimensional PDEs with Latent Spectral Models", ICML 2023.

    Examples
    --------
    >>> sum(p.numel() for p in LSM(LSMConfig()).parameters())
    19187457
    >>> model = LSM(LSMConfig(width=8, grid=(21, 17))).eval()
    >>> model(torch.ones(2, 1, 21, 17)).shape, model(torch.ones(1, 1, 33, 40)).shape
    (torch.Size([2, 1, 21, 17]), torch.Size([1, 1, 33, 40]))
    """

    def __init__(self, config: LSMConfig) -> None:
        super().__init__()
        self.config = config
        width, d = config.width, config.dimension
        shape = config.grid if config.scaling == "pixelwise" else None
        self.scaling = Scaling(config.in_channels, config.out_channels, shape)
        self.lift = nn.Linear(config.in_channels + d, width)
        self.unet = LatentSpectralUNet(d, width, tokens=config.tokens, modes=config.modes, heads=config.heads)
        self.head = Head(width, config.projection, config.out_channels)

    def forward(self, a: Tensor) -> Tensor:
        """Map inputs to outputs.

        Parameters
        ----------
        a : Tensor, shape (batch, in_channels, *spatial)
            Physical fields.

        Returns
        -------
        Tensor, shape (batch, out_channels, *spatial)
            Physical fields, of the type of the weights (float32).

        Raises
        ------
        ValueError
            If the shape does not fit, or a grid is too small. Values are not looked at: `predict` does that.
        """
        config = self.config
        check_fields(a, config.in_channels, config.dimension, smallest=COARSEST)
        check_batch(self, len(a), a.shape[2:])
        with torch.autocast(a.device.type, enabled=False):
            x = self.lift(with_coordinates(self.scaling.encode(a.to(self.lift.weight.dtype))))
        x = nn.functional.pad(x.movedim(-1, 1), padding(a.shape[2:]))
        x = self.unet(x)
        for axis, n in enumerate(a.shape[2:], 2):
            x = x.narrow(axis, 0, n)
        y = self.head(x.movedim(1, -1)).movedim(-1, 1)
        with torch.autocast(a.device.type, enabled=False):
            return self.scaling.decode(y).contiguous()


class Head(nn.Module):
    """From features to outputs at each node: a hidden layer with GELU, and a linear layer in float32.

    Parameters
    ----------
    width, hidden, outputs : int
        Channels.
    """

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., outputs)."""
        x = nn.functional.gelu(self.hidden(x))
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round the answer to three digits
            out: Tensor = self.out(x.to(self.out.weight.dtype))
        return out


def with_coordinates(a: Tensor) -> Tensor:
    """Append coordinates from 0 to 1 on each axis: (batch, c, *spatial) to (batch, *spatial, c + d)."""
    axes = [torch.linspace(0, 1, n, dtype=a.dtype, device=a.device) for n in a.shape[2:]]
    mesh = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return torch.cat([a.movedim(1, -1), mesh.expand(len(a), *mesh.shape)], dim=-1)


def check_batch(model: nn.Module, batch: int, grid: torch.Size | tuple[int, ...]) -> None:
    """Refuse a batch on whose coarsest grid batch normalisation has one value only, in training.

    Raises
    ------
    ValueError
        If so.
    """
    if model.training and batch * math.prod(-(-n // COARSEST) for n in grid) < 2:
        raise ValueError(
            f"one sample on a grid of {tuple(grid)} leaves one node on the coarsest grid, too few for the statistics "
            "of batch normalisation: train with a batch of 2 or more, or call model.eval()"
        )
