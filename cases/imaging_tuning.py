"""Settings chosen on validation slices: one at a time, each to its best, twice over; long runs choose noise alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from conjugo.cases.imaging_scene import Slices
from conjugo.cases.runs import as_json
from conjugo.learned.diffusion.imaging.peers import Method

type Score = Callable[[Tensor, Tensor], float]
type Choices = dict[tuple[str, int], Choice]
type Keep = Callable[[Choices], None]

LONGEST = 19
"""Longer runs of a method choose again only how much of the noise is fresh; all else is kept from the shorter run."""

FRESH = ("eta", "zeta")
"""Settings of that name."""

MOST = 49
"""Still longer runs keep all."""


@dataclass(slots=True)
class Choice:
    """Settings for a method and a number of steps, what they score on the validation slices, how many were tried."""

    settings: dict[str, Any]
    score: float
    tried: int = 0


@dataclass(slots=True)
class Tuner:
    """Chooses settings by their score on the validation slices.

    Parameters
    ----------
    slices : Slices
        To choose on.
    score : callable
        score(x, truth), the more the better.
    seed : int
        Of the samplers.
    """

    slices: Slices
    score: Score
    seed: int = 0
    seen: dict[tuple[Any, ...], float] = field(default_factory=dict)

    def __call__(self, method: Method, steps: int, start: dict[str, Any] | None = None) -> Choice:
        """Choose settings, from the defaults in two sweeps, or from `start` in one."""
        grid = {name: values for name, values in method.grid.items() if steps <= LONGEST or not start or name in FRESH}
        before = len(self.seen)
        best = dict(start or method.defaults())
        reached = self.value(method, steps, best)
        for _ in range(1 if start else 2):
            moved = False
            for name, values in grid.items():
                for value in values:
                    trial = {**best, name: value}
                    found = self.value(method, steps, trial)
                    if found > reached:
                        best, reached, moved = trial, found, True
            if not moved:
                break
        return Choice(best, reached, len(self.seen) - before)

    def value(self, method: Method, steps: int, settings: dict[str, Any]) -> float:
        """Score settings; those seen before cost nothing, and a run that breaks down counts as minus infinity."""
        key = (method.name, steps, *sorted(settings.items()))
        if key not in self.seen:
            found = method.run(self.slices.y, steps=steps, seed=self.seed, **settings)
            score = self.score(found.x, self.slices.truth)
            self.seen[key] = score if score == score else -float("inf")
        return self.seen[key]


def tune(methods: Sequence[Method], tuner: Tuner, known: Choices | None = None, keep: Keep | None = None) -> Choices:
    """Choose settings for every method and number of steps; a longer run starts from what a shorter one chose.

    Parameters
    ----------
    methods : sequence of Method
        To tune.
    tuner : Tuner
        Which chooses.
    known : dict, optional
        Choices of an earlier run, which are taken as they are.
    keep : callable, optional
        Called with the choices after each.
    """
    choices: Choices = dict(known or {})
    work = [(method, steps) for method in methods for steps in method.budgets]
    with tqdm(work, desc="tuning", unit="run") as bar:
        for method, steps in bar:
            bar.set_postfix_str(f"{method.name}, {steps}" if steps else method.name)
            if (method.name, steps) in choices:
                continue
            shorter = [choices[method.name, other] for other in method.budgets if (method.name, other) in choices]
            if not method.grid:
                choices[method.name, steps] = Choice({}, tuner.value(method, steps, {}))
            elif steps > MOST and shorter:
                choices[method.name, steps] = Choice(shorter[-1].settings, shorter[-1].score)
            else:
                choices[method.name, steps] = tuner(method, steps, shorter[-1].settings if shorter else None)
            if keep is not None:
                keep(choices)
    return choices


def write(choices: Choices, path: Path, facts: dict[str, Any]) -> None:
    """Keep the choices, and what they were made for."""
    rows = [
        {"method": name, "steps": steps, "settings": choice.settings, "validation": choice.score, "tried": choice.tried}
        for (name, steps), choice in choices.items()
    ]
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(as_json({"facts": facts, "choices": rows}))
    beside.replace(path)


def read(path: Path, methods: Sequence[Method], facts: dict[str, Any]) -> Choices:
    """Read choices that an earlier run made.

    Raises
    ------
    ValueError
        If the file is no such record, was made for another problem, or chose what is no choice now.

    Notes
    -----
    Methods that the file misses, or that had other settings to choose then, are left out: they are to be tuned.
    """
    try:
        record = json.loads(path.read_text())
        rows = {(row["method"], row["steps"]): row for row in record["choices"]}
        made_for = record["facts"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no tuned settings: pass tuning.json of an earlier run ({error})") from error
    if made_for != json.loads(as_json(facts)):
        raise ValueError(f"{path} was tuned for {made_for}, not for {facts}: leave out --tuning")
    choices = {}
    for method in methods:
        for steps in method.budgets:
            row = rows.get((method.name, steps))
            if row is None or set(row["settings"]) != set(method.grid):
                continue
            settings = {name: _among(method.grid[name], value) for name, value in row["settings"].items()}
            choices[method.name, steps] = Choice(settings, float(row["validation"]), int(row["tried"]))
    return choices


def _among(values: tuple[Any, ...], wanted: Any) -> Any:
    """Return the value of the grid that JSON wrote as `wanted`."""
    for value in values:
        if json.loads(json.dumps(value)) == wanted:
            return value
    raise ValueError(f"{wanted} is none of {values}: leave out --tuning")
