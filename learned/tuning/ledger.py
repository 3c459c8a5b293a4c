"""The account of a tuned solver: what the default would have cost, what was spent, and what may be risked."""

from __future__ import annotations

import math
from typing import Any

FIRST_NAP, LONGEST_NAP = 64, 8192
"""Systems, or as much of the default's cost, that the default solves alone after a window without savings; doubled each
time in a row."""

WINDOW = 32
"""Systems after which it is looked at what there is to save."""

TOLL = 2e-6
"""Seconds that passing through a tuned solver takes where nothing is weighed."""

GRANT = 3.0
"""Times the default's recent cost that may be risked before anything is saved."""


def rehearse(learner: Any, context: Any) -> None:
    """Use a learner once, so that its compiled code is loaded before anything is timed.

    Parameters
    ----------
    learner : Learner
        One that is thrown away.
    context : float or sequence of float or None
        Any context.

    Examples
    --------
    >>> from conjugo.learned.tuning import TsallisINF
    >>> rehearse(TsallisINF(2), None)
    """
    for _ in range(2):
        learner.update(learner.choose(context), 1.0, context)
    if hasattr(learner, "predictions"):
        learner.predictions(context)


WORTH = 0.03
"""Part of the default's cost below which nothing is to be won."""

REFRESH = 0.003
"""Part of what is spent that may be lost to measuring the default again."""

LOUD = 2.0
"""Growth of the default's cost that ends a nap."""


class Ledger:
    """Says whether exploration can be paid for, and when it is not worth its own overhead.

    Parameters
    ----------
    allowance : float
        Part of the default's total cost that may be lost to exploration.
    toll : float
        Cost of a system beside its solve, where nothing is weighed.

    Attributes
    ----------
    base : float
        What the default would have cost so far: measured where it ran, predicted elsewhere.
    spent : float
        What was spent, failed attempts and overhead included.
    recent : float
        What the default costs these days.
    pays : float
        Part of the default's cost that was saved of late where the best choice solved.

    Examples
    --------
    >>> ledger = Ledger(0.02)
    >>> ledger.record(1.0, 0.5)
    >>> ledger.saved, ledger.affords(0.4), ledger.affords(5.0)
    (0.5, True, False)
    """

    def __init__(self, allowance: float = 0.02, *, toll: float = 0.0) -> None:
        if not 0 <= allowance:
            raise ValueError(f"allowance = {allowance}: expected a part of the default's cost, such as 0.02")
        self.allowance, self.toll = float(allowance), toll
        self.base, self.spent, self.steps = 0.0, 0.0, 0
        self.recent = self._quiet = 0.0
        self.nap, self.left = FIRST_NAP, 0.0
        self.pays = 0.0
        self._window = 0
        self._promised = self._due = 0.0
        self._refreshed = 0.0

    @property
    def saved(self) -> float:
        """What the default would have cost less what was spent."""
        return self.base - self.spent

    def affords(self, loss: float) -> bool:
        """Whether an attempt that may lose `loss` can be paid for."""
        if self.allowance == math.inf:
            return True
        return self.saved + self.allowance * self.base + GRANT * self.recent >= loss

    def wants_refresh(self, loss: float) -> bool:
        """Whether the default should be measured again: that may lose a few thousandths of what is spent."""
        return self.allowance < math.inf and REFRESH * (self.spent - self._refreshed) > max(loss, 0.0)

    def record(
        self, default: float, spent: float, *, was_default: bool = False, promised: float | None = None,
        was_best: bool = False,
    ) -> None:  # fmt: skip
        """Enter a system.

        Parameters
        ----------
        default, spent : float
            What the default would have cost, and what was spent.
        was_default : bool
            Whether the default solved it at once.
        promised : float, optional
            What the best choice was expected to save; by default what was saved.
        was_best : bool
            Whether the best choice, not the default, solved it.
        """
        self.base += default
        self.spent += spent
        self.recent += 0.1 * (default - self.recent) if self.steps else default
        self.steps += 1
        self._promised += default - spent if promised is None else promised
        self._due += default
        if was_default:
            self._refreshed = self.spent
        if was_best:
            self.pays += 0.1 * (max(-1.0, 1.0 - spent / max(default, 1e-300)) - self.pays)
        self._window += 1
        if self.allowance == math.inf:
            return
        if self._window >= WINDOW:
            self._look()
        if self.left <= 0 and not self.affords(0.0) and self.pays < WORTH:  # until the allowance has grown
            self.wait_for(3.0 * self.recent)

    def _look(self) -> None:
        """Lie down after a window in which nothing was to be saved."""
        gain = self._promised > (WORTH * self._due if self.toll else 0.0)
        self._window, self._promised, self._due = 0, 0.0, 0.0
        if gain:
            self.nap = FIRST_NAP
        elif self.steps > 2 * WINDOW:
            self._lie_down(self.nap * self.recent)
            self.nap = min(2 * self.nap, LONGEST_NAP)

    def _lie_down(self, length: float) -> None:
        """Begin a nap, for so much of the default's cost."""
        self.left, self._window, self._quiet = length, 0, self.recent

    def wait_for(self, loss: float) -> None:
        """Let the default solve alone until an attempt that may lose so much can be paid for."""
        lacking = loss - self.saved - (self.allowance * self.base + GRANT * self.recent)
        self._lie_down(lacking / max(self.allowance, 1e-3))

    def wake(self) -> None:
        """End a nap, over or because something new has come."""
        self.left, self._window, self._promised, self._due = 0.0, 0, 0.0, 0.0

    def slept(self, cost: float, systems: int = 1) -> None:
        """Enter systems that the default solved while nothing was weighed, and what they cost."""
        self.base += cost
        self.recent += (1.0 - 0.9**systems) * (cost / systems - self.recent)
        self.spent += cost + self.toll * systems
        self.steps += systems
        self.left -= cost
        if self.left <= 0 or (self.recent > LOUD * self._quiet and self.affords(0.0)):
            self.wake()

    def state(self) -> dict[str, Any]:
        """Return the account, fit for JSON."""
        return {name: value for name, value in self.__dict__.items() if name not in ("allowance", "toll")}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved account."""
        self.__dict__.update(state)
