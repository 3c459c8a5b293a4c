"""Noise schedules: how much of the image and of the noise a state holds, and the times at which a sampler stops by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

type Split = Literal["paper", "ddim"]


class Schedule(Protocol):
    """States x_t = signal(t) x_0 + noise(t) n with a standard normal n."""

    def times(self, evaluations: int) -> Sequence[float]:
        """Times from the first, noisiest one to the end: one more than there are evaluations."""

    def start(self, t: float) -> float:
        """Standard deviation of the state that a sampler starts from at time t."""

    def signal(self, t: float) -> float:
        """Factor of the image."""

    def noise(self, t: float) -> float:
        """Factor of the noise."""

    def split(self, t: float, t_next: float, eta: float, split: Split) -> tuple[float, float]:
        """Factors of the predicted and of the fresh noise in the step from t to t_next."""


class VPSchedule:
    """The variance-preserving schedule of DDPM: linear betas, abar_t = prod_{s <= t} (1 - beta_s).

    Parameters
    ----------
    steps : int
        Times 0 ... steps - 1 of the training.
    beta : (float, float)
        The first and the last.

    Raises
    ------
    ValueError
        For fewer than two steps, or betas that do not rise within (0, 1).

    Attributes
    ----------
    abar : (steps,) float64
        Squares of the signal's factor.

    Notes
    -----
    signal = sqrt(abar_t), noise = sqrt(1 - abar_t), sigma = noise / signal: x_t / signal is the image with noise of
    standard deviation sigma. Samplers start from a standard normal state, whatever abar is there.

    N evaluations are made at the times floor(k steps / (N + 1)), k = N, ..., 1, and the estimate made at the last of
    them is the answer: 950, 900, ..., 50 for N = 19, and 980, ..., 20 and 990, ..., 10 for N = 49 and 99.

    In the step to t' < t the predicted noise has the factor c2 and the fresh one c1, where c1^2 + c2^2 = 1 - abar_t':
    c1 = eta sqrt(1 - abar_t') in the split "paper", and eta sqrt((1 - abar_t / abar_t') (1 - abar_t') / (1 - abar_t))
    in the split "ddim", whose eta = 1 is ancestral sampling.

    References
    ----------
    J. Ho, A. Jain, P. Abbeel, Denoising diffusion probabilistic models, NeurIPS (2020), section 2 and 4.
    J. Song, C. Meng, S. Ermon, Denoising diffusion implicit models, ICLR (2021), eq. (12) and (16).
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024).

    Examples
    --------
    >>> schedule = VPSchedule()
    >>> schedule.times(4), round(schedule.sigma(50), 3)
    ((800, 600, 400, 200, 0), 0.176)
    """

    def __init__(self, steps: int = 1000, beta: tuple[float, float] = (1e-4, 0.02)) -> None:
        if steps < 2:
            raise ValueError(f"steps = {steps}: expected 2 or more, such as 1000")
        if not 0 < beta[0] <= beta[1] < 1:
            raise ValueError(f"beta = {beta}: expected 0 < first <= last < 1, such as (1e-4, 0.02)")
        self.steps, self.beta = int(steps), (float(beta[0]), float(beta[1]))
        self.abar: NDArray[np.float64] = np.cumprod(1 - np.linspace(*self.beta, self.steps))

    def __repr__(self) -> str:
        return f"VPSchedule(steps={self.steps}, beta={self.beta})"

    def times(self, evaluations: int) -> tuple[int, ...]:
        """Times of the evaluations, and the end 0."""
        check_evaluations(evaluations, self.steps - 1)
        return tuple(k * self.steps // (evaluations + 1) for k in range(evaluations, -1, -1))

    def start(self, t: float) -> float:
        """1, at every time."""
        return 1.0

    def signal(self, t: float) -> float:
        """sqrt(abar_t)."""
        return math.sqrt(self.abar[int(t)])

    def noise(self, t: float) -> float:
        """sqrt(1 - abar_t)."""
        return math.sqrt(1 - self.abar[int(t)])

    def sigma(self, t: float) -> float:
        """sqrt((1 - abar_t) / abar_t)."""
        return self.noise(t) / self.signal(t)

    def split(self, t: float, t_next: float, eta: float, split: Split) -> tuple[float, float]:
        """Return (c2, c1), the factors of the predicted and of the fresh noise."""
        before, after = self.abar[int(t)], self.abar[int(t_next)]
        fresh = eta * math.sqrt(1 - after)
        if split == "ddim":
            fresh *= math.sqrt((1 - before / after) / (1 - before))
        return math.sqrt(max(0.0, 1 - after - fresh**2)), fresh


class VESchedule:
    """The variance-exploding schedule: x_t = x_0 + sigma(t) n with sigma(t) = sigma_min^(1-t) sigma_max^t.

    Parameters
    ----------
    sigma_min, sigma_max : float
        Standard deviation of the noise at t = 0 and t = 1.

    Raises
    ------
    ValueError
        Unless 0 < sigma_min < sigma_max.

    Notes
    -----
    N evaluations are made at t = k / N, k = N, ..., 1, and the estimate made at the last of them is the answer.
    Samplers start from noise alone, of standard deviation sigma(1).

    In the step to t' < t the predicted noise has the factor sigma' sqrt(1 - eta^2 b^2) and the fresh one sigma' eta b,
    with b = 1 in the split "paper" and b = 1 - sigma'^2 / sigma^2 in the split "ddim".

    References
    ----------
    Y. Song et al., Score-based generative modeling through stochastic differential equations, ICLR (2021), eq. (9).
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024),
    algorithm 4.

    Examples
    --------
    >>> schedule = VESchedule(0.01, 100.0)
    >>> schedule.times(4), round(schedule.sigma(0.5), 6)
    ((1.0, 0.75, 0.5, 0.25, 0.0), 1.0)
    """

    def __init__(self, sigma_min: float = 0.01, sigma_max: float = 50.0) -> None:
        if not 0 < sigma_min < sigma_max < math.inf:
            raise ValueError(f"sigma_min = {sigma_min}, sigma_max = {sigma_max}: expected 0 < sigma_min < sigma_max")
        self.sigma_min, self.sigma_max = float(sigma_min), float(sigma_max)

    def __repr__(self) -> str:
        return f"VESchedule(sigma_min={self.sigma_min}, sigma_max={self.sigma_max})"

    def times(self, evaluations: int) -> tuple[float, ...]:
        """Times of the evaluations, and the end 0."""
        check_evaluations(evaluations, None)
        return tuple(k / evaluations for k in range(evaluations, -1, -1))

    def start(self, t: float) -> float:
        """sigma(t)."""
        return self.sigma(t)

    def signal(self, t: float) -> float:
        """1, at every time."""
        return 1.0

    def noise(self, t: float) -> float:
        """sigma(t)."""
        return self.sigma(t)

    def sigma(self, t: float) -> float:
        """sigma_min^(1-t) sigma_max^t."""
        return float(self.sigma_min ** (1 - t) * self.sigma_max**t)

    def split(self, t: float, t_next: float, eta: float, split: Split) -> tuple[float, float]:
        """Return the factors of the predicted and of the fresh noise."""
        before, after = self.sigma(t), self.sigma(t_next)
        share = eta if split == "paper" else eta * (1 - (after / before) ** 2)
        return after * math.sqrt(1 - share**2), after * share


def check_evaluations(evaluations: int, most: int | None) -> None:
    """Refuse a number of evaluations that no grid of times has."""
    if evaluations < 1 or (most is not None and evaluations > most):
        limit = "1 or more" if most is None else f"1 to {most}"
        raise ValueError(f"evaluations = {evaluations}: expected {limit}, such as 19")
