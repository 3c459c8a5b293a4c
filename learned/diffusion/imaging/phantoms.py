"""Phantoms of random ellipses: images to train on where no head shall be seen."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ellipse_phantoms(count: int, size: int, generator: torch.Generator, *, fine: int = 2) -> Tensor:
    """Draw phantoms: a bright shell around a grey inside, in which smaller ellipses add to the grey.

    Parameters
    ----------
    count, size : int
        Images, and pixels along a side.
    generator : torch.Generator
        Of the CPU: what is drawn depends on nothing else.
    fine : int
        A pixel is the mean of fine x fine points.

    Returns
    -------
    (count, size, size) tensor
        float32 in [0, 1]: 0 outside, 0.5 to 1 in the shell, about 1/3 inside.

    References
    ----------
    L. Shepp, B. Logan, The Fourier reconstruction of a head section, IEEE Trans. Nucl. Sci. 21 (1974), 21-43: the
    phantom whose parameters are drawn here.

    Examples
    --------
    >>> phantoms = ellipse_phantoms(2, 16, torch.Generator().manual_seed(0))
    >>> tuple(phantoms.shape), float(phantoms[:, 0, 0].max())
    ((2, 16, 16), 0.0)
    """
    at = (torch.arange(size * fine) + 0.5) / (size * fine) * 2 - 1
    draw = _Draws(count, generator)
    centre, axes = 0.1 * draw(2), 0.62 + 0.16 * draw(2)
    angle = 0.3 * draw(1)[:, 0]
    thickness, bright = 0.09 + 0.05 * draw(1), 0.75 + 0.25 * draw(1)[:, 0]
    inside = _ellipse(at, centre, axes - thickness, angle)
    shell = _ellipse(at, centre, axes, angle) & ~inside
    grey = (0.35 + 0.05 * draw(1)[:, 0])[:, None, None].expand(inside.shape).clone()
    for _ in range(10):
        place, half = centre + 0.6 * draw(2) * axes, 0.14 + 0.12 * draw(2)
        added = 0.25 * draw(1)[:, 0]
        grey += added[:, None, None] * _ellipse(at, place, half, math.pi * draw(1)[:, 0])
    image = torch.where(inside, grey.clamp(0, 1), 0.0) + bright[:, None, None] * shell
    return torch.nn.functional.avg_pool2d(image[:, None], fine)[:, 0]


class _Draws:
    """Numbers uniform on [-1, 1], (count, columns) a call."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count, self.generator = count, generator

    def __call__(self, columns: int) -> Tensor:
        return torch.rand(self.count, columns, generator=self.generator) * 2 - 1


def _ellipse(at: Tensor, centre: Tensor, axes: Tensor, angle: Tensor) -> Tensor:
    """Points (count, n, n) inside the ellipses of centres (x, y), half axes and angles."""
    x, y = at[None, None, :] - centre[:, 0, None, None], at[None, :, None] - centre[:, 1, None, None]
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    u, v = (c * x + s * y) / axes[:, 0, None, None], (c * y - s * x) / axes[:, 1, None, None]
    return u * u + v * v < 1
