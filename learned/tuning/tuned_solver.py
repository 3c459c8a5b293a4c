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

from conjugo.learned.tuning.arms import Candidate, find, places_of
from conjugo.learned.tuning.attempts import TRIAL, Attempts
from conjugo.learned.tuning.cells import Cell, Cells, Ends
from conjugo.learned.tuning.learner import Context, Learner
from conjugo.learned.tuning.ledger import FIRST_NAP, LOUD, TOLL, WORTH, Ledger, rehearse
from conjugo.learned.tuning.rates import Rates
from conjugo.learned.tuning.relaxation_model import RelaxationModel
from conjugo.learned.tuning.report import Report
from conjugo.learned.tuning.runner import Runner
from conjugo.learned.tuning.saved_state import load_state, restore_to, save_state, state_of
from conjugo.learned.tuning.thompson import ThompsonSampling
from conjugo.solvers.krylov.split_cg import small_cg
from conjugo.solvers.result import SolveResult

logger = logging.getLogger(__name__)

WARM = 3
"""Systems that the default solves before anything else is tried."""

LONGEST_CRUISE = 64
"""Systems in one context that are solved by the same choice before it is weighed again."""


class TunedSolver(Attempts):
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
    lost. In seconds, iterations are learned, and `Rates` turns them into seconds; a trial is given up at 1.2 times what
    the best choice is expected to cost, counts as what its residual promises, and the best choice goes on from where
    the trial came. In iterations a failed attempt counts as its cap. A choice is kept for a while in each cell of the
    context, so that weighing costs little, and where nothing is to be saved the default solves alone for longer and
    longer. Memory does not grow with the number of systems.

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
        allowance: float = 0.02,
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
        self._priced = cost == "seconds" and learner is None
        self.rates = Rates(self._groups, [c.every if c.factory is not None else 1 for c in self.candidates])
        self._runner = Runner(self.candidates, clock)
        self._made_for_several = [i for i, c in enumerate(self.candidates) if c.factory is not None and c.every > 1]
        if learner is None:
            places, groups = places_of(self.candidates), self._groups
            learner = ThompsonSampling(places, low, high, groups=groups, prior=model, seed=seed)
            rehearse(ThompsonSampling(places, low, high, groups=groups, seed=0), low)
        if learner.arms != len(self.candidates):
            raise ValueError(f"learner has {learner.arms} arms: expected {len(self.candidates)}, one a candidate")
        self.learner = learner
        count = len(self.candidates)
        self.plays, self.failures, self.costs = np.zeros(count, int), np.zeros(count, int), np.zeros(count)
        self._iterations, self._drift = 0.0, 1.0
        self._taught = np.zeros(len(names), dtype=bool)
        self.overhead = self.regret = 0.0
        self.looks = self.asleep = 0
        self._choices: dict[Cell, list[Any]] = {}
        self._weighed: set[int | Cell] = set()
        self._quick = cost == "seconds" and self.candidates[self.default].factory is None and self.cells.dimension < 2
        self._nap: list[float] | None = None  # seconds left, systems, seconds of the last ones, ends of the contexts

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
        nap = self._nap
        if nap is not None:
            if nap[3] == -math.inf or (isinstance(context, float) and nap[3] <= context <= nap[4]):
                result = self._direct(A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, **self._constant)
                seconds = result.seconds
                result.details["candidate"] = self._default_label
                nap[0] -= seconds
                nap[1] += 1.0
                nap[2] += 0.1 * (seconds - nap[2])
                if nap[0] <= 0.0 or nap[2] > nap[5]:
                    self._settle()
                return result  # type: ignore[no-any-return]
            self._settle()
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
        result, value = self._attempt(arm, base, least, A, b, x0, options, context, place)
        spent = self._spent(started, result.details["iterations_in_all"])
        used = arm == self.default
        best = expected is not None and least is not None and expected <= least
        promised = None if base is None or least is None or not self._priced else base - least
        ledger.record(value if used or base is None else base * self._drift, spent, was_default=used,
                      promised=promised, was_best=best and not used)  # fmt: skip
        if expected is not None and (used or best):
            self._drift += 0.03 * (min(2.0, max(0.5, value / expected)) - self._drift)
        if least is not None:
            self.regret += spent - least
        if expected is not None and spent > 2 * expected and place in self._choices:
            self._choices[place][0] = 0  # not as it was: weigh again next time
        return result

    @property
    def setup_seconds(self) -> float:
        """Seconds that set-ups took."""
        return self._runner.setup_seconds

    def _asleep(self, A: Any, b: Any, x0: Any, rtol: float, atol: float, maxiter: int | None) -> SolveResult:
        """Solve by the default, and weigh nothing; the next ones go straight to it."""
        result = self._run(self.default, A, b, x0, {"rtol": rtol, "atol": atol, "maxiter": maxiter})
        self.asleep += 1
        cost = float(result.iterations) if self.cost == "iterations" else self._runner.took + self._runner.setup
        self.ledger.slept(cost)
        if self._quick and self.ledger.left > 0 and "info" not in result.details and result.seconds > 0:
            ends = self.cells.ends(self._weighed) if self.ledger.affords(0.0) else self.cells.ends(None)
            candidate = self.candidates[self.default]
            self._direct, self._constant = candidate.method, dict(candidate.parameters)
            usual = max(self.ledger.recent, result.seconds)
            self._nap = [self.ledger.left, 0.0, usual, *ends, LOUD * usual if self.ledger.affords(0.0) else math.inf]
        return result

    def _settle(self) -> None:
        """Enter the systems that went straight to the default."""
        if self._nap is not None:
            (left, systems, *_), self._nap = self._nap, None
            if systems:
                self.asleep += int(systems)
                self.ledger.slept(self.ledger.left - left, int(systems))

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
        costs = self._predictions(context)
        base, best = float(costs[self.default]), int(costs.argmin())
        if self._priced and costs[best] > (1.0 - WORTH) * base:
            best = self.default
        least = float(costs[best])
        arm = self._draw(context, costs) if self._priced else self.learner.choose(context)
        new = not math.isfinite(costs[arm])
        risk = TRIAL * min(base, 2 * least) if new and self._priced else base if new else max(0.0, costs[arm] - base)
        if self.ledger.wants_refresh(base - least):
            arm = self.default
        elif not self.ledger.affords(risk):
            arm = best if self.ledger.affords(0.0) or self.ledger.pays > WORTH else self.default
            if arm == self.default == best and self._priced:
                self.ledger.wait_for(risk)  # to weigh on would only eat up what is needed for it
        expected = float(costs[arm]) if math.isfinite(costs[arm]) else None
        if self.cost == "seconds" and arm == best:
            length = min(LONGEST_CRUISE, 2 * kept[1] if kept else 1)
            self._choices[place] = [length, length, arm, base, expected, least]
        return arm, base, expected, least

    def _draw(self, context: Context, costs: NDArray[np.float64]) -> int:
        """Choose by seconds: a method that was never tried, or what is cheapest in a draw.

        A trial that needs a set-up is charged all of it, as it may be the only system that this serves.
        """
        for group in range(len(self._taught)):
            if not self._taught[group]:
                members = [i for i, g in enumerate(self._groups) if g == group]
                told = None if self.model is None else self.model(context)
                if told is not None and np.isfinite(told[members]).all():
                    return members[int(told[members].argmin())]
                longest = max(self.candidates[i].every for i in members)  # the second trial then needs no set-up
                members = [i for i in members if self.candidates[i].every == longest]
                return members[len(members) // 2]
        assert isinstance(self.learner, ThompsonSampling)
        drawn, best = self.rates.seconds(self.learner.draw(context)), int(costs.argmin())
        for arm in self._made_for_several:
            if arm != best and not self._runner.at_hand(arm, self.ledger.steps):
                drawn[arm] += self.rates.unshared(arm)
        return int(np.where(np.isfinite(costs), drawn, np.inf).argmin())

    def _predictions(self, context: Context) -> NDArray[np.float64]:
        """Expected costs; infinity for methods that were never tried."""
        ask = getattr(self.learner, "predictions", None)
        if ask is None:  # a learner without contexts: means so far
            return np.where(self.plays > 0, self.costs / np.maximum(self.plays, 1), np.inf)
        told = self.rates.seconds(ask(context)) if self._priced else ask(context)
        return np.where(self._taught[self._groups], told, np.inf)

    def best(self, context: Context = None) -> Candidate:
        """Return the candidate that is expected to cost least."""
        return self.candidates[int(self._predictions(context).argmin())]

    def report(self) -> Report:
        """Say what was chosen, what was learned, and what it cost."""
        self._settle()
        return Report.of(self)

    def state(self) -> dict[str, Any]:
        """Return everything learned, fit for JSON; preconditioners are made anew."""
        self._settle()
        return state_of(self)

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
        self._nap = None
        restore_to(self, state)

    def save(self, path: Path | str) -> None:
        """Write the state to a file, whole or not at all."""
        save_state(self.state(), Path(path))

    def load(self, path: Path | str) -> None:
        """Read a state that `save` wrote."""
        self.restore(load_state(Path(path)))
