"""Several methods on the same pressure solves of a plume: one of them advances it, all are timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.cases.methods import METHODS, Method, Solve
from conjugo.cases.trial import ABOVE, OUT_OF_TIME, Clock, warm_up
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.result import SolveResult, Status

type Values = NDArray[np.float64]

USUAL = ("cg", "cg + mic", "cg + multigrid", "smoothed aggregation", "ruge-stuben", "fcg + dcdm",
         "cg + learned multigrid")  # fmt: skip
"""Names of methods that are raced by default, where they exist, are installed and suit the problem."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One method on the pressure solve of one step.

    Parameters
    ----------
    method : str
        Its name.
    step : int
        Number of the step, from 1.
    iterations : int
        Iterations from the common guess.
    seconds : float
        Wall-clock time of the solve, without the set-up.
    residual : float
        ||b - A x|| / ||b||, recomputed from x.
    status : str
        A `Status`, "time budget", or "above rtol" where the claim is not borne out.
    """

    method: str
    step: int
    iterations: int
    seconds: float
    residual: float
    status: str

    @property
    def converged(self) -> bool:
        """Whether the true residual met the tolerance."""
        return self.status == Status.CONVERGED


@dataclass(slots=True)
class Entrant:
    """A method in the race: set up once, with the laps that it has done."""

    method: Method
    solve: Solve
    setup_seconds: float
    laps: list[Lap] = field(default_factory=list)

    @property
    def out(self) -> bool:
        """Whether a solve took longer than its budget: such a method leaves the race."""
        return bool(self.laps) and self.laps[-1].status == OUT_OF_TIME

    @property
    def median_seconds(self) -> float:
        """Median seconds of a step, without the set-up."""
        return float(np.median([lap.seconds for lap in self.laps])) if self.laps else float("nan")

    @property
    def median_iterations(self) -> float:
        """Median iterations of a step."""
        return float(np.median([lap.iterations for lap in self.laps])) if self.laps else float("nan")

    @property
    def seconds_with_setup(self) -> float:
        """Mean seconds of a step with its share of the set-up."""
        total = self.setup_seconds + sum(lap.seconds for lap in self.laps)
        return total / len(self.laps) if self.laps else float("nan")

    def facts(self) -> dict[str, Any]:
        """What result.json keeps."""
        return {
            "method": self.method.name,
            "family": self.method.family,
            "steps": len(self.laps),
            "steps_converged": sum(lap.converged for lap in self.laps),
            "setup_seconds": self.setup_seconds,
            "median_seconds": self.median_seconds,
            "seconds_with_setup": self.seconds_with_setup,
            "median_iterations": self.median_iterations,
            "most_iterations": max((lap.iterations for lap in self.laps), default=0),
            "largest_residual": max((lap.residual for lap in self.laps), default=float("nan")),
            "status": next((lap.status for lap in self.laps if not lap.converged), Status.CONVERGED.value),
        }


class Race:
    """Methods that solve the same systems; as a pressure solver it returns the answer of the reference.

    Parameters
    ----------
    problem : LinearProblem
        Gives the operator.
    small : LinearProblem
        The like on few cells, on which first calls are made untimed.
    reference : Method
        Whose answers advance the plume; it need not be among the methods that are timed.
    rtol : float
        Relative tolerance of the true residual.
    budget : float
        Seconds that one solve may take.
    """

    def __init__(
        self, problem: LinearProblem, small: LinearProblem, reference: Method, *, rtol: float, budget: float
    ) -> None:
        self.problem, self.rtol, self.budget = problem, rtol, budget
        self.small = _with_some_b(small)
        self.some_b = _with_some_b(problem).b
        self.entrants: list[Entrant] = []
        self.refused: dict[str, str] = {}
        self.reference = reference
        self.reference_laps: list[Lap] = []
        self._advance: Solve | None = None
        self._step = 0

    def enter(self, method: Method) -> None:
        """Set a method up, timed, after first calls that are not."""
        warm_up(method, self.small)
        start = time.perf_counter()
        try:
            solve = method.setup(self.problem)
            ready = time.perf_counter()
            solve(self.some_b, rtol=0.1, maxiter=3)
        except (ValueError, NotImplementedError) as error:
            self.refused[method.name] = str(error)
            return
        self.entrants.append(Entrant(method, solve, ready - start))
        if method.name == self.reference.name:
            self._advance = solve

    def __call__(self, A: Any, b: Values, x0: Values) -> SolveResult:
        """Let every method solve A x = b from x0, in an order that turns with the steps."""
        if self._advance is None:
            self._advance = self.reference.setup(self.problem)
        self._step += 1
        answer: SolveResult | None = None
        for i in range(len(self.entrants)):
            entrant = self.entrants[(i + self._step) % len(self.entrants)]
            if entrant.out:
                continue
            lap, result = self._lap(entrant.method.name, entrant.solve, A, b, x0, self.budget)
            entrant.laps.append(lap)
            if entrant.solve is self._advance:
                self.reference_laps.append(lap)
                answer = result
        if answer is None:
            lap, answer = self._lap(self.reference.name, self._advance, A, b, x0, 10 * self.budget)
            self.reference_laps.append(lap)
        return answer

    def forget_stopped(self) -> None:
        """Strike laps that Ctrl-C ended."""
        for laps in (self.reference_laps, *(entrant.laps for entrant in self.entrants)):
            if laps and laps[-1].status == Status.STOPPED:
                laps.pop()

    def _lap(self, name: str, solve: Solve, A: Any, b: Values, x0: Values, budget: float) -> tuple[Lap, SolveResult]:
        start = time.perf_counter()
        clock = Clock(budget)
        result = from_guess(solve, A, b, x0, rtol=self.rtol, callback=clock)
        spent = time.perf_counter() - start
        size = float(np.linalg.norm(b)) or 1.0
        residual = float(np.linalg.norm(b - A @ result.x)) / size
        status = OUT_OF_TIME if clock.expired and not result.converged else result.status.value
        if status == Status.CONVERGED and residual > 1.1 * self.rtol:
            status = ABOVE
        return Lap(name, self._step, result.iterations, spent, residual, status), result


def from_guess(solve: Solve, A: Any, b: Values, x0: Values, *, rtol: float, callback: Any = None) -> SolveResult:
    """Solve A x = b from a first guess, by a method that takes none: A e = b - A x0, x = x0 + e.

    Parameters
    ----------
    solve : callable
        A method that is set up.
    A : operator
        What it was set up for.
    b, x0 : (n,) arrays
        Right-hand side and first guess.
    rtol : float
        Stop at ||b - A x|| <= rtol ||b||, whatever the guess.
    callback : callable, optional
        As the method's.

    Returns
    -------
    SolveResult
        After no iteration at all where the guess is good enough.

    Examples
    --------
    >>> from functools import partial
    >>> from conjugo.solvers import cg
    >>> A, b = np.diag([1.0, 2.0]), np.array([1.0, 2.0])
    >>> from_guess(partial(cg, A), A, b, np.array([1.0, 1.0]), rtol=1e-8).iterations
    0
    """
    r = b - A @ x0
    left, goal = float(np.linalg.norm(r)), rtol * float(np.linalg.norm(b))
    if left <= goal:
        return SolveResult(x0.copy(), Status.CONVERGED, np.array([left]), 0.0, "guess", {})
    result = solve(r, rtol=goal / left, callback=callback)
    return replace(result, x=x0 + result.x)


def usual(problem: LinearProblem) -> list[str]:
    """Names of the methods of `USUAL` that exist here and suit the problem.

    Examples
    --------
    >>> from conjugo.pde import pressure
    >>> "cg + mic" in usual(pressure("tank", (8, 8)))
    True
    """
    there = {method.name for method in METHODS if method.installed and method.suits(problem)}
    return [name for name in USUAL if name in there]


def in_order(names: Sequence[str], methods: Sequence[Method]) -> list[Method]:
    """Sort methods as their names are listed; those that a family brought stay behind."""
    place = {name: i for i, name in enumerate(names)}
    return sorted(methods, key=lambda method: place.get(method.name, len(place)))


def _with_some_b(problem: LinearProblem) -> LinearProblem:
    """The problem with a right-hand side that it can solve."""
    return replace(problem, b=problem.A @ np.random.default_rng(0).standard_normal(problem.n))
