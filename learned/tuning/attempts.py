"""How a tuned solver tries a candidate: with a limit, with another that stands in, and with what is learned from it."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.arms import Candidate
from conjugo.learned.tuning.cells import Cell
from conjugo.learned.tuning.learner import Context, Learner
from conjugo.learned.tuning.ledger import Ledger
from conjugo.learned.tuning.rates import Rates
from conjugo.learned.tuning.relaxation_model import RelaxationModel
from conjugo.learned.tuning.runner import Runner, is_closer, whole_work
from conjugo.solvers.result import SolveResult

logger = logging.getLogger(__name__)

TRIAL = 1.2
"""Times the best choice's expected cost at which a trial of something else is given up."""


class Attempts(ABC):
    """The part of `TunedSolver` that solves by a candidate once one is chosen."""

    candidates: list[Candidate]
    default: int
    cost: str
    cap: float
    model: RelaxationModel | None
    learner: Learner
    ledger: Ledger
    rates: Rates
    plays: NDArray[np.int_]
    failures: NDArray[np.int_]
    costs: NDArray[np.float64]
    overhead: float
    _clock: Callable[[], float]
    _runner: Runner
    _priced: bool
    _groups: list[int]
    _taught: NDArray[np.bool_]
    _iterations: float
    _choices: dict[Cell, list[Any]]

    @abstractmethod
    def _predictions(self, context: Context) -> NDArray[np.float64]:
        """Return what every candidate is expected to cost."""

    def _attempt(
        self, arm: int, base: float | None, least: float | None, A: Any, b: Any, x0: Any, options: dict[str, Any],
        context: Context, place: Cell,
    ) -> tuple[SolveResult, float]:  # fmt: skip
        """Solve by a candidate, by a better one where it fails, and learn what it cost; return that cost, too."""
        limits, kept = dict(options), self._choices.get(place)
        trial = self._priced and least is not None and arm != self.default and (kept is None or kept[2] != arm)
        if arm != self.default and base is not None and least is not None:
            limits["maxiter"] = self._limit(arm, TRIAL * least if trial else self.cap * base, options["maxiter"])
        started = self._clock()
        error: str | None = None
        iterations, work, guess = 0, math.nan, x0
        try:
            result = self._run(arm, A, b, x0, limits)
            failed, iterations, work = not result.converged, result.iterations, self._runner.work(result)
        except (ValueError, RuntimeError, ArithmeticError, ImportError) as problem:
            if arm == self.default:
                raise
            failed, error = True, str(problem)
        value = self._spent(started, iterations, arm)
        self.plays[arm] += 1
        self.costs[arm] += value
        self.failures[arm] += failed
        fresh = self.cost == "seconds" and self.plays[arm] == 1 and self._first(arm)
        learn = not fresh and (kept is None or kept[0] in (0, kept[1]) or self.cost == "iterations")
        if self._priced and error is None and (learn or fresh):
            self._time(arm, work)
        if failed and arm != self.default:
            self._choices.pop(place, None)
            logger.info("%s failed (%s): another solves this system", self.candidates[arm].label, error)
            if not self._priced:
                value = max(value, self.cap * base) if base is not None else value
            elif error is None:
                work = whole_work(result, work, b, options["rtol"], options["atol"])
                guess = result.x if is_closer(result) else x0
            result = self._rescue(arm, A, b, guess, options, context)
            result.details["failed"] = self.candidates[arm].label
            iterations += result.iterations
        result.details["iterations_in_all"] = iterations
        if learn:  # while a choice is kept, its first and its last system suffice
            self._learn(arm, value, work, A, result, context)
        return result, value

    def _learn(self, arm: int, value: float, work: float, A: Any, result: SolveResult, context: Context) -> None:
        """Teach the learner and the model."""
        done = self._clock()
        self._taught[self._groups[arm]] = True
        lesson = value if not self._priced else 4.0 * max(10.0, self._iterations) if math.isnan(work) else work
        self.learner.update(arm, lesson, context)
        if self.model is not None:
            self.model.observe(context, A, result)
        self.overhead += self._clock() - done

    def _rescue(self, arm: int, A: Any, b: Any, x0: Any, options: dict[str, Any], context: Context) -> SolveResult:
        """Solve by the best candidate but the one that failed, and by the default if that fails."""
        if self._priced and self._taught.any():
            costs = self._predictions(context)
            costs[arm] = math.inf
            best = int(costs.argmin())
            if best != self.default and math.isfinite(costs[best]):
                try:
                    result = self._run(best, A, b, x0, options)
                    if result.converged:
                        return result
                except (ValueError, RuntimeError, ArithmeticError):
                    logger.info("%s failed as well", self.candidates[best].label)
        return self._run(self.default, A, b, x0, options)

    def _time(self, arm: int, work: float) -> None:
        """Learn what the last solve's iterations and its set-up took."""
        self.rates.note(arm, work, self._runner.took)
        if self._runner.setup > 0:
            self.rates.note_setup(arm, self._runner.setup)

    def _first(self, arm: int) -> bool:
        """Whether no candidate of the same name was tried before: loading compiled code is no cost of the method."""
        return sum(int(n) for n, g in zip(self.plays, self._groups, strict=True) if g == self._groups[arm]) == 1

    def _limit(self, arm: int, budget: float, maxiter: int | None) -> int:
        """Iterations at which an attempt is given up."""
        if self.cost == "iterations":
            most = budget + 5
        elif self._priced and self.rates.known(arm):
            most = max(3.0, self.rates.work(arm, budget))
        else:
            most = max(10.0, self._iterations * (1.0 if self._priced else self.cap) + 10)
        return int(min(most, math.inf if maxiter is None else maxiter, 10**9))

    def _run(self, arm: int, A: Any, b: Any, x0: Any, options: dict[str, Any]) -> SolveResult:
        """Solve by one candidate."""
        result = self._runner(arm, A, b, x0, options, self.ledger.steps)
        if arm == self.default:
            self._iterations = max(result.iterations, 0.9 * self._iterations)
        return result

    def _spent(self, started: float, iterations: int, arm: int | None = None) -> float:
        """What was spent since; for learning, with a set-up shared over the systems that it serves."""
        if self.cost == "iterations":
            return float(iterations)
        seconds = self._clock() - started
        if arm is None or self.candidates[arm].factory is None or self.candidates[arm].every == 1:
            return seconds
        return max(0.0, seconds - self._runner.setup) + self.rates.setup_share(arm, self._runner.setup)
