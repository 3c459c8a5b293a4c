"""Extended dynamic mode decomposition over many trajectories, with a ridge."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.dynamics.dictionaries import Dictionary
from conjugo.learned.dynamics.measures import nrmse
from conjugo.learned.dynamics.model import Diagnostics, LinearModel
from conjugo.learned.dynamics.regression import GRID, RIDGE, Moments, Ridge, moments
from conjugo.learned.dynamics.snapshots import blocks, checked_states
from conjugo.pde.trajectories import Trajectories

logger = logging.getLogger(__name__)


class EDMD(LinearModel):
    """Fit psi(y) = psi(x) K over all pairs (x, y) of consecutive snapshots.

    Parameters
    ----------
    dictionary : Dictionary
        Observables: `Polynomials`, `Radial`, `Identity`, `OnModes`, or your own. It is copied.
    ridge : float or {"gcv", "validation"}
        Added to the Gram matrix's diagonal, in units of its mean entry; or how it is chosen among 1e-14 ... 1e-4: by
        generalised cross-validation of the next state, or by the forecast error on a fifth of the trajectories.
    horizon : int
        Steps of the forecasts that choose it by validation, at most the trajectories' length.

    Raises
    ------
    ValueError
        For a ridge that is negative or unknown; from `fit` for bad trajectories (see `checked_states`), fewer pairs of
        snapshots than observables, and one trajectory where validation has to hold some out.

    Notes
    -----
    K = (G + rho I)^{-1} A with G = mean psi(x)^T psi(x), A = mean psi(x)^T psi(y) and rho = ridge tr(G) / q, from one
    eigendecomposition of G. Where the rank of the observables reaches the number of pairs, the training residual is
    zero whatever the dynamics: the ridge and held-out residuals (`resdmd_residuals`) guard against that.
    The moments are gathered in blocks: memory is O(q^2), time O(M q^2 + q^3).

    References
    ----------
    .. [1] M. O. Williams, I. G. Kevrekidis, C. W. Rowley, A data-driven approximation of the Koopman operator, J.
       Nonlinear Sci. 25 (2015), equations 10 to 16.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import EDMD, Polynomials
    >>> from conjugo.pde import Trajectories
    >>> step = np.array([[0.9, 0.1], [-0.1, 0.9]])
    >>> u = np.stack([np.random.default_rng(0).standard_normal((20, 2)) @ np.linalg.matrix_power(step, k)
    ...               for k in range(6)], axis=1)
    >>> model = EDMD(Polynomials(1)).fit(Trajectories(u, 0.1 * np.arange(6)))
    >>> model.eigenvalues.round(6).tolist()
    [(1+0j), (0.9+0.1j), (0.9-0.1j)]
    >>> model.predict(u[:, 0], 5).shape
    (20, 6, 2)
    """

    def __init__(
        self, dictionary: Dictionary, *, ridge: float | Literal["gcv", "validation"] = RIDGE, horizon: int = 10
    ) -> None:
        if ridge not in ("gcv", "validation") and not (isinstance(ridge, int | float) and ridge >= 0):
            raise ValueError(f"ridge = {ridge!r}: expected a number >= 0, 'gcv' or 'validation'")
        self.dictionary, self.ridge, self.horizon = dictionary, ridge, horizon
        self._features = dictionary

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories; see `LinearModel.fit`."""
        u, dt = checked_states(trajectories)
        ridge = self._validated(u, dt) if self.ridge == "validation" else self.ridge
        self._features = deepcopy(self.dictionary).fit(u[:, :-1].reshape(-1, u.shape[2]))
        found = self._gathered(u)
        system = Ridge(found)
        if isinstance(ridge, str):
            scores = [system.gcv(candidate) for candidate in GRID]
            ridge = GRID[int(np.argmin(scores))]
            logger.info("ridge %.1e by generalised cross-validation", ridge)
        return self._solved(system, ridge, dt)

    def _gathered(self, u: NDArray[np.float64]) -> Moments:
        """Moments of the observables, once there are pairs enough."""
        q = self._features(u[0, :1]).shape[1]
        pairs = u.shape[0] * (u.shape[1] - 1)
        if pairs < q:
            raise ValueError(f"{pairs} pairs of snapshots for {q} observables: expected at least as many pairs; "
                             "take more data or a smaller dictionary")  # fmt: skip
        return moments(self._features, blocks(u))

    def _solved(self, system: Ridge, ridge: float, dt: float) -> Self:
        """K and C for a ridge."""
        found, q = system.found, len(system.values)
        K = system.solve(found.A, ridge)
        C = self._features.decoder()
        C = system.solve(found.X, ridge) if C is None else C
        return self._learned(
            K, C, found.G, dt=dt,
            found=Diagnostics(q, system.rank, system.condition, ridge * system.unit, found.samples),
        )  # fmt: skip

    def _validated(self, u: NDArray[np.float64], dt: float) -> float:
        """The ridge whose forecasts are best on a fifth of the trajectories."""
        held = max(1, len(u) // 5)
        if len(u) < 2:
            raise ValueError("ridge = 'validation' with one trajectory: expected two or more, or ridge='gcv'")
        trial = EDMD(self.dictionary)
        train, test = u[:-held], u[-held:]
        trial._features = deepcopy(self.dictionary).fit(train[:, :-1].reshape(-1, u.shape[2]))
        system = Ridge(trial._gathered(train))
        steps = min(self.horizon, u.shape[1] - 1)
        scores = []
        for ridge in GRID:
            trial._solved(system, ridge, dt)
            error = float(nrmse(trial._forecast(test[:, 0], steps, None), test[:, : steps + 1], steps))
            scores.append(error if np.isfinite(error) else np.inf)
        best = GRID[int(np.argmin(scores))]
        logger.info("ridge %.1e: forecast error %.2e after %d steps of held-out trajectories", best, min(scores), steps)
        return best

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._features(x)
