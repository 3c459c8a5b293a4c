"""Training images: functions of the step alone, moved as said, with noise of known levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conjugo.learned.diffusion.imaging.augment import Augmentation, block_means
from conjugo.learned.diffusion.imaging.batches import (
    NoisyBatches,
    SliceImages,
    complex_images,
    denoising_errors,
    denoising_loss,
    judged,
)
from conjugo.learned.diffusion.imaging.phantoms import ellipse_phantoms
from conjugo.learned.diffusion.imaging.phases import smooth_phases, with_phases
from conjugo.learned.operators.batches import seeded
from conjugo.pde.inverse.bases import CosineBasis

STILL = Augmentation(degrees=0, scale=0, shift=0, flip=False)


def blobs(count: int, size: int) -> Tensor:
    at = torch.linspace(-1, 1, size)
    x0, y0 = torch.rand(2, count, 1, 1, generator=seeded(7)) - 0.5
    return torch.exp(-(((at[None, None] - x0) ** 2 + (at[None, :, None] - y0) ** 2) / 0.05))


def test_images_depend_on_seed_and_step_alone() -> None:
    stack = torch.rand(6, 24, 24, generator=seeded(1))

    def make(seed: int) -> SliceImages:
        return SliceImages(stack, 8, batch=2, seed=seed, augmentation=Augmentation(gamma=0.2), phases=True)

    one, other = make(3), make(3)
    later = other(5)
    assert torch.equal(one(0), other(0))
    assert torch.equal(one(5), later)
    assert not torch.equal(one(0), one(1))
    assert not torch.equal(one(0), make(4)(0))


def test_an_augmentation_of_nothing_is_the_block_mean() -> None:
    stack = torch.rand(3, 24, 24, generator=seeded(2))
    expected = stack.reshape(3, 8, 3, 8, 3).mean(dim=(2, 4))
    assert torch.allclose(block_means(stack, 8), expected, atol=1e-6)
    assert torch.allclose(STILL(stack, 8, seeded(0)), expected, atol=1e-5)
    with pytest.raises(ValueError, match="expected a multiple of size = 7"):
        block_means(stack, 7)


def test_flips_are_flips_and_half_of_all() -> None:
    stack = blobs(400, 16)
    moved = Augmentation(degrees=0, scale=0, shift=0, flip=True)(stack, 16, seeded(0))
    same = (moved - stack).abs().amax(dim=(1, 2)) < 1e-4
    mirrored = (moved - stack.flip(2)).abs().amax(dim=(1, 2)) < 1e-4
    assert bool((same | mirrored).all())
    assert 150 < int(mirrored.sum()) < 250


def test_movements_keep_to_their_limits() -> None:
    """A blob in the middle: its centre shows the shift, its mass the scale, whatever the turn."""
    stack = torch.exp(-(torch.linspace(-1, 1, 64)[:, None] ** 2) / 0.05 - torch.linspace(-1, 1, 64) ** 2 / 0.05)
    moved = Augmentation(degrees=30, scale=0.2, shift=0.1)(stack.expand(200, -1, -1), 64, seeded(1))
    at = torch.linspace(-1, 1, 64)
    mass = moved.sum(dim=(1, 2))
    centre = torch.stack([(moved * at).sum(dim=(1, 2)), (moved * at[:, None]).sum(dim=(1, 2))]) / mass
    scale = 0.5 * torch.log(mass / stack.sum())
    assert 0.15 < float(scale.abs().max()) < 0.21
    assert 0.15 < float(centre.abs().max()) < 0.2 * math.exp(0.2) * 2**0.5  # shares of a side are halves of [-1, 1]


def test_phases_keep_magnitudes_and_are_smooth() -> None:
    magnitudes = torch.rand(5, 32, 32, generator=seeded(3))
    images = complex_images(magnitudes, seeded(4))
    assert torch.allclose(images.square().sum(dim=1).sqrt(), magnitudes, atol=1e-6)
    phases = smooth_phases(50, 32, seeded(5))
    coefficients = CosineBasis((32, 32)).forward(phases)
    k = torch.arange(32)
    assert float(coefficients[:, k[:, None] + k > 3].abs().max()) < 1e-3 < float(coefficients[:, 1, 2].abs().min())
    start = torch.polar(torch.ones(()), smooth_phases(2000, 2, seeded(6)))
    assert abs(complex(start.mean())) < 0.05  # uniform on the circle: complex images have mean 0
    assert torch.equal(with_phases(magnitudes, torch.zeros(5, 32, 32))[:, 0], magnitudes)


def test_phantoms_are_heads_of_ellipses() -> None:
    phantoms = ellipse_phantoms(40, 32, seeded(8))
    assert float(phantoms.min()) == 0
    assert float(phantoms.max()) <= 1
    assert float(phantoms[:, :2].max()) == float(phantoms[:, :, -2:].max()) == 0
    filled = (phantoms > 0.1).float().mean(dim=(1, 2))
    assert 0.1 < float(filled.min()) < float(filled.max()) < 0.7
    assert torch.equal(phantoms, ellipse_phantoms(40, 32, seeded(8)))
    areas = ellipse_phantoms(40, 64, seeded(8)).mean(dim=(1, 2))
    assert torch.allclose(areas, phantoms.mean(dim=(1, 2)), atol=0.02)  # the same bodies on a finer grid


def test_levels_are_stratified_and_noise_has_them() -> None:
    batches = NoisyBatches(clean=lambda step: torch.zeros(16, 1, 32, 32), sigma_data=0.5, seed=2)
    batch = batches(3)
    normal = (batch["sigma"].log() + 1.2) / 1.8
    strata = (torch.special.ndtr(normal) * 16).floor()
    assert strata.tolist() == list(range(16))
    measured = batch["noisy"].square().mean(dim=(1, 2, 3)).sqrt()
    assert torch.allclose(measured, batch["sigma"], rtol=0.1)  # 1024 draws: 2.2 % standard error
    assert torch.equal(batches(3)["noisy"], batch["noisy"])


class White(nn.Module):
    """The exact denoiser of white images of standard deviation 0.5."""

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        s2 = torch.as_tensor(sigma).reshape(-1, 1, 1, 1) ** 2
        return x * 0.25 / (0.25 + s2)


def test_the_loss_of_the_exact_denoiser_of_white_images_is_one() -> None:
    images = 0.5 * torch.randn(64, 1, 32, 32, generator=seeded(9))
    for part in judged(images, 0.5, levels=[0.05, 0.5, 5.0], batch=64):
        assert float(denoising_loss(White(), part)) == pytest.approx(1, abs=0.02)


def test_errors_of_the_exact_denoiser_are_the_closed_form() -> None:
    images = 0.5 * torch.randn(40, 1, 32, 32, generator=seeded(10))
    errors = denoising_errors(lambda x, sigma: White()(x, sigma), images, levels=[0.1, 1.0])
    assert errors == {s: pytest.approx(0.5 * s / np.hypot(0.5, s), rel=0.02) for s in (0.1, 1.0)}
