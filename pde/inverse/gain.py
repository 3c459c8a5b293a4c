"""The gain of a linear measurement on a Gaussian field: dense in sensor space, or closed form where A is diagonal."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.pde.inverse.bases import TrigonometricBasis
from conjugo.pde.inverse.operator import Diagonal, Measurement

type Values = NDArray[np.float64]

ROWS = 64
"""Images that are worked on at a time."""
LARGEST = 4 << 30
"""Bytes of the dense sensor-space matrix that are not refused."""


class Gain(Protocol):
    """K = C A^H (A C A^H + sigma^2)^-1, and what it takes from the variance."""

    def update(self, residual: Values, /) -> Values:
        """Coefficients (k, *shape) of K r for residuals (m, k)."""

    def variances(self, basis: TrigonometricBasis | None, /) -> Values:
        """Diagonal of the posterior covariance in the cells (None) or in a basis, (*shape)."""

    def trace(self) -> float:
        """Trace of the posterior covariance."""

    def log_evidence(self, residual: Values, /) -> Values:
        """Log density (k,) of residuals (m, k) under N(0, A C A^H + sigma^2)."""


class SpectralGain:
    """Closed form: A = Phi^T diag(a) Phi and C = Phi^T diag(c) Phi in one basis.

    Notes
    -----
    K = c a / (a^2 c + sigma^2), posterior variance c sigma^2 / (a^2 c + sigma^2), mode by mode. Where the data tell
    nothing and the noise is 0, the prior stays.
    """

    def __init__(self, diagonal: Diagonal, sigma: float, spectrum: Values, basis: TrigonometricBasis) -> None:
        a = diagonal.values
        self._basis = basis
        self._data = a**2 * spectrum + sigma**2
        known = self._data > 0
        self._gain = np.divide(spectrum * a, self._data, out=np.zeros_like(self._data), where=known)
        self._posterior = spectrum * (1 - self._gain * a) if sigma == 0 else spectrum * (sigma**2 / self._data)

    def update(self, residual: Values) -> Values:
        """Coefficients of K r."""
        return self._gain * self._coefficients(residual)

    def variances(self, basis: TrigonometricBasis | None) -> Values:
        """Diagonal of the posterior covariance."""
        return self._basis.power(np.maximum(self._posterior, 0.0), basis)

    def trace(self) -> float:
        """Trace of the posterior covariance."""
        return float(np.sum(self._posterior))

    def log_evidence(self, residual: Values) -> Values:
        """Log density of the residuals; modes without variance are left out."""
        known = self._data > 0
        squares = self._coefficients(residual)[:, known] ** 2 / self._data[known]
        return np.asarray(-0.5 * (np.sum(squares, axis=1) + np.sum(np.log(2 * np.pi * self._data[known]))))

    def _coefficients(self, residual: Values) -> Values:
        return np.asarray(self._basis.forward(residual.T.reshape(-1, *self._data.shape)))


class SensorGain:
    """Dense in sensor space: any A with few data.

    Raises
    ------
    ValueError
        Where the (m, n) matrix would take more than 4 GiB.

    Notes
    -----
    With R = A Phi^T C^(1/2) (m x n, from m adjoint products) and W^T W = (R R^T + sigma^2)^-1, the rows Z = W R give
    everything: K = C^(1/2) Z^T W, and the posterior variance is C^(1/2) (I - Z^T Z) C^(1/2). W is the inverse Cholesky
    factor; where sigma is lost in rounding, scaled eigenvectors without the directions below m eps of the largest.
    Z replaces R block by block, so that one matrix of this size is kept.

    References
    ----------
    A. M. Stuart, Inverse problems: a Bayesian perspective, Acta Numerica 19 (2010), theorem 6.20.
    """

    def __init__(self, A: Measurement, sigma: float, spectrum: Values, basis: TrigonometricBasis) -> None:
        m, n = A.shape
        if 8 * m * n > LARGEST:
            raise ValueError(f"A is {m} x {n}: its dense matrix would take {8 * m * n / 2**30:.1f} GiB: expected at "
                             "most 4; use fewer data, or an operator diagonal in the prior's basis")  # fmt: skip
        self._basis, self._root = basis, np.sqrt(spectrum)
        self._rows = spectral_rows(A, self._root, basis)
        K = self._rows @ self._rows.T
        K[np.diag_indices(m)] += sigma**2
        self._whitener, self._log_determinant = _whitener(K, sigma**2)
        for lo in range(0, n, 4096):
            block = self._whitener @ self._rows[:, lo : lo + 4096]
            self._rows[: block.shape[0], lo : lo + 4096] = block
        self._rows = self._rows[: self._whitener.shape[0]]

    def update(self, residual: Values) -> Values:
        """Coefficients of K r."""
        increments = (self._whitener @ residual).T @ self._rows
        return np.asarray(self._root * increments.reshape(-1, *self._root.shape))

    def variances(self, basis: TrigonometricBasis | None) -> Values:
        """Diagonal of the posterior covariance."""
        remaining = self._basis.power(self._root**2, basis)
        for lo in range(0, len(self._rows), ROWS):
            block = self._basis.inverse(self._root * self._rows[lo : lo + ROWS].reshape(-1, *self._root.shape))
            remaining -= np.sum((block if basis is None else basis.forward(block)) ** 2, axis=0)
        return np.maximum(remaining, 0.0)

    def trace(self) -> float:
        """Trace of the posterior covariance."""
        known = np.einsum("ij,ij->j", self._rows, self._rows).reshape(self._root.shape)
        return float(np.sum(self._root**2 * (1 - known)))

    def log_evidence(self, residual: Values) -> Values:
        """Log density of the residuals, in the directions that rounding leaves."""
        white = self._whitener @ residual
        constant = self._log_determinant + len(white) * np.log(2 * np.pi)
        return np.asarray(-0.5 * (np.sum(white**2, axis=0) + constant))


def spectral_rows(A: Measurement, root: Values, basis: TrigonometricBasis) -> Values:
    """Return R = A Phi^T diag(root), (m, n), by m products with A^H."""
    m, n = A.shape
    rows = np.empty((m, n))
    for lo in range(0, m, ROWS):
        unit = np.zeros((m, min(ROWS, m - lo)))
        unit[np.arange(lo, lo + unit.shape[1]), np.arange(unit.shape[1])] = 1.0
        images = np.asarray(A.H @ unit).T.reshape(-1, *root.shape)
        rows[lo : lo + unit.shape[1]] = (root * basis.forward(images)).reshape(-1, n)
    return rows


def _whitener(K: Values, variance: float) -> tuple[Values, float]:
    """Return W with W^T W = K^-1, on the range of K, and log det K there."""
    if variance > 1e-11 * np.trace(K):
        L = scipy.linalg.cholesky(K, lower=True)
        inverse, _ = scipy.linalg.lapack.dtrtri(L, lower=1)
        return np.tril(inverse), float(2 * np.sum(np.log(np.diag(L))))
    values, vectors = scipy.linalg.eigh(K)
    kept = values > len(K) * np.finfo(np.float64).eps * values[-1]
    return (vectors[:, kept] / np.sqrt(values[kept])).T, float(np.sum(np.log(values[kept])))
