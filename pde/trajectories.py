"""Trajectories: what a dynamical system is learned from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.pde.pairs import Samples, parts
from conjugo.solvers.operators.protocol import Array


@dataclass(frozen=True, slots=True, eq=False)
class Trajectories:
    """States of a dynamical system at the same times, from several starts.

    Parameters
    ----------
    u : (N, steps + 1, *state) array
        States, NumPy or torch; all of one trajectory follow each other.
    t : (steps + 1,) array
        Their times, increasing.
    name : str
        Short name for tables and plots.

    Raises
    ------
    ValueError
        If there is not one time for each state, or the times do not increase.

    Examples
    --------
    >>> circle = np.stack([np.cos(np.arange(8.0)), np.sin(np.arange(8.0))], axis=-1)[None]
    >>> trajectories = Trajectories(circle, np.arange(8.0), "circle")
    >>> trajectories.dt, trajectories.windows(3).shape, trajectories.windows(3, every=2).shape
    (1.0, (6, 3, 2), (3, 3, 2))
    """

    u: Array
    t: NDArray[np.float64]
    name: str = ""

    def __post_init__(self) -> None:
        t = np.asarray(self.t, dtype=np.float64)
        if self.u.ndim < 2 or t.shape != (self.u.shape[1],):
            raise ValueError(f"u has shape {tuple(self.u.shape)} and t {t.shape}: expected (samples, times, *state) "
                             "and (times,)")  # fmt: skip
        if not (np.all(np.isfinite(t)) and np.all(np.diff(t) > 0)):
            raise ValueError("t does not increase: expected the times of the states in order")
        object.__setattr__(self, "t", t)

    @property
    def dt(self) -> float:
        """Time from one state to the next.

        Raises
        ------
        ValueError
            If there is one state only, or the times are not evenly spaced.
        """
        steps = np.diff(self.t)
        if len(steps) == 0 or not np.allclose(steps, steps[0], rtol=1e-9, atol=1e-12 * float(np.abs(self.t).max())):
            raise ValueError(f"t has {len(self.t)} times with steps from {steps.min(initial=np.inf)} to "
                             f"{steps.max(initial=0.0)}: expected one step for all; read t itself")  # fmt: skip
        return float((self.t[-1] - self.t[0]) / len(steps))

    def __len__(self) -> int:
        return len(self.u)

    def __getitem__(self, samples: Samples) -> Trajectories:
        """Some of the trajectories; a slice takes views."""
        if isinstance(samples, int | np.integer):
            raise ValueError(
                f"[{samples}]: expected a slice or several indices; one sample is [{samples}:{samples + 1}]"
            )
        return replace(self, u=self.u[samples])

    def windows(self, length: int, every: int = 1) -> Array:
        """Cut every trajectory into pieces of consecutive states.

        Parameters
        ----------
        length : int
            States of a piece.
        every : int
            Steps from the start of one piece to that of the next.

        Returns
        -------
        (windows, length, *state) array
            A copy; the pieces of the first trajectory come first, in order of time.

        Raises
        ------
        ValueError
            If a piece is longer than the trajectories, or a number is less than 1.
        """
        states = self.u.shape[1]
        if not 1 <= length <= states or every < 1:
            raise ValueError(
                f"length = {length}, every = {every}: expected 1 to {states} states and a step of at least 1"
            )
        index = np.arange(0, states - length + 1, every)[:, None] + np.arange(length)
        xp = array_namespace(self.u)
        pieces = xp.take(self.u, xp.asarray(index.ravel(), device=device(self.u)), axis=1)
        return pieces.reshape((-1, length, *self.u.shape[2:]))

    def split(self, *counts: int) -> tuple[Trajectories, ...]:
        """Cut into consecutive parts: training, validation, test.

        Parameters
        ----------
        *counts : int
            Trajectories of each part; those that are left over are dropped.

        Returns
        -------
        tuple of Trajectories
            Views.

        Raises
        ------
        ValueError
            If a count is negative, or there are fewer trajectories.
        """
        return tuple(self[part] for part in parts(len(self), counts))
