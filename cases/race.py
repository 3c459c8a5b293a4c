"""Race methods on one problem: interleaved repeats, medians, and the true residual of every answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conjugo.cases.methods import Method
from conjugo.cases.trial import Outcome, run_trial
from conjugo.pde.problem import LinearProblem

SLOW = 10.0
"""Seconds above which a method runs once only."""


@dataclass(slots=True)
class Lap:
    """All runs of one method on one problem."""

    method: str
    family: str
    outcome: Outcome
    setups: list[float] = field(default_factory=list)
    solves: list[float] = field(default_factory=list)
    bytes_per_unknown: float | None = None

    @property
    def setup(self) -> float:
        """Median set-up time in seconds."""
        return statistics.median(self.setups)

    @property
    def solve(self) -> float:
        """Median solve time in seconds."""
        return statistics.median(self.solves)

    @property
    def total(self) -> float:
        """Median set-up plus median solve."""
        return self.setup + self.solve

    def facts(self) -> dict[str, Any]:
        """What result.json keeps."""
        return {**self.outcome.facts(), "setups": self.setups, "solves": self.solves, "setup": self.setup,
                "solve": self.solve, "bytes_per_unknown": self.bytes_per_unknown}  # fmt: skip


def race(
    methods: Sequence[Method],
    problem: LinearProblem,
    *,
    rtol: float,
    repeats: int,
    budget: float = 120.0,
    progress: Callable[[str], object] = lambda name: None,
) -> list[Lap]:
    """Run every method `repeats` times, in turn; those slower than ten seconds once.

    Parameters
    ----------
    methods : sequence of Method
        Who races; warmed up by the caller.
    problem : LinearProblem
        On what.
    rtol : float
        Relative tolerance of the true residual.
    repeats : int
        Set-ups and solves of each.
    budget : float
        Seconds after which a solve is stopped.
    progress : callable
        Called with a method's name before each run.

    Returns
    -------
    list of Lap
        In the order of `methods`.
    """
    laps: list[Lap] = []
    for turn in range(repeats):
        for place, method in enumerate(methods):
            if turn and laps[place].total > SLOW:
                continue
            progress(method.name)
            outcome = run_trial(method, problem, rtol=rtol, budget=budget)
            if turn == 0:
                laps.append(Lap(method.name, method.family, replace(outcome, x=None)))
            laps[place].setups.append(outcome.setup_seconds)
            laps[place].solves.append(outcome.seconds)
    return laps


def interleaved_medians(works: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each piece of work, run in turn after one call that is not counted."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, spent in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if turn:
                spent.append(time.perf_counter() - start)
    return [statistics.median(spent) for spent in times]
