"""Scores of models of dynamics over several seeds: errors by horizon, medians and spread, as tables."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from conjugo.cases.koopman_models import Row, fitted
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds, significant
from conjugo.learned.dynamics import LinearModel, Sliced, nrmse
from conjugo.pde.trajectories import Trajectories


@dataclass(slots=True)
class Scores:
    """What one model did, seed by seed."""

    model: str
    errors: list[NDArray[np.float64]] = field(default_factory=list)
    """NRMSE after 0, 1, ... steps, an array a seed."""
    seconds: list[float] = field(default_factory=list)
    """Of the fits."""
    extra: dict[str, list[float]] = field(default_factory=dict)
    """Other figures by name."""

    def add(self, forecast: NDArray[np.float64], truth: NDArray[np.float64], took: float, **extra: float) -> None:
        """Add a seed."""
        horizon = forecast.shape[1] - 1
        self.errors.append(nrmse(forecast, truth[:, : horizon + 1], range(horizon + 1)))
        self.seconds.append(took)
        for name, value in extra.items():
            self.extra.setdefault(name, []).append(value)

    def median(self) -> NDArray[np.float64]:
        """Errors by step; infinite where half of the seeds blew up."""
        return np.median(np.nan_to_num(np.array(self.errors), nan=np.inf), axis=0)

    def facts(self, steps: Sequence[int]) -> dict[str, object]:
        """What result.json keeps."""
        errors = np.array(self.errors)
        return {
            "model": self.model,
            "errors": {str(step): errors[:, step].tolist() for step in steps},
            "seconds": self.seconds,
            **self.extra,
        }


def run_row[M: LinearModel | Sliced](row: Row[M], trajectories: Trajectories, seed: int) -> tuple[M, float] | None:
    """Fit the model of a row; None where its package is missing."""
    if row.needs and find_spec(row.needs) is None:
        return None
    began = time.perf_counter()
    model = fitted(row, trajectories, seed)
    return model, time.perf_counter() - began


def publish(run: Run, found: Mapping[str, Scores], steps: Sequence[int]) -> None:
    """Print the medians, and write tables.md, history.csv and result.json."""
    table, spread = medians(found, steps), spreads(found, steps)
    print(f"\n{table.text()}\n")
    run.page(f"Medians over seeds\n\n{table.markdown()}\n\nSmallest to largest\n\n{spread.markdown()}")
    horizon = len(next(iter(found.values())).median())
    run.history(["model", "seed", *map(str, range(horizon))], _rows(found))
    run.result({"converged": True, "scores": [scores.facts(steps) for scores in found.values()]})


def _rows(found: Mapping[str, Scores]) -> Iterator[list[object]]:
    """Yield the rows of history.csv: a model's errors by step, seed by seed."""
    for name, scores in found.items():
        for seed, errors in enumerate(scores.errors):
            yield [name, seed, *errors.tolist()]


def medians(found: Mapping[str, Scores], steps: Sequence[int]) -> Table:
    """Return the table of medians over the seeds."""
    extra = list(dict.fromkeys(name for scores in found.values() for name in scores.extra))
    table = Table(["model", *map(str, steps), *extra, "fit"])
    for name, scores in found.items():
        errors = scores.median()
        figures = [significant(float(errors[step])) for step in steps]
        others = [significant(float(np.median(scores.extra[key]))) if key in scores.extra else "-" for key in extra]
        table.add(name, *figures, *others, seconds(float(np.median(scores.seconds))))
    return table


def spreads(found: Mapping[str, Scores], steps: Sequence[int]) -> Table:
    """Return the table of the smallest and largest figure over the seeds."""
    extra = list(dict.fromkeys(name for scores in found.values() for name in scores.extra))
    table = Table(["model", *map(str, steps), *extra])
    for name, scores in found.items():
        columns = [np.array(scores.errors)[:, step] for step in steps]
        cells = [_range(column) for column in columns]
        table.add(name, *cells, *(_range(np.array(scores.extra[key])) if key in scores.extra else "-" for key in extra))
    return table


def _range(values: NDArray[np.float64]) -> str:
    """Smallest to largest, one figure where they are the same."""
    low, high = significant(float(np.min(values)), 2), significant(float(np.max(values)), 2)
    return low if low == high else f"{low}..{high}"
