"""The geometry-aware Latent Spectral Model: fields on scattered points of bodies of different shapes, in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conjugo.learned.operators.coordinate_map import CoordinateMap
from conjugo.learned.operators.lsm import Head, check_batch, check_sizes
from conjugo.learned.operators.point_fourier import PointFourier, grid_points
from conjugo.learned.operators.scaling import Scaling
from conjugo.learned.operators.unet import COARSEST, LatentSpectralUNet


@dataclass(frozen=True, kw_only=True)
class GeometryLSMConfig:
    """Size of a `GeometryLSM`; the defaults are the paper's for elasticity on point clouds.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    in_channels: int = 0
    """Channels of a field on the points; their coordinates are added inside. 0 where the shape is the only input."""
    out_channels: int = 1
    """Channels of the output."""
    codes: int = 42
    """Numbers that describe a shape; 0 for none."""
    width: int = 32
    """Channels of the finest grid, a multiple of `heads`."""
    tokens: int = 4
    """Latent tokens of a patch."""
    modes: int = 12
    """Frequencies of the spectral series."""
    heads: int = 8
    """Heads of the attention."""
    projection: int = 128
    """Channels of the last hidden layer."""
    waves: int = 12
    """Fourier modes along each axis between points and grid."""
    resolution: int = 96
    """Nodes of the hidden grid along each axis, a multiple of 16."""

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.in_channels < 0 or self.codes < 0 or self.waves < 1:
            raise ValueError(
                f"in_channels = {self.in_channels}, codes = {self.codes}, waves = {self.waves}: at least 0, 0, 1"
            )
        if self.resolution < COARSEST or self.resolution % COARSEST:
            raise ValueError(f"resolution = {self.resolution}: expected a multiple of {COARSEST}, which patches divide")
        if 2 * self.waves > self.resolution:
            raise ValueError(f"waves = {self.waves}: a grid of {self.resolution} holds at most {self.resolution // 2}")


class GeometryLSM(nn.Module):
    """Latent Spectral Model for point clouds: physical fields on points to physical fields on the same points.

    Parameters
    ----------
    config : GeometryLSMConfig
        Sizes.

    Notes
    -----
    Lift each point's coordinates (and field); by a `PointFourier` layer in the coordinates phi of a learned
    `CoordinateMap` to a 96 x 96 grid, plus a linear map of the grid's coordinates; `LatentSpectralUNet`; by a second
    such layer back to the points, plus a linear map of their coordinates; C -> 128, GELU, 128 -> outputs. Points in any
    order and number give the same answer at the same place (they are averaged over in the first transform).

    References
    ----------
    H. Wu, T. Hu, H. Luo, J. Wang, M. Long, "Solving High-Dimensional PDEs with Latent Spectral Models", ICML 2023;
    Z. Li, D. Z. Huang, B. Liu, A. Anandkumar, "Fourier neural operator with learned deformations for PDEs on general
    geometries", JMLR 24, 2023.

    Examples
    --------
    >>> model = GeometryLSM(GeometryLSMConfig())
    >>> outer = sum(p.numel() for p in model.map.parameters())
    >>> sum(p.numel() for p in model.parameters()) - outer - sum(p.numel() // 2 for p in model.fourier_parameters())
    5402785
    """

    def __init__(self, config: GeometryLSMConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.scaling = Scaling(config.in_channels, config.out_channels)
        self.map = CoordinateMap(config.codes)
        self.lift = nn.Linear(config.in_channels + 2, width)
        self.inwards = PointFourier(width, config.waves)
        self.grid_bias = nn.Linear(2, width)
        self.unet = LatentSpectralUNet(2, width, tokens=config.tokens, modes=config.modes, heads=config.heads)
        self.outwards = PointFourier(width, config.waves)
        self.point_bias = nn.Linear(2, width)
        self.head = Head(width, config.projection, config.out_channels)

    def fourier_parameters(self) -> list[nn.Parameter]:
        """Parameters that are pairs of real numbers for one complex number; tables of sizes count them once."""
        return [self.inwards.weight, self.outwards.weight]

    def forward(self, coordinates: Tensor, a: Tensor | None = None, code: Tensor | None = None) -> Tensor:
        """Map inputs to outputs.

        Parameters
        ----------
        coordinates : Tensor, shape (batch, 2, points)
            Where the points are; the body should lie about the unit square.
        a : Tensor, shape (batch, in_channels, points), optional
            Physical field on them, where `in_channels` is not 0.
        code : Tensor, shape (batch, codes), optional
            Numbers that describe each shape.

        Returns
        -------
        Tensor, shape (batch, out_channels, points), float32
            Physical field on the points.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        config = self.config
        self._check(coordinates, a)
        check_batch(self, len(coordinates), (config.resolution,) * 2)
        with torch.autocast(coordinates.device.type, enabled=False):
            points = coordinates.float().mT
            phi = self.map(points, None if code is None else code.float())
            values = points if a is None else torch.cat([self.scaling.encode(a.float()).mT, points], dim=-1)
            grid = grid_points(config.resolution, points.device)
            x = self.inwards(self.lift(values).mT, phi, grid) + self.grid_bias(grid).mT
        n = config.resolution
        x = self.unet(x.unflatten(2, (n, n)).contiguous(memory_format=torch.channels_last))
        with torch.autocast(coordinates.device.type, enabled=False):
            x = self.outwards(x.flatten(2).float(), grid, phi) + self.point_bias(points).mT
        y = self.head(x.mT).mT
        return self.scaling.decode(y).contiguous()

    def _check(self, coordinates: Tensor, a: Tensor | None) -> None:
        channels = self.config.in_channels
        if coordinates.ndim != 3 or coordinates.shape[1] != 2 or not coordinates.shape[2]:
            raise ValueError(f"coordinates has shape {tuple(coordinates.shape)}: expected (batch, 2, points)")
        wanted = (len(coordinates), channels, coordinates.shape[2])
        if (a is None) != (channels == 0) or (a is not None and tuple(a.shape) != wanted):
            found = "not given" if a is None else f"of shape {tuple(a.shape)}"
            raise ValueError(f"a is {found}: expected {wanted if channels else 'none, as in_channels = 0'}")
