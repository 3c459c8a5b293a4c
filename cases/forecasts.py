"""First guesses that a learned forecast makes, for `cases.initial_guess`: DMD refitted at every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.dynamics import DMD
from conjugo.pde.trajectories import Trajectories
from conjugo.solvers.guess import Fischer, Gated

type Values = NDArray[np.float64]

NOISE = 1e-8
"""Modes below this share of the first are the solver's error, not the flow."""


class RefittedDMD(Gated):
    """Dynamic mode decomposition of the last solutions, refitted before each forecast.

    Parameters
    ----------
    window : int
        Solutions that it is fitted to, at least 3.
    rank : int
        Most modes of their proper orthogonal decomposition.
    gate : bool
        Whether a forecast worse than zero is replaced by zero.

    Notes
    -----
    The forecast sees the solutions alone, not the new right-hand side. Memory: `window` vectors.

    Examples
    --------
    >>> guess, A = RefittedDMD(6, 2), np.eye(2)
    >>> for t in range(6):
    ...     x = np.array([np.cos(0.3 * t), np.sin(0.3 * t)])
    ...     guess.update(A, x, x)
    >>> bool(np.allclose(guess.forecast(), [np.cos(1.8), np.sin(1.8)]))
    True
    """

    def __init__(self, window: int = 40, rank: int = 12, *, gate: bool = True) -> None:
        super().__init__(gate)
        if window < 3 or not 1 <= rank < window:
            raise ValueError(f"window = {window}, rank = {rank}: expected at least 3, and a rank below the window")
        self.window, self.rank = window, rank
        self._history: list[Values] = []

    def forecast(self) -> Values | None:
        """The next solution by the model, (n,); None before there are three."""
        if len(self._history) < 3:
            return None
        states = np.stack(self._history)
        scale = float(np.abs(states).max())
        if scale == 0:
            return np.array(states[-1])
        made = Trajectories(states[None] / scale, np.arange(float(len(states))))
        s = np.linalg.svd(states[:-1], compute_uv=False)
        model = DMD(max(1, min(self.rank, int(np.sum(s > NOISE * s[0]))))).fit(made)
        z = model.encode(states[-1:] / scale) @ model.K
        return np.asarray(scale * model.decode(z)[0], dtype=np.float64)

    def update(self, A: Any, x: Values, b: Values) -> None:
        """Take the solution of the last system."""
        self._history = [*self._history, np.array(x)][-self.window :]

    def reset(self) -> None:
        """Forget every solution."""
        self._history = []

    def _propose(self, A: Any, b: Values) -> Values | None:
        return self.forecast()


class Informed:
    """Fischer's projection with a forecast as one more basis vector.

    Parameters
    ----------
    basis : Fischer
        Of the last solutions.
    model : RefittedDMD
        Makes the forecast.

    Examples
    --------
    >>> guess = Informed(Fischer(2), RefittedDMD(4, 2))
    >>> guess.update(np.eye(2), np.ones(2), np.ones(2))
    >>> guess(np.eye(2), np.array([3.0, 3.0]))
    array([3., 3.])
    """

    def __init__(self, basis: Fischer, model: RefittedDMD) -> None:
        self.basis, self.model = basis, model
        self.used = 0

    def __call__(self, A: Any, b: Values) -> Values:
        """First guess for A x = b."""
        forecast = self.model.forecast()
        extra: Sequence[Values] = [] if forecast is None else [forecast]
        x = self.basis(A, b, extra)
        self.used += self.basis.verdict.extra
        return np.asarray(x)

    def update(self, A: Any, x: Values, b: Values) -> None:
        """Take the solution of the last system."""
        self.basis.update(A, x, b)
        self.model.update(A, x, b)

    def reset(self) -> None:
        """Forget every solution."""
        self.basis.reset()
        self.model.reset()
