"""Noisy images to train and judge denoisers with: a batch is a function of a seed and the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conjugo.learned.diffusion.imaging.augment import Augmentation, block_means
from conjugo.learned.diffusion.imaging.phases import smooth_phases, with_phases
from conjugo.learned.operators.batches import PairBatches, seeded

type Clean = Callable[[int], Tensor]
type Batch = dict[str, Tensor]

LEVELS = (0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 3.0, 10.0)
"""Noise levels at which a denoiser is judged."""


class SliceImages:
    """Clean images from slices: shuffled, moved, and given a phase where they are to be complex.

    Parameters
    ----------
    slices : (N, fine * size, fine * size) tensor
        Magnitudes; they stay where they are.
    size : int
        Pixels along a side of the images.
    batch : int
        Images a step.
    seed : int
        With the step it fixes the images.
    augmentation : Augmentation or None
        How they are moved.
    phases : bool
        Whether the images are complex, with `smooth_phases`.

    Raises
    ------
    ValueError
        If batch exceeds the slices (each repeats at most once a batch), or fine is no whole number.

    Examples
    --------
    >>> SliceImages(torch.rand(4, 16, 16), 8, batch=2, phases=True)(0).shape
    torch.Size([2, 2, 8, 8])
    """

    def __init__(
        self,
        slices: Tensor,
        size: int,
        *,
        batch: int,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        phases: bool = False,
    ) -> None:
        block_means(slices[:1], size)  # refuses a size that does not divide
        self.size, self.seed, self.augmentation, self.phases = size, seed, augmentation, phases
        self.rows = PairBatches(slices, batch=batch, seed=seed)

    def __call__(self, step: int, /) -> Tensor:
        """Return (batch, 1, size, size), or two channels where they are complex."""
        (chosen,) = self.rows(step)
        generator = seeded(self.seed, step, 1)
        if self.augmentation is not None:
            images = self.augmentation(chosen, self.size, generator)
        else:
            images = block_means(chosen, self.size)
        return complex_images(images, generator) if self.phases else images[:, None]


def complex_images(magnitudes: Tensor, generator: torch.Generator) -> Tensor:
    """Give magnitudes (B, h, h) smooth random phases: (B, 2, h, h), real and imaginary part."""
    phases = smooth_phases(len(magnitudes), magnitudes.shape[-1], generator)
    return with_phases(magnitudes, phases.to(magnitudes))


@dataclass(frozen=True, kw_only=True)
class NoisyBatches:
    """Batches of clean images with noise of random levels.

    Parameters
    ----------
    clean : callable
        clean(step) -> (B, channels, h, w).
    sigma_data : float
        Root mean square of the clean images.
    seed : int
        With the step it fixes noise and levels.
    middle, spread : float
        Mean and standard deviation of ln(sigma).

    Notes
    -----
    The levels of a batch are stratified: the i-th of B lies in the i-th of B equally likely intervals.

    References
    ----------
    T. Karras et al., Elucidating the design space of diffusion-based generative models, NeurIPS (2022), table 1.
    D. Kingma et al., Variational diffusion models, NeurIPS (2021), appendix I.1 (low-discrepancy levels).

    Examples
    --------
    >>> batches = NoisyBatches(clean=lambda step: torch.zeros(4, 1, 8, 8), sigma_data=0.5)
    >>> {name: tuple(value.shape) for name, value in batches(0).items()}
    {'clean': (4, 1, 8, 8), 'noisy': (4, 1, 8, 8), 'sigma': (4,), 'weight': (4,)}
    """

    clean: Clean
    sigma_data: float
    seed: int = 0
    middle: float = -1.2
    spread: float = 1.8

    def __call__(self, step: int, /) -> Batch:
        """Return the batch of a step."""
        images = self.clean(step)
        generator = seeded(self.seed, step, 2)
        count = len(images)
        places = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        sigma = torch.exp(self.middle + self.spread * torch.special.ndtri(places.clamp(1e-4, 1 - 1e-4)))
        return noisy(images, sigma.to(images), generator, self.sigma_data)


def noisy(images: Tensor, sigma: Tensor, generator: torch.Generator, sigma_data: float) -> Batch:
    """Add noise of standard deviations (B,); weights are (sigma^2 + d^2) / (sigma d)^2, d = sigma_data."""
    noise = torch.randn(images.shape, generator=generator).to(images)
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    return {
        "clean": images,
        "noisy": images + sigma[:, None, None, None] * noise,
        "sigma": sigma,
        "weight": weight,
    }


def judged(
    images: Tensor, sigma_data: float, *, seed: int = 0, levels: Sequence[float] = LEVELS, batch: int = 16
) -> list[Batch]:
    """Give the same images noise of every level: batches of one level each, for validation and scores.

    Parameters
    ----------
    images : (N, channels, h, w) tensor
        Clean.
    sigma_data : float
        Root mean square of the images trained on.
    seed : int
        Of the noise.
    levels : sequence of float
        Standard deviations.
    batch : int
        Images a batch.
    """
    parts = torch.split(images, batch)
    return [
        noisy(part, torch.full((len(part),), level).to(part), seeded(seed, i, j), sigma_data)
        for i, level in enumerate(levels)
        for j, part in enumerate(parts)
    ]


def denoising_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Weighted mean square error of a denoiser: 1 is what the best one scores on white images, at every level.

    References
    ----------
    T. Karras et al., Elucidating the design space of diffusion-based generative models, NeurIPS (2022), eq. (8).
    """
    error = (model(batch["noisy"], batch["sigma"]) - batch["clean"]).float().square().mean(dim=(1, 2, 3))
    loss: Tensor = (batch["weight"] * error).mean()
    return loss


def denoising_errors(
    denoiser: Callable[[Tensor, float], Tensor],
    images: Tensor,
    *,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
    batch: int = 16,
) -> dict[float, float]:
    """Root mean square error of a denoiser at every level, over all images and pixels.

    Parameters
    ----------
    denoiser : callable
        D(x, sigma).
    images : (N, channels, h, w) tensor
        Clean.
    levels : sequence of float
        Standard deviations of the noise.
    seed : int
        Of the noise: the same for every denoiser.
    batch : int
        Images at a time.

    Returns
    -------
    dict
        Error by level.

    Examples
    --------
    >>> errors = denoising_errors(lambda x, sigma: x, torch.zeros(4, 1, 32, 32), levels=[0.5])
    >>> round(errors[0.5], 1)
    0.5
    """
    squares = dict.fromkeys(levels, 0.0)
    with torch.no_grad():
        for part in judged(images, 1.0, seed=seed, levels=levels, batch=batch):
            level = min(levels, key=lambda value: abs(value - float(part["sigma"][0])))
            squares[level] += float((denoiser(part["noisy"], level) - part["clean"]).double().square().sum())
    return {level: math.sqrt(total / images.numel()) for level, total in squares.items()}
