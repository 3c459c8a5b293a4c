"""What the imaging comparisons compare on: a scanner, its data of held-out slices, a prior and its error spectrum."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.cases.diffusion_recipes import MEASURED, TEST, VALIDATION, Images, gathered, images_of, rms, sample
from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum, levels
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.imaging.batches import complex_images
from conjugo.learned.diffusion.imaging.phantoms import ellipse_phantoms
from conjugo.learned.diffusion.imaging.physics import DeepinvMeasurement, noisy_data
from conjugo.learned.diffusion.imaging.unet import UNetDenoiser
from conjugo.learned.operators.batches import seeded
from conjugo.learned.training.models import load_model, weights_path

type Prior = Literal["network", "gaussian"]
type Denoise = Callable[[Tensor, float], Tensor]

SPECTRUM_IMAGES = 64
"""Images of the training slices on which the error spectrum is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Truth (B, channels, h, w) and its noisy data (B, m)."""

    truth: Tensor
    y: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One inverse problem of imaging with a prior.

    Attributes
    ----------
    A : DeepinvMeasurement
        The scanner.
    sigma : float
        Standard deviation of the noise in y.
    validation, test : Slices
        To choose settings on, and to score.
    denoiser : callable
        The prior, D(x, sigma).
    linear : GaussianPrior
        Mean and cosine spectrum of the training slices: the prior of the linear reconstruction.
    spectrum : ErrorSpectrum
        Of the denoiser, measured on training slices.
    direct : callable
        y (B, m) to images: zero-filled, or filtered backprojection.
    direct_name : str
        Which of the two.
    low : float
        Least value of an image; the largest is 1.
    scale : float
        Root mean square of the images.
    name, prior : str
        What is imaged, and what the prior is.
    spectrum_seconds : float
        What measuring the spectrum took.
    """

    A: DeepinvMeasurement
    sigma: float
    validation: Slices
    test: Slices
    denoiser: Denoise
    linear: GaussianPrior
    spectrum: ErrorSpectrum
    direct: Callable[[Tensor], Tensor]
    direct_name: str
    low: float
    scale: float
    name: str
    prior: str
    spectrum_seconds: float

    @property
    def is_complex(self) -> bool:
        """Whether images have two channels, of which the magnitude is judged."""
        return self.A.image_shape[0] == 2

    def magnitude(self, x: Tensor) -> Tensor:
        """Return what is judged and shown, (B, 1, h, w)."""
        return x.square().sum(1, keepdim=True).sqrt() if self.is_complex else x


def network(problem: str, weights: Path | None) -> UNetDenoiser:
    """Load a trained denoiser.

    Raises
    ------
    ValueError
        If there are no weights, or they are none of a denoiser of this problem.
    """
    path = weights or weights_path("dcdm_2d").with_name(f"diffusion_{problem}.safetensors")
    if not path.is_file():
        raise ValueError(
            f"there are no weights {path}: `conjugo train diffusion --problem {problem} --reduced` trains some (pass "
            "them with --weights), and --prior gaussian does without"
        )
    model = load_model(path)
    channels = 2 if problem == "mri" else 1
    if not isinstance(model, UNetDenoiser) or model.config.channels != channels:
        raise ValueError(f"{path} holds no UNetDenoiser of {channels} channels, as {problem} needs")
    return model


def phantom_images(problem: Literal["mri", "ct"], size: int, seed: int) -> Images:
    """Ellipse phantoms to fit, to choose by and to test on, each drawn from numbers of its own."""

    def clean(step: int) -> Tensor:
        generator = seeded(seed, step, 3)
        images = ellipse_phantoms(32, size, generator)
        return complex_images(images, generator) if problem == "mri" else images[:, None]

    validation, test = (ellipse_phantoms(16, size, seeded(seed, number, 3)) for number in (VALIDATION, TEST))
    return gathered(clean, validation.numpy(), test.numpy(), problem, seed, "ellipse phantoms", "cpu")


def images_for(problem: Literal["mri", "ct"], size: int, *, volume: Path | None, phantoms: bool, seed: int) -> Images:
    """Return the slices of the volumes, or phantoms."""
    if phantoms:
        return phantom_images(problem, size, seed)
    return images_of(problem, size=size, batch=32, seed=seed, volume=volume)


def spread_out(images: Tensor, count: int) -> Tensor:
    """Return `count` slices at even distances, from one end to the other.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if not 1 <= count <= len(images):
        raise ValueError(f"{count} slices asked for: expected 1 to {len(images)}")
    return images[np.linspace(0, len(images) - 1, count).round().astype(int)]


def build(
    A: DeepinvMeasurement, images: Images, model: nn.Module | None, direct: Callable[[Tensor], Tensor],
    direct_name: str, *, noise: float, relative: bool, slices: tuple[int, int], seed: int, device: torch.device,
) -> Scene:  # fmt: skip
    """Measure the slices and the prior's error.

    Parameters
    ----------
    A : DeepinvMeasurement
        The scanner.
    images : Images
        Training, validation and test slices.
    model : nn.Module, optional
        The trained denoiser; without it the Gaussian prior of the training slices.
    direct, direct_name : callable, str
        See `Scene`.
    noise : float
        Standard deviation of the noise.
    relative : bool
        Whether it is relative to the root mean square of the validation slices' data.
    slices : tuple of int
        How many to validate on and to test on.
    seed : int
        Of noise and draws.
    device : torch.device
        Where all runs.
    """
    validated, tested = (spread_out(part, count) for part, count in zip((images.validation, images.test), slices,
                                                                       strict=True))  # fmt: skip
    validated, tested = validated.float().to(device), tested.float().to(device)
    sigma = noise * (rms(A.measure(validated)) if relative else 1.0)
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"noise = {noise}: expected a positive standard deviation")
    chosen, scored = (
        Slices(truth, noisy_data(A, truth, sigma, seed=seed, first=first))
        for first, truth in ((VALIDATION, validated), (TEST, tested))
    )
    denoiser: Any = images.linear if model is None else model.to(device).eval()
    started = time.perf_counter()
    seen = sample(lambda step: images.clean(step + MEASURED // 2), SPECTRUM_IMAGES)[:SPECTRUM_IMAGES].to(device)
    spectrum = ErrorSpectrum.measure(denoiser, seen, levels(), seed=seed, batch=16)
    spent = time.perf_counter() - started
    prior = "Gaussian prior of the training slices" if model is None else _described(model)
    low = -1.0 if A.image_shape[0] == 2 else 0.0
    return Scene(A, sigma, chosen, scored, denoiser, images.linear, spectrum, direct, direct_name, low,
                 images.sigma_data, images.name, prior, spent)  # fmt: skip


def _described(model: nn.Module) -> str:
    return f"U-Net of {sum(p.numel() for p in model.parameters()):,} parameters"
