"""The trained denoiser: its preconditioning against closed forms, files, and the weights that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("deepinv")

from conjugo.learned.diffusion.imaging.batches import NoisyBatches, denoising_loss
from conjugo.learned.diffusion.imaging.unet import UNetDenoiser, UNetDenoiserConfig
from conjugo.learned.operators.batches import seeded
from conjugo.learned.training import FitConfig, fit, load_model, save_model

SMALL = UNetDenoiserConfig(size=16, width=32, multipliers=(1, 1))


class Stub(nn.Module):
    """A network that keeps what it sees and answers with a multiple of it."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.seen: dict[str, Tensor] = {}

    def forward_unet(self, x: Tensor, noise: Tensor) -> Tensor:
        self.seen = {"x": x, "noise": noise}
        return self.factor * x


def stubbed(factor: float, **changed: Any) -> UNetDenoiser:
    model = UNetDenoiser(UNetDenoiserConfig(size=16, width=32, multipliers=(1, 1), sigma_data=0.3, **changed))
    model.net = Stub(factor)
    return model


@pytest.mark.parametrize("sigma", [0.01, 0.3, 7.0])
@pytest.mark.parametrize("patch", [1, 2])
def test_preconditioning_is_the_stated_one(sigma: float, patch: int) -> None:
    x = torch.randn(3, 2, 16, 16, generator=seeded(0))
    total = np.hypot(sigma, 0.3)
    model = stubbed(0.0, channels=2, patch=patch)
    assert torch.allclose(model(x, sigma), x * (0.3 / total) ** 2)  # no network: the exact denoiser of white images
    model = stubbed(1.0, channels=2, patch=patch)
    expected = x * ((0.3 / total) ** 2 + 0.3 * sigma / total**2)
    assert torch.allclose(model(x, sigma), expected, atol=1e-6)  # patches are put back where they were
    assert model.net.seen["x"].shape == (3, 2 * patch**2, 16 // patch, 16 // patch)
    assert torch.allclose(model.net.seen["noise"], torch.full((3,), np.log(sigma) / 4))


def test_the_network_sees_and_is_asked_for_unit_variance() -> None:
    model = stubbed(0.0)
    clean = 0.3 * torch.randn(40, 1, 16, 16, generator=seeded(1))
    sigma = torch.logspace(-2, 2, 40)
    noise = torch.randn(clean.shape, generator=seeded(2)) * sigma[:, None, None, None]
    found = model(clean + noise, sigma)
    assert float(model.net.seen["x"].std()) == pytest.approx(1, abs=0.03)
    d, s = 0.3, sigma[:, None, None, None]
    target = (clean - found) * (s**2 + d**2).sqrt() / (s * d)
    assert float(target.std()) == pytest.approx(1, abs=0.03)


def test_no_noise_changes_nothing_and_precision_follows() -> None:
    torch.manual_seed(0)
    model = UNetDenoiser(SMALL).eval()
    x = torch.rand(2, 1, 16, 16, dtype=torch.float64, generator=seeded(3))
    with torch.no_grad():
        assert torch.allclose(model(x, 0.0), x, atol=1e-6)
        assert model(x, 0.5).dtype == torch.float64
        each = model(x, torch.tensor([0.1, 2.0]))
        for i, sigma in enumerate((0.1, 2.0)):
            assert torch.allclose(each[i], model(x[i : i + 1], sigma)[0], atol=1e-5)
        assert model(torch.rand(1, 1, 32, 48), 1.0).shape == (1, 1, 32, 48)  # other grids than the one trained on


def test_it_learns_one_image_and_is_stored_bit_by_bit(tmp_path: Path) -> None:
    at = torch.linspace(-1, 1, 16)
    image = torch.sin(3 * at[:, None] * at).expand(8, 1, -1, -1).contiguous()
    torch.manual_seed(0)
    model = UNetDenoiser(SMALL)
    batches = NoisyBatches(clean=lambda step: image, sigma_data=0.5)
    history = fit(model, denoising_loss, batches, config=FitConfig(steps=30, learning_rate=3e-3), progress=False)
    # a network that only passes on what white images would allow scores about 1
    assert history.losses[-5:].mean() < 0.4 < 0.8 < history.losses[0]
    path = save_model(model, tmp_path / "d.safetensors", seed=0)
    again = load_model(path)
    assert isinstance(again, UNetDenoiser)
    assert again.config == SMALL
    with torch.no_grad():
        assert torch.equal(again(image, 0.4), model(image, 0.4))


def test_wrong_settings_and_images_are_refused() -> None:
    for wrong in ({"size": 30}, {"width": 48}, {"dropout": 1.0}, {"sigma_data": 0.0}, {"patch": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            UNetDenoiserConfig(**{"size": 32, **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"expected \(B, 1, h, w\) with h and w multiples of 2"):
        UNetDenoiser(SMALL)(torch.zeros(1, 1, 15, 16), 1.0)
