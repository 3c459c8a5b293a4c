"""Compare every method on one problem: a table, and residuals against iterations and against seconds.

conjugo compare --shape 512 512
conjugo compare --problem convection --diffusion 1e-3
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure
from tqdm import tqdm

from conjugo.cases import plotting
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.methods import Method, choose, not_applicable
from conjugo.cases.peak import peaks
from conjugo.cases.runs import Run
from conjugo.cases.spec import ProblemSpec, build, small_shape
from conjugo.cases.table import Table, scientific, seconds, significant
from conjugo.cases.trial import OUT_OF_TIME, REFUSED, Outcome, reference_error, run_trial, warm_up
from conjugo.pde.problem import LinearProblem

QUICK = 0.25
"""Seconds below which a method runs three times, of which the median is shown."""


@dataclass(frozen=True, kw_only=True)
class Config(ProblemSpec):
    """Compare every method on one problem."""

    shape: tuple[int, ...] = (512, 512)
    """Unknowns along each axis: one, two or three numbers."""
    methods: tuple[str, ...] = ()
    """Methods or families of methods; default all that suit the problem."""
    rtol: float = 1e-8
    """Relative tolerance of the true residual."""
    budget: float = 3.0
    """Seconds that each solve may take; slower ones are stopped and shown as such."""
    memory: bool = True
    """Measure peak memory, in a second process."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A small grid and a small budget, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, shape=small_shape(config, 900), budget=min(config.budget, 0.3), memory=False)
    problem = build(config)
    methods = choose(config.methods, problem)
    run = Run("compare", config, config.folder)
    print(f"{problem.name}: {problem.n} unknowns, {len(methods)} methods, to a relative residual of {config.rtol:.0e}")
    if not config.methods and (others := not_applicable(problem)):
        print(f"not applicable: {', '.join(method.name for method in others)}")
    outcomes, interrupted = compare(config, problem, methods)
    if outcomes and all(outcome.status == REFUSED for outcome in outcomes):
        raise ValueError(outcomes[0].note)
    if config.memory and not interrupted:
        used = peaks(config, [outcome.method for outcome in outcomes])
        outcomes = [replace(o, bytes_per_unknown=used.per_unknown.get(o.method)) for o in outcomes]
    report(run, config, problem, outcomes, interrupted=interrupted)
    return run.folder


def compare(config: Config, problem: LinearProblem, methods: Sequence[Method]) -> tuple[list[Outcome], bool]:
    """Run every method, the first call of each untimed, and say whether Ctrl-C ended it."""
    small = build(config, small_shape(config))
    outcomes: list[Outcome] = []
    best = None
    with interruptible() as stop, tqdm(methods, desc="compare", unit="method", leave=False, disable=None) as bar:
        for method in bar:
            bar.set_postfix_str(method.name)
            try:
                with stop.hold():
                    if best is None and config.has_discretisation_error:
                        best = reference_error(problem)
                    warm_up(method, small)
                outcome = typical(method, problem, config)
            except KeyboardInterrupt:
                break
            if best is not None and outcome.error is not None:
                outcome = replace(outcome, error_ratio=outcome.error / best)
            outcomes.append(outcome)
            if stop.happened:
                break
    outcomes.sort(key=lambda o: (not o.converged, o.total_seconds if o.converged else o.residual))
    return outcomes, stop.happened


def typical(method: Method, problem: LinearProblem, config: Config) -> Outcome:
    """Run a method once, or three times if it is quick, and return the run of median duration."""
    first = run_trial(method, problem, rtol=config.rtol, budget=config.budget)
    if first.total_seconds > QUICK or config.fast:
        return first
    again = [run_trial(method, problem, rtol=config.rtol, budget=config.budget) for _ in range(2)]
    return sorted([first, *again], key=lambda outcome: outcome.total_seconds)[1]


def table(outcomes: Iterable[Outcome]) -> Table:
    """Tabulate outcomes."""
    head = ["method", "status", "set-up", "solve", "iterations", "residual", "error", "error/disc.", "bytes/unknown"]
    result = Table(head, left=2)
    for o in outcomes:
        ran = o.status != REFUSED
        memory = "-" if o.bytes_per_unknown is None else f"{o.bytes_per_unknown:.0f}"
        result.add(o.method, o.status, seconds(o.setup_seconds) if ran else "-", seconds(o.seconds) if ran else "-",
                   str(o.iterations) if ran else "-", scientific(o.residual), scientific(o.error),
                   significant(o.error_ratio), memory)  # fmt: skip
    return result


def report(run: Run, config: Config, problem: LinearProblem, outcomes: Sequence[Outcome], *, interrupted: bool) -> None:
    """Print the table and write the run's files."""
    print(f"\n{table(outcomes).text()}\n")
    for outcome in outcomes:
        if outcome.note and not outcome.converged and outcome.status != OUT_OF_TIME:
            print(f"{outcome.method}: {outcome.note}")
    run.history(
        ["method", "iteration", "seconds", "relative_residual"],
        ((o.method, i, t, r) for o in outcomes for i, (t, r) in enumerate(zip(o.times, o.residuals, strict=True))),
    )
    run.result(
        {
            "problem": problem.name,
            "unknowns": problem.n,
            "converged": any(outcome.converged for outcome in outcomes),
            "interrupted": interrupted,
            "outcomes": [outcome.facts() for outcome in outcomes],
        }
    )
    print(f"plot: {run.plot(picture(config, problem, outcomes))}")


def picture(config: Config, problem: LinearProblem, outcomes: Sequence[Outcome]) -> Figure:
    """Draw both panels with one legend beside them."""
    drawn = [outcome for outcome in outcomes if len(outcome.residuals)]
    lines = len(drawn) + len({outcome.family for outcome in drawn})
    figure = Figure(figsize=(13.5, max(6.0, 0.4 + 0.175 * lines)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    plotting.convergence(outcomes, left, against="iterations", rtol=config.rtol)
    plotting.convergence(outcomes, right, against="seconds", rtol=config.rtol)
    right.set_ylabel("")
    plotting.legend(outcomes, figure)
    figure.suptitle(f"{problem.name}: {problem.n:,} unknowns", fontsize=12)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
