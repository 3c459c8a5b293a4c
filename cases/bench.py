"""Benchmark: our methods beside SciPy, PyAMG and PETSc, with ratios and bars.

conjugo bench --suite poisson        races on seven problems, to a true relative residual of 1e-8
conjugo bench --suite kernels        bandwidth, cost of an iteration, full multigrid, threads
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure
from tqdm import tqdm

from conjugo.cases import bars, plotting
from conjugo.cases.bars import Verdict
from conjugo.cases.kernel_bench import KernelSizes, measure_kernels
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.methods import METHODS, Method
from conjugo.cases.peak import peaks
from conjugo.cases.peers import PEERS
from conjugo.cases.race import SLOW, Lap, race
from conjugo.cases.runs import Run, processor
from conjugo.cases.spec import ProblemSpec, build
from conjugo.cases.table import Table, scientific, seconds
from conjugo.cases.trial import warm_up

OURS = ("fast poisson", "multigrid", "multigrid float64", "cg + multigrid", "cg")
"""Methods of ours that race."""

PROBLEMS: dict[str, ProblemSpec] = {
    "c2": ProblemSpec(shape=(1023, 1023), rhs="white"),
    "c3": ProblemSpec(shape=(127, 127, 127), rhs="white"),
    "v2": ProblemSpec(shape=(1023, 1023), rhs="white", coefficient="two_phase", contrast=1e4),
    "v2 1e6": ProblemSpec(shape=(1023, 1023), rhs="white", coefficient="two_phase", contrast=1e6),
    "v2 noise": ProblemSpec(shape=(1023, 1023), rhs="white", coefficient="noise", contrast=1e4),
    "m2": ProblemSpec(shape=(1024, 1024), rhs="white", mask="flower"),
    "v3": ProblemSpec(shape=(127, 127, 127), rhs="white", coefficient="two_phase", contrast=1e4),
}
"""What is raced on: constant (c), variable (v) and masked (m) coefficients in two and three dimensions."""

SMALL = {2: (63, 63), 3: (15, 15, 15)}
"""Shapes of --fast."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Speed and memory beside SciPy, PyAMG and PETSc."""

    suite: Literal["poisson", "kernels"] = "poisson"
    """poisson: races of solvers, then the kernels' figures; kernels: the latter only."""
    problems: tuple[str, ...] = ()
    """Problems to race on (c2 c3 v2 "v2 1e6" "v2 noise" m2 v3); default all."""
    methods: tuple[str, ...] = ()
    """Methods that race, ours and peers; default all (the slow ones take most of the time)."""
    repeats: int = 5
    """Interleaved repeats, of which the median counts; solvers slower than ten seconds run once."""
    budget: float = 120.0
    """Seconds after which a solve is stopped."""
    rtol: float = 1e-8
    """Relative tolerance of the true residual."""
    memory: bool = True
    """Measure peak memory, in another process."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small problems and one repeat: a test of the benchmark, not of the machine."""


def main(config: Config) -> Path:
    """Run the benchmark and return its folder."""
    names = config.problems or tuple(PROBLEMS)
    for name in names:
        if name not in PROBLEMS:
            raise ValueError(f"problem {name!r} is unknown; these exist: {', '.join(PROBLEMS)}")
    contenders(config.methods)
    if config.repeats < 1:
        raise ValueError(f"repeats = {config.repeats}: expected at least 1; five or more give a fair median")
    run = Run("bench", config, config.folder)
    repeats = 1 if config.fast else config.repeats
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"medians of {repeats} interleaved repeats; one for methods slower than {SLOW:.0f} s")
    results: dict[str, dict[str, Lap]] = {}
    verdicts: list[Verdict] = []
    with interruptible() as stop:
        try:
            for name in names if config.suite == "poisson" else ():
                results[name] = race_on(name, config)
                print(f"\n{name}: {_describe(config, name)}\n\n{lap_table(results[name].values()).text()}")
            verdicts += measure_kernels(KernelSizes.small() if config.fast else KernelSizes(repeats=config.repeats))
        except KeyboardInterrupt:
            print("interrupted: this is what was reached")
    report(run, config, results, bars.race_verdicts(results) + verdicts, interrupted=stop.happened)
    return run.folder


def race_on(name: str, config: Config) -> dict[str, Lap]:
    """Race all methods that suit a problem."""
    spec = _spec(config, name)
    problem = build(spec)
    methods = [m for m in contenders(config.methods) if m.installed and m.suits(problem)]
    small = build(spec, SMALL[len(spec.shape)])
    repeats = 1 if config.fast else config.repeats
    with tqdm(total=repeats * len(methods), desc=name, unit="run", leave=False, disable=None) as bar:
        for method in methods:
            bar.set_postfix_str(f"warming up {method.name}")
            warm_up(method, small)

        def progress(method: str) -> None:
            bar.set_postfix_str(method)
            bar.update()

        laps = race(methods, problem, rtol=config.rtol, repeats=repeats, budget=config.budget, progress=progress)
    if config.memory and not config.fast:
        used = peaks(spec, [lap.method for lap in laps]).per_unknown
        laps = [replace(lap, bytes_per_unknown=used.get(lap.method)) for lap in laps]
    return {lap.method: lap for lap in laps}


def contenders(names: Sequence[str] = ()) -> list[Method]:
    """Our methods that race, then the peers; those named, if any."""
    racing = [method for method in METHODS if method.name in OURS] + list(PEERS)
    known = [method.name for method in racing]
    for name in names:
        if name not in known:
            raise ValueError(f"method {name!r} does not race; these do: {', '.join(known)}")
    return [method for method in racing if not names or method.name in names]


def lap_table(laps: Any) -> Table:
    """Tabulate one race, the fastest first."""
    result = Table(["method", "status", "iterations", "residual", "set-up", "solve", "total", "times", "bytes/unknown"],
                   left=2)  # fmt: skip
    ordered = sorted(laps, key=lambda lap: (not lap.outcome.converged, lap.total))
    for lap in ordered:
        memory = "-" if lap.bytes_per_unknown is None else f"{lap.bytes_per_unknown:.0f}"
        o = lap.outcome
        result.add(lap.method, o.status, str(o.iterations), scientific(o.residual), seconds(lap.setup),
                   seconds(lap.solve), seconds(lap.total), str(len(lap.solves)), memory)  # fmt: skip
    return result


def report(
    run: Run, config: Config, results: dict[str, dict[str, Lap]], verdicts: Sequence[Verdict], *, interrupted: bool
) -> None:
    """Print the bars, and write the run's files and a table for the documentation."""
    print(f"\n{bars.table(verdicts).text()}\n")
    rows = [(name, lap.method, i, setup, solve) for name, laps in results.items() for lap in laps.values()
            for i, (setup, solve) in enumerate(zip(lap.setups, lap.solves, strict=True))]  # fmt: skip
    run.history(["problem", "method", "repeat", "setup_seconds", "seconds"], rows)
    # a bench always ends: missed bars are findings, shown as such, and not a solve that failed
    run.result(
        {
            "converged": bool(results or verdicts),
            "interrupted": interrupted,
            "problems": {name: {lap.method: lap.facts() for lap in laps.values()} for name, laps in results.items()},
            "bars": [{"what": v.what, "value": v.value, "bound": v.bound, "passed": v.passed} for v in verdicts],
        }
    )
    pages = [f"### {name}: {_describe(config, name)}\n\n{lap_table(laps.values()).markdown()}"
             for name, laps in results.items()]  # fmt: skip
    print(f"tables for the documentation: {run.page('\n\n'.join([*pages, bars.table(verdicts).markdown()]))}")
    print(f"plot: {run.plot(picture(results, verdicts))}")


def picture(results: dict[str, dict[str, Lap]], verdicts: Sequence[Verdict]) -> Figure:
    """Draw a panel of bars for each problem; without races, the kernels' figures."""
    panels = {name: {lap.method: lap.total for lap in laps.values() if lap.outcome.converged}
              for name, laps in results.items()}  # fmt: skip
    label = "seconds, set-up included"
    if not panels:
        margins = {v.what: v.margin for v in verdicts if v.margin is not None}
        panels, label = {"kernels": margins}, "times better than the bar (1 just meets it)"
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4 * columns + (2.0 if columns == 1 else 0.0), 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (name, values) in zip(axes, panels.items(), strict=False):
        plotting.bars(list(values), list(values.values()), ax, label=label)
        ax.set_title(name, fontsize=10)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _spec(config: Config, name: str) -> ProblemSpec:
    spec = PROBLEMS[name]
    return replace(spec, shape=SMALL[len(spec.shape)]) if config.fast else spec


def _describe(config: Config, name: str) -> str:
    spec = _spec(config, name)
    words = ["x".join(map(str, spec.shape)), spec.coefficient, spec.mask or ""]
    contrast = f"contrast {spec.contrast:.0e}" if spec.contrast is not None else ""
    return " ".join(word for word in [*words, contrast] if word)


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
