"""Gaussian random fields as priors: their denoiser is exact, so that samplers can be judged without training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from conjugo.pde.inverse.operator import Basis

type Values = NDArray[np.float64]


class GaussianPrior:
    """The prior N(mean, Phi^T diag(spectrum) Phi), with Phi an orthonormal transform.

    Parameters
    ----------
    spectrum : (*shape) array
        Variances of the coefficients, at least 0. Their mean is the mean variance of a value of the field.
    basis : Basis
        Phi is its `forward`, over the last axes of the shape: (2, h, w) with a basis of (h, w) means two channels.
    mean : float or (*shape) array
        Of the field.

    Raises
    ------
    ValueError
        For a spectrum that has another shape than the basis, or holds NaN, infinity or negative numbers, or a mean of
        another shape.

    Notes
    -----
    The denoiser is D(x, sigma) = E[x0 | x0 + sigma n = x] = mean + C (C + sigma^2)^-1 (x - mean), and the covariance
    of its error C sigma^2 (C + sigma^2)^-1 whatever x is.

    References
    ----------
    H. Robbins, An empirical Bayes approach to statistics, Proc. 3rd Berkeley Symp. Math. Statist. Prob. 1 (1956),
    157-163 (Tweedie's formula).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.diffusion.gaussian import GaussianPrior
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> prior = GaussianPrior(np.full((4, 4), 3.0), CosineBasis((4, 4)))
    >>> x = prior.sample(2, seed=1)
    >>> bool(torch.allclose(prior(x, 1.0), 0.75 * x))
    True
    """

    def __init__(self, spectrum: ArrayLike, basis: Basis, mean: ArrayLike = 0.0) -> None:
        self.spectrum: Values = np.array(spectrum, dtype=np.float64)
        self.basis, self.shape = basis, self.spectrum.shape
        if self.shape[-len(basis.shape) :] != tuple(basis.shape):
            raise ValueError(f"the spectrum has shape {self.shape}: expected (..., {str(tuple(basis.shape))[1:]}, as "
                             "the basis has")  # fmt: skip
        if not (np.all(np.isfinite(self.spectrum)) and np.all(self.spectrum >= 0)):
            raise ValueError("the spectrum holds NaN, infinity or negative numbers: expected variances, at least 0")
        self.mean: Values = np.array(mean, dtype=np.float64)
        if self.mean.shape not in ((), self.shape) or not np.all(np.isfinite(self.mean)):
            raise ValueError(f"the mean has shape {self.mean.shape}: expected a finite number or an array {self.shape}")
        self._copies: dict[Any, tuple[Tensor, Tensor]] = {}

    def __repr__(self) -> str:
        return f"GaussianPrior(shape={self.shape}, variance={self.spectrum.mean():.4g})"

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return E[x0 | x0 + sigma n = x] for noisy fields x, (B, *shape)."""
        spectrum, mean = self.on(x)
        centred = x - mean
        gain = torch.ones_like(spectrum) if sigma == 0 else spectrum / (spectrum + sigma**2)
        denoised: Tensor = mean + self.basis.inverse(self.basis.forward(centred) * gain)
        return denoised

    def sample(
        self, count: int, seed: int = 0, *, first: int = 0, dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:  # fmt: skip
        """Draw fields, (count, *shape); field i is made from (seed, first + i) alone."""
        noise = np.empty((count, *self.shape))
        for i in range(count):
            noise[i] = np.random.default_rng([seed, first + i]).standard_normal(self.shape)
        fields = self.mean + self.basis.inverse(noise * np.sqrt(self.spectrum))
        return torch.as_tensor(np.asarray(fields)).to(dtype=dtype, device=device)

    def error_spectrum(self, sigma: float) -> Values:
        """Return the variances of the denoiser's error in the basis, (*shape)."""
        if math.isinf(sigma):
            return self.spectrum.copy()
        total = self.spectrum + sigma**2
        return np.divide(self.spectrum * sigma**2, total, out=np.zeros(self.shape), where=total > 0)

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """Return log p(x) of x = x0 + sigma n, (B,), without the term -n/2 log(2 pi)."""
        spectrum, mean = self.on(x)
        variance = spectrum + sigma**2
        coefficients = self.basis.forward(x - mean)
        axes = tuple(range(1, x.ndim))
        density: Tensor = -0.5 * (coefficients**2 / variance).sum(axes) - 0.5 * variance.log().sum()
        return density

    def on(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the spectrum and the mean in the precision and on the device of x."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (B, {str(self.shape)[1:]}")
        key = (x.dtype, x.device)
        if key not in self._copies:
            pair = (torch.as_tensor(values).to(*key[::-1]) for values in (self.spectrum, self.mean))
            self._copies[key] = (next(pair), next(pair))
        return self._copies[key]
