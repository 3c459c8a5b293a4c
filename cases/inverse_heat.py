"""Backward heat at several times: how much of the first field is left in the data, and who recovers it.

conjugo inverse-heat
conjugo inverse-heat --times 1e-4 1e-3 1e-2 --sigma 0.05
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from conjugo.cases.inverse_methods import FEW, GAMMAS, MEAN, Score, Task, study
from conjugo.cases.inverse_source import heading, losses, seen
from conjugo.cases.inverse_tables import draw, judge, percent, picture, quality_table, score_table
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.cases.table import Table
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.heat import informed_modes
from conjugo.pde.inverse.problem import heat_problem


@dataclass(frozen=True, kw_only=True)
class Config:
    """Find a temperature from a later one, by samplers with an exact prior, beside the exact posterior."""

    times: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    """t of y = exp(t Laplacian) x + noise, on the unit square."""
    size: int = 64
    """Cells a side."""
    sigma: float = 0.01
    """Noise relative to the data."""
    evaluations: tuple[int, ...] = (4, 19, 49)
    """Of the denoiser."""
    count: int = 12
    """Images of each time."""
    tuning: int = 4
    """How many of them choose settings; the others give the scores."""
    samples: int = 39
    """Of one image's posterior."""
    seed: int = 0
    """Of everything."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, size=16, times=config.times[:2], evaluations=(2, 4), count=4, tuning=2, samples=8)
    if not config.times:
        raise ValueError("times is empty: expected at least one")
    if not 1 <= config.tuning < config.count:
        raise ValueError(f"tuning = {config.tuning}, count = {config.count}: expected at least 1 image to tune on, and "
                         "at least one more")  # fmt: skip
    run = Run("inverse_heat", config, config.folder)
    chosen = 19 if 19 in config.evaluations else config.evaluations[-1]
    tasks, scores = [], list[Score]()
    for time in config.times:
        problem = heat_problem(config.size, time, config.sigma, count=config.count, seed=config.seed)
        prior = GaussianPrior(problem.spectrum, problem.basis)
        task = Task(problem, prior, config.tuning, config.seed, gammas=FEW if config.fast else GAMMAS)
        tasks.append(task)
        scores += tqdm(study(task, config.evaluations), desc=problem.name, unit="run", leave=False)
    middle, image = tasks[len(tasks) // 2], config.tuning
    mine = [score for score in scores if score.problem == middle.problem.name]
    drawn = draw(middle, mine, config.samples, chosen, image)
    found = judge(middle, drawn, image)
    text = "\n".join([
        mode_table(tasks, scores, chosen).text(),
        "\n" + heading("Backward heat.", config.count - config.tuning, config.tuning, chosen),
        score_table(scores, config.evaluations, chosen=chosen).text(),
        f"\n{config.samples} samples of one image at {chosen} evaluations, {middle.problem.name}.\n",
        quality_table(found).text(),
        losses(scores),
    ])  # fmt: skip
    print(f"\n{text}\n")
    run.page(text)
    run.history(["problem", "method", "setting", "evaluations", "applications", "seconds", "error", "ratio"],
                ([s.problem, s.method, s.setting, s.evaluations, s.applications, s.seconds, s.error, s.ratio]
                 for s in scores))  # fmt: skip
    rows = [{**{f: getattr(s, f) for f in Score.__slots__}, "ratio": s.ratio} for s in scores]
    modes = {task.problem.name: informed(task) for task in tasks}
    quality = {name: asdict(one) for name, one in found.items()}
    run.result({"converged": True, "scores": rows, "informed_modes": modes, "quality": quality})
    print(f"plot: {run.plot(picture(middle, mine, drawn, image, seen(middle.problem, image)))}")
    return run.folder


def informed(task: Task) -> int:
    """Modes that the data say more about than the prior: a_k^2 c_k > sigma^2."""
    diagonal = task.problem.A.diagonal  # type: ignore[attr-defined]
    return informed_modes(diagonal.values, task.problem.spectrum, task.problem.sigma)


def mode_table(tasks: list[Task], scores: list[Score], chosen: int) -> Table:
    """Tabulate what the data know and what is made of it."""
    table = Table(["problem", "informed modes", "of", "Bayes, expected", "Bayes", f"our mean at {chosen}"])
    for task in tasks:
        assert task.exact is not None
        name = task.problem.name
        ours = next(s for s in scores if s.problem == name and s.method == MEAN and s.evaluations == chosen)
        expected = percent(task.exact.relative_error())
        table.add(name, str(informed(task)), str(task.problem.spectrum.size), expected, percent(ours.bayes),
                  percent(ours.error))  # fmt: skip
    return table


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
