"""Mixtures of Gaussian fields: priors that are not Gaussian and still have exact denoisers and posteriors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.operator import Measurement

type Values = NDArray[np.float64]


class GaussianMixture:
    """The prior sum_j w_j N(mean_j, C_j).

    Parameters
    ----------
    priors : sequence of GaussianPrior
        The components, of one shape; each has its own mean, spectrum and basis.
    weights : sequence of float
        Positive; they are scaled to sum 1.

    Raises
    ------
    ValueError
        For no component, components of different shapes, or weights that are not positive or not one a component.

    Notes
    -----
    D(x, sigma) = sum_j r_j(x) D_j(x, sigma), where the responsibility r_j is the posterior probability of component j:
    proportional to w_j times the density of x under N(mean_j, C_j + sigma^2 I).

    References
    ----------
    C. M. Bishop, Pattern Recognition and Machine Learning (2006), eq. (9.13).

    Examples
    --------
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> basis = CosineBasis((4, 4))
    >>> low, high = (GaussianPrior(np.ones((4, 4)), basis, mean) for mean in (-5.0, 5.0))
    >>> mixture = GaussianMixture([low, high], [0.5, 0.5])
    >>> mixture.responsibilities(torch.full((1, 4, 4), 4.0), 0.5).round().tolist()
    [[0.0, 1.0]]
    """

    def __init__(self, priors: Sequence[GaussianPrior], weights: ArrayLike) -> None:
        self.priors = tuple(priors)
        self.weights: Values = np.array(weights, dtype=np.float64)
        shapes = {prior.shape for prior in self.priors}
        if len(shapes) != 1:
            raise ValueError(f"the components have shapes {sorted(shapes)}: expected at least one, and one shape")
        if self.weights.shape != (len(self.priors),) or not np.all(self.weights > 0):
            raise ValueError(f"weights = {self.weights.tolist()}: expected {len(self.priors)} positive numbers")
        self.weights = self.weights / self.weights.sum()
        self.shape, self.basis = self.priors[0].shape, self.priors[0].basis

    def __repr__(self) -> str:
        return f"GaussianMixture({len(self.priors)} components, shape={self.shape})"

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return E[x0 | x0 + sigma n = x] for noisy fields x, (B, *shape)."""
        shares = self.responsibilities(x, sigma).reshape(len(x), len(self.priors), *[1] * len(self.shape))
        total = torch.zeros_like(x)
        for j, prior in enumerate(self.priors):
            total += shares[:, j] * prior(x, sigma)
        return total

    def responsibilities(self, x: Tensor, sigma: float) -> Tensor:
        """Return the probability of each component given x, (B, components); sigma must be positive."""
        if not sigma > 0:
            raise ValueError(f"sigma = {sigma}: expected positive noise, without which fields may have no density")
        logs = torch.stack([prior.log_density(x.double(), sigma) for prior in self.priors], dim=1)
        return (logs + torch.as_tensor(np.log(self.weights)).to(logs)).softmax(dim=1).to(x.dtype)

    def sample(
        self, count: int, seed: int = 0, *, first: int = 0, dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:  # fmt: skip
        """Draw fields, (count, *shape); field i is made from (seed, first + i) alone."""
        fields = torch.empty(count, *self.shape, dtype=dtype, device=device)
        for i in range(count):
            chosen = np.random.default_rng([seed, first + i, 1]).choice(len(self.priors), p=self.weights)
            fields[i] = self.priors[chosen].sample(1, seed, first=first + i, dtype=dtype, device=device)[0]
        return fields

    def covariance_spectrum(self) -> Values:
        """Variances of the coefficients in the first component's basis, which all must share, (*shape)."""
        if any(prior.basis != self.basis for prior in self.priors):
            raise ValueError("the components have different bases: expected one")
        means = np.stack([self.basis.forward(np.broadcast_to(p.mean, self.shape).copy()) for p in self.priors])
        centre = np.tensordot(self.weights, means, axes=1)
        within = np.tensordot(self.weights, np.stack([prior.spectrum for prior in self.priors]), axes=1)
        return np.asarray(within + np.tensordot(self.weights, (means - centre) ** 2, axes=1))

    def posterior_mean(self, A: Measurement, y: Values, sigma: float) -> tuple[Values, Values]:
        """Return E[x0 | y] and the probabilities of the components, for y = A x0 + sigma noise.

        Parameters
        ----------
        A : Measurement
            (m, n), NumPy float64.
        y : (m, k) array
            Data of k images.
        sigma : float
            Standard deviation of the noise, positive.

        Returns
        -------
        (n, k) and (components, k) float64

        Notes
        -----
        Each component's posterior is Gaussian; its probability is w_j times its evidence N(y; A mean_j, A C_j A^H +
        sigma^2 I), normalised.
        """
        means, logs = [], []
        for prior, weight in zip(self.priors, self.weights, strict=True):
            centre = np.broadcast_to(prior.mean, self.shape).reshape(-1)
            basis = prior.basis
            posterior = GaussianPosterior(A, y, sigma, centre, prior.spectrum, basis)  # type: ignore[arg-type]
            means.append(posterior.mean)
            logs.append(posterior.log_evidence + np.log(weight))
        logarithms = np.stack(logs)
        shares = np.exp(logarithms - logarithms.max(axis=0))
        shares /= shares.sum(axis=0)
        return np.einsum("jnk,jk->nk", np.stack(means), shares), shares
