"""A contest: every method on many problems of a class, judged by one rule, and what the numbers say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conjugo.cases.methods import Method
from conjugo.cases.table import Table, seconds
from conjugo.cases.trial import REFUSED, Outcome, run_trial
from conjugo.pde import poisson
from conjugo.pde.poisson.families import CONTEST_SEEDS, FAMILIES
from conjugo.pde.problem import LinearProblem

LEARNED = "learned"
"""Family of the learned methods."""
TOLERANCES = (1e-6, 1e-10)
"""Relative residuals at which methods are compared; solves aim at the last."""
QUICK = 0.5
"""Seconds below which a method runs three times, in turns with the others, of which the median counts."""
LOST = math.inf
"""Iterations and seconds of a solve that failed: larger than any."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One method on one problem: iterations and seconds of the solve to each tolerance, infinite where it failed."""

    problem: str
    seed: int
    outcome: Outcome

    def iterations(self, rtol: float) -> float:
        """Iterations until the residual met rtol."""
        at = self._reached(rtol)
        return LOST if at is None else at

    def seconds(self, rtol: float, *, setup: bool = False) -> float:
        """Seconds until the residual met rtol, without the set-up or with it."""
        at = self._reached(rtol)
        if at is None:
            return LOST
        before = 0.0 if setup else self.outcome.setup_seconds
        return max(float(self.outcome.times[at]) - before, 0.0)

    def _reached(self, rtol: float) -> int | None:
        """First iteration whose residual met rtol; the last must be borne out by x."""
        o = self.outcome
        if rtol <= TOLERANCES[-1] and not o.converged:
            return None
        met = np.flatnonzero(o.residuals <= rtol)
        return int(met[0]) if len(met) else None


def draw(family: str, shape: Sequence[int], seed: int) -> LinearProblem:
    """Make an unseen problem.

    Parameters
    ----------
    family : str
        A name in `FAMILIES`.
    shape : sequence of int
        Two or three axes.
    seed : int
        At least `CONTEST_SEEDS`: trained methods have seen the smaller ones.

    Raises
    ------
    ValueError
        For an unknown family, or a seed that training may have used.

    Examples
    --------
    >>> draw("box", (8, 8), 1_000_000).n
    64
    """
    if family not in FAMILIES:
        raise ValueError(f"class {family!r} is unknown; these exist: {', '.join(FAMILIES)}")
    if seed < CONTEST_SEEDS:
        raise ValueError(f"seed = {seed}: expected at least {CONTEST_SEEDS}; training draws from the smaller ones")
    return FAMILIES[family](shape, seed)


def for_method(method: Method, family: str, problem: LinearProblem) -> LinearProblem:
    """Give a classical method the box as a sum of one-dimensional operators, its fastest form; all else unchanged."""
    if family != "box" or method.family == LEARNED:
        return problem
    A = poisson(problem.A.grid_shape, bc="neumann", centring="cell").A
    return replace(problem, A=A)


def race(methods: Sequence[Method], family: str, problem: LinearProblem, *, budget: float) -> list[Outcome]:
    """Run all methods on a problem; quick ones three times, in turns, and keep the run of median duration.

    Parameters
    ----------
    methods : sequence of Method
        Those that do not suit the problem are left out.
    family : str
        Class of the problem.
    problem : LinearProblem
        What is solved, to the last of `TOLERANCES`.
    budget : float
        Seconds that a solve may take.
    """
    pairs = [(m, for_method(m, family, problem)) for m in methods]
    pairs = [(m, p) for m, p in pairs if m.suits(p)]
    runs = {m.name: [run_trial(m, p, rtol=TOLERANCES[-1], budget=budget)] for m, p in pairs}
    for _ in range(2):
        for m, p in pairs:
            first = runs[m.name][0]
            if first.total_seconds < QUICK and first.status != REFUSED:
                runs[m.name].append(run_trial(m, p, rtol=TOLERANCES[-1], budget=budget))
    typical = (sorted(group, key=lambda o: o.total_seconds)[len(group) // 2] for group in runs.values())
    return [replace(o, x=None) for o in typical]


def summary(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Median and worst of every method over the problems of one class, best first.

    Examples
    --------
    >>> summary([])
    []
    """
    rows = []
    count = len({e.seed for e in entries})
    for name in dict.fromkeys(e.outcome.method for e in entries):
        mine = [e for e in entries if e.outcome.method == name]
        row: dict[str, Any] = {"method": name, "family": mine[0].outcome.family, "problems": len(mine)}
        row["setup_seconds"] = float(np.median([e.outcome.setup_seconds for e in mine]))
        away = [LOST] * (count - len(mine))  # a problem that a method cannot be given is lost
        for rtol in TOLERANCES:
            for what, values in (
                ("iterations", [e.iterations(rtol) for e in mine]),
                ("seconds", [e.seconds(rtol) for e in mine]),
                ("total", [e.seconds(rtol, setup=True) for e in mine]),
            ):
                row[f"{what}_{rtol:.0e}"] = _middle([*values, *away]), max([*values, *away])
            row[f"failed_{rtol:.0e}"] = sum(math.isinf(e.iterations(rtol)) for e in mine)
        ends = [e.outcome.status for e in mine if not e.outcome.converged]
        row["failures"] = {end: ends.count(end) for end in dict.fromkeys(ends)}
        rows.append(row)
    return sorted(rows, key=lambda row: (row["seconds_1e-06"][0], row["seconds_1e-06"][1]))


def _middle(values: Sequence[float]) -> float:
    """Median; of two middle values the larger, so that half a class lost is lost."""
    return sorted(values)[len(values) // 2]


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """Tabulate a summary: median / worst."""
    result = Table(
        ["method", "set-up", "iterations 1e-6", "seconds 1e-6", "iterations 1e-10", "seconds 1e-10", "failures"], left=1
    )
    most = max((row["problems"] for row in rows), default=0)
    for row in rows:
        cells = []
        for rtol in TOLERANCES:
            cells.append(" / ".join(_count(v) for v in row[f"iterations_{rtol:.0e}"]))
            cells.append(" / ".join(_seconds(v) for v in row[f"seconds_{rtol:.0e}"]))
        fails = ", ".join(f"{count} {end}" for end, count in row["failures"].items())
        early = f"; {row['failed_1e-06']} before 1e-6" if row["failed_1e-06"] else ""
        away = f"not run on {most - row['problems']}" if row["problems"] < most else ""
        result.add(
            row["method"], seconds(row["setup_seconds"]), *cells, ", ".join(filter(None, (fails + early, away))) or "0"
        )
    return result


def verdict(family: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Say who wins a class to 1e-6: the best learned method against the best baseline, solves alone and with set-up.

    Returns
    -------
    dict
        class, baseline, learned, ratio, ratio_with_setup (learned over baseline; None without one) and a line.
    """
    classical = [row for row in rows if row["family"] != LEARNED]
    learned = [row for row in rows if row["family"] == LEARNED]
    facts: dict[str, Any] = {"class": family, "ratio": None, "ratio_with_setup": None}

    def best(group: Sequence[dict[str, Any]], key: str) -> tuple[str, float]:
        row = min(group, key=lambda row: row[key][0], default=None)
        return ("none", LOST) if row is None else (row["method"], row[key][0])

    alone, whole = best(classical, "seconds_1e-06"), best(classical, "total_1e-06")
    facts |= {"baseline": alone[0], "baseline_with_setup": whole[0]}
    if not learned:
        facts["line"] = f"{alone[0]} is best: {_seconds(alone[1])}; with set-up {whole[0]}: {_seconds(whole[1])}"
        return facts
    mine, mine_whole = best(learned, "seconds_1e-06"), best(learned, "total_1e-06")
    facts |= {"learned": mine[0], "ratio": _ratio(mine[1], alone[1])}
    facts["ratio_with_setup"] = _ratio(mine_whole[1], whole[1])
    a, b = facts["ratio"], facts["ratio_with_setup"]
    numbers = f"{a:.2f} times the seconds of {alone[0]}, {b:.2f} times those of {whole[0]} with set-up"
    if math.isinf(mine[1]):
        facts["line"] = f"{alone[0]} wins: {mine[0]} solves less than half of the problems"
    elif a < 1 and b < 1:
        facts["line"] = f"{mine[0]} wins: {numbers}"
    elif a < 1:
        facts["line"] = f"{mine[0]} wins only where its set-up is reused: {numbers}"
    else:
        facts["line"] = f"{alone[0]} wins: {mine[0]} takes {numbers}"
    return facts


def _ratio(mine: float, other: float) -> float:
    if math.isinf(mine):
        return LOST
    return 0.0 if math.isinf(other) else mine / other if other > 0 else LOST


def _count(value: float) -> str:
    return "fails" if math.isinf(value) else f"{value:.0f}"


def _seconds(value: float) -> str:
    return "fails" if math.isinf(value) else seconds(value)
