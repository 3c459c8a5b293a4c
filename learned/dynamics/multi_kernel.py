"""Partially linear multi-kernel reconstruction: the state from few latent numbers, linear part and kernels at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product
from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.centres import centres_of, squared_distances
from conjugo.learned.dynamics.model import Diagnostics, LinearModel
from conjugo.learned.dynamics.snapshots import ROWS, checked_states
from conjugo.pde.trajectories import Trajectories

logger = logging.getLogger(__name__)

WIDTHS = (0.25, 0.5, 1.0, 2.0)
"""Default widths of the Gaussian kernels, in units of sqrt(d) standard deviations."""

GAMMAS = tuple(10.0**k for k in range(2, 11, 2))
"""Weights of the data against the kernels' norm that a search tries."""

TRIAL = 400
"""Points that a search fits to, at most; as many others judge it."""


class MultiKernelReconstruction:
    """Regress states on latent states by a linear map and a sum of Gaussian kernels.

    Parameters
    ----------
    widths : sequence of float
        Widths w_m of the kernels, in units of sqrt(d) standard deviations of the latent states.
    weights : sequence of float, optional
        eta_m >= 0, of sum 1. By default chosen by validation: each kernel alone, and all equally.
    gamma : float, optional
        Weight of the data against the kernels' norm; by default chosen by validation among 1e2 ... 1e10.
    centres : int
        Points with a kernel; of more data, these are drawn at random and all data are fitted (Nystrom).
    seed : int
        Of the centres and of the points that validate.

    Attributes
    ----------
    eta, gamma_ : the weights and gamma in use, after `fit`.

    Raises
    ------
    ValueError
        For widths, weights or gamma that are not positive; from `fit`, for fewer than d + 2 points, and arrays of
        different length.

    Notes
    -----
    x^ = B^T [1; z] + sum_j alpha_j sum_m eta_m k_m(z, z_j), with z standardised. With P the rows [1, z_i] and
    Omega = sum_m eta_m K_m the optimum of |x - x^|^2 gamma + |f|^2 solves [[0, P^T], [P, Omega + I / gamma]] [B; alpha]
    = [0; X]: one Cholesky factorisation of Omega + I / gamma serves all n right-hand sides and, through the Schur
    complement P^T (Omega + I / gamma)^{-1} P, the linear part. The linear part is not penalised: kernels add only what
    it misses.

    References
    ----------
    .. [1] S. E. Otto, C. W. Rowley, Linearly recurrent autoencoder networks for learning dynamics, SIAM J. Appl. Dyn.
       Syst. 18 (2019): partially linear multi-kernel regression.
    .. [2] M. Espinoza, J. A. K. Suykens, B. De Moor, Kernel based partially linear models and nonlinear system
       identification, IEEE Trans. Autom. Control 50 (2005), section II.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.random.default_rng(0).uniform(-1, 1, (300, 1))
    >>> x = np.hstack([3 * z, np.cos(2 * z)])
    >>> curve = MultiKernelReconstruction(gamma=1e8).fit(z[:200], x[:200])
    >>> bool(np.abs(curve(z[200:]) - x[200:]).max() < 1e-3)
    True
    """

    def __init__(
        self,
        widths: Sequence[float] = WIDTHS,
        *,
        weights: Sequence[float] | None = None,
        gamma: float | None = None,
        centres: int = 2000,
        seed: int = 0,
    ) -> None:
        self.widths = np.asarray(widths, dtype=np.float64)
        if self.widths.ndim != 1 or not len(self.widths) or not (self.widths > 0).all():
            raise ValueError(f"widths = {widths}: expected some positive widths")
        if weights is not None and (np.shape(weights) != self.widths.shape or np.min(weights) < 0 or not sum(weights)):
            raise ValueError(f"weights = {weights}: expected {len(self.widths)} weights >= 0, not all zero")
        if (gamma is not None and not gamma > 0) or centres < 1:
            raise ValueError(f"gamma = {gamma}, centres = {centres}: expected positive numbers")
        self.weights, self.gamma, self.centres, self.seed = weights, gamma, centres, seed

    def fit(self, z: NDArray[np.float64], x: NDArray[np.float64]) -> Self:
        """Fit states to latent states.

        Parameters
        ----------
        z : (M, d) array
            Latent states.
        x : (M, n) array
            States.

        Returns
        -------
        MultiKernelReconstruction
            This map, fitted.
        """
        if z.ndim != 2 or x.ndim != 2 or len(z) != len(x) or len(z) < z.shape[1] + 2:
            raise ValueError(f"z has shape {z.shape} and x {x.shape}: expected as many rows, at least d + 2")
        if not (np.isfinite(z).all() and np.isfinite(x).all()):
            raise ValueError("z or x is not finite: expected finite latent states and states")
        self._mean, deviation = z.mean(axis=0), z.std(axis=0)
        self._scale = np.where(deviation > 0, deviation, 1.0) * np.sqrt(z.shape[1])
        s = (z - self._mean) / self._scale
        self.eta, self.gamma_ = self._chosen(s, x)
        self._solve(s, x)
        return self

    def _chosen(self, s: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """The weights and gamma, those given or the best on points that were not fitted."""
        count = len(self.widths)
        etas = [np.asarray(self.weights) / np.sum(self.weights)] if self.weights is not None else [
            *np.eye(count), *([np.full(count, 1 / count)] if count > 1 else [])
        ]  # fmt: skip
        gammas = GAMMAS if self.gamma is None else (self.gamma,)
        if len(etas) * len(gammas) == 1:
            return etas[0], gammas[0]
        order = np.random.default_rng(self.seed).permutation(len(s))[: 2 * TRIAL]
        train, test = order[: len(order) // 2], order[len(order) // 2 :]
        trial = MultiKernelReconstruction(self.widths.tolist(), centres=len(train))
        scores = []
        for eta, gamma in product(etas, gammas):
            trial.eta, trial.gamma_ = eta, gamma
            trial._solve(s[train], x[train])
            scores.append(float(np.mean((trial._evaluate(s[test]) - x[test]) ** 2)))
        best = int(np.argmin(scores))
        eta, gamma = list(product(etas, gammas))[best]
        logger.info("weights %s, gamma %.1e: mean square error %.2e on held-out points", eta, gamma, scores[best])
        return eta, gamma

    def _kernels(self, s: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Omega between standardised latent states and centres."""
        squares = squared_distances(s, centres)
        total = np.zeros_like(squares)
        for eta, width in zip(self.eta, self.widths, strict=True):
            if eta > 0:
                total += eta * np.exp(squares * (-0.5 / width**2))
        return total

    def _solve(self, s: NDArray[np.float64], x: NDArray[np.float64]) -> None:
        """B and alpha for the weights and gamma in use."""
        P = np.hstack([np.ones((len(s), 1)), s])
        if len(s) > self.centres:
            self._solve_on_centres(s, x, P)
            return
        self._centres = s
        omega = self._kernels(s, s)
        omega[np.diag_indices_from(omega)] += 1 / self.gamma_
        factor = scipy.linalg.cho_factor(omega, lower=True, overwrite_a=True)
        solved = scipy.linalg.cho_solve(factor, np.hstack([P, x]))
        left, right = solved[:, : P.shape[1]], solved[:, P.shape[1] :]
        self._B = scipy.linalg.lstsq(P.T @ left, P.T @ right)[0]
        self._alpha = right - left @ self._B

    def _solve_on_centres(self, s: NDArray[np.float64], x: NDArray[np.float64], P: NDArray[np.float64]) -> None:
        """The same with kernels at some points only, fitted to all: normal equations with the kernels' norm."""
        self._centres = centres_of(s, self.centres, "random", seed=self.seed)
        linear = P.shape[1]
        size = linear + self.centres
        left, right = np.zeros((size, size)), np.zeros((size, x.shape[1]))
        for i in range(0, len(s), ROWS):
            rows = np.hstack([P[i : i + ROWS], self._kernels(s[i : i + ROWS], self._centres)])
            left += rows.T @ rows
            right += rows.T @ x[i : i + ROWS]
        left[linear:, linear:] += self._kernels(self._centres, self._centres) / self.gamma_
        left[np.diag_indices_from(left)] += size * np.finfo(np.float64).eps * np.trace(left)  # rounding, made definite
        solved = scipy.linalg.cho_solve(scipy.linalg.cho_factor(left, lower=True, overwrite_a=True), right)
        self._B, self._alpha = solved[:linear], solved[linear:]

    def _evaluate(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """The states of standardised latent states."""
        values: NDArray[np.float64] = self._B[0] + s @ self._B[1:] + self._kernels(s, self._centres) @ self._alpha
        return values

    def __call__(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the states (M, n) of latent states (M, d)."""
        return self._evaluate((z - self._mean) / self._scale)


class WithReconstruction(LinearModel):
    """A linear model whose states are reconstructed by kernels instead of linearly.

    Parameters
    ----------
    model : LinearModel
        Encoder and latent step; fitted by `fit` unless it is already.
    reconstruction : MultiKernelReconstruction, optional
        The decoder, which `fit` fits on the latent states of the training data.

    Notes
    -----
    Forecasts decode by kernels. `C`, and with it `modes`, stay those of the linear model.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import EDMD, MultiKernelReconstruction, Polynomials, Reduced, WithReconstruction
    >>> from conjugo.pde import Trajectories
    >>> x0 = np.random.default_rng(0).uniform(-1, 1, (40, 1))
    >>> data = Trajectories((x0 * 0.7 ** np.arange(5))[:, :, None], np.arange(5.0))
    >>> model = WithReconstruction(Reduced(EDMD(Polynomials(3)), 1), MultiKernelReconstruction(gamma=1e6)).fit(data)
    >>> bool(np.abs(model.predict(data.u[:, 0], 4) - data.u).max() < 1e-3)
    True
    """

    def __init__(self, model: LinearModel, reconstruction: MultiKernelReconstruction | None = None) -> None:
        self.model = model
        self.reconstruction = reconstruction if reconstruction is not None else MultiKernelReconstruction()

    def fit(self, trajectories: Trajectories) -> Self:
        """Fit the linear model where it is not fitted, and the reconstruction; see `LinearModel.fit`."""
        u, dt = checked_states(trajectories)
        if not self.model.fitted:
            self.model.fit(trajectories)
        x = u.reshape(-1, u.shape[2])
        self.reconstruction.fit(self.model.encode(x), x)
        found: Diagnostics = self.model._found
        return self._learned(self.model.K, self.model.C, self.model._gram, dt=dt, found=found)

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.model._encode(x)

    def _decode(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.reconstruction(z)
