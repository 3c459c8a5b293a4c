"""IPHI: a learned map from the points of a body to the unit square, the same net for all bodies, each with its code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CENTRE = 1e-4
"""Both coordinates of the point about which angles are measured; off the origin, where the angle has no derivative."""


class CoordinateMap(nn.Module):
    """Points of a body, and numbers that describe its shape, to points of a reference square.

    Parameters
    ----------
    codes : int
        Numbers that describe a shape (the paper's elasticity set: the radius of the hole at 42 angles); 0 for none.
    width : int
        A quarter of the channels of the hidden layers; a multiple of 4.

    Notes
    -----
    phi(x) = x + x * net(features): the coordinates, the angle and the distance from (1e-4, 1e-4), linearly mapped, and
    sines and cosines of all four at pi, 2 pi, 4 pi, ..., 2^(width/4 - 1) pi; with the code, linearly mapped, where one
    is given. Three hidden layers with tanh. 63,746 parameters with 42 codes.

    References
    ----------
    Z. Li, D. Z. Huang, B. Liu, A. Anandkumar, "Fourier neural operator with learned deformations for PDEs on general
    geometries", JMLR 24, 2023, section 3.

    Examples
    --------
    >>> sum(p.numel() for p in CoordinateMap(codes=42).parameters())
    63746
    """

    frequencies: Tensor

    def __init__(self, codes: int, width: int = 32) -> None:
        super().__init__()
        if codes < 0 or width < 4 or width % 4:
            raise ValueError(f"codes = {codes} and width = {width}: expected at least 0, and a multiple of 4")
        self.codes = codes
        self.read = nn.Linear(4, width)
        self.read_code = nn.Linear(codes, width) if codes else None
        self.without_code = nn.Linear(3 * width, 4 * width)
        self.hidden = nn.ModuleList([nn.Linear(4 * width, 4 * width) for _ in range(3)])
        self.write = nn.Linear(4 * width, 2)
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(width // 4), persistent=False)

    def forward(self, points: Tensor, code: Tensor | None = None) -> Tensor:
        """Map points.

        Parameters
        ----------
        points : Tensor, shape (batch, points, 2)
            Physical coordinates, scaled so that the body lies about the unit square.
        code : Tensor, shape (batch, codes), optional
            The shape's numbers; without them the map knows the points only.

        Returns
        -------
        Tensor, shape (batch, points, 2)
            Coordinates in which the Fourier transform is taken.

        Raises
        ------
        ValueError
            If a code is given that does not fit.
        """
        from_centre = points - CENTRE
        radius = torch.linalg.vector_norm(from_centre, dim=-1, keepdim=True)
        angle = torch.atan2(from_centre[..., 1:], from_centre[..., :1])
        x = torch.cat([points, angle, radius], dim=-1)
        waves = (x[..., None] * self.frequencies).flatten(-2)
        x = torch.cat([self.read(x), waves.sin(), waves.cos()], dim=-1)
        if code is None:
            x = self.without_code(x)
        elif self.read_code is None or tuple(code.shape) != (len(points), self.codes):
            raise ValueError(
                f"code has shape {tuple(code.shape)}: expected ({len(points)}, {self.codes}), or none at all"
            )
        else:
            known = self.read_code(code)[:, None].expand(-1, points.shape[1], -1)
            x = torch.cat([known, x], dim=-1)
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        stretch: Tensor = self.write(x)
        return points + points * stretch
