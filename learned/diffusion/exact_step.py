"""Data steps without iterations: where the data are few, or A is diagonal in a fast basis."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from conjugo.learned.diffusion.counting import Applications, Counted
from conjugo.learned.diffusion.data_step import columns, images
from conjugo.learned.diffusion.krylov_step import Weight, check_weight, weight_at
from conjugo.pde.inverse.operator import Diagonal, Measurement

MOST_SENSORS = 8192
"""Data of one image up to which A A^H is held as a dense matrix: 0.5 GB and some minutes in float64."""

BLOCK = 256
"""Columns of A A^H that are made at a time."""

type Filter = Callable[[Tensor], Tensor]


class Cast:
    """Tensors, and a copy of them in the precision and on the device that were asked for last."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = self.last = tensors

    def like(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors as x is."""
        if self.last[0].dtype != x.dtype or self.last[0].device != x.device:
            self.last = tuple(tensor.to(x) for tensor in self.tensors)
        return self.last


class Spectrum(Protocol):
    """A in its singular vectors: A = U diag(s) V^T."""

    applications: Applications

    def correct(self, x_hat: Tensor, y: Tensor, apply: Filter) -> Tensor:
        """x_hat + V diag(s f(s^2)) U^T (y - A x_hat), with f = `apply` of the squares of the singular values."""


class SensorSpectrum:
    """The eigenvectors of A A^H, a dense (m, m) matrix, found once.

    Parameters
    ----------
    A : Measurement or (m, n) tensor
        With m up to 8192.
    like : Tensor, optional
        Whose precision and device A is applied in; those of a tensor A, else float64 on the CPU by default.
    """

    def __init__(self, A: Measurement | Tensor, like: Tensor | None = None) -> None:
        started = time.perf_counter()
        counted = Counted(A)
        m = counted.shape[0]
        if m > MOST_SENSORS:
            raise ValueError(f"A has {m} rows: a dense A A^H takes at most {MOST_SENSORS}; use KrylovStep")
        if like is None:
            like = A if isinstance(A, Tensor) else torch.zeros((), dtype=torch.float64)
        gram = like.new_empty((m, m), dtype=torch.float64)
        for first in range(0, m, BLOCK):
            units = like.new_zeros((m, min(BLOCK, m - first)))
            units[first : first + units.shape[1]].fill_diagonal_(1.0)
            gram[:, first : first + units.shape[1]] = counted @ (counted.H @ units)
        if not bool(torch.isfinite(gram).all()):
            raise ValueError("A A^H holds NaN or infinity: look at A")
        squares, vectors = torch.linalg.eigh((gram + gram.T) / 2)
        self.factors = Cast(vectors, squares.clamp(min=0.0))
        self.floor = m * torch.finfo(like.dtype).eps
        self.setup_applications = counted.applications.total
        self.setup_seconds = time.perf_counter() - started
        self.A = Counted(A)
        self.applications = self.A.applications

    def correct(self, x_hat: Tensor, y: Tensor, apply: Filter) -> Tensor:
        """Return x_hat + A^H U diag(f(s^2)) U^T (y - A x_hat)."""
        vectors, squares = self.factors.like(x_hat)
        residual = columns(y) - self.A @ columns(x_hat)
        weights = vectors @ (apply(squares)[:, None] * (vectors.T @ residual))
        return x_hat + images(self.A.H @ weights, x_hat)


class DiagonalSpectrum:
    """A that is diagonal in an orthonormal basis with a fast transform.

    Parameters
    ----------
    A : Measurement
        With a `diagonal`.

    Notes
    -----
    Three transforms an image, counted as one product with A and one with A^H.
    """

    def __init__(self, A: Measurement) -> None:
        diagonal: Diagonal = A.diagonal  # type: ignore[attr-defined]
        self.basis, self.values = diagonal.basis, Cast(torch.as_tensor(diagonal.values))
        self.floor = diagonal.values.size * torch.finfo(torch.float64).eps
        self.applications = Applications()

    def correct(self, x_hat: Tensor, y: Tensor, apply: Filter) -> Tensor:
        """Return x_hat + Phi^T diag(v f(v^2)) (Phi y - v Phi x_hat)."""
        (v,) = self.values.like(x_hat)
        shape = (-1, *self.basis.shape)
        self.applications.forward += len(x_hat)
        self.applications.adjoint += len(x_hat)
        with self.applications.watch(x_hat.device):
            residual = self.basis.forward(y.reshape(shape)) - v * self.basis.forward(x_hat.reshape(shape))
            increment: Tensor = self.basis.inverse(v * apply(v**2) * residual)
        return x_hat + increment.reshape(x_hat.shape)


class SensorStep:
    """The exact solution of (I + gamma A^H A) x = x_hat + gamma A^H y, in the space of the data.

    Parameters
    ----------
    A : Measurement or (m, n) tensor
        With few data: m up to 8192.
    gamma : float or callable
        Weight of the data, or gamma(sigma_t); math.inf takes the data as exact.
    like : Tensor, optional
        Whose precision and device A is applied in for the set-up; those of a tensor A, else float64 on the CPU by
        default.

    Attributes
    ----------
    setup_seconds, setup_applications
        Cost of A A^H and its eigenvectors, found once: every gamma uses them.

    Raises
    ------
    ValueError
        For more data than a dense matrix allows, or a negative gamma.

    Notes
    -----
    x = x_hat + A^H U diag(gamma / (1 + gamma s)) U^T (y - A x_hat) with A A^H = U diag(s) U^T: one product with A, one
    with A^H and two with a dense (m, m) matrix.

    References
    ----------
    M. A. Woodbury, Inverting modified matrices, Princeton University (1950): the identity behind it.

    Examples
    --------
    >>> step = SensorStep(torch.eye(3)[:2], gamma=3.0)
    >>> step(torch.zeros(1, 3), torch.ones(1, 2), 0.5)
    tensor([[0.7500, 0.7500, 0.0000]])
    """

    def __init__(self, A: Measurement | Tensor, gamma: Weight = 1.0, *, like: Tensor | None = None) -> None:
        check_weight(gamma, infinite=True)
        self.A, self.gamma = A, gamma
        self._spectrum = SensorSpectrum(A, like)
        self.setup_seconds, self.setup_applications = self._spectrum.setup_seconds, self._spectrum.setup_applications

    def __repr__(self) -> str:
        return f"SensorStep({type(self.A).__name__} {tuple(self.A.shape)}, gamma={self.gamma})"

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, without the set-up, and their seconds."""
        return self._spectrum.applications

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Correct images (B, *shape) by data (B, m)."""
        return self._spectrum.correct(x_hat, y, _proximal(self.gamma, sigma_t, self._spectrum.floor))


class DiagonalStep:
    """The exact solution of (I + gamma A^H A) x = x_hat + gamma A^H y for an A that is diagonal in a fast basis.

    Parameters
    ----------
    A : Measurement
        With a `diagonal`, such as backward heat or a symmetric blur.
    gamma : float or callable
        Weight of the data, or gamma(sigma_t); math.inf takes the data as exact.

    Raises
    ------
    ValueError
        For an A without `diagonal`, or a negative gamma.

    Examples
    --------
    >>> from conjugo.pde.inverse.heat import BackwardHeat
    >>> A = BackwardHeat((8, 8), 0.01)
    >>> x = torch.rand(1, 8, 8, dtype=torch.float64)
    >>> y = (A @ x.reshape(1, -1).T).T
    >>> bool(torch.allclose(DiagonalStep(A, gamma=5.0)(x, y, 1.0), x))
    True
    """

    def __init__(self, A: Measurement, gamma: Weight = 1.0) -> None:
        check_weight(gamma, infinite=True)
        if not is_diagonal(A):
            raise ValueError(f"A is a {type(A).__name__} without `diagonal`: use SensorStep or KrylovStep")
        self.A, self.gamma = A, gamma
        self._spectrum = DiagonalSpectrum(A)

    def __repr__(self) -> str:
        return f"DiagonalStep({type(self.A).__name__}, gamma={self.gamma})"

    @property
    def applications(self) -> Applications:
        """Products so far: one with A and one with A^H for each correction of an image."""
        return self._spectrum.applications

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Correct images (B, *shape) by data (B, n)."""
        return self._spectrum.correct(x_hat, y, _proximal(self.gamma, sigma_t, self._spectrum.floor))


class NullSpaceStep:
    """The data step of DDNM: x_hat + A^+ (y - A x_hat), the limit of noiseless DDS for many iterations.

    Parameters
    ----------
    A : Measurement or (m, n) tensor
        With a `diagonal`, or with few data.
    rcond : float, optional
        Squares of singular values below `rcond` times the largest count as 0; default the smaller dimension times the
        precision's epsilon. With noise, small singular values magnify it.
    like : Tensor, optional
        As for `SensorStep`.

    Raises
    ------
    ValueError
        For a large A without `diagonal`: there, take KrylovStep(A, noiseless=True) with many iterations.

    References
    ----------
    Y. Wang, J. Yu, J. Zhang, Zero-shot image restoration using denoising diffusion null-space model, ICLR (2023),
    eq. (13).

    Examples
    --------
    >>> step = NullSpaceStep(torch.tensor([[2.0, 0.0]]))
    >>> step(torch.ones(1, 2), torch.tensor([[6.0]]), 0.5)
    tensor([[3., 1.]])
    """

    def __init__(self, A: Measurement | Tensor, *, rcond: float | None = None, like: Tensor | None = None) -> None:
        if rcond is not None and not 0 <= rcond < 1:
            raise ValueError(f"rcond = {rcond}: expected 0 or more and less than 1, such as 1e-10")
        self.A = A
        self._spectrum = DiagonalSpectrum(A) if is_diagonal(A) else SensorSpectrum(A, like)  # type: ignore[arg-type]
        self.rcond = self._spectrum.floor if rcond is None else float(rcond)

    def __repr__(self) -> str:
        return f"NullSpaceStep({type(self.A).__name__} {tuple(self.A.shape)}, rcond={self.rcond:.1e})"

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, and their seconds."""
        return self._spectrum.applications

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float) -> Tensor:
        """Correct images (B, *shape) by data (B, m)."""
        return self._spectrum.correct(x_hat, y, _pseudo_inverse(self.rcond))


def is_diagonal(A: object) -> bool:
    """Say whether A carries the fact that it is diagonal in a basis."""
    return isinstance(getattr(A, "diagonal", None), Diagonal)


def _proximal(gamma: Weight, sigma_t: float, floor: float) -> Filter:
    """f(s) = gamma / (1 + gamma s)."""
    weight = weight_at(gamma, sigma_t, infinite=True)
    if math.isinf(weight):
        return _pseudo_inverse(floor)
    return lambda squares: weight / (1 + weight * squares)


def _pseudo_inverse(rcond: float) -> Filter:
    """f(s) = 1 / s, and 0 where s counts as 0."""

    def apply(squares: Tensor) -> Tensor:
        kept = squares > rcond * squares.max()
        return torch.where(kept, 1 / torch.where(kept, squares, 1.0), 0.0)

    return apply
