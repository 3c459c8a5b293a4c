"""Solve one problem by one or several methods, and look at the field and the convergence.

conjugo solve --shape 200 300 --coefficient inclusions --contrast 1e4
conjugo solve --problem pressure --cells dam_break
conjugo solve --matrix my_matrix.mtx --methods cg minres
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.cases import plotting
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.methods import choose
from conjugo.cases.runs import Run
from conjugo.cases.spec import ProblemSpec, build, small_shape
from conjugo.cases.table import Table, scientific, seconds
from conjugo.cases.trial import REFUSED, Outcome, run_trial, warm_up
from conjugo.pde.problem import LinearProblem


@dataclass(frozen=True, kw_only=True)
class Config(ProblemSpec):
    """Solve one problem by one or several methods."""

    methods: tuple[str, ...] = ("auto",)
    """Methods, families of methods, or auto: conjugo picks one and says why. A wrong name lists them all."""
    rtol: float = 1e-8
    """Relative tolerance of the true residual."""
    maxiter: int | None = None
    """Most iterations; default each method's own."""
    budget: float = 60.0
    """Seconds that each solve may take."""
    save: bool = False
    """Write the solution to solution.npy, shaped like the grid."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A small grid, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast and config.matrix is None:
        config = replace(config, shape=small_shape(config, 900))
    problem = build(config)
    methods = choose(config.methods, problem)
    run = Run("poisson", config, config.folder)
    small = build(config, small_shape(config))
    outcomes: list[Outcome] = []
    with interruptible() as stop, tqdm(methods, desc="solve", unit="method", leave=False, disable=None) as bar:
        for method in bar:
            bar.set_postfix_str(method.name)
            try:
                with stop.hold():
                    warm_up(method, small)
                outcome = run_trial(method, problem, rtol=config.rtol, budget=config.budget, maxiter=config.maxiter)
            except KeyboardInterrupt:
                break
            outcomes.append(outcome)
            if stop.happened:
                break
    if outcomes and all(outcome.status == REFUSED for outcome in outcomes):
        raise ValueError(outcomes[0].note)
    report(run, config, problem, outcomes, interrupted=stop.happened)
    return run.folder


def report(run: Run, config: Config, problem: LinearProblem, outcomes: Sequence[Outcome], *, interrupted: bool) -> None:
    """Print the table and write the run's files."""
    table = Table(["method", "status", "set-up", "solve", "iterations", "residual", "error"], left=2)
    for o in outcomes:
        table.add(o.method, o.status, seconds(o.setup_seconds), seconds(o.seconds), str(o.iterations),
                  scientific(o.residual), scientific(o.error))  # fmt: skip
    print(f"\n{problem.name}: {problem.n} unknowns\n\n{table.text()}\n")
    for o in outcomes:
        if o.note:
            print(f"{o.method}: {o.note}")
    rows = ((o.method, i, t, r) for o in outcomes for i, (t, r) in enumerate(zip(o.times, o.residuals, strict=True)))
    run.history(["method", "iteration", "seconds", "relative_residual"], rows)
    run.result(
        {
            "problem": problem.name,
            "unknowns": problem.n,
            "converged": bool(outcomes) and all(outcome.converged for outcome in outcomes),
            "interrupted": interrupted,
            "outcomes": [outcome.facts() for outcome in outcomes],
        }
    )
    if config.save and outcomes and outcomes[0].x is not None:
        print(f"solution: {run.solution(on_grid(problem, outcomes[0].x))}")
    print(f"plot: {run.plot(picture(config, problem, outcomes))}")


def on_grid(problem: LinearProblem, x: NDArray[Any]) -> NDArray[Any]:
    """Shape a vector like the grid, NaN at nodes that a mask leaves out; flat where there is no grid."""
    values = np.array(x, dtype=np.float64)
    if problem.active is not None:
        values[~problem.active] = np.nan
    shape = getattr(problem.A, "grid_shape", None)
    return values if shape is None else values.reshape(shape)


def picture(config: Config, problem: LinearProblem, outcomes: Sequence[Outcome]) -> Figure:
    """Draw the solution of the first method and the convergence of all."""
    figure = Figure(figsize=(12.0, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    solved = [outcome for outcome in outcomes if outcome.x is not None]
    if solved:
        values = on_grid(problem, solved[0].x)
        plotting.field(values, left, title=f"solution by {solved[0].method}", extent=_extent(problem))
    plotting.convergence(outcomes, right, rtol=config.rtol)
    plotting.legend(outcomes, figure)
    figure.suptitle(f"{problem.name}: {problem.n:,} unknowns", fontsize=12)
    return figure


def _extent(problem: LinearProblem) -> list[float] | None:
    """Ends of the first two axes (of the last two in three dimensions); None without a grid."""
    if problem.grid is None:
        return None
    axes = problem.grid.coordinates()[-2:]
    return [float(end) for axis in axes for end in (axis[0], axis[-1])]


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
