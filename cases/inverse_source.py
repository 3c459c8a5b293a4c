"""Samplers beside the exact posterior: sources from sensors of the field, and other problems with exact answers.

conjugo inverse-source
conjugo inverse-source --exact
conjugo inverse-source --geometry
conjugo inverse-source --mixture
conjugo inverse-source --coefficient inclusions --contrast 100
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.cases.inverse_geometry import NOTE, geometry_table
from conjugo.cases.inverse_methods import (
    FEW,
    GAMMAS,
    MEAN,
    METRIC,
    NOISELESS,
    SAMPLE,
    TUNED,
    TUNED_MEAN,
    Score,
    Task,
    study,
)
from conjugo.cases.inverse_mixture import mixture_task
from conjugo.cases.inverse_tables import draw, judge, picture, quality_table, score_table
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.problem import (
    InverseProblem,
    heat_problem,
    joint_problem,
    sensor_problem,
    source_problem,
)

BARS = {"sensors": 1.15, "source": 1.30}
"""Error over Bayes' that the mean should reach at 19 evaluations."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Find the sources of a field from sensors, by samplers with an exact prior, beside the exact posterior."""

    exact: bool = False
    """All methods on four kinds of problem, in one table."""
    geometry: bool = False
    """The geometry of DiffusionPDE: Poisson and Helmholtz, both directions."""
    mixture: bool = False
    """A prior that is not Gaussian, and its exact answer."""
    coefficient: str | None = None
    """Medium of -div(a grad u) = f, solved by multigrid, such as "inclusions" or "lognormal"; None is a = 1."""
    contrast: float | None = None
    """max a / min a of the medium."""
    cycles: int = 3
    """Symmetric multigrid cycles of a solve in that medium: a fixed number, so that A^H is the adjoint to rounding."""
    size: int = 64
    """Cells a side; the geometry of DiffusionPDE takes 128 where this is 64."""
    sensors: int = 125
    """Of the source problem; the other problems take theirs in proportion."""
    sigma: float = 0.01
    """Noise of the source problem relative to its data; the other problems keep theirs."""
    wavenumber: float = 0.0
    """k of -Laplacian u - k^2 u = f."""
    evaluations: tuple[int, ...] = (4, 19, 49)
    """Of the denoiser."""
    count: int = 12
    """Images of each problem, with one set of sensors."""
    tuning: int = 4
    """How many of them choose settings; the others give the scores."""
    samples: int = 39
    """Of one image's posterior, for spread and coverage: 39 are the fewest whose extremes enclose 95 %."""
    seed: int = 0
    """Of everything."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        few = min(config.sensors, 40)
        config = replace(config, size=16, sensors=few, evaluations=(2, 4), count=4, tuning=2, samples=8)
    if not 1 <= config.tuning < config.count:
        raise ValueError(f"tuning = {config.tuning}, count = {config.count}: expected at least 1 image to tune on, and "
                         "at least one more")  # fmt: skip
    if config.exact + config.geometry + config.mixture + (config.coefficient is not None) > 1:
        raise ValueError("exact, geometry, mixture and coefficient exclude each other: pass one of them")
    run = Run("inverse_source", config, config.folder)
    if config.geometry:
        size = 128 if config.size == 64 else config.size
        sensors = 500 if config.sensors == 125 else config.sensors
        table, facts = geometry_table(size, sensors, config.evaluations[:2], config.count, config.seed)
        text = table.text() + "\n" + NOTE.format(count=config.count)
        print(f"\n{text}\n")
        run.page(text)
        run.result({"converged": True, "rows": facts})
        return run.folder
    tasks = list(make_tasks(config))
    if config.mixture:
        report(run, config, tasks, "A mixture of Gaussian fields seen by sensors.")
    else:
        report(run, config, tasks, "Gaussian fields.")
    return run.folder


def make_tasks(config: Config) -> Iterator[Task]:
    """Yield the problems of a configuration with their priors."""
    if config.mixture:
        yield mixture_task(config.size // 2 if config.size == 64 else config.size, config.sensors // 5, config.count,
                           config.tuning, config.seed)  # fmt: skip
        return
    for problem in problems(config):
        prior = GaussianPrior(problem.spectrum, problem.basis)
        yield Task(problem, prior, config.tuning, config.seed, gammas=FEW if config.fast else GAMMAS)


def problems(config: Config) -> Iterator[InverseProblem]:
    """Yield the source problem, and the three others of the table."""
    size = config.size
    some: dict[str, Any] = {"count": config.count, "seed": config.seed}
    medium: dict[str, Any] = {"coefficient": config.coefficient, "contrast": config.contrast, "cycles": config.cycles}
    yield source_problem(size, config.sensors, config.sigma, wavenumber=config.wavenumber, **medium, **some)
    if config.exact:
        yield sensor_problem(size, min(size**2 // 4, config.sensors * 16 // 5), 0.05, **some)
        yield heat_problem(size, 1e-3, 0.01, **some)
        yield joint_problem("poisson", "inverse", 2 * size, config.sensors * 4, 1e-3, **some)


def report(run: Run, config: Config, tasks: list[Task], subject: str) -> None:
    """Score all methods, draw samples of the first problem, and write everything."""
    chosen = 19 if 19 in config.evaluations else config.evaluations[-1]
    names = None if config.coefficient is None else [NOISELESS, TUNED, TUNED_MEAN, METRIC, MEAN, SAMPLE]
    scores: list[Score] = []
    for task in tasks:
        where = "on these images" if task.exact is None else "in expectation"
        print(f"{task.problem.name}: Bayes error {100 * bayes_error(task):.1f} % {where}")
        for score in tqdm(study(task, config.evaluations, names), desc=task.problem.name, unit="run", leave=False):
            scores.append(score)
    first, image = tasks[0], config.tuning
    mine = [score for score in scores if score.problem == first.problem.name]
    started = time.perf_counter()
    drawn = draw(first, mine, config.samples, chosen, image)
    found = judge(first, drawn, image)
    text = "\n".join([
        heading(subject, config.count - config.tuning, config.tuning, chosen),
        score_table(scores, config.evaluations, chosen=chosen).text(),
        f"\n{config.samples} samples of one image at {chosen} evaluations, {first.problem.name}; drawn in "
        f"{time.perf_counter() - started:.1f} s.\n",
        quality_table(found).text(),
        *bars(scores),
    ])  # fmt: skip
    print(f"\n{text}\n")
    run.page(text)
    run.history(["problem", "method", "setting", "evaluations", "applications", "seconds", "error", "ratio"],
                ([s.problem, s.method, s.setting, s.evaluations, s.applications, s.seconds, s.error, s.ratio]
                 for s in scores))  # fmt: skip
    rows = [{**{f: getattr(s, f) for f in Score.__slots__}, "ratio": s.ratio} for s in scores]
    quality = {name: asdict(one) for name, one in found.items()}
    run.result({"converged": True, "scores": rows, "quality": quality})
    print(f"plot: {run.plot(picture(first, mine, drawn, image, seen(first.problem, image)))}")


def heading(subject: str, images: int, tuning: int, chosen: int) -> str:
    """Say what the table's numbers are."""
    return (
        f"{subject} Errors in % of the prior's deviation, root mean squares over {images} images; settings chosen\n"
        f"on {tuning} others for each column. The columns from 'x Bayes' on are at {chosen} evaluations. 'ours, flow\n"
        "of the mean' and rows that start from 0 estimate the mean and have no spread; others are single samples.\n"
        "'ours' and the metric apply A once an evaluation, and A^H by the rows of A that their set-up made.\n"
    )


def bayes_error(task: Task) -> float:
    """Expected error of the posterior mean relative to the prior; for mixtures the one on these images."""
    if task.exact is None:
        return task.error(task.mean, slice(None))
    return task.exact.relative_error(task.problem.target)


def bars(scores: list[Score]) -> list[str]:
    """Say whether the bars are met, where there are 19 evaluations."""
    lines = []
    for kind, bar in BARS.items():
        for score in scores:
            if score.problem.startswith(kind) and score.method == MEAN and score.evaluations == 19:
                said = "met" if score.ratio <= bar else "MISSED"
                lines.append(
                    f"\nbar, {kind}: the mean within {100 * (bar - 1):.0f} % of Bayes: {score.ratio:.3f}, {said}"
                )
    return [*lines, losses(scores)]


def losses(scores: list[Score]) -> str:
    """Name the problems and evaluations where tuned or noiseless DDS has a smaller error than ours."""
    best: dict[tuple[str, int], float] = {}
    for score in scores:
        if score.method in (NOISELESS, TUNED, TUNED_MEAN):
            key = (score.problem, score.evaluations)
            best[key] = min(score.error, best.get(key, np.inf))
    lines = []
    for method in (MEAN, METRIC, SAMPLE):
        found = [s for s in scores if s.method == method and best[s.problem, s.evaluations] < s.error]
        where = "; ".join(f"{s.problem} at {s.evaluations}" for s in found)
        lines.append(
            f"DDS, noiseless or tuned, has a smaller error than '{method}': {where or 'nowhere in this table'}"
        )
    lines.append("(A sample with the posterior's spread has sqrt(2) times Bayes' error; a smaller one has too little "
                 "spread.)")  # fmt: skip
    return "\n" + "\n".join(lines)


def seen(problem: InverseProblem, image: int) -> NDArray[np.float64] | None:
    """Show the data where they were taken; NaN elsewhere."""
    y, A = problem.y[:, image], problem.A
    while not hasattr(A, "nodes") and (hasattr(A, "A") or hasattr(A, "sensors")):
        A = getattr(A, "sensors", None) or A.A  # type: ignore[attr-defined]
    nodes: Any = getattr(A, "nodes", None)
    if nodes is None:
        return y if len(y) == A.shape[1] else None
    values = np.full(A.shape[1], np.nan)
    values[nodes] = y
    return values


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
