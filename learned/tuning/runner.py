"""Runs the candidates of a tuned solver: keeps their preconditioners and times set-ups and solves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from conjugo.learned.tuning.arms import Candidate, shape_of
from conjugo.solvers.result import SolveResult


class Runner:
    """Solve by a candidate, with a preconditioner that is made or kept.

    Parameters
    ----------
    candidates : sequence of Candidate
        What is run.
    clock : callable
        Returns seconds.

    Attributes
    ----------
    setup, took : float
        Seconds of the last set-up, 0 where none was needed, and of the last solve.
    setup_seconds : float
        Of all set-ups.

    Examples
    --------
    >>> import time
    >>> import numpy as np
    >>> from conjugo.learned.tuning import sweep
    >>> from conjugo.solvers import cg
    >>> runner = Runner(sweep("cg", cg), time.perf_counter)
    >>> runner(0, np.eye(2), np.ones(2), None, {}, 0).details["candidate"], runner.setup
    ('cg', 0.0)
    """

    def __init__(self, candidates: Sequence[Candidate], clock: Callable[[], float]) -> None:
        self._candidates, self._clock = candidates, clock
        self._labels = [candidate.label for candidate in candidates]
        self._made: dict[int, tuple[Any, int]] = {}
        self.setup = self.took = self.setup_seconds = 0.0

    def __call__(self, arm: int, A: Any, b: Any, x0: Any, options: dict[str, Any], step: int) -> SolveResult:
        """Solve the system of a step."""
        candidate, M, clock = self._candidates[arm], None, self._clock
        self.setup = 0.0
        started = clock()
        if candidate.factory is not None:
            M = self._made.get(arm, (None, -1))[0]
            if not self.at_hand(arm, step) or tuple(M.shape) != shape_of(A):
                M = candidate.factory(A, **candidate.parameters)
                self._made[arm] = (M, step)
                ended = clock()
                self.setup, started = ended - started, ended
                self.setup_seconds += self.setup
        result = candidate.run(A, b, x0, M, **options)
        self.took = clock() - started
        result.details["candidate"] = self._labels[arm]
        return result

    def at_hand(self, arm: int, step: int) -> bool:
        """Whether a candidate can solve the system of a step without a set-up."""
        candidate = self._candidates[arm]
        if candidate.factory is None:
            return True
        M, made = self._made.get(arm, (None, -1))
        return M is not None and step - made < candidate.every

    def work(self, result: SolveResult) -> float:
        """Return the iterations of the last solve; its microseconds where a method does not tell them."""
        return 1e6 * self.took if "info" in result.details else float(max(1, result.iterations))


def whole_work(result: SolveResult, work: float, b: Any, rtol: float, atol: float) -> float:
    """Estimate the work of a solve that was given up, from how far it had come: 1.3 to 4 times what was done.

    Parameters
    ----------
    result : SolveResult
        Of the solve.
    work : float
        What was done.
    b : array or PETSc Vec
        Right-hand side.
    rtol, atol : float
        The tolerances.

    Examples
    --------
    >>> from conjugo.solvers.result import Status
    >>> half = SolveResult(np.zeros(1), Status.MAX_ITERATIONS, np.array([1.0, 1e-2, 1e-4]), 0.0, "cg")
    >>> round(whole_work(half, 2.0, np.ones(1), 1e-8, 0.0), 9)
    4.0
    """
    first, last = float(np.max(result.residuals[0])), float(np.max(result.residuals[-1]))
    size = float(b.norm()) if hasattr(b, "norm") else float(np.linalg.norm(b))
    target = max(rtol * size, atol, 1e-300)
    if not (math.isfinite(last) and target < last < first):
        return 4.0 * work
    return work * min(4.0, max(1.3, math.log(target / first) / math.log(last / first)))


def is_closer(result: SolveResult) -> bool:
    """Whether a solve that was given up came closer to the solution than it began.

    Examples
    --------
    >>> from conjugo.solvers.result import Status
    >>> is_closer(SolveResult(np.zeros(1), Status.MAX_ITERATIONS, np.array([1.0, 2.0]), 0.0, "cg"))
    False
    """
    if len(result.residuals) < 2:
        return False
    return bool(np.max(result.residuals[-1]) < np.max(result.residuals[0]))
