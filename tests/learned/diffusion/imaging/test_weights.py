"""The shipped denoisers on images that they never saw: better than the linear one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("deepinv")

from conjugo.cases.diffusion_recipes import images_of
from conjugo.learned.diffusion.imaging.batches import denoising_errors
from conjugo.learned.training import load_model, weights_path


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.01, 0.1, 0.5, 3.0])
def test_the_mri_prior_beats_the_wiener_filter_on_another_head(level: float) -> None:
    """The linear denoiser is given the spectrum of MNI152 itself, which the network never saw."""
    pytest.importorskip("nilearn")
    images = images_of("mri", size=64, batch=16)
    model: Any = load_model(weights_path("diffusion_mri"))
    test = images.test[::4]
    found = denoising_errors(model, test, levels=[level])[level]
    assert found < 0.95 * denoising_errors(images.linear, test, levels=[level])[level]


def test_they_are_of_the_stated_kinds() -> None:
    for name, channels in (("mri", 2), ("ct", 1), ("source", 1)):
        model: Any = load_model(weights_path(f"diffusion_{name}"))
        assert (model.config.size, model.config.channels, model.config.patch) == (64, channels, 2)
        with torch.no_grad():
            assert model(torch.zeros(1, channels, 64, 64), 1.0).shape == (1, channels, 64, 64)
