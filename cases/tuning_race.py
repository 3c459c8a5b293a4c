"""Run tuned and fixed solvers side by side through a sequence, every one on the same system before the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.cases.table import Table, seconds
from conjugo.learned.tuning import Candidate, TunedSolver

RTOL = 1e-8
"""Relative tolerance of every solve."""

type Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Race:
    """Seconds and iterations of every solver on every system.

    Parameters
    ----------
    name : str
        Of the sequence.
    labels : list of str
        The solvers: fixed ones first, then tuned ones.
    fixed : int
        How many of them are fixed settings that the tuned ones choose from, the default first.
    beside : int
        How many after those are fixed but not to choose from.
    contexts : (steps,) array
    seconds, iterations : (steps, solvers) array
    choices : dict
        For every tuned solver the label of what it used in every step.
    """

    name: str
    labels: list[str]
    fixed: int
    beside: int
    contexts: NDArray[np.float64]
    seconds: NDArray[np.float64]
    iterations: NDArray[np.float64]
    choices: Mapping[str, list[str]]

    @property
    def best(self) -> int:
        """The fixed setting with the least seconds in all."""
        return int(self.seconds[:, : self.fixed].sum(axis=0).argmin())

    @property
    def oracle(self) -> NDArray[np.float64]:
        """Seconds of the fixed setting that was the quickest in each step, (steps,)."""
        return np.asarray(self.seconds[:, : self.fixed].min(axis=1))

    def total(self, label: str) -> float:
        """Seconds of a solver in all."""
        return float(self.seconds[:, self.labels.index(label)].sum())

    @property
    def tuned(self) -> list[str]:
        """Labels of the tuned solvers."""
        return self.labels[self.fixed + self.beside :]


def race(
    name: str,
    sequence: Any,
    fixed: Sequence[Candidate],
    tuned: Mapping[str, TunedSolver],
    *,
    context: Callable[[float], float] = float,
    beside: Sequence[Candidate] = (),
    clock: Clock = time.perf_counter,
    stop: Any = None,
) -> Race:
    """Solve every system of a sequence by everyone, in turns; the sequence advances by the default's solution.

    Parameters
    ----------
    name : str
        For the bar and the table.
    sequence : Sequence
        Of `pde.evolution`.
    fixed : sequence of Candidate
        Fixed settings, the default first.
    tuned : mapping
        Tuned solvers.
    context : callable
        From the sequence's context to that of the tuned solvers.
    beside : sequence of Candidate
        Fixed solvers that the tuned ones do not choose from.
    clock : callable
        Seconds.
    stop : Interrupt, optional
        Ends the race early.
    """
    runs = [_fixed(candidate) for candidate in (*fixed, *beside)]
    labels = [candidate.label for candidate in (*fixed, *beside)] + list(tuned)
    runs += [_tuned(solver) for solver in tuned.values()]
    choices: dict[str, list[str]] = {label: [] for label in tuned}
    contexts: list[float] = []
    took: list[list[float]] = []
    counts: list[list[float]] = []
    turns = np.random.default_rng(0)
    with tqdm(sequence, desc=name, unit="step", leave=False, disable=None) as bar:
        for step, (A, b, raw) in enumerate(bar):
            place, u = float(context(raw)), sequence.u
            row, count, x = [0.0] * len(runs), [0.0] * len(runs), None
            for k in turns.permutation(len(runs)).tolist():  # nobody always follows the same one
                started = clock()
                result = runs[k](A, b, u, place, step)
                row[k], count[k] = clock() - started, float(result.iterations)
                if k == 0:
                    x = result.x
                if labels[k] in choices:
                    choices[labels[k]].append(result.details["candidate"])
            sequence.advance(x)
            contexts.append(place)
            took.append(row)
            counts.append(count)
            if stop is not None and stop.happened:
                break
    return Race(name, labels, len(fixed), len(beside), np.array(contexts), np.array(took), np.array(counts), choices)


def warm_up(sequence: Any, candidates: Iterable[Candidate]) -> None:
    """Solve the first system by everyone once, untimed: compiled code is then loaded."""
    A, b, _ = next(iter(sequence))
    for candidate in candidates:
        M = None if candidate.factory is None else candidate.factory(A, **candidate.parameters)
        candidate.run(A, b, sequence.u, M, rtol=RTOL, atol=0.0, maxiter=None)


def paces(
    A: Any, b: NDArray[np.float64], methods: Mapping[str, Callable[..., Any]], *, repeats: int = 7,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:  # fmt: skip
    """Seconds of an iteration of some methods on one system, in turns, the least of some repeats."""
    least = dict.fromkeys(methods, np.inf)
    for _ in range(repeats):
        for name, method in methods.items():
            started = clock()
            result = method(A, b, rtol=RTOL)
            least[name] = min(least[name], (clock() - started) / max(1, result.iterations))
    return least


def _fixed(candidate: Candidate) -> Callable[..., Any]:
    """One setting for all steps; its preconditioner is made anew every `every` steps."""
    kept: list[Any] = [None]

    def run(A: Any, b: Any, u: Any, place: float, step: int) -> Any:
        if candidate.factory is not None and step % candidate.every == 0:
            kept[0] = candidate.factory(A, **candidate.parameters)
        return candidate.run(A, b, u, kept[0], rtol=RTOL, atol=0.0, maxiter=None)

    return run


def _tuned(solver: TunedSolver) -> Callable[..., Any]:
    has_context = solver.has_context
    return lambda A, b, u, place, step: solver.solve(A, b, u, context=place if has_context else None, rtol=RTOL)


def table(races: Sequence[Race]) -> Table:
    """Seconds in all, and what they are of the default's and of the best fixed setting's."""
    result = Table(["sequence", "solver", "seconds", "of the default", "of the best fixed", "iterations"], left=2)
    for r in races:
        default, best = float(r.seconds[:, 0].sum()), float(r.seconds[:, r.best].sum())
        named = [(f"default: {r.labels[0]}", 0), (f"best fixed: {r.labels[r.best]}", r.best)]
        named += [(r.labels[k], k) for k in range(r.fixed, len(r.labels))]
        for label, k in named:
            total = float(r.seconds[:, k].sum())
            result.add(r.name, label, seconds(total), f"{total / default:.3f}", f"{total / best:.3f}",
                       f"{r.iterations[:, k].sum():.0f}")  # fmt: skip
        oracle = float(r.oracle.sum())
        result.add(r.name, "per-step oracle", seconds(oracle), f"{oracle / default:.3f}", f"{oracle / best:.3f}", "-")
    return result


def facts(r: Race) -> dict[str, Any]:
    """What result.json keeps of a race."""
    totals = {label: float(r.seconds[:, k].sum()) for k, label in enumerate(r.labels)}
    counts = {label: float(r.iterations[:, k].sum()) for k, label in enumerate(r.labels)}
    best = r.labels[r.best]
    return {"name": r.name, "steps": len(r.contexts), "default": r.labels[0], "best_fixed": best,
            "oracle_seconds": float(r.oracle.sum()), "seconds": totals, "iterations": counts}  # fmt: skip
