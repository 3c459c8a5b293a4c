"""Tsallis-INF: a bandit without context that is near-optimal against random and adversarial costs alike."""

from __future__ import annotations

from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.kernels import tsallis_inf as kernels
from conjugo.learned.tuning.learner import Context, checked_arm, checked_arms, checked_cost, checked_state

type Estimator = Literal["importance", "reduced_variance"]

_ESTIMATORS: dict[str, tuple[float, float]] = {"importance": (2.0, np.inf), "reduced_variance": (4.0, 16.0)}
"""eta sqrt(t), and t p from which on an arm has the baseline 1/2."""


class TsallisINF:
    """Follow the regularised leader with Tsallis entropy 1/2, anytime.

    Parameters
    ----------
    arms : int
        Number of arms.
    estimator : {"importance", "reduced_variance"}
        Of the losses: cost / p for the arm played; or with a baseline of 1/2 where p is large.
    least : float
        A cost that no arm can go below, which is subtracted: 1 for iterations, 0 for seconds.
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        For bad arguments; by `update` for an arm out of range and a cost that is NaN, infinite or below `least`.

    Notes
    -----
    In round t, eta = 2 / sqrt(t) (4 / sqrt(t) with reduced variance), p_i = 4 / (eta (L_i - x))^2 with x such that
    sum p = 1, found by a monotone Newton iteration from min L - 2 / eta. L_i sums the estimated costs of arm i in units
    of the mean cost so far. O(arms) a round; contexts are ignored.

    References
    ----------
    .. [1] J. Zimmert, Y. Seldin, Tsallis-INF: an optimal algorithm for stochastic and adversarial bandits, JMLR 22
       (2021), algorithm 1 and eq. (8).
    .. [2] M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, algorithm 1.

    Examples
    --------
    >>> from conjugo.learned.tuning import TsallisINF
    >>> learner = TsallisINF(3, seed=1)
    >>> for _ in range(500):
    ...     arm = learner.choose()
    ...     learner.update(arm, [30.0, 10.0, 20.0][arm])
    >>> int(learner.probabilities.argmax())
    1
    """

    def __init__(
        self, arms: int, *, estimator: Estimator = "importance", least: float = 0.0, seed: int | None = 0
    ) -> None:
        self._arms = checked_arms(arms)
        if estimator not in _ESTIMATORS:
            raise ValueError(f"estimator = {estimator!r}: expected one of {', '.join(_ESTIMATORS)}")
        if not 0 <= least < np.inf:
            raise ValueError(f"least = {least}: expected a finite number of at least 0")
        self.estimator, self.least = estimator, float(least)
        self._eta, self._threshold = _ESTIMATORS[estimator]
        self._rng = np.random.default_rng(seed)
        self._sums, self._baselines, self._losses, self._p = (np.zeros(self._arms) for _ in range(4))
        self._rounds, self._total, self._scale, self._fresh = 0, 0.0, 1.0, False

    @property
    def arms(self) -> int:
        """Number of arms."""
        return self._arms

    @property
    def rounds(self) -> int:
        """Updates so far."""
        return self._rounds

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """With which the arms are drawn in the current round, (arms,); positive, of sum one."""
        if not self._fresh:
            self._solve(0.0)
        return self._p.copy()

    def choose(self, context: Context = None) -> int:
        """Draw an arm.

        Parameters
        ----------
        context
            Ignored.

        Returns
        -------
        int
            Index of the arm.
        """
        return self._solve(self._rng.random())

    def update(self, arm: int, cost: float, context: Context = None) -> None:
        """Learn what an arm cost.

        Parameters
        ----------
        arm : int
            The arm played.
        cost : float
            Its cost, at least `least`.
        context
            Ignored.
        """
        arm, cost = checked_arm(arm, self._arms), checked_cost(cost, self.least)
        if not self._fresh:
            self._solve(0.0)
        self._rounds += 1
        self._total += cost
        kernels.learn(self._sums, self._baselines, self._p, arm, cost - self.least, self._threshold / self._rounds)
        mean = self._total / self._rounds
        self._scale = max(mean - self.least, 1e-3 * mean) or 1.0
        self._fresh = False

    def _solve(self, uniform: float) -> int:
        """Set the round's probabilities and return the arm that a uniform number falls on."""
        self._fresh = True
        eta = self._eta / sqrt(self._rounds + 1)
        arm = kernels.choose(self._sums, self._baselines, self._scale, eta, uniform, self._losses, self._p)
        return int(arm)

    def _made_with(self) -> dict[str, Any]:
        return {"learner": "TsallisINF", "arms": self._arms, "estimator": self.estimator, "least": self.least}

    def state(self) -> dict[str, Any]:
        """Return everything learned, and the random generator, as plain numbers, lists and dicts.

        Returns
        -------
        dict
            Fit for JSON.
        """
        return {
            **self._made_with(),
            "rounds": self._rounds,
            "total": self._total,
            "sums": self._sums.tolist(),
            "baselines": self._baselines.tolist(),
            "rng": self._rng.bit_generator.state,
        }

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
        self._rounds, self._total = int(state["rounds"]), float(state["total"])
        self._sums[:], self._baselines[:] = state["sums"], state["baselines"]
        mean = self._total / max(1, self._rounds)
        self._scale = (max(mean - self.least, 1e-3 * mean) or 1.0) if self._rounds else 1.0
        self._rng.bit_generator.state = state["rng"]
        self._fresh = False
