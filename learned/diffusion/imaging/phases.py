"""Smooth random phases, which make complex images of magnitudes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

ORDER = 3
"""Largest sum of the two frequencies of a phase's cosines."""


def smooth_phases(count: int, size: int, generator: torch.Generator, *, spread: float = 1.0) -> Tensor:
    """Draw phases.

    Parameters
    ----------
    count, size : int
        Images, and pixels along a side.
    generator : torch.Generator
        Of the CPU: what is drawn depends on nothing else.
    spread : float
        Radians: standard deviation of the lowest cosines' factors.

    Returns
    -------
    (count, size, size) tensor
        Radians, float32.

    Notes
    -----
    phi(x, y) = theta + spread sum a_kl cos(pi k x) cos(pi l y) / (k^2 + l^2) over 1 <= k + l <= 3, with theta uniform
    on the circle and normal a_kl: what field inhomogeneity and coils leave in an image, without the jumps of tissues.

    Examples
    --------
    >>> phases = smooth_phases(2, 8, torch.Generator().manual_seed(0))
    >>> tuple(phases.shape), bool((phases.diff(dim=1).abs() < 2).all())
    ((2, 8, 8), True)
    """
    at = (torch.arange(size) + 0.5) / size
    cosines = torch.cos(math.pi * torch.arange(ORDER + 1)[:, None] * at)
    k = torch.arange(ORDER + 1.0)
    square = k[:, None] ** 2 + k**2
    weights = torch.where((k[:, None] + k <= ORDER) & (square > 0), spread / square.clamp(min=1), 0.0)
    factors = torch.randn(count, ORDER + 1, ORDER + 1, generator=generator) * weights
    start = 2 * math.pi * torch.rand(count, 1, 1, generator=generator)
    return start + torch.einsum("bkl,ky,lx->byx", factors, cosines, cosines)


def with_phases(magnitudes: Tensor, phases: Tensor) -> Tensor:
    """Return complex images as two channels, (B, 2, h, w), of magnitudes and phases (B, h, w).

    Examples
    --------
    >>> with_phases(torch.ones(1, 1, 1), torch.zeros(1, 1, 1)).flatten().tolist()
    [1.0, 0.0]
    """
    return torch.stack([magnitudes * phases.cos(), magnitudes * phases.sin()], dim=1)
