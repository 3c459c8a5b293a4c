"""What the iterations of every candidate cost: set-up, a fixed part, and a pace, all measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MEMORY = 0.98
"""Weight of what was known when a solve is added."""

SURPRISE = 1.4
"""Factor beyond which a time counts as disturbed, once some are known."""


class Rates:
    """seconds = set-up / every + fixed + pace * iterations, for each candidate.

    Iterations hardly depend on what else the machine does, and seconds do: a learner of iterations needs far fewer
    solves than one of seconds, and times are averaged over all contexts.

    Parameters
    ----------
    groups : (arms,) sequence of int
        Arms that were never timed take the mean of their group.
    every : (arms,) sequence of int
        Systems that one set-up serves.

    Examples
    --------
    >>> rates = Rates([0, 0, 1], [1, 1, 10])
    >>> for work in (10.0, 20.0):
    ...     rates.note(0, work, 1e-3 * work)
    >>> rates.note_setup(2, 0.5)
    >>> rates.note(2, 5.0, 0.05)
    >>> rates.seconds(np.array([100.0, 50.0, 5.0])).round(3)
    array([0.1 , 0.05, 0.1 ])
    """

    def __init__(self, groups: Sequence[int], every: Sequence[int]) -> None:
        count = len(groups)
        self._groups, self._every = np.array(groups), np.array(every, dtype=float)
        self._sums, self.counts = np.zeros((count, 5)), np.zeros(count, dtype=int)
        self._setup, self._setups = np.full(count, np.nan), np.zeros(count, dtype=int)
        self._fixed, self._pace, self._share = np.full(count, np.nan), np.full(count, np.nan), np.zeros(count)

    def known(self, arm: int) -> bool:
        """Whether an arm, or another of its group, was timed."""
        return math.isfinite(self._pace[arm])

    def note(self, arm: int, work: float, seconds: float) -> None:
        """Enter the iterations and the seconds of a solve, without its set-up."""
        sums, work = self._sums[arm], max(work, 1.0)
        if self.counts[arm] > 0:
            expected = float(self._fixed[arm] + self._pace[arm] * work)
            if self.counts[arm] < 4 and seconds < 0.6 * expected:
                sums[:], self.counts[arm] = 0.0, 0  # what came before was disturbed
            elif self.counts[arm] >= 4:
                seconds = min(max(seconds, expected / SURPRISE), expected * SURPRISE)
        weight = 1.0 / max(seconds, 1e-9) ** 2
        sums *= MEMORY
        sums += weight * np.array([1.0, work, work * work, seconds, work * seconds])
        self.counts[arm] += 1
        s, sw, sww, t, tw = (float(value) for value in sums)
        s *= 1.02  # towards no fixed part, where the iterations do not vary
        determinant = s * sww - sw * sw
        fixed, pace = (sww * t - sw * tw) / determinant, (s * tw - sw * t) / determinant
        if fixed < 0:
            fixed, pace = 0.0, tw / sww
        elif pace < 0:
            fixed, pace = t / s, 0.0
        self._fixed[arm], self._pace[arm] = fixed, pace
        self._spread(arm)

    def note_setup(self, arm: int, seconds: float) -> None:
        """Enter the seconds of a set-up."""
        old = self._setup[arm]
        if self._setups[arm] == 0 or (self._setups[arm] < 3 and seconds < 0.6 * old):
            self._setup[arm] = seconds
        else:
            self._setup[arm] = old + 0.2 * (min(seconds, SURPRISE * old) - old)
        self._setups[arm] += 1
        self._spread(arm)

    def _spread(self, arm: int) -> None:
        """Let arms that were never timed take their group's means, and its shortest set-up."""
        members = np.flatnonzero(self._groups == self._groups[arm])
        timed = members[self.counts[members] > 0]
        rest = members[self.counts[members] == 0]
        if len(rest) and len(timed):
            self._fixed[rest], self._pace[rest] = self._fixed[timed].mean(), self._pace[timed].mean()
        made = members[self._setups[members] > 0]
        if len(made):
            shortest = float(self._setup[made].min())
            known = np.where(self._setups[members] > 0, self._setup[members], shortest)
            self._share[members] = known / self._every[members]

    def seconds(self, work: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the seconds that go with iterations (arms,), a share of the set-up included; infinity if unknown."""
        result = self._share + self._fixed + self._pace * np.maximum(work, 1.0)
        result[np.isnan(result)] = np.inf
        return np.asarray(result)

    def setup_share(self, arm: int, seconds: float) -> float:
        """Return a system's share of an arm's set-up, which is the given one if none was entered."""
        share = float(self._share[arm])
        return share if share > 0 else seconds / float(self._every[arm])

    def unshared(self, arm: int) -> float:
        """Return the part of an arm's set-up that other systems would have to bear."""
        return float(self._share[arm] * (self._every[arm] - 1.0))

    def work(self, arm: int, seconds: float) -> float:
        """Return how many iterations an arm does in some seconds."""
        pace = float(self._pace[arm])
        return max(0.0, seconds - float(self._fixed[arm])) / pace if pace > 0 else math.inf

    def state(self) -> dict[str, Any]:
        """Return what was measured, fit for JSON."""
        return {
            name: [None if math.isnan(v) else v for v in np.ravel(getattr(self, name)).tolist()] for name in _ARRAYS
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name in _ARRAYS:
            array = getattr(self, name)
            values = np.array([math.nan if v is None else v for v in state[name]])
            setattr(self, name, values.reshape(array.shape).astype(array.dtype))


_ARRAYS = ("_sums", "counts", "_setup", "_setups", "_fixed", "_pace", "_share")
