"""Thompson sampling on a surrogate that all arms and contexts share, with a model of the cost as prior mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.kernels import regression
from conjugo.learned.tuning.learner import Context, ContextRange, checked_arm, checked_cost, checked_state
from conjugo.learned.tuning.surrogate import Surrogate

logger = logging.getLogger(__name__)

type Prior = Callable[[Context], NDArray[np.float64] | None]
"""prior(context) returns the expected costs of all arms (arms,), positive, in any unit; None while it knows nothing."""

AMPLITUDE, CORRECTION = 1.0, 0.3
"""Standard deviation of the log cost over arms and contexts: without a prior mean, and about one."""

SHARE = 0.75
"""Of the cosines, for the surrogate that only corrects a prior mean."""

WINDOW, MARGIN, EVIDENCE = 200, 1.4, 10.0
"""Rounds over which errors are averaged; how much larger they may be with the prior; nats that prove them larger."""

IMMATERIAL = 0.1
"""Relative error of a predicted cost below which it is no fault."""

WARM = 20
"""Rounds before anything is concluded."""


class ThompsonSampling:
    """Draw a cost model from the posterior and play the arm that is cheapest in it.

    Parameters
    ----------
    values : (arms,) or (arms, p) array
        Parameter of each arm, on a scale on which the cost is smooth: for a relaxation factor -log(2 - omega).
    low, high : float or sequence of float, optional
        Range of the contexts; None for none. On a scale on which the cost varies evenly: of a diffusivity that spans
        decades, pass the logarithm.
    groups : (arms,) sequence of int, optional
        Arms of different methods, which share no surrogate. One group by default.
    prior : callable, optional
        prior(context) -> expected costs (arms,), NaN for groups without a model; None while it knows nothing.
    size : int
        Most cosines of a surrogate, m.
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        For bad arguments, a context that is missing, not finite or of another dimension, an arm out of range, a cost
        that is NaN, infinite or negative, and a prior that does not return positive numbers.

    Notes
    -----
    log cost = log prior(arm, context) + constant + g(parameter, context) + noise, g a Gaussian process by `Surrogate`.
    A second surrogate, without the prior, learns beside it, and chooses now and then (once in 10 + sqrt(t) rounds).
    With the mean squared errors e and e_0 of both over the last n <= 200 rounds (each at most 9 times the mean, and
    both means at least 0.1^2), the prior is dropped, for good, once n/2 log(e / (1.4 e_0)) > 10: noise
    alone does not do that. A cost of zero counts as half the smallest positive one. O(m^2 + arms m) time and memory.

    References
    ----------
    .. [1] S. Agrawal, N. Goyal, Thompson sampling for contextual bandits with linear payoffs, ICML 2013, algorithm 1.
    .. [2] M. Basseville, I. V. Nikiforov, Detection of Abrupt Changes (1993), section 2.4 (a change in variance).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.tuning import ThompsonSampling
    >>> values = np.linspace(0.0, 1.0, 11)
    >>> learner = ThompsonSampling(values, 0.0, 1.0)
    >>> for step in range(200):
    ...     c = step % 7 / 6
    ...     arm = learner.choose(c)
    ...     learner.update(arm, 10.0 + 50 * (values[arm] - c) ** 2, c)
    >>> [int(learner.predictions(c).argmin()) for c in (0.2, 0.7)]
    [2, 7]
    """

    def __init__(
        self,
        values: NDArray[np.float64] | Sequence[float],
        low: float | Sequence[float] | None = None,
        high: float | Sequence[float] | None = None,
        *,
        groups: Sequence[int] | None = None,
        prior: Prior | None = None,
        size: int = 64,
        seed: int | None = 0,
    ) -> None:
        places = _checked_values(values)
        self._arms = len(places)
        if (low is None) != (high is None):
            raise ValueError(f"low = {low}, high = {high}: expected both ends of the contexts' range, or neither")
        self._range = None if low is None or high is None else ContextRange(low, high)
        if not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"size = {size!r}: expected a positive number of cosines")
        labels = np.zeros(self._arms, dtype=int) if groups is None else np.asarray(groups)
        if labels.shape != (self._arms,):
            raise ValueError(f"groups has shape {labels.shape}: expected one label for each of the {self._arms} arms")
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._group = np.empty(self._arms, dtype=int)
        self._place = np.empty(self._arms, dtype=int)
        for g, members in enumerate(self._members):
            self._group[members], self._place[members] = g, np.arange(len(members))
        dimension = 0 if self._range is None else self._range.dimension
        units = [_unit(places[members]) for members in self._members]
        self.size = int(size)
        self._plain = [Surrogate(unit, dimension, self.size, AMPLITUDE) for unit in units]
        self._prior = prior
        part = max(1, int(SHARE * self.size))
        self._corrected = [
            Surrogate(unit, dimension, part, CORRECTION, like=model)
            for unit, model in zip(units, self._plain, strict=True)
            if prior is not None
        ]
        self._context = np.empty(dimension)
        self._rng = np.random.default_rng(seed)
        self._rounds, self._least = 0, inf
        groups_of = len(units)
        self._errors, self._trusted = [[0.0] * 3 for _ in units], [prior is not None] * groups_of
        self._asked: Context = None
        self._offsets: list[NDArray[np.float64] | None] = [None] * groups_of
        self._zeros, self._logs = ([np.zeros(len(members)) for members in self._members] for _ in range(2))

    @property
    def arms(self) -> int:
        """Number of arms."""
        return self._arms

    @property
    def trusts_prior(self) -> bool:
        """Whether the prior mean is still used, for any group of arms."""
        return any(self._trusted)

    def predictions(self, context: Context = None) -> NDArray[np.float64]:
        """Return the expected costs of all arms, (arms,): exp of the expected log cost.

        Parameters
        ----------
        context : float or sequence of float
            The context.
        """
        self._look(context)
        logs = np.empty(self._arms)
        for g, members in enumerate(self._members):
            model, offsets = self._active(g)
            self._plain[g].look(self._context)
            logs[members] = model.predict() + offsets
        result: NDArray[np.float64] = np.exp(logs)
        return result

    def choose(self, context: Context = None) -> int:
        """Draw an arm for a context.

        Parameters
        ----------
        context : float or sequence of float
            The context; ignored by a learner that was made without a range.

        Returns
        -------
        int
            Index of the arm.
        """
        best, lowest = 0, inf
        for g, (model, offsets) in enumerate(self._drawn_from(context)):
            arm, value = model.sample(self._rng.standard_normal(model.size), offsets)
            if value < lowest:
                best, lowest = int(self._members[g][arm]), value
        return best

    def draw(self, context: Context = None) -> NDArray[np.float64]:
        """Draw the costs of all arms, (arms,), where more than these decides; `choose` returns the cheapest of a draw.

        Parameters
        ----------
        context : float or sequence of float
            The context.
        """
        logs = np.empty(self._arms)
        for g, (model, offsets) in enumerate(self._drawn_from(context)):
            logs[self._members[g]] = model.draw(self._rng.standard_normal(model.size), offsets)
        result: NDArray[np.float64] = np.exp(logs)
        return result

    def _drawn_from(self, context: Context) -> list[tuple[Surrogate, NDArray[np.float64]]]:
        """The surrogates to draw from, and the log costs that they correct; now and then those without the prior."""
        self._look(context)
        plain = self.trusts_prior and self._rng.random() * (10.0 + sqrt(self._rounds)) < 1.0
        for model in self._plain:
            model.look(self._context)
        return [(self._plain[g], self._zeros[g]) if plain else self._active(g) for g in range(len(self._members))]

    def update(self, arm: int, cost: float, context: Context = None) -> None:
        """Learn what an arm cost.

        Parameters
        ----------
        arm : int
            The arm played.
        cost : float
            Its cost, at least 0.
        context : float or sequence of float
            The context in which it was played.
        """
        arm, cost = checked_arm(arm, self._arms), checked_cost(cost)
        self._look(context)
        self._rounds += 1
        if cost > 0:
            self._least = min(self._least, cost)
        elif self._least == inf:
            return  # nothing but zeros: no scale yet
        y = log(cost or 0.5 * self._least)
        g, place = int(self._group[arm]), int(self._place[arm])
        plain, corrected = self._plain[g], self._corrected[g] if self._corrected else None
        plain.look(self._context)
        error = plain.learn(place, y)
        offsets = self._offsets[g]
        if corrected is not None and offsets is not None and self._trusted[g]:
            self._compare(g, error, corrected.learn(place, y - float(offsets[place])))
        self._asked = None

    def _compare(self, g: int, plain: float, corrected: float) -> None:
        """Drop the prior where the surrogate without it predicts better."""
        record = self._errors[g]
        record[0] = n = min(record[0] + 1, WINDOW)
        for k, error in ((1, plain), (2, corrected)):
            capped = min(error, 9 * max(record[k], IMMATERIAL**2)) if n > WARM else error
            record[k] += (capped - record[k]) / n
        if n > WARM:
            ratio = max(record[2], IMMATERIAL**2) / max(record[1], IMMATERIAL**2)
            if 0.5 * n * log(ratio / MARGIN) > EVIDENCE:
                self._trusted[g] = False
                logger.warning("round %d: the prior predicts worse than none and is dropped", self._rounds)

    def _active(self, g: int) -> tuple[Surrogate, NDArray[np.float64]]:
        """The surrogate that a group goes by, and the log costs which it corrects."""
        offsets = self._offsets[g]
        if offsets is not None and self._trusted[g]:
            return self._corrected[g], offsets
        return self._plain[g], self._zeros[g]

    def _look(self, context: Context) -> None:
        """Take in a context, and ask the prior about it; once for a choice and its update."""
        if context is self._asked and isinstance(context, float):  # an array might have been written to since
            return
        if self._range is not None:
            self._range.fill(context, self._context)
            for model in self._plain:
                model.fresh = False
        if self._prior is not None and any(self._trusted):
            costs = self._prior(context if self._range is None else self._range.nearest(context))
            for g in range(len(self._members)):
                self._offsets[g] = None if costs is None else self._log_costs(costs, g)
        self._asked = context

    def _log_costs(self, costs: NDArray[np.float64], g: int) -> NDArray[np.float64] | None:
        """Logarithms of the prior's costs for a group of arms; None where it has no model for one of them."""
        if costs.shape != (self._arms,):
            raise ValueError(
                f"prior returned an array of shape {costs.shape}: expected ({self._arms},), one cost an arm"
            )
        flaw = regression.logarithms(np.ascontiguousarray(costs, dtype=np.float64), self._members[g], self._logs[g])
        if flaw == 2:
            part = costs[self._members[g]]
            raise ValueError(
                f"prior returned {part}: expected finite positive costs, or NaN for a group without a model"
            )
        return None if flaw else self._logs[g]

    def _made_with(self) -> dict[str, Any]:
        box = self._range
        ends = {"low": box.low.tolist(), "high": box.high.tolist()} if box is not None else {"low": None, "high": None}
        made = {"learner": "ThompsonSampling", "arms": self._arms, "size": self.size}
        return {**made, **ends, "groups": self._group.tolist(), "prior": bool(self._corrected)}

    def state(self) -> dict[str, Any]:
        """Return everything learned, and the random generator, as plain numbers, lists and dicts.

        Returns
        -------
        dict
            Fit for JSON; O(m^2) numbers a group. The prior's own state is the prior's to save.
        """
        return {
            **self._made_with(),
            "rounds": self._rounds,
            "least": None if self._least == inf else self._least,
            "errors": [list(record) for record in self._errors],
            "trusted": list(self._trusted),
            "plain": [model.state() for model in self._plain],
            "corrected": [model.state() for model in self._corrected],
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
        self._rounds = int(state["rounds"])
        self._least = inf if state["least"] is None else float(state["least"])
        self._errors, self._trusted = [list(record) for record in state["errors"]], list(state["trusted"])
        for name in ("plain", "corrected"):
            for model, saved in zip(getattr(self, f"_{name}"), state[name], strict=True):
                model.restore(saved)
        self._rng.bit_generator.state = state["rng"]
        self._asked = None


def _checked_values(values: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    """Return the arms' parameters as (arms, p)."""
    places = np.array(values, dtype=np.float64)
    places = places[:, None] if places.ndim == 1 else places
    if places.ndim != 2 or len(places) == 0 or not np.all(np.isfinite(places)):
        raise ValueError(f"values has shape {np.shape(values)}: expected (arms,) or (arms, p) finite numbers")
    return places


def _unit(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move the parameters that differ between arms to [0, 1], and leave out the others."""
    span = np.ptp(places, axis=0)
    moving = span > 0
    result: NDArray[np.float64] = (places[:, moving] - places[:, moving].min(axis=0)) / span[moving]
    return result
