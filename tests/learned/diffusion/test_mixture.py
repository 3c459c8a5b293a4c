"""GaussianMixture: the denoiser and the posterior mean against sums over the components and against samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.mixture import GaussianMixture
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.problem import field_spectrum
from conjugo.pde.inverse.sensors import Sensors

BASIS = CosineBasis((4, 4))
ROUGH = GaussianPrior(field_spectrum(BASIS, 1.5, 8.0, zero_mean=False), BASIS, mean=-0.5)
SMOOTH = GaussianPrior(field_spectrum(BASIS, 3.0, 2.0, zero_mean=False), BASIS, mean=0.7)
MIXTURE = GaussianMixture([ROUGH, SMOOTH], [1.0, 3.0])


def test_equal_components_are_one_gaussian() -> None:
    twice = GaussianMixture([ROUGH, ROUGH], [0.2, 0.8])
    x = ROUGH.sample(3, seed=1)
    assert torch.allclose(twice(x, 0.4), ROUGH(x, 0.4))
    np.testing.assert_allclose(twice.responsibilities(x, 0.4)[:, 0].numpy(), 0.2)


def test_tweedie_the_denoiser_is_the_gradient_of_the_log_density() -> None:
    sigma, x = 0.6, MIXTURE.sample(2, seed=2).requires_grad_()
    logs = torch.stack([prior.log_density(x, sigma) for prior in MIXTURE.priors], dim=1)
    total = (logs + torch.as_tensor(np.log(MIXTURE.weights))).logsumexp(dim=1).sum()
    (score,) = torch.autograd.grad(total, x)
    assert torch.allclose(MIXTURE(x, sigma).detach(), (x + sigma**2 * score).detach(), atol=1e-10)


def test_seeing_every_cell_with_noise_is_denoising() -> None:
    sigma, everything = 0.5, Sensors((4, 4), np.arange(16))
    noisy = MIXTURE.sample(3, seed=4) + sigma * torch.ones(3, 4, 4)
    mean, shares = MIXTURE.posterior_mean(everything, noisy.reshape(3, -1).T.numpy(), sigma)
    np.testing.assert_allclose(mean.T.reshape(3, 4, 4), MIXTURE(noisy, sigma).numpy(), atol=1e-10)
    np.testing.assert_allclose(shares.T, MIXTURE.responsibilities(noisy, sigma).numpy(), atol=1e-10)


def test_no_estimate_beats_the_posterior_mean() -> None:
    A, sigma = Sensors((4, 4), [1, 6, 11]), 0.1
    truth = MIXTURE.sample(3000, seed=5).reshape(3000, -1).T.numpy()
    y = A @ truth + sigma * np.random.default_rng(6).standard_normal((3, 3000))
    mean, shares = MIXTURE.posterior_mean(A, y, sigma)
    best = np.mean((mean - truth) ** 2)
    for factor in (0.9, 1.1):
        assert np.mean((factor * mean - truth) ** 2) > best
    for j, prior in enumerate(MIXTURE.priors):
        alone = GaussianMixture([prior], [1.0]).posterior_mean(A, y, sigma)[0]
        assert np.mean((alone - truth) ** 2) > best, j
    assert shares.mean(axis=1)[1] == pytest.approx(0.75, abs=0.05)


def test_samples_and_their_covariance() -> None:
    fields = MIXTURE.sample(6000, seed=7)
    assert torch.equal(MIXTURE.sample(1, seed=7, first=11)[0], fields[11])
    variances = BASIS.forward(fields.numpy()).var(axis=0)
    np.testing.assert_allclose(variances, MIXTURE.covariance_spectrum(), rtol=0.12)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="positive numbers"):
        GaussianMixture([ROUGH], [0.0])
    with pytest.raises(ValueError, match="components have shapes"):
        GaussianMixture([ROUGH, GaussianPrior(np.ones((2, 2)), CosineBasis((2, 2)))], [1.0, 1.0])
    with pytest.raises(ValueError, match="sigma = 0"):
        MIXTURE(ROUGH.sample(1), 0.0)
