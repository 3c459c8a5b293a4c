"""The bars of the benchmark: what each ratio must reach, so that a run says pass or miss by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from conjugo.cases.peers import DST, PEERS
from conjugo.cases.race import Lap
from conjugo.cases.table import Table, significant

MULTIGRID, BLACK_BOX = "multigrid", "cg + multigrid"
"""Our method on constant coefficients, and on variable ones and masks."""

PEER_NAMES = frozenset(method.name for method in PEERS) - {DST}

type Results = Mapping[str, Mapping[str, Lap]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A measured number beside its bar; `bound` None means that it is only reported."""

    what: str
    value: float
    sense: str
    bound: float | None

    @property
    def passed(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if self.bound is None:
            return None
        return self.value <= self.bound if self.sense == "<=" else self.value >= self.bound

    @property
    def margin(self) -> float | None:
        """How many times better than its bar: 1 just meets it; None without a bar or where a number is zero."""
        if self.bound is None or not self.value > 0 or not self.bound > 0:
            return None
        return self.bound / self.value if self.sense == "<=" else self.value / self.bound


def at_most(what: str, value: float, bound: float) -> Verdict:
    """Say that a number must not exceed its bar."""
    return Verdict(what, value, "<=", bound)


def at_least(what: str, value: float, bound: float) -> Verdict:
    """Say that a number must reach its bar."""
    return Verdict(what, value, ">=", bound)


def reported(what: str, value: float) -> Verdict:
    """Give a number without a bar."""
    return Verdict(what, value, "", None)


def race_verdicts(results: Results) -> list[Verdict]:
    """Judge the races by the bars; problems and methods that did not run are left out."""
    verdicts: list[Verdict] = []
    for problem, laps in results.items():
        for rule in RULES.get(problem, ()):
            verdicts += rule(problem, laps)
    return verdicts


def _constant(iterations: int) -> Callable[[str, Mapping[str, Lap]], list[Verdict]]:
    def rule(problem: str, laps: Mapping[str, Lap]) -> list[Verdict]:
        ours = laps.get(MULTIGRID)
        if ours is None:
            return []
        verdicts = []
        if DST in laps:
            ratio = ours.total / laps[DST].total
            verdicts.append(at_most(f"{problem}: multigrid over the DST solve, seconds", ratio, 2.5))
        peers = [lap.total for name, lap in laps.items() if name in PEER_NAMES and lap.outcome.converged]
        if peers:
            ratio = min(peers) / ours.total
            verdicts.append(at_least(f"{problem}: best peer over multigrid, set-up + solve", ratio, 15))
        if ours.bytes_per_unknown is not None:
            verdicts.append(at_most(f"{problem}: bytes an unknown of multigrid", ours.bytes_per_unknown, 35))
        count = ours.outcome.iterations
        verdicts.append(
            at_most(f"{problem}: iterations off {iterations} (it took {count})", abs(count - iterations), 1)
        )
        return verdicts

    return rule


def _against(iterations: int | None, bounds: Mapping[str, float | None]) -> Callable[..., list[Verdict]]:
    def rule(problem: str, laps: Mapping[str, Lap]) -> list[Verdict]:
        ours = laps.get(BLACK_BOX)
        if ours is None:
            return []
        count = ours.outcome.iterations
        what = f"{problem}: iterations of {BLACK_BOX}"
        verdicts = [reported(what, count) if iterations is None else at_most(what, count, iterations)]
        for name, bound in bounds.items():
            if name in laps and laps[name].outcome.converged:
                ratio = laps[name].total / ours.total
                text = f"{problem}: {name} over {BLACK_BOX}, set-up + solve"
                verdicts.append(reported(text, ratio) if bound is None else at_least(text, ratio, bound))
        return verdicts

    return rule


RS, GAMG = "pyamg RS + cg", "petsc cg + gamg"

RULES: dict[str, Sequence[Callable[[str, Mapping[str, Lap]], list[Verdict]]]] = {
    "c2": [_constant(8)],
    "c3": [_constant(10)],
    "v2": [_against(30, {RS: 5.0, GAMG: 10.0})],
    "v2 1e6": [_against(None, {RS: None, GAMG: None})],
    "v2 noise": [_against(None, {RS: None, GAMG: None})],
    "m2": [_against(10, {RS: 3.0, GAMG: 3.0})],
    "v3": [_against(None, {RS: None, GAMG: None})],
}
"""Rules of each problem of the suite."""


def table(verdicts: Sequence[Verdict]) -> Table:
    """Tabulate verdicts."""
    result = Table(["what", "measured", "bar", ""])
    for v in verdicts:
        mark = {True: "pass", False: "MISS", None: "reported"}[v.passed]
        bar = "-" if v.bound is None else f"{v.sense} {v.bound:g}"
        result.add(v.what, significant(v.value), bar, mark)
    return result
