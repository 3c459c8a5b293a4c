"""GaussianPrior: the denoiser is the conditional mean, samples have the stated law."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.problem import field_spectrum
from conjugo.pde.inverse.sensors import Sensors

BASIS = CosineBasis((6, 8))
SPECTRUM = field_spectrum(BASIS, zero_mean=False)


@pytest.mark.parametrize("sigma", [0.03, 1.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_denoiser_is_the_posterior_mean_of_the_identity(sigma: float, dtype: torch.dtype) -> None:
    prior = GaussianPrior(SPECTRUM, BASIS, mean=np.linspace(0, 1, 48).reshape(6, 8))
    noisy = prior.sample(3, seed=1, dtype=dtype) + sigma * torch.ones(3, 6, 8, dtype=dtype)
    everything = Sensors((6, 8), np.arange(48))
    y = noisy.double().reshape(3, -1).T.numpy()
    exact = GaussianPosterior(everything, y, sigma, prior.mean.reshape(-1), SPECTRUM, BASIS)
    found = prior(noisy, sigma)
    assert found.dtype == dtype
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5
    np.testing.assert_allclose(found.reshape(3, -1).T.numpy(), exact.mean, atol=tolerance)
    assert prior.error_spectrum(sigma).sum() == pytest.approx(exact.relative_error() ** 2 * SPECTRUM.sum(), rel=1e-9)


def test_samples_have_the_spectrum_and_streams_of_their_own() -> None:
    prior = GaussianPrior(SPECTRUM, BASIS, mean=2.0)
    fields = prior.sample(4000, seed=3)
    variances = BASIS.forward(fields.numpy() - 2.0).var(axis=0)
    np.testing.assert_allclose(variances, SPECTRUM, rtol=5 * (2 / 4000) ** 0.5)
    assert torch.equal(prior.sample(1, seed=3, first=7)[0], fields[7])


def test_no_noise_and_infinite_noise_are_limits() -> None:
    spectrum = SPECTRUM.copy()
    spectrum[0, 0] = 0.0
    prior = GaussianPrior(spectrum, BASIS)
    x = prior.sample(2)
    assert torch.allclose(prior(x, 0.0), x)
    assert prior.error_spectrum(0.0).max() == 0.0
    np.testing.assert_array_equal(prior.error_spectrum(np.inf), spectrum)


def test_channels_are_independent() -> None:
    prior = GaussianPrior(np.stack([SPECTRUM, 2 * SPECTRUM]), BASIS)
    x = prior.sample(2)
    assert prior(x, 1.0).shape == (2, 2, 6, 8)
    assert torch.allclose(prior(x, 1.0)[:, 0], GaussianPrior(SPECTRUM, BASIS)(x[:, 0], 1.0))


def test_the_log_density_is_that_of_a_normal_law() -> None:
    prior = GaussianPrior(SPECTRUM, BASIS, mean=0.5)
    x = prior.sample(2)
    dense = BASIS.inverse(np.eye(48).reshape(48, 6, 8)).reshape(48, 48)
    covariance = dense.T @ np.diag(SPECTRUM.reshape(-1) + 0.04) @ dense
    centred = x.reshape(2, -1).numpy() - 0.5
    squares = np.einsum("bi,bi->b", centred, np.linalg.solve(covariance, centred.T).T)
    expected = -0.5 * squares - 0.5 * np.linalg.slogdet(covariance)[1]
    np.testing.assert_allclose(prior.log_density(x, 0.2).numpy(), expected, rtol=1e-9)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="spectrum has shape"):
        GaussianPrior(np.ones((5, 8)), BASIS)
    with pytest.raises(ValueError, match="negative numbers"):
        GaussianPrior(-SPECTRUM, BASIS)
    with pytest.raises(ValueError, match="mean has shape"):
        GaussianPrior(SPECTRUM, BASIS, mean=np.ones(3))
    with pytest.raises(ValueError, match="x has shape"):
        GaussianPrior(SPECTRUM, BASIS)(torch.ones(6, 8), 1.0)
