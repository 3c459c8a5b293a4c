"""Contexts by bins: one learner without context for each cell of the range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from conjugo.learned.tuning.learner import Context, ContextRange, Learner, checked_state


class BinnedContexts:
    """Independent learners on equal bins of the contexts' range.

    Parameters
    ----------
    make : callable
        make(j) returns the learner of bin j; give each its own seed.
    bins : int or sequence of int
        Bins of every dimension, or of each.
    low, high : float or sequence of float
        Range of the contexts.

    Raises
    ------
    ValueError
        For bad arguments, contexts that are missing, not finite or of another dimension, and what the learners refuse.

    Notes
    -----
    A context belongs to the bin of the nearest centre low + (high - low) (j + 1/2) / bins. One outside the range is
    clipped, which is logged once.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, theorem 2.2.

    Examples
    --------
    >>> from conjugo.learned.tuning import BinnedContexts, TsallisINF
    >>> learner = BinnedContexts(lambda j: TsallisINF(2, seed=j), 2, 0.0, 1.0)
    >>> for step in range(400):
    ...     c = 0.2 + 0.6 * (step % 2)
    ...     arm = learner.choose(c)
    ...     learner.update(arm, 1.0 + (arm == (c > 0.5)), c)
    >>> [int(learner.learners[j].probabilities.argmax()) for j in (0, 1)]
    [1, 0]
    """

    def __init__(
        self,
        make: Callable[[int], Learner],
        bins: int | Sequence[int],
        low: float | Sequence[float],
        high: float | Sequence[float],
    ) -> None:
        self._range = ContextRange(low, high)
        dimension = self._range.dimension
        self.bins = (bins,) * dimension if isinstance(bins, int) else tuple(int(m) for m in bins)
        if len(self.bins) != dimension or min(self.bins) < 1:
            raise ValueError(f"bins = {bins}: expected a positive number, or {dimension} of them, one a dimension")
        self.learners: list[Any] = [make(j) for j in range(math.prod(self.bins))]
        self._arms = int(self.learners[0].arms)
        if any(learner.arms != self._arms for learner in self.learners):
            raise ValueError(f"make gave {sorted({x.arms for x in self.learners})} arms: expected as many in every bin")

    @property
    def arms(self) -> int:
        """Number of arms."""
        return self._arms

    def bin(self, context: Context) -> int:
        """Return the index of a context's bin.

        Parameters
        ----------
        context : float or sequence of float
            The context.

        Returns
        -------
        int
            Bins are counted along the last dimension first.
        """
        if len(self.bins) == 1:
            return min(int(self._range.scalar(context) * self.bins[0]), self.bins[0] - 1)
        index = 0
        for place, m in zip(self._range.unit(context), self.bins, strict=True):
            index = index * m + min(int(place * m), m - 1)
        return index

    def choose(self, context: Context = None) -> int:
        """Return an arm for a context, as the learner of its bin chooses."""
        return int(self.learners[self.bin(context)].choose())

    def update(self, arm: int, cost: float, context: Context = None) -> None:
        """Tell the learner of the context's bin what an arm cost."""
        self.learners[self.bin(context)].update(arm, cost)

    def _made_with(self) -> dict[str, Any]:
        low, high = self._range.low.tolist(), self._range.high.tolist()
        return {"learner": "BinnedContexts", "bins": list(self.bins), "low": low, "high": high}

    def state(self) -> dict[str, Any]:
        """Return the states of all bins, fit for JSON."""
        return {**self._made_with(), "learners": [learner.state() for learner in self.learners]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Parameters
        ----------
        state : dict
            Of a learner made with the same arguments.

        Raises
        ------
        ValueError
            If it was saved by a learner made with other arguments.
        """
        checked_state(state, self._made_with())
        for learner, saved in zip(self.learners, state["learners"], strict=True):
            learner.restore(saved)
