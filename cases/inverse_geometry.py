"""The geometry of DiffusionPDE: 500 sensors on 128 x 128 cells, Poisson and Helmholtz, both directions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from conjugo.cases.inverse_methods import EXACT_DATA, MEAN, SAMPLE, Task, methods
from conjugo.cases.inverse_tables import percent
from conjugo.cases.table import Table, seconds
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.problem import Direction, Equation, joint_problem

PUBLISHED: dict[tuple[Equation, Direction], tuple[float, float]] = {
    ("poisson", "inverse"): (20.5, 21.1),
    ("poisson", "forward"): (1.99, 4.88),
    ("helmholtz", "inverse"): (17.2, 19.1),
    ("helmholtz", "forward"): (2.13, 12.6),
}
"""Relative errors in % that the table of FunDPS gives for itself (500 steps) and for DiffusionPDE (2000 steps)."""

NOTE = """
Errors in % of the prior's deviation (forward problems: of the field u's) over {count} images; seconds for all of them.
'Our mean' is the flow without noise, 'our sample' one posterior sample, whose error is sqrt(2) times Bayes' at best.
* Published figures of others, for their networks on their own test files: not on these data. Bayes and ours are given
the true covariance, which the networks learned from samples."""


def geometry_table(
    size: int, sensors: int, evaluations: Sequence[int], count: int, seed: int, noises: Sequence[float] = (0.0, 1e-3)
) -> tuple[Table, list[dict[str, Any]]]:
    """Compare Bayes and ours for both equations and directions, with and without noise.

    Parameters
    ----------
    size, sensors : int
        Cells a side, and sensors.
    evaluations : sequence of int
        Of our mean; our sample takes the last.
    count, seed : int
        Images, and the seed of everything.
    noises : sequence of float
        Standard deviations relative to the data's; steps are told 1e-4 where there is none.
    """
    headers = ["problem", "sigma", "Bayes, expected", "Bayes", "s", *(f"our mean, {n}" for n in evaluations), "s",
               f"our sample, {evaluations[-1]}", "s", "set-up", "FunDPS*", "DiffusionPDE*"]  # fmt: skip
    table, facts = Table(headers), []
    for (equation, direction), theirs in tqdm(PUBLISHED.items(), unit="problem"):
        for sigma in noises:
            started = time.perf_counter()
            problem = joint_problem(equation, direction, size, sensors, sigma, count=count, seed=seed)
            task = Task(problem, GaussianPrior(problem.spectrum, problem.basis), 0, seed)
            assert task.exact is not None
            expected, everything = task.exact.relative_error(problem.target), slice(None)
            bayes = task.error(task.mean, everything)
            found, took = [], []
            setup = task.spectrum_seconds
            for name, trials, step in methods(task, (MEAN, SAMPLE)):
                for n in evaluations if name == MEAN else evaluations[-1:]:
                    x, result = task.run(trials[0], n, everything)
                    found.append(task.error(x[0], everything))
                    took.append(result.seconds)
                setup = task.spectrum_seconds + float(getattr(step, "setup_seconds", 0.0))
            table.add(
                f"{equation} {direction}", f"{sigma:g}", percent(expected), percent(bayes),
                seconds(task.bayes_seconds), *map(percent, found[:-1]), seconds(took[-2]), percent(found[-1]),
                seconds(took[-1]), seconds(setup), *(f"{value:g}" for value in theirs),
            )  # fmt: skip
            facts.append({"problem": problem.name, "sigma": sigma, "expected": expected, "bayes": bayes,
                          "mean": found[:-1], "sample": found[-1], "told": sigma or EXACT_DATA,
                          "seconds": time.perf_counter() - started})  # fmt: skip
    return table, facts
