"""Training images that are moved, turned and shaded at random, as a function of a generator alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far images are moved.

    Parameters
    ----------
    degrees : float
        Largest turn, either way.
    scale : float
        Largest logarithm of the factor of size.
    shift : float
        Largest shift along each axis, as a share of a side.
    gamma : float
        Largest logarithm of the exponent of the grey values; 0 leaves them.
    flip : bool
        Whether left and right change places in half of the images.

    Examples
    --------
    >>> images = torch.rand(3, 12, 12)
    >>> Augmentation()(images, 4, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 4, 4])
    """

    degrees: float = 10.0
    scale: float = 0.08
    shift: float = 0.04
    gamma: float = 0.0
    flip: bool = True

    def __call__(self, images: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """Move images and average them down.

        Parameters
        ----------
        images : (B, fine * size, fine * size) tensor
            Grey values in [0, 1].
        size : int
            Pixels along a side of what is returned.
        generator : torch.Generator
            Of the CPU.

        Returns
        -------
        (B, size, size) tensor
            Moved by linear interpolation on the fine grid, with zeros outside, then averaged over blocks.
        """
        draws = torch.rand(len(images), 6, generator=generator) * 2 - 1
        angle = draws[:, 0] * math.radians(self.degrees)
        factor = torch.exp(-self.scale * draws[:, 1])
        mirror = torch.where((draws[:, 2] < 0) & self.flip, -1.0, 1.0)
        cosine, sine = factor * angle.cos(), factor * angle.sin()
        first = torch.stack([mirror * cosine, -sine, 2 * self.shift * draws[:, 3]], dim=1)
        second = torch.stack([mirror * sine, cosine, 2 * self.shift * draws[:, 4]], dim=1)
        maps = torch.stack([first, second], dim=1).to(images)
        fine = images[:, None]
        grid = affine_grid(maps, list(fine.shape), align_corners=False)
        moved = grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        small = block_means(moved[:, 0], size)
        exponent = torch.exp(self.gamma * draws[:, 5]).to(images)
        return small.clamp(0, 1) ** exponent[:, None, None] if self.gamma else small


def block_means(images: Tensor, size: int) -> Tensor:
    """Average (B, fine * size, fine * size) down to (B, size, size).

    Raises
    ------
    ValueError
        If the images are no multiple of the size.
    """
    fine, rest = divmod(images.shape[-1], size)
    if rest or fine < 1:
        raise ValueError(f"images of {images.shape[-1]} pixels a side: expected a multiple of size = {size}")
    return avg_pool2d(images[:, None], fine)[:, 0] if fine > 1 else images
