"""Learned preconditioners against the best classical methods, on unseen problems of every class.

conjugo learned --dimension 2 --size 256
conjugo learned --classes packed-1e6 noise-1e4 --count 5
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from conjugo.cases import contest_plots
from conjugo.cases.contest import LEARNED, TOLERANCES, Entry, draw, for_method, race, summary, table, verdict
from conjugo.cases.launch import Interrupt, interruptible, launch
from conjugo.cases.methods import METHODS, Method, choose
from conjugo.cases.runs import Run
from conjugo.cases.trial import Outcome, run_trial, warm_up
from conjugo.pde import poisson
from conjugo.pde.poisson.families import CONTEST_SEEDS, FAMILIES, MEDIA, medium
from conjugo.pde.problem import LinearProblem

BASELINES = (
    "fast poisson",
    "cg + multigrid",
    "cg + multigrid x2",
    "ruge-stuben",
    "smoothed aggregation",
    "petsc cg + gamg",
    "petsc cg + icc",
    "cg + mic",
    "deflated cg + ic0",
    "cg + jacobi",
    "cg",
)
"""Classical methods of the contest."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Learned preconditioners against the best classical methods, class by class."""

    classes: tuple[str, ...] = ()
    """Classes of problems; default all."""
    dimension: Literal[2, 3] = 2
    """Axes of the grid."""
    size: int | None = None
    """Unknowns along a side; default 256 in two dimensions, 64 in three."""
    count: int = 20
    """Problems of each class, with seeds that no training used."""
    methods: tuple[str, ...] = ()
    """Methods or families; default the learned ones and the strong baselines."""
    budget: float = 10.0
    """Seconds that each solve may take; slower ones count as failures."""
    seed: int = CONTEST_SEEDS
    """Seed of the first problem; at least 1000000."""
    medium: str = "packed"
    """Medium of the two sweeps: inclusions, packed, fibres, noise, two-phase, channels or lognormal."""
    sizes: tuple[int, ...] = ()
    """Sides of the sweep over sizes; default 64 to 1024, in three dimensions 16 to 128."""
    contrasts: tuple[float, ...] = (1.0, 1e2, 1e4, 1e6, 1e8)
    """Contrasts of the second sweep."""
    sweep_count: int = 3
    """Problems at each point of a sweep; 0 leaves the sweeps out."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Few small problems and a small budget, so that it ends in seconds."""


@dataclass(slots=True)
class Record:
    """What a contest has found so far."""

    entries: dict[str, list[Entry]]
    sizes: dict[float, dict[str, float]]
    contrasts: dict[float, dict[str, float]]
    interrupted: bool = False


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    config = resolve(config)
    methods = competitors(config.methods)
    run = Run("compare_learned", config, config.folder)
    record = Record({}, {}, {})
    side = "x".join([str(config.size)] * config.dimension)
    print(f"{len(config.classes)} classes, {config.count} problems each on {side}, {len(methods)} methods")
    if not any(method.family == LEARNED for method in methods):
        print("no learned method is there: baselines only")
    with interruptible() as stop:
        try:
            for name in config.classes:
                record.entries[name] = contest(config, name, methods, stop)
            if config.sweep_count:
                sweeps(config, methods, record, stop)
        except KeyboardInterrupt:
            record.interrupted = True
    report(run, config, record)
    return run.folder


def resolve(config: Config) -> Config:
    """Fill in defaults, and shrink everything for --fast.

    Raises
    ------
    ValueError
        For unknown classes or media, sizes below 8, and counts below 1.
    """
    plane = config.dimension == 2
    classes = config.classes or tuple(FAMILIES)
    for name in classes:
        if name not in FAMILIES:
            raise ValueError(f"class {name!r} is unknown; these exist: {', '.join(FAMILIES)}")
    if config.medium not in MEDIA:
        raise ValueError(f"--medium {config.medium} is unknown; these exist: {', '.join(MEDIA)}")
    size = config.size or (256 if plane else 64)
    sizes = config.sizes or ((64, 128, 256, 512, 1024) if plane else (16, 32, 64, 128))
    if min(size, *sizes) < 8 or config.count < 1:
        raise ValueError(f"size {min(size, *sizes)} and count {config.count}: expected at least 8 and 1")
    if config.fast:
        size, sizes = min(size, 24 if plane else 10), (16, 32) if plane else (8, 12)
        count, sweep_count = min(config.count, 2), min(config.sweep_count, 1)
        config = replace(config, contrasts=config.contrasts[:2], count=count, sweep_count=sweep_count, budget=0.5)
    return replace(config, classes=classes, size=size, sizes=sizes)


def competitors(names: Sequence[str]) -> list[Method]:
    """Methods of these names, or the learned ones and the baselines that are installed."""
    anywhere = poisson((8, 8), coefficient="lognormal")
    if names:
        return choose(names, anywhere)
    return [m for m in METHODS if m.installed and (m.family == LEARNED or m.name in BASELINES)]


def contest(config: Config, family: str, methods: Sequence[Method], stop: Interrupt) -> list[Entry]:
    """Run all methods on the problems of a class."""
    size = config.size or 0
    shape = (size,) * config.dimension
    entries: list[Entry] = []
    prepare(methods, family, draw(family, (min(size, 40 if config.dimension == 2 else 12),) * config.dimension,
                                  config.seed), stop)  # fmt: skip
    for seed in tqdm(range(config.seed, config.seed + config.count), desc=family, leave=False, disable=None):
        problem = draw(family, shape, seed)
        outcomes = race(methods, family, problem, budget=config.budget)
        entries += [Entry(problem.name, seed, outcome) for outcome in outcomes]
        if stop.happened:
            raise KeyboardInterrupt
    rows = summary(entries)
    print(f"\n{family}: median / worst of {config.count}\n{table(rows).text()}\n{verdict(family, rows)['line']}")
    return entries


def prepare(methods: Sequence[Method], family: str, small: LinearProblem, stop: Interrupt) -> None:
    """Run every method once on a small problem, so that compilation is not timed."""
    with stop.hold():
        for method in methods:
            problem = for_method(method, family, small)
            if method.suits(problem):
                warm_up(method, problem)


def sweeps(config: Config, methods: Sequence[Method], record: Record, stop: Interrupt) -> None:
    """Iterations to 1e-6 against size and against contrast."""
    size = config.size or 0
    points: list[tuple[dict[float, dict[str, float]], float, int, float]] = []
    points += [(record.sizes, side, side, 1e6) for side in config.sizes]
    points += [(record.contrasts, c, size, c) for c in config.contrasts]
    failed: dict[int, set[str]] = {}
    for target, x, side, contrast in tqdm(points, desc="sweeps", leave=False, disable=None):
        out = failed.setdefault(id(target), set())
        make = partial(medium, MEDIA[config.medium], (side,) * config.dimension, contrast=contrast)
        target[x] = {}
        problems = [make(config.seed + i) for i in range(config.sweep_count)]
        for method in methods:
            if method.name in out or not method.suits(problems[0]):
                continue
            counts = [_iterations(method, problem, config.budget) for problem in problems]
            target[x][method.name] = sorted(counts)[len(counts) // 2]
            if math.isinf(target[x][method.name]):
                out.add(method.name)  # harder problems would take their whole budget in vain
            if stop.happened:
                raise KeyboardInterrupt


def _iterations(method: Method, problem: LinearProblem, budget: float) -> float:
    outcome = run_trial(method, problem, rtol=TOLERANCES[0], budget=budget)
    return outcome.iterations if outcome.converged else math.inf


def report(run: Run, config: Config, record: Record) -> None:
    """Print the verdicts and write the run's files."""
    done = {name: entries for name, entries in record.entries.items() if entries}
    summaries = {name: summary(entries) for name, entries in done.items()}
    verdicts = [verdict(name, rows) for name, rows in summaries.items()]
    print("\n" + "\n".join(f"{v['class']}: {v['line']}" for v in verdicts))
    first = {name: [e.outcome for e in entries if e.seed == config.seed] for name, entries in done.items()}
    run.history(
        ["class", "method", "iteration", "seconds", "relative_residual"],
        (
            (name, o.method, i, t, r)
            for name, outcomes in first.items()
            for o in outcomes
            for i, (t, r) in enumerate(zip(o.times, o.residuals, strict=True))
        ),
    )
    run.page("\n\n".join(f"## {name}\n\n{table(rows).markdown()}" for name, rows in summaries.items()))
    run.result(
        {
            "converged": bool(done) and all(any(e.outcome.converged for e in entries) for entries in done.values()),
            "interrupted": record.interrupted,
            "verdicts": verdicts,
            "summaries": summaries,
            "sizes": record.sizes,
            "contrasts": record.contrasts,
            "solves": [_facts(name, entry) for name, entries in done.items() for entry in entries],
        }
    )
    outcomes = [e.outcome for entries in done.values() for e in entries]
    looks = contest_plots.method_styles(outcomes)
    titles = _titles(config)
    figure = contest_plots.overview(summaries, record.sizes, record.contrasts, looks, titles)
    picture = run.plot(figure)
    if first:
        run.plot(contest_plots.residuals(_named(first), looks), "convergence")
    print(f"plot: {picture}, convergence.png beside it")


def _titles(config: Config) -> tuple[str, str]:
    grid = "x".join([str(config.size)] * config.dimension)
    return f"{config.medium}, contrast 1e6, against size", f"{config.medium}, {grid}, against contrast"


def _named(first: dict[str, list[Outcome]]) -> dict[str, list[Outcome]]:
    """Outcomes in the order of the seconds that they took, so that the best are drawn last, on top."""
    return {name: sorted(o, key=lambda one: -one.total_seconds) for name, o in first.items()}


def _facts(name: str, entry: Entry) -> dict[str, Any]:
    """What result.json keeps of one solve."""
    facts: dict[str, Any] = {"class": name, "seed": entry.seed, **entry.outcome.facts()}
    for rtol in TOLERANCES:
        facts[f"iterations_{rtol:.0e}"] = entry.iterations(rtol)
        facts[f"seconds_{rtol:.0e}"] = entry.seconds(rtol)
    return {key: None if isinstance(v, float) and not np.isfinite(v) else v for key, v in facts.items()}


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
