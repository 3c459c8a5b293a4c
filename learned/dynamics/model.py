"""The interface of all models of dynamics, and what those with a linear latent step share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.snapshots import checked_rows
from conjugo.pde.trajectories import Trajectories

logger = logging.getLogger(__name__)

UNSTABLE = 1e-6
"""A spectral radius more than this above one is reported when a model forecasts."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What a fit found.

    Parameters
    ----------
    features : int
        Columns of the regression, q.
    rank : int
        Numerical rank of the features on the training data; below `features`, only the ridge makes K unique.
    condition : float
        Of the features' Gram matrix, before the ridge; at most about 1e16, where rounding hides the rest.
    ridge : float
        What was added to the Gram matrix's diagonal.
    samples : int
        Pairs of snapshots.
    spectral_radius : float
        Largest modulus of an eigenvalue of K.
    """

    features: int
    rank: int
    condition: float
    ridge: float
    samples: int
    spectral_radius: float = float("nan")

    @property
    def deficient(self) -> bool:
        """Whether the features are linearly dependent on the data, to rounding."""
        return self.rank < self.features


class Model(Protocol):
    """A learned model x(t + dt) of a dynamical system, linear in a latent state z: z(t + dt) = z(t) K."""

    @property
    def K(self) -> NDArray[np.float64]:  # noqa: N802  the matrix's name
        """Latent step, (d, d), acting on rows."""

    @property
    def dt(self) -> float:
        """Time of one step."""

    @property
    def eigenvalues(self) -> NDArray[np.complex128]:
        """Of K, (d,): discrete time, largest modulus first."""

    @property
    def exponents(self) -> NDArray[np.complex128]:
        """log(eigenvalues) / dt, (d,)."""

    @property
    def modes(self) -> NDArray[np.complex128]:
        """x is about eigenfunctions(x) @ modes, (d, n)."""

    @property
    def diagnostics(self) -> Diagnostics:
        """Rank, condition, ridge and spectral radius."""

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories."""

    def encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Latent states (N, d) of states (N, n)."""

    def decode(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """States (N, n) of latent states (N, d)."""

    def eigenfunctions(self, x: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Eigenfunctions at states (N, n), (N, d)."""

    def predict(self, x0: NDArray[np.float64], steps: int, *, reencode: int | None = None) -> NDArray[np.float64]:
        """Forecast (N, steps + 1, n) from initial states (N, n)."""


class LinearModel(ABC):
    """What follows from `encode`, `decode` and K: forecasts, eigenvalues, eigenfunctions and modes.

    A subclass's `fit` calls `_learned`; it defines `fit`, `_encode` and, where x is not z C, `_decode`.

    Notes
    -----
    K v = lambda v gives the eigenfunction phi(x) = z(x) v, so phi(x(t + dt)) is about lambda phi(x(t)). Eigenfunctions
    are scaled to mean square 1 on the training data. Modes solve x = phi C_phi, that is V C_phi = C.

    References
    ----------
    .. [1] M. O. Williams, I. G. Kevrekidis, C. W. Rowley, A data-driven approximation of the Koopman operator, J.
       Nonlinear Sci. 25 (2015), section 2.
    """

    _K: NDArray[np.float64] | None = None
    _C: NDArray[np.float64]
    _gram: NDArray[np.float64]
    _dt: float
    _n: int
    _found: Diagnostics

    @abstractmethod
    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories.

        Parameters
        ----------
        trajectories : Trajectories
            Of one length, evenly spaced in time.

        Returns
        -------
        Self
            This model, fitted.
        """

    @abstractmethod
    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Latent states of checked rows."""

    def _decode(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """States of latent rows."""
        return z @ self._C

    def _learned(
        self,
        K: NDArray[np.float64],
        C: NDArray[np.float64],
        gram: NDArray[np.float64],
        *,
        dt: float,
        found: Diagnostics,
    ) -> Self:
        """Take what a fit found: the step (d, d), the decoder (d, n), the latent states' mean square (d, d)."""
        self.__dict__.pop("_eigen", None)
        self.__dict__.pop("modes", None)
        self.__dict__.pop("eigenvalues", None)
        self._K, self._C, self._gram, self._dt, self._n, self._found = K, C, gram, dt, C.shape[1], found
        if found.deficient:
            logger.warning(
                "the features have rank %d of %d on %d samples: only the ridge of %.1e makes K unique",
                found.rank,
                found.features,
                found.samples,
                found.ridge,
            )
        return self

    @property
    def fitted(self) -> bool:
        """Whether `fit` was called."""
        return self._K is not None

    def _require_fit(self) -> NDArray[np.float64]:
        """K, once there is one."""
        if self._K is None:
            raise ValueError(f"{type(self).__name__} is not fitted: call fit(trajectories) first")
        return self._K

    @property
    def K(self) -> NDArray[np.float64]:  # noqa: N802  the matrix's name
        """Latent step, (d, d): z(x(t + dt)) is about z(x(t)) K."""
        return self._require_fit()

    @property
    def C(self) -> NDArray[np.float64]:  # noqa: N802
        """Linear decoder, (d, n): x is about z C."""
        self._require_fit()
        return self._C

    @property
    def dt(self) -> float:
        """Time of one step."""
        self._require_fit()
        return self._dt

    @property
    def diagnostics(self) -> Diagnostics:
        """Rank, condition, ridge and spectral radius (which needs the eigenvalues of K: d^3)."""
        self._require_fit()
        found = self._found
        return Diagnostics(
            features=found.features,
            rank=found.rank,
            condition=found.condition,
            ridge=found.ridge,
            samples=found.samples,
            spectral_radius=float(np.abs(self.eigenvalues[0])),
        )

    @cached_property
    def eigenvalues(self) -> NDArray[np.complex128]:
        """Of K, (d,): discrete time, largest modulus first, of a pair the one above the real axis first."""
        if "_eigen" in self.__dict__:
            return self._eigen[0]
        values: NDArray[np.complex128] = scipy.linalg.eigvals(self.K).astype(np.complex128)
        return values[_order(values)]

    @property
    def exponents(self) -> NDArray[np.complex128]:
        """log(eigenvalues) / dt, (d,): continuous time; -inf for an eigenvalue of zero."""
        with np.errstate(divide="ignore"):
            result: NDArray[np.complex128] = np.log(self.eigenvalues) / self.dt
        return result

    @cached_property
    def _eigen(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Eigenvalues and eigenvectors (columns), scaled so that the eigenfunctions have mean square 1."""
        values, vectors = scipy.linalg.eig(self.K)
        order = _order(values)
        values, vectors = values[order].astype(np.complex128), vectors[:, order].astype(np.complex128)
        squares = np.einsum("ij,ij->j", vectors.conj(), self._gram @ vectors).real
        scale = np.sqrt(np.where(squares > 0, squares, 1.0))
        return values, vectors / scale

    @property
    def eigenvectors(self) -> NDArray[np.complex128]:
        """Columns v with K v = lambda v, (d, d), in the order of `eigenvalues`."""
        return self._eigen[1]

    @cached_property
    def modes(self) -> NDArray[np.complex128]:
        """x is about eigenfunctions(x) @ modes, (d, n)."""
        # pivoted QR: eigenvectors may be dependent to rounding, where K is nearly defective
        modes: NDArray[np.complex128] = scipy.linalg.lstsq(
            self.eigenvectors, self.C.astype(np.complex128), lapack_driver="gelsy"
        )[0]
        return modes

    def encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the latent states of states.

        Parameters
        ----------
        x : (N, n) or (N, *state shape) array
            States.

        Returns
        -------
        (N, d) array
            Latent states.
        """
        self._require_fit()
        return self._encode(checked_rows(x, self._n))

    def decode(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the states of latent states.

        Parameters
        ----------
        z : (N, d) array
            Latent states.

        Returns
        -------
        (N, n) array
            States.
        """
        if np.ndim(z) != 2 or np.shape(z)[1] != len(self.K):
            raise ValueError(f"z has shape {np.shape(z)}: expected (N, {len(self.K)})")
        return self._decode(z)

    def eigenfunctions(self, x: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the eigenfunctions at states.

        Parameters
        ----------
        x : (N, n) or (N, *state shape) array
            States.

        Returns
        -------
        (N, d) array of complex
            In the order of `eigenvalues`; mean square 1 on the training data.
        """
        values: NDArray[np.complex128] = self.encode(x) @ self.eigenvectors
        return values

    def predict(self, x0: NDArray[np.float64], steps: int, *, reencode: int | None = None) -> NDArray[np.float64]:
        """Forecast from initial states.

        Parameters
        ----------
        x0 : (N, n) or (N, *state shape) array
            Initial states.
        steps : int
            How far, in steps of dt.
        reencode : int, optional
            Return to the state space every so many steps, z := encode(decode(z)): 1 is the relifted model, which is
            non-linear. By default x0 is encoded once and K alone steps.

        Returns
        -------
        (N, steps + 1, n) array
            The first is x0. A model that blows up gives values that are not finite, and says so in the log.

        Raises
        ------
        ValueError
            For states of another size, and negative steps.
        """
        x = checked_rows(x0, len(self.C[0]))
        if steps < 0 or (reencode is not None and reencode < 1):
            raise ValueError(f"steps = {steps}, reencode = {reencode}: expected steps >= 0, and reencode >= 1 or None")
        if reencode != 1 and steps > 1:
            _report(float(np.abs(self.eigenvalues[0])), steps if reencode is None else min(steps, reencode))
        forecast = self._forecast(x, steps, reencode)
        bad = int(np.sum(~np.isfinite(forecast[:, -1]).all(axis=1)))
        if bad:
            logger.warning("%d of %d forecasts are not finite after %d steps", bad, len(x), steps)
        return forecast

    def _forecast(self, x: NDArray[np.float64], steps: int, reencode: int | None) -> NDArray[np.float64]:
        """The forecast of checked rows, without a word about stability."""
        forecast = np.empty((len(x), steps + 1, x.shape[1]))
        forecast[:, 0] = x
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            z = self._encode(x)
            for step in range(1, steps + 1):
                z = z @ self.K
                forecast[:, step] = self._decode(z)
                if reencode is not None and step % reencode == 0 and step < steps:
                    z = self._encode(forecast[:, step])
        return forecast


def _order(values: NDArray[Any]) -> NDArray[np.intp]:
    """Largest modulus first; of a pair, equal to rounding, the one above the real axis first."""
    return np.lexsort((-values.imag, -np.round(np.abs(values), 12)))


def _report(radius: float, steps: int) -> None:
    """Say that K grows."""
    if radius > 1 + UNSTABLE:
        logger.warning(
            "K is unstable: spectral radius %.6f, so a forecast may grow by %.1e over %d steps",
            radius,
            np.exp(min(steps * np.log(radius), 700.0)),
            steps,
        )
