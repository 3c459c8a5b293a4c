"""The error spectrum of a denoiser: how much of each frequency it still gets wrong, measured per noise level."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from conjugo.learned.operators.batches import seeded
from conjugo.pde.inverse.bases import CosineBasis, SineBasis
from conjugo.pde.inverse.operator import Basis

type Values = NDArray[np.float64]
type Denoiser = Callable[[Tensor, float], Tensor]
"""D(x, sigma) = E[x0 | x0 + sigma n = x], (B, *shape) to (B, *shape)."""

BASES: dict[str, Callable[[Sequence[int]], Any]] = {"CosineBasis": CosineBasis, "SineBasis": SineBasis}
"""Bases that a file can name."""


class HasErrorSpectrum(Protocol):
    """A prior that knows its denoiser's error."""

    basis: Basis

    def error_spectrum(self, sigma: float) -> Values:
        """Variances of the error in the basis, (*shape)."""


class ErrorSpectrum:
    """Variances of a denoiser's error in an orthonormal basis, between noise levels by interpolation.

    Parameters
    ----------
    basis : Basis
        Over the last axes of an image.
    sigmas : (levels,) array
        Noise levels, positive and increasing.
    values : (levels, *shape) array
        Variances of the coefficients of x0 - D(x0 + sigma n, sigma), positive.

    Raises
    ------
    ValueError
        For levels that are not positive and increasing, values of another shape, or values that are not positive.

    Notes
    -----
    Sigma_t = Phi^T diag(values(sigma)) Phi stands for Cov[x0 | x_t], averaged over x_t. It is linear in log sigma for
    the logarithms of the values. Below the first level the values fall with sigma^2, above the last they stay.

    Examples
    --------
    >>> from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum
    >>> from conjugo.learned.diffusion.gaussian import GaussianPrior
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> prior = GaussianPrior(np.ones((8, 8)), CosineBasis((8, 8)))
    >>> spectrum = ErrorSpectrum.measure(prior, prior.sample(32), [0.1, 1.0, 10.0], basis=prior.basis)
    >>> round(spectrum.mean(1.0), 1)  # 1 / (1 + 1)
    0.5
    """

    def __init__(self, basis: Basis, sigmas: ArrayLike, values: ArrayLike) -> None:
        self.basis = basis
        self.sigmas: Values = np.array(sigmas, dtype=np.float64)
        self.values: Values = np.array(values, dtype=np.float64)
        _check_levels(self.sigmas)
        d = len(basis.shape)
        if self.values.shape[:1] != self.sigmas.shape or self.values.shape[-d:] != tuple(basis.shape):
            raise ValueError(f"the values have shape {self.values.shape}: expected ({len(self.sigmas)}, ..., "
                             f"{str(tuple(basis.shape))[1:]}, one image of variances a level")  # fmt: skip
        if not (np.all(np.isfinite(self.values)) and np.all(self.values > 0)):
            raise ValueError("the values hold NaN, infinity or numbers that are not positive: expected variances; draw "
                             "more samples, or smooth over more modes")  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""
        return self.values.shape[1:]

    def __repr__(self) -> str:
        return f"ErrorSpectrum(shape={self.shape}, levels={len(self.sigmas)})"

    def __call__(self, sigma: float) -> Values:
        """Return the variances at a noise level, (*shape)."""
        if not sigma > 0:
            raise ValueError(f"sigma = {sigma}: expected a positive noise level")
        if sigma <= self.sigmas[0]:
            return np.asarray(self.values[0] * (sigma / self.sigmas[0]) ** 2, dtype=np.float64)
        if sigma >= self.sigmas[-1]:
            return np.array(self.values[-1], dtype=np.float64)
        i = int(np.searchsorted(self.sigmas, sigma, side="right")) - 1
        weight = np.log(sigma / self.sigmas[i]) / np.log(self.sigmas[i + 1] / self.sigmas[i])
        return np.asarray(self.values[i] ** (1 - weight) * self.values[i + 1] ** weight, dtype=np.float64)

    def mean(self, sigma: float) -> float:
        """Return r^2, the mean squared error of a value of the image."""
        return float(self(sigma).mean())

    @classmethod
    def measure(
        cls, denoiser: Denoiser, samples: Tensor, sigmas: Sequence[float] | Values, *, basis: Basis | None = None,
        seed: int = 0, batch: int | None = None, modes: int = 1, ratio: float = 1.15,
    ) -> Self:  # fmt: skip
        """Measure a denoiser on samples: one pass over them for each noise level.

        Parameters
        ----------
        denoiser : callable
            D(x, sigma).
        samples : (N, *shape) Tensor
            Clean images that were not used to train it.
        sigmas : sequence of float
            Noise levels, positive and increasing; `levels` makes some.
        basis : Basis, optional
            Cosines over the last two axes by default.
        seed : int
            Of the noise; level l adds noise from (seed, l).
        batch : int, optional
            Images that the denoiser gets at once; all by default.
        modes, ratio : int, float
            The squares are averaged over rings of like frequency, which have at least so many modes and end where the
            frequency has grown by the ratio. `modes=1, ratio=1` averages over modes of equal frequency alone.

        Returns
        -------
        ErrorSpectrum

        Raises
        ------
        ValueError
            For levels that are not positive and increasing, no samples, or a denoiser that answers with another shape
            or with NaN.
        """
        levels_ = np.asarray(sigmas, dtype=np.float64)
        _check_levels(levels_)
        if samples.ndim < 2 or len(samples) < 1:
            raise ValueError(f"the samples have shape {tuple(samples.shape)}: expected (N, *shape) with at least one")
        basis = CosineBasis(tuple(samples.shape[-2:])) if basis is None else basis
        rings = Rings(basis.shape, modes=modes, ratio=ratio)
        values = np.empty((len(levels_), *samples.shape[1:]))
        for level, sigma in enumerate(levels_):
            generator, total = seeded(seed, level), torch.zeros(samples.shape[1:], dtype=torch.float64)
            for clean in torch.split(samples, batch or len(samples)):
                noise = torch.randn(clean.shape, generator=generator, dtype=torch.float32).to(clean)
                error = clean - _answer(denoiser, clean + float(sigma) * noise, float(sigma))
                total += (basis.forward(error).double() ** 2).sum(0).cpu()
            values[level] = rings.smooth((total / len(samples)).numpy())
        return cls(basis, levels_, values)

    @classmethod
    def exact(cls, prior: HasErrorSpectrum, sigmas: Sequence[float] | Values) -> Self:
        """Tabulate what a prior knows."""
        values = np.stack([prior.error_spectrum(float(sigma)) for sigma in np.asarray(sigmas)])
        return cls(prior.basis, sigmas, np.maximum(values, np.finfo(np.float64).tiny))

    def save(self, path: Path | str) -> None:
        """Write a NumPy archive: beside the path first, then renamed."""
        path = Path(path)
        if type(self.basis).__name__ not in BASES:
            raise ValueError(f"the basis is a {type(self.basis).__name__}: only {', '.join(BASES)} can be saved")
        beside = path.with_name(f".{path.name}.part")
        with beside.open("wb") as file:
            np.savez(file, kind=np.array(type(self.basis).__name__), shape=np.array(self.basis.shape),
                     sigmas=self.sigmas, values=self.values)  # fmt: skip
        os.replace(beside, path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is no such archive.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as file:
                basis = BASES[str(file["kind"])](tuple(int(n) for n in file["shape"]))
                return cls(basis, file["sigmas"], file["values"])
        except (KeyError, TypeError, EOFError) as error:
            raise ValueError(f"{path} holds no error spectrum: {error}") from error


class Rings:
    """Modes of a transform in rings of like frequency, over which variances are averaged.

    Parameters
    ----------
    shape : sequence of int
        Of the transform; mode k has frequency |k|.
    modes, ratio : int, float
        A ring ends where it has at least so many modes and the frequency has grown by the ratio; the constant has a
        ring of its own.

    Notes
    -----
    Between the rings' mean frequencies the logarithm of the average is interpolated in log |k|, so that a power of |k|
    is kept as it is.
    """

    def __init__(self, shape: Sequence[int], *, modes: int = 1, ratio: float = 1.15) -> None:
        if modes < 1 or not ratio >= 1:
            raise ValueError(f"modes = {modes}, ratio = {ratio}: expected at least 1 each")
        squares = sum(np.square(k) for k in np.meshgrid(*(np.arange(n) for n in shape), indexing="ij", sparse=True))
        self.frequency: Values = np.sqrt(np.broadcast_to(squares, tuple(shape)).astype(np.float64))
        distinct, counts = np.unique(self.frequency.round(9), return_counts=True)
        ends, start, held = [], 1, 0
        for i in range(1, len(distinct)):
            held += int(counts[i])
            if held >= modes and (i + 1 == len(distinct) or distinct[i + 1] > ratio * distinct[start]):
                ends.append(i)
                start, held = i + 1, 0
        if held and ends:
            ends[-1] = len(distinct) - 1
        ends = ends or [len(distinct) - 1]
        ring = np.searchsorted(ends, np.arange(1, len(distinct))) + 1
        self.ring = np.concatenate([[0], ring])[np.searchsorted(distinct, self.frequency.round(9))]
        self.counts = np.bincount(self.ring.ravel())
        logs = np.log(np.maximum(self.frequency, distinct[1]))
        self._places: Values = np.bincount(self.ring.ravel(), logs.ravel())[1:] / self.counts[1:]
        self._logs: Values = logs

    def smooth(self, values: Values) -> Values:
        """Average over the rings, and interpolate between them; (..., *shape) to the same."""
        flat = values.reshape(-1, self.ring.size)
        smoothed = np.empty_like(flat)
        for row, out in zip(flat, smoothed, strict=True):
            means = np.maximum(np.bincount(self.ring.ravel(), row) / self.counts, np.finfo(np.float64).tiny)
            out[:] = np.exp(np.interp(self._logs.ravel(), self._places, np.log(means[1:])))
            out[self.ring.ravel() == 0] = means[0]
        return smoothed.reshape(values.shape)


def levels(lowest: float = 5e-3, highest: float = 200.0, count: int = 24) -> Values:
    """Return noise levels spaced evenly in log sigma.

    Examples
    --------
    >>> levels(0.01, 100.0, 5).tolist()
    [0.01, 0.1, 1.0, 10.0, 100.0]
    """
    if not 0 < lowest < highest or count < 2:
        raise ValueError(f"lowest = {lowest}, highest = {highest}, count = {count}: expected 0 < lowest < highest and "
                         "at least 2 levels")  # fmt: skip
    return np.geomspace(lowest, highest, count)


def calibrated(spectrum: ErrorSpectrum, sigma_y: float) -> Callable[[float], float]:
    """Return gamma(sigma_t) = r_t^2 / sigma_y^2, the weight of the data that the denoiser's error calls for.

    Parameters
    ----------
    spectrum : ErrorSpectrum
        Of the denoiser; r_t^2 is its `mean`.
    sigma_y : float
        Standard deviation of the noise in the data, positive.

    Examples
    --------
    >>> from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum, calibrated
    >>> spectrum = ErrorSpectrum(CosineBasis((2, 2)), [1.0, 2.0], np.ones((2, 2, 2)))
    >>> calibrated(spectrum, 0.1)(1.0)
    99.99999999999999
    """
    if not sigma_y > 0:
        raise ValueError(f"sigma_y = {sigma_y}: expected positive noise; use a noiseless step for exact data")
    return lambda sigma_t: spectrum.mean(sigma_t) / sigma_y**2


def _answer(denoiser: Denoiser, x: Tensor, sigma: float) -> Tensor:
    with torch.no_grad():
        answer = denoiser(x, sigma)
    if answer.shape != x.shape or not bool(torch.isfinite(answer).all()):
        raise ValueError(f"the denoiser answered {tuple(answer.shape)} to {tuple(x.shape)} at sigma = {sigma:.3g}, or "
                         "with NaN or infinity: expected finite images of the same shape")  # fmt: skip
    return answer


def _check_levels(sigmas: Values) -> None:
    if sigmas.ndim != 1 or len(sigmas) < 1 or not np.all(sigmas > 0) or np.any(np.diff(sigmas) <= 0):
        raise ValueError(f"sigmas = {sigmas.tolist()}: expected positive noise levels, increasing")
