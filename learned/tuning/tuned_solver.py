"""A solver that tunes itself while a loop runs: it chooses among methods and parameters, and stays safe."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.arms import Candidate, find, places_of, shape_of
from conjugo.learned.tuning.cells import Cell, Cells, Ends
from conjugo.learned.tuning.learner import Context, Learner
from conjugo.learned.tuning.ledger import FIRST_NAP, TOLL, Ledger, rehearse
from conjugo.learned.tuning.relaxation_model import RelaxationModel
from conjugo.learned.tuning.report import Report, load_state, save_state
from conjugo.learned.tuning.thompson import ThompsonSampling
from conjugo.solvers.krylov.split_cg import small_cg
from conjugo.solvers.result import SolveResult

logger = logging.getLogger(__name__)

WARM = 3
"""Systems that the default solves before anything else is tried."""

LONGEST_CRUISE = 32
"""Systems in one context that are solved by the same choice before it is weighed again."""


class TunedSolver:
    """Solve a sequence of related systems by whichever method and parameters turn out best.

    Parameters
    ----------
    candidates : sequence of Candidate
        What to choose from, see `sweep` and `petsc_sweep`.
    default : int or str
        Index or label of the candidate that would be used without tuning. It solves the first systems, stands in where
        another fails, and is what the safety is measured against.
    context : (low, high), optional
        Range of the contexts that `solve` gets: numbers, or sequences of them. None where there are none.
    cost : {"seconds", "iterations"}
        What to save.
    allowance : float
        Part of the default's cost that may be lost to exploration in the long run; infinity for no restraint.
    cap : float
        Times the default's cost at which an attempt is given up and counts as failed.
    model : RelaxationModel, optional
        Predicts iterations from theory; dropped where it is wrong.
    learner : Learner, optional
        Who chooses; by default `ThompsonSampling` over all candidates.
    clock : callable
        Returns seconds; `time.thread_time` where other programs disturb the machine.
    seed : int
        Of the draws.

    Raises
    ------
    ValueError
        For bad arguments; by `solve` for contexts that are missing, not finite or of another dimension.

    Notes
    -----
    A candidate other than the default is tried only while what was saved so far, and the allowance, pay for what may be
    lost; its iterations are capped. A failed attempt counts as its cap, and the default then solves the system. Set-up
    counts: as a whole in the account, and shared over `every` systems in what is learned. In seconds a choice is kept
    for a while in each cell of the context, so that weighing costs little, and where nothing is saved the default
    solves alone for longer and longer. Memory does not grow with the number of systems.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024 (the setting).
    M. Khodak et al., PCGBandit, arXiv:2509.08765 (one-shot learning of preconditioners by wall-clock).

    Examples
    --------
    >>> from conjugo.learned.tuning import TunedSolver, sweep
    >>> from conjugo.pde.evolution import HeatSequence
    >>> from conjugo.solvers import cg, ssor_cg
    >>> solver = TunedSolver([*sweep("cg", cg), *sweep("ssor", ssor_cg, omega=[1.0, 1.5])], cost="iterations")
    >>> heat = HeatSequence(16, steps=60)
    >>> for A, b, kappa in heat:
    ...     heat.advance(solver.solve(A, b, heat.u, rtol=1e-8).x)
    >>> solver.report().saved > 0
    True
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        default: int | str = 0,
        context: Ends | None = None,
        cost: Literal["seconds", "iterations"] = "seconds",
        allowance: float = 0.04,
        cap: float = 3.0,
        model: RelaxationModel | None = None,
        learner: Learner | None = None,
        clock: Callable[[], float] = time.perf_counter,
        seed: int | None = 0,
    ) -> None:
        self.candidates = list(candidates)
        if not self.candidates:
            raise ValueError("candidates is empty: expected at least one, such as sweep('cg', cg)")
        self.default = find(self.candidates, default)
        if cost not in ("seconds", "iterations"):
            raise ValueError(f"cost = {cost!r}: expected 'seconds' or 'iterations'")
        if not cap > 1:
            raise ValueError(f"cap = {cap}: expected more than 1 times the default's cost")
        self._default_label = self.candidates[self.default].label
        names = list(dict.fromkeys(c.name for c in self.candidates))
        self._groups = [names.index(c.name) for c in self.candidates]
        self.cost, self.cap, self.model = cost, float(cap), model
        self.ledger, self._clock = Ledger(allowance, toll=TOLL if cost == "seconds" else 0.0), clock
        low, high = (None, None) if context is None else context
        self.cells = Cells(context)
        if model is not None:
            model.bind(self.candidates)
        if learner is None:
            places, groups = places_of(self.candidates), self._groups
            learner = ThompsonSampling(places, low, high, groups=groups, prior=model, seed=seed)
            rehearse(ThompsonSampling(places, low, high, groups=groups, seed=0), low)
        if learner.arms != len(self.candidates):
            raise ValueError(f"learner has {learner.arms} arms: expected {len(self.candidates)}, one a candidate")
        self.learner = learner
        count = len(self.candidates)
        self.plays, self.failures, self.costs = np.zeros(count, int), np.zeros(count, int), np.zeros(count)
        self._pace, self._iterations = np.zeros(count), 0.0
        self._setups, self._last_setup = np.zeros(count), 0.0
        self._taught = np.zeros(len(names), dtype=bool)
        self.overhead = self.regret = self.setup_seconds = 0.0
        self.looks = self.asleep = 0
        self._choices: dict[Cell, list[Any]] = {}
        self._weighed: set[int | Cell] = set()
        self._made: dict[int, tuple[Any, int]] = {}

    @property
    def has_context(self) -> bool:
        """Whether `solve` expects a context."""
        return self.cells.dimension > 0

    def solve(
        self,
        A: Any,
        b: Any,
        x0: Any = None,
        *,
        context: Context = None,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
    ) -> SolveResult:
        """Solve A x = b by the candidate that seems best, and learn from it.

        Parameters
        ----------
        A, b, x0, rtol, atol, maxiter
            As the candidates take them.
        context : float or sequence of float
            What is known of this system, within the range given to the constructor.

        Returns
        -------
        SolveResult
            `details["candidate"]` is the label of what solved it; `details["failed"]` of what was tried before.
        """
        place = self.cells(context)
        region = self.cells.region(place)
        ledger = self.ledger
        if ledger.left > 0:
            if region in self._weighed or not ledger.affords(0.0):
                return self._asleep(A, b, x0, rtol, atol, maxiter)
            ledger.wake()
            ledger.nap = FIRST_NAP
        started, options = self._clock(), {"rtol": rtol, "atol": atol, "maxiter": maxiter}
        self._weighed.add(region)
        if self.model is not None and self.model.wants_look(context, A) and ledger.affords(0.0):
            return self._look(started, A, b, x0, context, options)
        arm, base, expected, least = self._weigh(place, context)
        self.overhead += self._clock() - started
        result, value = self._attempt(arm, base, A, b, x0, options, context, place)
        spent = self._spent(started, result.details["iterations_in_all"])
        used = arm == self.default
        ledger.record(value if used or base is None else base, spent, was_default=used)
        if least is not None:
            self.regret += spent - least
        if expected is not None and spent > 2 * expected and place in self._choices:
            self._choices[place][0] = 0  # not as it was: weigh again next time
        return result

    def _asleep(self, A: Any, b: Any, x0: Any, rtol: float, atol: float, maxiter: int | None) -> SolveResult:
        """Solve by the default, and weigh nothing; the solver's own clock does."""
        candidate = self.candidates[self.default]
        if candidate.factory is None:
            result = candidate.method(A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, **candidate.parameters)
            if not isinstance(result, SolveResult):
                result = candidate.judged(A, b, result, {"rtol": rtol, "atol": atol})
            result.details["candidate"] = self._default_label
        else:
            result = self._run(self.default, A, b, x0, {"rtol": rtol, "atol": atol, "maxiter": maxiter})
        self.asleep += 1
        self.ledger.slept(float(result.iterations) if self.cost == "iterations" else result.seconds + self._last_setup)
        return result

    def _look(self, started: float, A: Any, b: Any, x0: Any, context: Context, options: dict[str, Any]) -> SolveResult:
        """Solve by plain conjugate gradients, for the model."""
        result = small_cg(A, b, x0, **options)
        assert self.model is not None
        self.model.observe(context, A, result)
        if not result.converged:
            result = self._run(self.default, A, b, x0, options)
        spent = self._spent(started, result.iterations)
        base = self._predictions(context)[self.default]
        self.ledger.record(float(base) if math.isfinite(base) else spent, spent)
        result.details["candidate"] = "look"
        self.looks += 1
        return result

    def _weigh(self, place: Cell, context: Context) -> tuple[int, float | None, float | None, float | None]:
        """Choose; return the candidate, what the default, it and the best one are expected to cost."""
        kept = self._choices.get(place)
        if kept is not None and kept[0] > 0:
            kept[0] -= 1
            return kept[2], kept[3], kept[4], kept[5]
        if self.plays[self.default] < WARM:
            return self.default, None, None, None
        arm = self.learner.choose(context)
        costs = self._predictions(context)
        base, least = float(costs[self.default]), float(costs.min())
        best = int(costs.argmin())
        new = not math.isfinite(costs[arm])
        if self.ledger.wants_refresh(base - least):
            arm = self.default
        elif not self.ledger.affords(base if new else max(0.0, float(costs[arm]) - base)):
            arm = best if self.ledger.affords(0.0) else self.default
        expected = None if new else float(costs[arm])
        if self.cost == "seconds" and arm == best:
            length = min(LONGEST_CRUISE, (kept[1] if kept else 0) + 1)
            self._choices[place] = [length, length, arm, base, expected, least]
        return arm, base, expected, least

    def _predictions(self, context: Context) -> NDArray[np.float64]:
        """Expected costs; infinity for methods that were never tried."""
        ask = getattr(self.learner, "predictions", None)
        if ask is None:  # a learner without contexts: means so far
            return np.where(self.plays > 0, self.costs / np.maximum(self.plays, 1), np.inf)
        return np.where(self._taught[self._groups], ask(context), np.inf)

    def _attempt(
        self, arm: int, base: float | None, A: Any, b: Any, x0: Any, options: dict[str, Any], context: Context,
        place: Cell,
    ) -> tuple[SolveResult, float]:  # fmt: skip
        """Solve by a candidate, by the default where it fails, and learn what it cost; return that cost, too."""
        limits = dict(options)
        if arm != self.default and base is not None:
            limits["maxiter"] = self._limit(arm, base, options["maxiter"])
        started = self._clock()
        error: str | None = None
        try:
            result = self._run(arm, A, b, x0, limits)
            failed = not result.converged
        except (ValueError, RuntimeError, ArithmeticError, ImportError) as problem:
            if arm == self.default:
                raise
            failed, error = True, str(problem)
        iterations = 0 if error is not None else result.iterations
        value = self._spent(started, iterations, arm)
        self.plays[arm] += 1
        self.costs[arm] += value
        self.failures[arm] += failed
        fresh = self.cost == "seconds" and self.plays[arm] == 1 and self._first(arm)
        if failed and arm != self.default:
            value = max(value, self.cap * base) if base is not None else value
            self._choices.pop(place, None)
            logger.info("%s failed (%s): the default solves this system", self.candidates[arm].label, error)
            tried = iterations
            result = self._run(self.default, A, b, x0, options)
            result.details["failed"] = self.candidates[arm].label
            iterations = tried + result.iterations
        result.details["iterations_in_all"] = iterations
        done = self._clock()
        kept = self._choices.get(place)
        if not fresh and (kept is None or kept[0] in (0, kept[1]) or self.cost == "iterations"):
            self._taught[self._groups[arm]] = True
            self.learner.update(arm, value, context)  # while a choice is kept, its first and its last system suffice
            if self.model is not None:
                self.model.observe(context, A, result)
        self.overhead += self._clock() - done
        return result, value

    def _first(self, arm: int) -> bool:
        """Whether no candidate of the same name was tried before: loading compiled code is no cost of the method."""
        return sum(int(n) for n, g in zip(self.plays, self._groups, strict=True) if g == self._groups[arm]) == 1

    def _limit(self, arm: int, base: float, maxiter: int | None) -> int:
        """Iterations at which an attempt is given up."""
        if self.cost == "iterations":
            most = self.cap * base + 5
        elif self._pace[arm] > 0:
            most = self.cap * base / self._pace[arm] + 5
        else:
            most = self.cap * self._iterations + 10
        return int(min(most, math.inf if maxiter is None else maxiter, 10**9))

    def _run(self, arm: int, A: Any, b: Any, x0: Any, options: dict[str, Any]) -> SolveResult:
        """Solve by one candidate, with a preconditioner that is made or kept."""
        candidate, M = self.candidates[arm], None
        if candidate.factory is not None:
            M, made = self._made.get(arm, (None, -1))
            if M is None or self.ledger.steps - made >= candidate.every or tuple(M.shape) != shape_of(A):
                started = self._clock()
                M = candidate.factory(A, **candidate.parameters)
                self._last_setup = self._clock() - started
                self.setup_seconds += self._last_setup
                self._made[arm] = (M, self.ledger.steps)
            else:
                self._last_setup = 0.0
        started = self._clock()
        result = candidate.run(A, b, x0, M, **options)
        pace = (self._clock() - started) / max(1, result.iterations)
        self._pace[arm] = pace if self._pace[arm] == 0 else 0.8 * self._pace[arm] + 0.2 * pace
        if arm == self.default:
            self._iterations = max(result.iterations, 0.9 * self._iterations)
        result.details["candidate"] = candidate.label
        return result

    def _spent(self, started: float, iterations: int, arm: int | None = None) -> float:
        """What was spent since; for learning, with a set-up shared over the systems that it serves."""
        if self.cost == "iterations":
            return float(iterations)
        seconds = self._clock() - started
        if arm is None or self.candidates[arm].factory is None or self.candidates[arm].every == 1:
            return seconds
        if self._last_setup > 0:
            self._setups[arm] = self._last_setup
        return max(0.0, seconds - self._last_setup) + float(self._setups[arm]) / self.candidates[arm].every

    def best(self, context: Context = None) -> Candidate:
        """Return the candidate that is expected to cost least."""
        return self.candidates[int(self._predictions(context).argmin())]

    def report(self) -> Report:
        """Say what was chosen, what was learned, and what it cost."""
        return Report.of(self)

    def state(self) -> dict[str, Any]:
        """Return everything learned, fit for JSON; preconditioners are made anew."""
        return {
            "candidates": [c.label for c in self.candidates],
            "learner": self.learner.state(),
            "model": None if self.model is None else self.model.state(),
            "ledger": self.ledger.state(),
            "weighed": [place if isinstance(place, int) else list(place) for place in self._weighed],
            "choices": [[list(place), kept] for place, kept in self._choices.items()],
            **{name: getattr(self, name).tolist() for name in _ARRAYS},
            **{name: getattr(self, name) for name in _NUMBERS},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Parameters
        ----------
        state : dict
            Of a solver made with the same candidates.

        Raises
        ------
        ValueError
            If the candidates differ.
        """
        labels = [c.label for c in self.candidates]
        if state["candidates"] != labels:
            raise ValueError(f"the state has the candidates {state['candidates']}: expected {labels}")
        self.learner.restore(state["learner"])
        if self.model is not None and state["model"] is not None:
            self.model.restore(state["model"])
        self.ledger.restore(state["ledger"])
        self._weighed = {place if isinstance(place, int) else tuple(place) for place in state["weighed"]}
        self._choices = {tuple(place): list(kept) for place, kept in state["choices"]}
        for name in _ARRAYS:
            setattr(self, name, np.array(state[name]))
        for name in _NUMBERS:
            setattr(self, name, state[name])

    def save(self, path: Path | str) -> None:
        """Write the state to a file, whole or not at all."""
        save_state(self.state(), Path(path))

    def load(self, path: Path | str) -> None:
        """Read a state that `save` wrote."""
        self.restore(load_state(Path(path)))


_ARRAYS = ("plays", "failures", "costs", "_pace", "_setups", "_taught")
_NUMBERS = ("looks", "asleep", "overhead", "regret", "setup_seconds", "_iterations")
