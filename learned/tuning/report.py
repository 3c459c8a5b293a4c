"""What a tuned solver has to say: what it chose, what it learned, what it saved and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from conjugo.learned.tuning.tuned_solver import TunedSolver


@dataclass(frozen=True, slots=True)
class Report:
    """The account of a tuned solver; `str` makes it readable.

    Parameters
    ----------
    unit : str
        "seconds" or "iterations".
    systems : int
        Systems solved.
    spent, default : float
        What was spent, and what the default would have cost (predicted where it did not run).
    overhead : float
        Seconds that weighing and learning took, part of `spent` in seconds.
    regret : float
        Estimate of what choosing the best candidate every time would have saved.
    played : list of (label, plays, mean cost, failures)
        Candidates that were tried, the most played first.
    learned : list of (context, label)
        The best candidate along the range of the context.
    """

    unit: str
    systems: int
    spent: float
    default: float
    overhead: float
    regret: float
    played: list[tuple[str, int, float, int]]
    learned: list[tuple[float | None, str]]

    @property
    def saved(self) -> float:
        """What the default would have cost less what was spent."""
        return self.default - self.spent

    @classmethod
    def of(cls, solver: TunedSolver) -> Report:
        """Collect the facts of a solver."""
        order = [int(i) for i in np.argsort(-solver.plays, kind="stable") if solver.plays[i]]
        played = [
            (
                solver.candidates[i].label,
                int(solver.plays[i]),
                float(solver.costs[i] / solver.plays[i]),
                int(solver.failures[i]),
            )
            for i in order
        ]
        if solver.asleep:
            mean = float(solver.costs[solver.default] / max(1, solver.plays[solver.default]))
            played.append((f"{solver.candidates[solver.default].label}, nothing weighed", solver.asleep, mean, 0))
            played.sort(key=lambda row: -row[1])
        learned: list[tuple[float | None, str]] = []
        if not solver.plays.any():
            pass
        elif not solver.has_context:
            learned = [(None, solver.best().label)]
        elif solver.cells.dimension == 1:
            points = [solver.cells.middle(share / 8) for share in range(9)]
            learned = [(c, solver.best(c).label) for c in points]
        ledger = solver.ledger
        return cls(
            solver.cost, ledger.steps, ledger.spent, ledger.base, solver.overhead, solver.regret, played, learned
        )

    def __str__(self) -> str:
        share = 100 * self.saved / self.default if self.default else 0.0
        lines = [
            f"{self.systems} systems: {self.spent:.4g} {self.unit}, the default about {self.default:.4g} "
            f"({share:+.1f} % saved); tuning itself took {self.overhead:.3g} s; regret about {self.regret:.3g}",
            "played:",
        ]
        for label, plays, cost, failures in self.played[:8]:
            failed = f", {failures} failed" if failures else ""
            lines.append(f"  {plays:>7} x {label}: {cost:.4g} {self.unit} on average{failed}")
        if len(self.played) > 8:
            rest = sum(plays for _, plays, _, _ in self.played[8:])
            lines.append(f"  {rest:>7} x {len(self.played) - 8} others")
        lines.append("learned:")
        for context, label in self.learned:
            lines.append(f"  {label}" if context is None else f"  context {round(context, 9):.4g}: {label}")
        return "\n".join(lines)
