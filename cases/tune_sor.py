"""Learn relaxation factors of SOR on a stream of shifted Laplacians: every learner against the oracle.

conjugo tune-sor
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from conjugo.cases import tuning_plots as draw
from conjugo.cases.bars import Verdict, at_most
from conjugo.cases.bars import table as verdict_table
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.runs import Run
from conjugo.cases.table import Table
from conjugo.cases.tuning_replay import ARMS, sor_counts, sor_table, trials
from conjugo.learned.tuning import BinnedContexts, ChebCB, Family, SORPrior, ThompsonSampling, TsallisINF
from conjugo.learned.tuning.young import sor_factor
from conjugo.pde.evolution import ShiftedLaplacians
from conjugo.pde.evolution.shifted import HIGH, LOW
from conjugo.solvers import small_cg, sor

type Floats = NDArray[np.float64]
type Variance = Literal["high", "low"]

CHEBCB, MODEL = "ChebCB", "Thompson + model"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Learn relaxation factors of SOR."""

    variances: tuple[Variance, ...] = ("high", "low")
    """Laws of the shifts."""
    steps: int = 5000
    """Systems; the paper has 5000."""
    seeds: int = 5
    """Runs of every learner."""
    seed: int = 0
    """Of the first of them, and of the systems."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Few systems, so that it ends in seconds."""


@dataclass(slots=True)
class Stream:
    """Everything measured on one law of the shifts."""

    variance: str
    contexts: Floats
    curves: dict[str, Floats] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    omegas: Floats = field(default_factory=lambda: np.empty(0))
    theory: Floats = field(default_factory=lambda: np.empty(0))
    oracle: Floats = field(default_factory=lambda: np.empty(0))


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, steps=150, seeds=1)
    if config.steps < 10 or config.seeds < 1:
        raise ValueError(f"steps = {config.steps}, seeds = {config.seeds}: expected at least 10 systems and 1 seed")
    run = Run("tune_sor", config, config.folder)
    streams: list[Stream] = []
    with interruptible() as stop:
        with suppress(KeyboardInterrupt):  # what was reached is reported below
            for variance in config.variances:
                streams.append(learn(config, variance))
    report(run, config, streams, interrupted=stop.happened)
    return run.folder


def learn(config: Config, variance: Variance) -> Stream:
    """Fill a cost table and let every learner walk through it."""
    shifts, b, costs = sor_table(variance, config.steps, config.seed)
    stream = Stream(variance, shifts)
    count, values = len(ARMS), -np.log(2.0 - ARMS)
    best = int(costs.sum(axis=0).argmin())
    stream.curves["omega = 1"] = costs[:, 0]
    stream.curves[f"best fixed: omega = {ARMS[best]:.2f}"] = costs[:, best]
    prior, beta = _prior()
    learners: dict[str, tuple[Callable[[int], Any], bool]] = {
        "Tsallis-INF": (lambda s: TsallisINF(count, seed=s), False),
        "Tsallis-INF, 5 bins": (
            lambda s: BinnedContexts(lambda j: TsallisINF(count, seed=100 * s + j), 5, LOW, HIGH), True),
        CHEBCB: (lambda s: ChebCB(count, 6, LOW, HIGH, least=1.0, seed=s), True),
        "Thompson": (lambda s: ThompsonSampling(values, LOW, HIGH, seed=s), True),
        MODEL: (lambda s: ThompsonSampling(values, LOW, HIGH, prior=prior, seed=s), True),
    }  # fmt: skip
    for name, (make, has_context) in learners.items():
        spent, mean, arms = trials(make, costs, shifts if has_context else None, config.seeds, config.seed)
        stream.curves[name] = mean
        stream.errors[name] = float(spent.mean(axis=1).std() / np.sqrt(config.seeds))
    stream.omegas = ARMS[arms]
    stream.theory = np.array([sor_factor(min(beta * 4.0 / (4.0 + c), 1 - 1e-12)) for c in shifts])
    stream.oracle = costs.min(axis=1)
    stream.curves["oracle over 20 arms"] = stream.oracle
    stream.curves["omega*(c), estimated"] = sor_counts(b, shifts, stream.theory).astype(float)
    stream.curves["plain CG, untuned"] = _plain(variance, config.steps, config.seed)
    return stream


def _prior() -> tuple[SORPrior, float]:
    """Young's unknown from one ordinary solve with omega = 1, and Jacobi's radius at shift 0 that it gives."""
    sequence = ShiftedLaplacians(10, "low", steps=1, seed=99)
    family = Family("shift", 4.0)
    prior = SORPrior(ARMS, family)
    result = sor(sequence.operator(0.0), next(sequence.right_hand_sides()), omega=1.0, rtol=1e-8)
    prior.observe(0.0, result.residuals, 1.0)
    return prior, 1.0 - (family.least(0.0) or 0.0)


def _plain(variance: Variance, steps: int, seed: int) -> Floats:
    """Iterations of CG, for comparison."""
    return np.array([float(small_cg(A, b, rtol=1e-8).iterations) for A, b, _ in ShiftedLaplacians(
        10, variance, steps=steps, seed=seed)])  # fmt: skip


def table(streams: Sequence[Stream]) -> Table:
    """Iterations a system."""
    result = Table(["iterations a solve", *(s.variance for s in streams)])
    names = list(dict.fromkeys("best fixed" if k.startswith("best fixed") else k for s in streams for k in s.curves))
    for name in names:
        cells = []
        for s in streams:
            key = next(k for k in s.curves if k.startswith(name))
            error = f" ± {s.errors[key]:.1f}" if key in s.errors else ""
            note = f" ({key.rsplit(' ', 1)[1]})" if name == "best fixed" else ""
            cells.append(f"{s.curves[key].mean():.1f}{error}{note}")
        result.add(name, *cells)
    return result


def verdicts(streams: Sequence[Stream]) -> list[Verdict]:
    """The ship bar."""
    return [
        at_most(f"{s.variance}: {MODEL} over ChebCB, iterations", s.curves[MODEL].sum() / s.curves[CHEBCB].sum(), 1.0)
        for s in streams
    ]


def report(run: Run, config: Config, streams: list[Stream], *, interrupted: bool) -> None:
    """Print the tables and write the run's files."""
    pages = []
    if streams:
        pages = [table(streams), verdict_table(verdicts(streams))]
        print(f"\nSOR on {config.steps} systems of 100 unknowns; learners replay a table of costs")
        print(f"{pages[0].text()}\n\n{pages[1].text()}")
    run.page("\n\n".join(page.markdown() for page in pages))
    run.history(
        ["variance", "step", "context", "policy", "iterations"],
        ((s.variance, t, s.contexts[t], name, costs[t])
         for s in streams for name, costs in s.curves.items() for t in range(0, len(costs), 5)),
    )  # fmt: skip
    judged = [{"what": v.what, "value": v.value, "passed": v.passed} for v in verdicts(streams)]
    means = {s.variance: {k: float(v.mean()) for k, v in s.curves.items()} for s in streams}
    run.result({"converged": True, "interrupted": interrupted, "iterations_a_solve": means, "bars": judged})
    print(f"plot: {run.plot(picture(streams))}")


def picture(streams: Sequence[Stream]) -> Figure:
    """Draw a row for each law: costs so far, choices, regret."""
    figure = Figure(figsize=(15.0, 0.6 + 4.4 * max(1, len(streams))), layout="constrained")
    axes = figure.subplots(max(1, len(streams)), 3, squeeze=False)
    for s, (a, b, c) in zip(streams, axes, strict=False):
        shown = {k: v for k, v in s.curves.items() if k not in ("omega = 1", "plain CG, untuned")}
        draw.running(shown, a, label="iterations, of the oracle's", relative_to=s.oracle)
        a.set_ylim(0.9, 4.2)  # room for the legend
        a.set_title(f"{s.variance} variance: iterations so far", fontsize=10)
        draw.legend(a)
        draw.choices(s.contexts, s.omegas, b, label="shift c", best=s.theory)
        b.set_title("what Thompson sampling with the model chose", fontsize=10)
        names = ("Tsallis-INF", "Tsallis-INF, 5 bins", CHEBCB, "Thompson", MODEL)
        slopes = ((2 / 3, "$T^{2/3}$"), (3 / 4, "$T^{3/4}$ (binned)"), (9 / 11, "$T^{9/11}$ (ChebCB)"))
        draw.regret({k: s.curves[k] - s.oracle for k in names}, c, slopes=slopes)
        c.set_title("regret against the best arm of every system", fontsize=10)
        c.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
