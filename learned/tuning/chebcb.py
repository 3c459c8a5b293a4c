"""ChebCB: a contextual bandit that predicts each arm's cost by a Chebyshev series in the context."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.kernels import chebcb as kernels
from conjugo.learned.tuning.learner import (
    Context,
    ContextRange,
    checked_arm,
    checked_arms,
    checked_cost,
    checked_state,
)

RIDGE = 1e-6
"""Added to Gram matrices, so that they have an inverse before there are as many observations as features."""

TINY, LARGEST = 1e-100, 1e100
"""Between these the squares of costs stay finite; larger costs count as the largest."""


class ChebCB:
    """SquareCB with follow-the-leader least squares of Chebyshev features.

    Parameters
    ----------
    arms : int
        Number of arms.
    features : int
        m: features T_0 ... T_{m-1} of the context.
    low, high : float
        Range of the context, one number.
    least : float
        A cost that no arm can go below, which is subtracted: 1 for iterations, 0 for seconds.
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        For bad arguments, a context that is missing, not finite or of another dimension, an arm out of range, and a
        cost that is NaN, infinite or below `least`.

    Notes
    -----
    Per arm, theta minimises sum (cost - theta . T(z))^2 in the box |theta_0| <= K, |theta_j| <= 2 K / j, K the largest
    cost so far, z the context moved to [-1, 1]. With predictions y in units of K N, N = 2 + 4 (1 + ln m), an arm has
    the probability 1 / (arms + eta (y_i - min y)), the best one the rest; eta = 2 t sqrt(arms t / (R - S + 2 a^2 t)),
    R the squared errors of the predictions as they were made, S those of the last fits, a = (pi + (2 / pi)
    ln(2 m + 1)) / (2 N (m + 1)). Gram sums grow by an outer product: O(arms m + m^2) a round, memory O(arms m^2).

    References
    ----------
    .. [1] M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, algorithm 2 and theorem 3.2.
    .. [2] D. J. Foster, A. Rakhlin, Beyond UCB: optimal and efficient contextual bandits with regression oracles,
       ICML 2020, algorithm 1.

    Examples
    --------
    >>> from conjugo.learned.tuning import ChebCB
    >>> learner = ChebCB(2, 3, 0.0, 1.0)
    >>> for step in range(300):
    ...     c = step % 10 / 9
    ...     arm = learner.choose(c)
    ...     learner.update(arm, 10.0 + 10 * c if arm == 0 else 20.0 - 10 * c, c)
    >>> [int(learner.predictions(c).argmin()) for c in (0.1, 0.9)]
    [0, 1]
    """

    def __init__(
        self, arms: int, features: int, low: float, high: float, *, least: float = 0.0, seed: int | None = 0
    ) -> None:
        self._arms = d = checked_arms(arms)
        if not isinstance(features, int | np.integer) or features < 1:
            raise ValueError(f"features = {features!r}: expected a positive number of Chebyshev polynomials")
        if not 0 <= least < np.inf:
            raise ValueError(f"least = {least}: expected a finite number of at least 0")
        self._range = ContextRange(low, high)
        if self._range.dimension != 1:
            raise ValueError(f"low = {low}: expected one number; ThompsonSampling and BinnedContexts take several")
        self.features, self.least = int(features), float(least)
        m = self.features
        self._n = 2 + 4 * (1 + log(m))
        self._width = (pi + 2 / pi * log(2 * m + 1)) / (2 * self._n * (m + 1))
        self._rng = np.random.default_rng(seed)
        self._gram, self._inverse = (np.tile(scale * np.eye(m), (d, 1, 1)) for scale in (RIDGE, 1 / RIDGE))
        self._moment, self._theta = np.zeros((d, m)), np.zeros((d, m))
        self._power, self._misfit = np.zeros(d), np.zeros(d)
        self._t, self._work, self._y, self._p = np.zeros(m), np.zeros(m), np.zeros(d), np.zeros(d)
        self._rounds, self._largest, self._errors = 0, 0.0, 0.0

    @property
    def arms(self) -> int:
        """Number of arms."""
        return self._arms

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """With which the last arm was drawn, (arms,)."""
        return self._p.copy()

    def predictions(self, context: Context) -> NDArray[np.float64]:
        """Return the predicted costs of all arms for a context, (arms,).

        Parameters
        ----------
        context : float
            The context.
        """
        kernels.chebyshev(2 * self._range.scalar(context) - 1, self._t)
        result: NDArray[np.float64] = self._theta @ self._t + self.least
        return result

    def choose(self, context: Context = None) -> int:
        """Draw an arm for a context.

        Parameters
        ----------
        context : float
            The context.

        Returns
        -------
        int
            Index of the arm.
        """
        z = 2 * self._range.scalar(context) - 1
        return int(kernels.choose(z, self._theta, self._eta(), self._rng.random(), self._t, self._y, self._p))

    def _eta(self) -> float:
        """Return eta for predictions in the units of the costs."""
        t, unit = self._rounds, self._largest * self._n
        if t == 0 or unit < TINY:
            return 0.0
        regret = max(0.0, self._errors - float(self._misfit.sum())) / unit / unit
        return min(2 * t * sqrt(self._arms * t / (regret + 2 * self._width**2 * t)) / unit, 1.0 / TINY)

    def update(self, arm: int, cost: float, context: Context = None) -> None:
        """Learn what an arm cost.

        Parameters
        ----------
        arm : int
            The arm played.
        cost : float
            Its cost, at least `least`.
        context : float
            The context in which it was played.
        """
        arm, cost = checked_arm(arm, self._arms), min(checked_cost(cost, self.least) - self.least, LARGEST)
        z = 2 * self._range.scalar(context) - 1
        kernels.chebyshev(z, self._t)
        self._errors += (float(self._theta[arm] @ self._t) - cost) ** 2
        self._rounds += 1
        self._power[arm] += cost * cost
        kernels.learn(self._gram[arm], self._inverse[arm], self._moment[arm], self._work, self._t, cost)
        grown = cost > self._largest
        self._largest = max(self._largest, cost)
        for i in range(self._arms) if grown else (arm,):  # a larger box may change every fit
            self._fit(i)

    def _fit(self, i: int) -> None:
        """Fit an arm's coefficients."""
        kernels.fit(self._gram[i], self._inverse[i], self._moment[i], self._theta[i], self._work, self._largest)
        self._misfit[i] = kernels.squares(self._gram[i], self._moment[i], self._power[i], self._theta[i], RIDGE)

    def _made_with(self) -> dict[str, Any]:
        low, high = self._range.low.tolist(), self._range.high.tolist()
        made = {"learner": "ChebCB", "arms": self._arms, "features": self.features, "least": self.least}
        return {**made, "low": low, "high": high}

    def state(self) -> dict[str, Any]:
        """Return everything learned, and the random generator, as plain numbers, lists and dicts.

        Returns
        -------
        dict
            Fit for JSON; O(arms m^2) numbers.
        """
        arrays = {name: getattr(self, f"_{name}").tolist() for name in _ARRAYS}
        scalars = {"rounds": self._rounds, "largest": self._largest, "errors": self._errors}
        return {**self._made_with(), **scalars, **arrays, "rng": self._rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Parameters
        ----------
        state : dict
            Of a learner made with the same arguments; the seed may differ.

        Raises
        ------
        ValueError
            If it was saved by a learner made with other arguments.
        """
        checked_state(state, self._made_with())
        for name in _ARRAYS:
            getattr(self, f"_{name}")[...] = state[name]
        self._rounds = int(state["rounds"])
        self._largest, self._errors = float(state["largest"]), float(state["errors"])
        self._rng.bit_generator.state = state["rng"]


_ARRAYS = ("gram", "inverse", "moment", "theta", "power", "misfit")
