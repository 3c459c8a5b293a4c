"""The data step in the metric of the denoiser's error: the conditional mean, where that error is Gaussian."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from conjugo.learned.diffusion.counting import Applications, Counted
from conjugo.learned.diffusion.data_step import StepError, all_finite, columns
from conjugo.learned.diffusion.error_spectrum import Values
from conjugo.pde.inverse.operator import Basis, Measurement
from conjugo.solvers.krylov.cg import generic_cg
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.result import Status

DENSE = 1024
"""Data for which A Sigma A^H is factorised unless the caller says otherwise: 1024^3 / 3 operations a noise level."""

CACHE_BYTES = 2**28
"""Memory for factors and variances of the noise levels last used."""


class Spectrum(Protocol):
    """Variances of a denoiser's error at a noise level, in a basis; an `ErrorSpectrum`."""

    basis: Basis

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image."""

    def __call__(self, sigma: float, /) -> Values:
        """Return (*shape) variances."""


class MetricStep:
    """Correct a denoised image by the data, each frequency as far as the denoiser is unsure of it.

    Parameters
    ----------
    A : Measurement
        (m, n).
    spectrum : ErrorSpectrum
        Of the denoiser: Sigma_t = Phi^T diag(spectrum(sigma_t)) Phi.
    sigma_y : float
        Standard deviation of the noise in the data, positive.
    iterations : int
        Of conjugate gradients, where these are used.
    exact : bool, optional
        Whether to solve directly: in the basis where `A.diagonal` is diagonal in the spectrum's, else by factors of
        A Sigma_t A^H + sigma_y^2 I, one for each noise level. By default where A is diagonal or m <= 1024.
    cache_bytes : int
        Memory for what is kept of the noise levels last used.

    Attributes
    ----------
    setup_seconds, setup_applications
        Cost of the rows of A in the basis, which exact solves need once.

    Raises
    ------
    ValueError
        For sigma_y that is not positive, no iterations, images of another shape, or an exact solve of more data than
        fits in the cache.

    Notes
    -----
    The step minimises ||x - x_hat||^2 in the norm of Sigma_t^-1 plus ||y - A x||^2 / sigma_y^2:

        x = x_hat + Sigma_t A^H (A Sigma_t A^H + sigma_y^2 I)^-1 (y - A x_hat).

    If x0 given x_t is Gaussian with mean x_hat and covariance Sigma_t, this is E[x0 | x_t, y]. The correction lies in
    Sigma_t range(A^H), that is in directions in which the prior varies: also between sensors, where with Sigma_t = I it
    vanishes. Conjugate gradients solve (I + S A^H A S / sigma_y^2) z = S A^H (y - A x_hat) / sigma_y^2 with
    S = Sigma_t^(1/2) and x = x_hat + S z; its system matrix has as many eigenvalues above 2 as there are modes that
    the data inform about, however fine the grid.

    References
    ----------
    A. M. Stuart, Inverse problems: a Bayesian perspective, Acta Numerica 19 (2010), 451-559, theorem 6.20.
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024),
    eq. (10) (the step with Sigma_t = I).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> spectrum = ErrorSpectrum(CosineBasis((4, 4)), [1.0], np.ones((1, 4, 4)))
    >>> step = MetricStep(Sensors((4, 4), [5]), spectrum, sigma_y=1.0)
    >>> x = step(torch.zeros(1, 4, 4), torch.ones(1, 1), 1.0)
    >>> round(float(x[0, 1, 1]), 6), step.applications
    (0.5, Applications(forward=1, adjoint=0))
    """

    def __init__(
        self, A: Measurement, spectrum: Spectrum, sigma_y: float, *, iterations: int = 20, exact: bool | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:  # fmt: skip
        if not (sigma_y > 0 and math.isfinite(sigma_y)):
            raise ValueError(f"sigma_y = {sigma_y}: expected positive noise; use a noiseless step for exact data")
        if iterations < 1:
            raise ValueError(f"iterations = {iterations}: expected at least 1")
        if tuple(A.image_shape) != tuple(spectrum.shape):
            raise ValueError(f"A measures images {tuple(A.image_shape)} and the spectrum has shape {spectrum.shape}: "
                             "expected the same")  # fmt: skip
        self.A, self.spectrum, self.sigma_y = A, spectrum, float(sigma_y)
        self.iterations, self.cache_bytes = int(iterations), int(cache_bytes)
        diagonal = getattr(A, "diagonal", None)
        self._values = diagonal.values if diagonal is not None and diagonal.basis == spectrum.basis else None
        m = A.shape[0]
        self.exact = self._values is not None or m <= DENSE if exact is None else exact
        if self.exact and self._values is None and 8 * m * m > cache_bytes:
            raise ValueError(f"exact solves for m = {m} data need {8 * m * m:.2e} bytes a noise level and cache_bytes "
                             f"is {cache_bytes:.2e}: pass exact=False or more cache_bytes")  # fmt: skip
        self._counted = Counted(A)
        self.setup_seconds, self.setup_applications = 0.0, 0
        self._rows: Tensor | None = None
        self._cache: OrderedDict[Any, tuple[Tensor, ...]] = OrderedDict()

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, without the set-up, and their seconds."""
        return self._counted.applications

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Return the corrected images (B, *shape) of denoised images x_hat and their data y, (B, m)."""
        m = self.A.shape[0]
        if tuple(x_hat.shape[1:]) != self.spectrum.shape or tuple(y.shape) != (len(x_hat), m):
            raise ValueError(f"x_hat and y have shapes {tuple(x_hat.shape)} and {tuple(y.shape)}: expected "
                             f"(B, {str(self.spectrum.shape)[1:]} and (B, {m})")  # fmt: skip
        if self._values is not None and self.exact:
            return self._in_the_basis(x_hat, y, sigma_t)
        residual = y - self.measure(x_hat)
        if not all_finite(residual):
            raise StepError(Status.NONFINITE, "y - A x is NaN or infinite: look at A and its range of numbers")
        if self.exact:
            return x_hat + self._by_factors(residual, sigma_t)
        return x_hat + self._by_cg(residual, sigma_t)

    def prepare(self, like: Tensor) -> None:
        """Make the rows of A that exact solves need, on the device of `like`; the first step would do it."""
        if self.exact and self._values is None:
            self._dense_rows(like)

    def forget(self) -> None:
        """Drop what is kept of noise levels, such as factors; the rows of A stay."""
        self._cache.clear()

    def deviations(self, sigma_t: float, like: Tensor) -> Tensor:
        """Return Sigma_t^(1/2) in the basis, (*shape), as the precision and device of `like` have it."""
        key = ("deviations", float(sigma_t), like.dtype, like.device)
        return self._kept(key, lambda: (_like(np.sqrt(self.spectrum(sigma_t)), like),))[0]

    def _in_the_basis(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """A diagonal in the basis: three transforms, counted as one product with A and one with A^H."""
        basis, d = self.spectrum.basis, len(self.spectrum.basis.shape)

        def gains() -> tuple[Tensor, ...]:
            variances, values = self.spectrum(sigma_t), np.asarray(self._values)
            gain = variances * values / (variances * values**2 + self.sigma_y**2)
            return _like(gain, x_hat), _like(values, x_hat)

        counted = self.applications
        counted.forward += len(x_hat)
        counted.adjoint += len(x_hat)
        with counted.watch(x_hat.device):
            gain, values = self._kept(("gains", float(sigma_t), x_hat.dtype, x_hat.device), gains)
            data = basis.forward(y.reshape(*x_hat.shape[:-d], *basis.shape))
            increment: Tensor = basis.inverse(gain * (data - values * basis.forward(x_hat)))
        return x_hat + increment

    def _by_factors(self, residual: Tensor, sigma_t: float) -> Tensor:
        """Sigma A^H (A Sigma A^H + sigma_y^2 I)^-1 residual by a Cholesky factor in double precision."""
        basis, rows = self.spectrum.basis, self._dense_rows(residual)

        def factor() -> tuple[Tensor, ...]:
            scaled = rows * _like(np.sqrt(self.spectrum(sigma_t)), rows).reshape(-1)
            gram = scaled @ scaled.T
            gram.diagonal().add_(self.sigma_y**2)
            return (torch.linalg.cholesky(gram),)

        (lower,) = self._kept(("factor", float(sigma_t), residual.device), factor)
        weights = torch.cholesky_solve(residual.double().T, lower).T
        coefficients = (weights @ rows).to(residual.dtype).reshape(-1, *self.spectrum.shape)
        increment: Tensor = basis.inverse(coefficients * self.deviations(sigma_t, residual) ** 2)
        return increment

    def _by_cg(self, residual: Tensor, sigma_t: float) -> Tensor:
        """The same by a fixed number of CG iterations on blocks (n, B)."""
        root = self.deviations(sigma_t, residual)
        b = self.scatter(residual) / self.sigma_y**2
        b = self.spectrum.basis.forward(b) * root
        rtol = 8 * torch.finfo(b.dtype).eps
        monitor = Monitor("cg", Whitened(self, root), columns(b), rtol=rtol, maxiter=self.iterations, verify=False)
        result = generic_cg(monitor, None)
        if result.status in (Status.NONFINITE, Status.INDEFINITE):
            raise StepError(result.status, result.message)
        z: Tensor = result.x
        increment: Tensor = self.spectrum.basis.inverse(z.T.reshape(b.shape) * root)
        return increment

    def _dense_rows(self, like: Tensor) -> Tensor:
        """Rows of A in the basis, (m, n) in double precision: m applications of A^H, once."""
        if self._rows is None or self._rows.device != like.device:
            started = time.perf_counter()
            m, blocks = self.A.shape[0], []
            for unit in torch.split(torch.eye(m, dtype=torch.float64, device=like.device), 64):
                images: Tensor = (self.A.H @ unit.T).T
                rows = self.spectrum.basis.forward(images.reshape(-1, *self.spectrum.shape))
                blocks.append(rows.reshape(len(unit), -1))
            self._rows = torch.cat(blocks)
            self.setup_seconds, self.setup_applications = time.perf_counter() - started, m
        return self._rows

    def measure(self, x: Tensor) -> Tensor:
        """A on images: (B, *shape) to (B, m)."""
        return (self._counted @ columns(x)).T

    def scatter(self, y: Tensor) -> Tensor:
        """A^H on data: (B, m) to (B, *shape)."""
        spread: Tensor = self._counted.H @ y.T
        return spread.T.reshape(-1, *self.spectrum.shape)

    def _kept(self, key: Any, make: Any) -> tuple[Tensor, ...]:
        """What `make` returns, kept until the memory is needed for levels used later."""
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        made: tuple[Tensor, ...] = make()
        self._cache[key] = made
        while sum(t.nbytes for kept in self._cache.values() for t in kept) > self.cache_bytes and len(self._cache) > 1:
            self._cache.popitem(last=False)
        return made


class Whitened:
    """I + S A^H A S / sigma_y^2, S the root of Sigma_t, on blocks of coefficients (n, B)."""

    linear = True
    symmetric = True

    def __init__(self, step: MetricStep, root: Tensor) -> None:
        self.step, self.root = step, root
        self.shape = (step.A.shape[1], step.A.shape[1])

    def __matmul__(self, z: Tensor) -> Tensor:
        step, basis = self.step, self.step.spectrum.basis
        x = basis.inverse(z.T.reshape(-1, *step.spectrum.shape) * self.root)
        product = basis.forward(step.scatter(step.measure(x))) * self.root
        scaled: Tensor = product.reshape(len(product), -1).T / step.sigma_y**2
        return z + scaled


def _like(values: Values, tensor: Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(values)).to(dtype=tensor.dtype, device=tensor.device)
