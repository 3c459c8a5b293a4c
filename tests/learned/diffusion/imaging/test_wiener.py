"""The linear denoiser: the measured spectrum is the prior's, and no other gains do better on the same images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.imaging.wiener import wiener
from conjugo.pde.inverse.bases import CosineBasis


def test_it_finds_mean_and_spectrum_of_a_gaussian_field() -> None:
    basis = CosineBasis((8, 8))
    spectrum = 1 / (1 + basis.laplacian() / 50)[None]
    truth = GaussianPrior(spectrum, basis, np.full((1, 8, 8), 2.0))
    found = wiener(truth.sample(4000, seed=3))
    assert np.allclose(found.spectrum, spectrum, rtol=5 * (2 / 4000) ** 0.5)
    assert np.allclose(found.mean, 2, atol=5 / 4000**0.5)


def test_no_other_gains_have_less_error_on_its_images() -> None:
    images = torch.rand(300, 2, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    best, sigma = wiener(images, centred=False), 0.4
    expected = best.error_spectrum(sigma).mean()
    for factor in (0.8, 1.25):
        gains = factor * best.spectrum / (best.spectrum + sigma**2)
        coefficients = np.asarray(best.basis.forward(images.numpy()))
        error = np.mean((1 - gains) ** 2 * coefficients**2 + gains**2 * sigma**2)
        assert error > expected


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(N, channels, h, w\)"):
        wiener(torch.zeros(3, 8, 8))
