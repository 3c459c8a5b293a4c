"""A problem with a prior that is not Gaussian and an exact answer: fields of three kinds, seen by sensors."""

from __future__ import annotations

import numpy as np

from conjugo.cases.inverse_methods import Task
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.mixture import GaussianMixture
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.operator import Scaled
from conjugo.pde.inverse.problem import InverseProblem, data_variance, field_spectrum
from conjugo.pde.inverse.sensors import Sensors

KINDS = ((4.0, 4.0, 0.8), (1.5, 12.0, 0.0), (2.0, 3.0, -0.8))
"""Decay, inverse correlation length and height of the mean, one of each kind of field; all are as likely."""


def field_mixture(size: int) -> GaussianMixture:
    """Fields that are smooth on a hill, rough on level ground or in between on a pit; scaled to mean variance 1."""
    basis = CosineBasis((size, size))
    x = (np.arange(size) + 0.5) / size
    hill = 2 * np.outer(np.sin(np.pi * x) ** 2, np.sin(np.pi * x) ** 2)
    raw = [
        GaussianPrior(field_spectrum(basis, alpha, tau, zero_mean=False), basis, height * hill)
        for alpha, tau, height in KINDS
    ]
    variance = GaussianMixture(raw, np.ones(len(raw))).covariance_spectrum().mean()
    scaled = [GaussianPrior(prior.spectrum / variance, basis, prior.mean / variance**0.5) for prior in raw]
    return GaussianMixture(scaled, np.ones(len(raw)))


def mixture_task(size: int, sensors: int, count: int, tuning: int, seed: int, sigma: float = 0.1) -> Task:
    """Draw truths and data; errors are relative to the deviation of the mixture."""
    prior = field_mixture(size)
    basis, spectrum = CosineBasis((size, size)), prior.covariance_spectrum()
    sensors = min(sensors, size**2)
    sensing = Sensors.random(basis.shape, sensors, seed=seed)
    A = Scaled(sensing, data_variance(sensing, spectrum, basis) ** -0.5)
    truth = prior.sample(count, seed).reshape(count, -1).numpy().T.copy()
    noise = np.random.default_rng([seed, 2]).standard_normal((sensors, count))
    name = f"mixture {size}x{size}, {sensors} sensors, sigma {sigma:g}"
    problem = InverseProblem(A, np.asarray(A @ truth) + sigma * noise, sigma, truth, spectrum, basis, name)
    return Task(problem, prior, tuning, seed)
