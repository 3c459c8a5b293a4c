"""One method on one problem: set up, solve within a time budget, and judge the answer independently."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.cases.conditions import symmetric
from conjugo.cases.methods import Method, needs_symmetry
from conjugo.pde.problem import LinearProblem
from conjugo.solvers import solve
from conjugo.solvers.result import SolveResult, Status

OUT_OF_TIME = "time budget"
REFUSED = "refused"
FIXED_CYCLES = "fixed cycles"
ABOVE = "above rtol"
"""Ends that are no `Status`: of full multigrid, which does not aim at rtol, and of a claim that x does not bear out."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What one method did on one problem.

    Parameters
    ----------
    method, family : str
        Its name, and the family that gives its colour in plots.
    status : str
        A `Status`, or "time budget", or "refused" where the method rejected the problem, or "fixed cycles" (full
        multigrid, whose aim is the discretisation's accuracy), or "above rtol".
    iterations : int
        Iterations done.
    setup_seconds, seconds : float
        Wall-clock time of the set-up and of the solve.
    residual : float
        ||b - A x|| / ||b||, recomputed here from x.
    error : float, optional
        h-weighted L2 distance to the exact solution, where that is known.
    error_ratio : float, optional
        That error over the error of the exact discrete solution: 1 is all that the grid can give.
    bytes_per_unknown : float, optional
        Most memory held beyond the problem itself, over the number of unknowns.
    residuals, times : (iterations + 1,) float64
        Relative residuals, and the seconds since the set-up began at which they were reached.
    x : array, optional
        The solution.
    note : str
        What the solver had to say.
    """

    method: str
    family: str
    status: str
    iterations: int = 0
    setup_seconds: float = 0.0
    seconds: float = 0.0
    residual: float = np.nan
    error: float | None = None
    error_ratio: float | None = None
    bytes_per_unknown: float | None = None
    residuals: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    times: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    x: Any = None
    note: str = ""

    @property
    def converged(self) -> bool:
        """Whether the true residual met the tolerance; full multigrid ends after the cycles that it does."""
        return self.status in (Status.CONVERGED, FIXED_CYCLES)

    @property
    def total_seconds(self) -> float:
        """Set-up and solve."""
        return self.setup_seconds + self.seconds

    def facts(self) -> dict[str, Any]:
        """What result.json keeps: everything but the arrays."""
        names = ("method", "family", "status", "iterations", "setup_seconds", "seconds", "residual")
        more = ("error", "error_ratio", "bytes_per_unknown", "note")
        return {name: getattr(self, name) for name in names + more}


class Clock:
    """A callback that notes when each iteration ended and stops the solve at the end of its budget."""

    def __init__(self, budget: float) -> None:
        self.deadline = time.perf_counter() + budget
        self.times: list[float] = []

    def __call__(self, *_: object) -> bool:
        now = time.perf_counter()
        self.times.append(now)
        return now > self.deadline

    @property
    def expired(self) -> bool:
        """Whether the budget is spent."""
        return bool(self.times) and self.times[-1] > self.deadline


def run_trial(
    method: Method, problem: LinearProblem, *, rtol: float, budget: float, maxiter: int | None = None
) -> Outcome:
    """Set up and solve once.

    Parameters
    ----------
    method : Method
        Who solves.
    problem : LinearProblem
        What is solved.
    rtol : float
        Relative tolerance of the true residual.
    budget : float
        Seconds after which the solve is stopped at the next iteration.
    maxiter : int, optional
        Most iterations; default the solver's own.

    Returns
    -------
    Outcome
        With status "refused" and the message where the method rejects the problem.
    """
    if needs_symmetry(method) and not symmetric(problem):
        note = "not applicable: it needs a symmetric A, which this is not; use fgmres, gmres or bicgstab"
        return Outcome(method.name, method.family, REFUSED, note=note)
    start = time.perf_counter()
    try:
        solve = method.setup(problem)
        ready = time.perf_counter()
        clock = Clock(budget)
        result = solve(problem.b, rtol=rtol, maxiter=maxiter, callback=clock)
    except (ValueError, NotImplementedError) as error:
        return Outcome(method.name, method.family, REFUSED, note=str(error))
    solved = time.perf_counter()
    status = OUT_OF_TIME if clock.expired and not result.converged else result.status.value
    judged = judge(
        problem,
        result,
        Outcome(
            method=method.name,
            family=method.family,
            status=status,
            iterations=result.iterations,
            setup_seconds=ready - start,
            seconds=solved - ready,
            times=_times(clock.times, start, ready, solved, len(result.residuals)),
            x=result.x,
            note=" ".join(str(result.details[key]) for key in ("why", "note") if key in result.details),
        ),
    )
    return _borne_out(judged, rtol)


def _borne_out(outcome: Outcome, rtol: float) -> Outcome:
    """Keep "converged" only where the residual recomputed here meets the tolerance, to a tenth."""
    if outcome.status != Status.CONVERGED or outcome.residual <= 1.1 * rtol:
        return outcome
    return replace(outcome, status=FIXED_CYCLES if outcome.method == "full multigrid" else ABOVE)


def judge(problem: LinearProblem, result: SolveResult, outcome: Outcome) -> Outcome:
    """Add what is computed from x alone: the true residual and the error."""
    size = float(np.linalg.norm(problem.b)) or 1.0
    residual = float(np.linalg.norm(problem.b - problem.A @ result.x)) / size
    error = None if problem.exact is None else problem.error(result.x)
    history = np.asarray(result.residuals, dtype=np.float64) / size
    return replace(outcome, residual=residual, error=error, residuals=history)


def warm_up(method: Method, problem: LinearProblem) -> None:
    """Run a method briefly, so that compilation and first calls are not timed."""
    run_trial(method, problem, rtol=1e-3, budget=5.0, maxiter=3)


def peak_of(method: Method, problem: LinearProblem, iterations: int = 3) -> Callable[[], object]:
    """Return the work whose peak memory counts: the set-up and a few iterations, without the check of the answer."""

    def work() -> object:
        with suppress(ValueError, NotImplementedError):  # a method that refuses needs no memory
            return method.setup(problem)(problem.b, rtol=1e-8, maxiter=iterations, callback=Clock(30.0))
        return None

    return work


def reference_error(problem: LinearProblem) -> float | None:
    """Return the error of the exact discrete solution: what the grid gives, whoever solves.

    Parameters
    ----------
    problem : LinearProblem
        A problem with an exact solution.

    Returns
    -------
    float or None
        None where the discrete system could not be solved to a relative residual of 1e-10.
    """
    result = solve(problem, rtol=1e-10)
    return problem.error(result.x) if result.converged and problem.exact is not None else None


def _times(stamps: list[float], start: float, ready: float, solved: float, count: int) -> NDArray[np.float64]:
    """Seconds of each residual: as stamped by the callback, else evenly spread over the solve."""
    if len(stamps) == count - 1:
        return np.array([ready, *stamps]) - start
    return np.linspace(ready - start, solved - start, count)
