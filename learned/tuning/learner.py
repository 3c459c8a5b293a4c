"""What every learner offers, and the checks of arms, costs and contexts that they share."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

type Context = float | Sequence[float] | NDArray[np.float64] | None
"""What is known of a system before it is solved: one number, several, or nothing."""


@runtime_checkable
class Learner(Protocol):
    """Chooses one of some arms again and again and learns from what each choice cost.

    Notes
    -----
    A round is `choose`, then `update` with the arm, its cost and the same context. An update with another arm than
    the chosen one counts as if that arm had been drawn. `state` is made of plain numbers, strings, lists and dicts, fit
    for JSON, and `restore` puts it into a learner made with the same arguments, which then goes on identically.

    Examples
    --------
    >>> from conjugo.learned.tuning import Learner, TsallisINF
    >>> isinstance(TsallisINF(3), Learner)
    True
    """

    @property
    def arms(self) -> int:
        """Number of arms."""
        ...

    def choose(self, context: Context = None) -> int:
        """Return the arm to play."""
        ...

    def update(self, arm: int, cost: float, context: Context = None) -> None:
        """Learn what an arm cost."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything learned, as plain numbers, lists and dicts."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        ...


def checked_arms(arms: int) -> int:
    """Return a number of arms, or say what is wrong with it.

    Examples
    --------
    >>> checked_arms(20)
    20
    """
    if not isinstance(arms, int | np.integer) or isinstance(arms, bool) or arms < 1:
        raise ValueError(f"arms = {arms!r}: expected a positive number of arms")
    return int(arms)


def checked_arm(arm: int, arms: int) -> int:
    """Return an arm's index, or say what is wrong with it.

    Examples
    --------
    >>> checked_arm(2, 3)
    2
    """
    if not isinstance(arm, int | np.integer) or isinstance(arm, bool) or not 0 <= arm < arms:
        raise ValueError(f"arm = {arm!r}: expected an index from 0 to {arms - 1}, as `choose` returns it")
    return int(arm)


def checked_cost(cost: float, least: float = 0.0) -> float:
    """Return a cost, or say what is wrong with it.

    Examples
    --------
    >>> checked_cost(12)
    12.0
    """
    value = float(cost)
    if not least <= value < math.inf:
        raise ValueError(
            f"cost = {cost}: expected a finite number of at least {least:g}; count a failed solve as its cap"
        )
    return value


def checked_state(state: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuse a state that was saved by a learner made with other arguments.

    Examples
    --------
    >>> checked_state({"learner": "TsallisINF", "arms": 3}, {"learner": "TsallisINF", "arms": 3})
    """
    for key, value in expected.items():
        if state.get(key) != value:
            raise ValueError(
                f"the state has {key} = {state.get(key)!r} but this learner has {value!r}: "
                "restore it into a learner made with the same arguments"
            )


class ContextRange:
    """The box in which contexts lie: checks them, and clips those outside, which it logs once.

    Parameters
    ----------
    low, high : float or sequence of float
        Ends of the range, one number a dimension.

    Raises
    ------
    ValueError
        If the ends are not finite, differ in number, or do not satisfy low < high.

    Examples
    --------
    >>> box = ContextRange(-1.0, 3.0)
    >>> box.unit(2.0)
    array([0.75])
    """

    def __init__(self, low: float | Sequence[float], high: float | Sequence[float]) -> None:
        self.low, self.high = (np.atleast_1d(np.asarray(end, dtype=np.float64)) for end in (low, high))
        fits = self.low.ndim == 1 and self.low.shape == self.high.shape and self.low.size > 0
        if not (fits and np.all(np.isfinite([self.low, self.high])) and np.all(self.low < self.high)):
            raise ValueError(f"low = {low}, high = {high}: expected finite numbers with low < high, as many of each")
        self.clipped = False
        self._ends = (float(self.low[0]), float(self.high[0])) if self.low.size == 1 else None

    @property
    def dimension(self) -> int:
        """Numbers in a context."""
        return int(self.low.size)

    def scalar(self, context: Context) -> float:
        """Return a one-dimensional context as its place in the range, in [0, 1].

        Raises
        ------
        ValueError
            If the context is missing, of another dimension, NaN or infinite.
        """
        if self._ends is None or not isinstance(context, float):
            return float(self.unit(context)[0])
        low, high = self._ends
        if low <= context <= high:
            return (context - low) / (high - low)
        return float(self.unit(context)[0])

    def fill(self, context: Context, out: NDArray[np.float64]) -> None:
        """Write a context's place in the range to an array of `dimension` numbers."""
        if self._ends is not None:
            out[0] = self.scalar(context)
        else:
            out[:] = self.unit(context)

    def nearest(self, context: Context) -> Context:
        """Return a checked context as it is, or moved to the edge of the range."""
        if self._ends is not None:
            value = context if isinstance(context, float) else float(np.squeeze(context))  # type: ignore[arg-type]
            low, high = self._ends
            return low if value < low else high if value > high else value
        return np.clip(np.asarray(context, dtype=np.float64), self.low, self.high)

    def unit(self, context: Context) -> NDArray[np.float64]:
        """Return a context as its place in the range, an array with entries in [0, 1].

        Raises
        ------
        ValueError
            If the context is missing, of another dimension, NaN or infinite.
        """
        if context is None:
            raise ValueError(f"context is missing: expected {self.dimension} numbers, as this learner depends on them")
        values = np.atleast_1d(np.asarray(context, dtype=np.float64))
        if values.shape != self.low.shape:
            raise ValueError(f"context = {context} has shape {values.shape}: expected {self.dimension} numbers")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"context = {context}: expected finite numbers from {self.low} to {self.high}")
        beyond = np.maximum(self.low - values, values - self.high)
        if not self.clipped and np.any(beyond > 1e-9 * (self.high - self.low)):
            self.clipped = True
            logger.warning(
                "context %s lies outside the range from %s to %s: clipped, as any later one will be without a word",
                values, self.low, self.high,
            )  # fmt: skip
        return np.clip((values - self.low) / (self.high - self.low), 0.0, 1.0)
