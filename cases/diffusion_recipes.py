"""What `conjugo train diffusion` trains on, and with which settings: brains, a head in the scanner, source fields."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.imaging.augment import Augmentation
from conjugo.learned.diffusion.imaging.batches import Clean, SliceImages, complex_images
from conjugo.learned.diffusion.imaging.phantoms import ellipse_phantoms
from conjugo.learned.diffusion.imaging.slices import Split, ct_split, mri_split
from conjugo.learned.diffusion.imaging.volumes import invesalius, mni152, nifti
from conjugo.learned.diffusion.imaging.wiener import wiener
from conjugo.learned.operators.batches import seeded
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.random_fields import matern_field

type Problem = Literal["mri", "ct", "source"]
type Size = Literal["full", "reduced", "fast"]

ALPHA, TAU = 2.0, 3.0
"""The source fields: N(0, c (-Laplacian + 9)^-2) with Neumann walls, c such that the mean variance is 1."""

FINE = 3
"""Training slices have three times as many pixels a side as the images made of them, before they are moved."""

VALIDATION, TEST, MEASURED = 10_000_000, 20_000_000, 30_000_000
"""First numbers of the draws to validate on, to test on, and of which a linear denoiser is measured."""

SETTINGS: dict[Size, dict[str, Any]] = {
    "full": {"size": 128, "width": 64, "blocks": 1, "patch": 1, "batch": 64, "steps": 10_000, "precision": "bfloat16",
             "learning_rate": 5e-4, "attention": (32,)},
    "reduced": {"size": 64, "width": 32, "blocks": 1, "patch": 2, "batch": 16, "steps": 2500, "precision": "float32",
                "learning_rate": 1e-3, "attention": ()},
    "fast": {"size": 16, "width": 32, "blocks": 1, "patch": 1, "batch": 4, "steps": 4, "precision": "float32",
             "learning_rate": 1e-3, "attention": ()},
}  # fmt: skip
"""What an option that is not given becomes."""


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Images to train on, and to judge by.

    Parameters
    ----------
    clean : callable
        clean(step) -> (batch, channels, size, size).
    validation, test : (N, channels, size, size) tensors
        The same for all.
    linear : GaussianPrior
        The denoiser to beat, or the exact one.
    exact : bool
        Whether `linear` is the exact one.
    sigma_data : float
        Root mean square of the images trained on.
    name : str
        What they are.
    """

    clean: Clean
    validation: Tensor
    test: Tensor
    linear: GaussianPrior
    exact: bool
    sigma_data: float
    name: str


def images_of(
    problem: Problem, *, size: int, batch: int, seed: int = 0, volume: Path | None = None, phantoms: bool = False,
    device: str | torch.device = "cpu",
) -> Images:  # fmt: skip
    """Return the images of a problem.

    Parameters
    ----------
    problem : {"mri", "ct", "source"}
        Complex brains, a head of CT, or Gaussian fields.
    size, batch : int
        Pixels along a side, and images a step.
    seed : int
        Of all that is drawn.
    volume : Path, optional
        The head trained on (NIfTI; without it MNI152 is shared out), or the CT (InVesalius; needed).
    phantoms : bool
        Train on ellipse phantoms instead, validate on them, and test on the whole volume where there is one.
    device : str or torch.device
        Where they lie.
    """
    if problem == "source":
        if volume is not None or phantoms:
            raise ValueError("source fields are drawn: leave out --volume and --phantoms")
        return source_images(size=size, batch=batch, seed=seed, device=device)
    if problem == "mri":
        split = mri_split(mni152(), size, train=nifti(volume) if volume else None, fine=FINE)
        augmentation = Augmentation(gamma=0.2)
    elif volume is None:
        raise ValueError("CT needs --volume: an InVesalius project, say Cranium.inv3 of Debian's invesalius-examples")
    else:
        split, augmentation = ct_split(invesalius(volume), size, fine=FINE), Augmentation()
    if phantoms:
        return phantom_images(split, problem, batch=batch, seed=seed, device=device)
    trained = torch.as_tensor(split.train, device=device)
    clean = SliceImages(
        trained, size, batch=min(batch, len(trained)), seed=seed, augmentation=augmentation, phases=problem == "mri"
    )
    return gathered(clean, split.validation, split.test, problem, seed, split.name, device)


def phantom_images(split: Split, problem: Problem, *, batch: int, seed: int, device: str | torch.device) -> Images:
    """Train and validate on phantoms, test on the slices that the split tests on."""
    size = split.test.shape[-1]

    def clean(step: int) -> Tensor:
        generator = seeded(seed, step, 3)
        images = ellipse_phantoms(batch, size, generator).to(device)
        return complex_images(images, generator) if problem == "mri" else images[:, None]

    held_out = ellipse_phantoms(24, size, seeded(seed, VALIDATION)).numpy()
    name = f"ellipse phantoms; test: {split.name.split(':')[0]}"
    return gathered(clean, held_out, split.test, problem, seed, name, device)


def gathered(
    clean: Clean, validation: Any, test: Any, problem: Problem, seed: int, name: str, device: str | torch.device
) -> Images:
    """Give the slices to judge by their phases, and measure the linear denoiser on 512 images as trained on."""
    judged = []
    for number, slices in ((VALIDATION, validation), (TEST, test)):
        magnitudes = torch.as_tensor(slices, device=device)
        is_complex = problem == "mri"
        judged.append(complex_images(magnitudes, seeded(seed, number)) if is_complex else magnitudes[:, None])
    seen = sample(clean, 512)
    linear = wiener(seen, centred=problem != "mri")
    return Images(clean, judged[0], judged[1], linear, False, rms(seen), name)


def source_images(*, size: int, batch: int, seed: int, device: str | torch.device) -> Images:
    """Gaussian fields of mean variance 1, whose exact denoiser is known."""
    basis = CosineBasis((size, size))
    spectrum = (basis.laplacian() + TAU**2) ** -ALPHA
    scale = 1 / math.sqrt(float(spectrum.mean()))

    def draw(count: int, first: int) -> Tensor:
        fields = matern_field((size, size), count, alpha=ALPHA, tau=TAU, sigma=scale / size, seed=seed, first=first)
        return torch.as_tensor(fields.astype(np.float32), device=device)[:, None]

    prior = GaussianPrior(spectrum[None] * scale**2, basis)
    return Images(
        lambda step: draw(batch, step * batch), draw(32, VALIDATION), draw(64, TEST), prior, True, 1.0,
        f"Gaussian fields, alpha = {ALPHA:g}, tau = {TAU:g}, mean variance 1",
    )  # fmt: skip


def sample(clean: Callable[[int], Tensor], count: int) -> Tensor:
    """Return at least `count` images of steps that no training reaches."""
    parts = [clean(MEASURED)]
    while sum(map(len, parts)) < count:
        parts.append(clean(MEASURED + len(parts)))
    return torch.cat(parts)


def rms(images: Tensor) -> float:
    """Root mean square over all numbers, to four digits."""
    return float(f"{float(images.double().square().mean().sqrt()):.4g}")
