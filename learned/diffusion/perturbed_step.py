"""The data step that draws instead of averaging: one exact sample of the conditional law, by perturbed data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from conjugo.learned.diffusion.counting import Applications
from conjugo.learned.diffusion.metric_step import MetricStep
from conjugo.learned.diffusion.streams import NoiseStreams

SALT = 7919
"""Keeps these random numbers apart from those that a sampler of the same seed adds to its states."""


class PerturbedStep:
    """Draw x0 from N(x_hat, Sigma_t) given the data, where `MetricStep` returns the mean of that law.

    Parameters
    ----------
    step : MetricStep
        The mean.
    count : int
        Samples that a run has; with chunks, the sum of the chunks.
    seed, first : int
        Sample i is made from (seed, first + i) alone.

    Raises
    ------
    ValueError
        For fewer than one sample, or a call with more samples than are left of `count`.

    Notes
    -----
    With xi from N(0, Sigma_t) and e from N(0, sigma_y^2 I), step(x_hat + xi, y + e, sigma_t) has the law of x0 given
    x_t and y, at the cost of one mean. Followed by fresh noise (`eta=1`, split "paper") it makes a chain whose
    marginals are those of x_t given y where the prior is Gaussian, at any number of evaluations and up to the trace of
    the data that the first state lacks: samples then have the posterior's spread, which chains of means lose where
    steps are few. For other priors the law is an approximation that gets better as sigma_t falls. An object serves one
    run; make another one for the next.

    References
    ----------
    G. Papandreou, A. Yuille, Gaussian sampling by local perturbations, NeurIPS (2010).
    B. Zhang et al., Improving diffusion inverse problem solving with decoupled noise annealing, CVPR (2025), algorithm
    1 (chains of conditional samples and fresh noise, there by Langevin steps).

    Examples
    --------
    >>> from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> spectrum = ErrorSpectrum(CosineBasis((4, 4)), [1.0], np.ones((1, 4, 4)))
    >>> step = PerturbedStep(MetricStep(Sensors((4, 4), [5]), spectrum, sigma_y=1.0), count=4000)
    >>> drawn = step(torch.zeros(4000, 4, 4), torch.zeros(4000, 1), 1.0)
    >>> round(float(drawn[:, 1, 1].var()), 1), round(float(drawn[:, 0, 0].var()), 1)  # 1 / (1 + 1), and the prior's 1
    (0.5, 1.0)
    """

    def __init__(self, step: MetricStep, count: int, *, seed: int = 0, first: int = 0) -> None:
        if count < 1:
            raise ValueError(f"count = {count}: expected at least 1 sample")
        self.step, self.count, self.A = step, int(count), step.A
        self._seed = int(np.random.SeedSequence([seed, SALT]).generate_state(1)[0])
        self._first, self._next = first, 0
        self._streams: list[NoiseStreams] = []

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, and their seconds."""
        return self.step.applications

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Draw images (B, *shape) for denoised images and data (B, m)."""
        place = self._next % self.count
        if place + len(x_hat) > self.count:
            raise ValueError(f"the step got samples {place} to {place + len(x_hat) - 1}: expected {self.count} in all")
        if not self._streams:
            self._streams = [NoiseStreams(self._seed, self._first + i, 1, x_hat.device) for i in range(self.count)]
        self._next += len(x_hat)
        xi, seen = torch.zeros_like(x_hat), y.clone()
        for i, stream in enumerate(self._streams[place : place + len(x_hat)]):
            stream.add_to(xi[i : i + 1], 1.0)
            stream.add_to(seen[i : i + 1], self.step.sigma_y)
        xi = self.step.spectrum.basis.inverse(xi * self.step.deviations(sigma_t, x_hat))
        return self.step(x_hat + xi, seen, sigma_t)
