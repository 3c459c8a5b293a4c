"""Tune CG with SSOR while the heat equation is stepped: the learners' iterations, and everyone's seconds side by side.

conjugo tune-heat
conjugo tune-heat --large
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
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
from conjugo.cases.tuning_race import RTOL, Race, facts, paces, race, table, warm_up
from conjugo.cases.tuning_replay import ARMS, heat_table, trials
from conjugo.learned.tuning import (
    BinnedContexts,
    Candidate,
    ChebCB,
    Family,
    RelaxationModel,
    SSORPrior,
    ThompsonSampling,
    TsallisINF,
    TunedSolver,
    petsc_sweep,
    sweep,
)
from conjugo.learned.tuning.young import least_from_cg
from conjugo.pde.evolution import HeatSequence, ShiftedLaplacians, VariableHeatSequence
from conjugo.pde.evolution.heat import DT, diffusivity
from conjugo.solvers import cg, fast_poisson, mic_cg, small_cg, ssor_cg

type Floats = NDArray[np.float64]

FLOOR = 1e-3
"""Diffusivities below this are one context: A is the identity there."""

CHEBCB, MODEL, TUNED = "ChebCB", "Thompson + model", "TunedSolver"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Tune CG with SSOR on the heat equation."""

    nx: tuple[int, ...] = (25, 50, 100)
    """Intervals per side of the iteration tables."""
    steps: int = 5000
    """Time steps of 0.001; the paper has 5000."""
    race_nx: int = 100
    """Intervals per side of the races in seconds; 0 for none."""
    race_steps: int = 2000
    """Time steps of the races."""
    seeds: int = 3
    """Runs of every learner."""
    seed: int = 0
    """Of the first of them, and of the random parts of the races."""
    start: float = 0.0
    """Time at which the heat equations start; another one makes a fresh sequence."""
    petsc: bool = True
    """Run PETSc's CG with GAMG beside, where it is installed."""
    clock: Literal["wall", "cpu"] = "wall"
    """Seconds of the wall, or of this thread where other programs disturb the machine."""
    large: bool = False
    """Also nx = 200 and 400."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small grids and few steps, so that it ends in seconds."""


@dataclass(slots=True)
class Tables:
    """What the iteration tables hold for one size."""

    n: int
    rows: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Floats] = field(default_factory=dict)
    contexts: Floats = field(default_factory=lambda: np.empty(0))
    omegas: Floats = field(default_factory=lambda: np.empty(0))
    theory: Floats = field(default_factory=lambda: np.empty(0))
    oracle: Floats = field(default_factory=lambda: np.empty(0))

    def add(self, name: str, costs: Floats) -> None:
        """Enter the costs of every step."""
        self.rows[name], self.first[name] = float(costs.sum()), float(costs[:1000].sum())
        self.curves[name] = costs


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, nx=(12,), steps=80, race_nx=12, race_steps=80, seeds=1, petsc=False)
    if config.large:
        config = replace(config, nx=(*config.nx, 200, 400))
    if min(config.nx, default=2) < 2 or config.steps < 10 or config.seeds < 1:
        raise ValueError(f"nx = {config.nx}, steps = {config.steps}, seeds = {config.seeds}: expected nx of at least "
                         "2, 10 steps and 1 seed")  # fmt: skip
    run = Run("tune_heat", config, config.folder)
    found: list[Tables] = []
    races: list[Race] = []
    costs: list[Verdict] = []
    with interruptible() as stop:
        with suppress(KeyboardInterrupt):  # what was reached is reported below
            for nx in config.nx:
                found.append(iterations(config, nx, stop))
            if config.race_nx:
                costs = iteration_costs(config)
                races += run_races(config, stop)
    report(run, config, found, races, costs, interrupted=stop.happened)
    return run.folder


def iterations(config: Config, nx: int, stop: Any) -> Tables:
    """Fill the iteration table of one size: learners replay a cost table, the closed form and TunedSolver too."""
    kappas, costs, plain = heat_table(nx, config.steps, start=config.start, stop=stop)
    logs = np.log(np.maximum(kappas, FLOOR))
    ends = math.log(FLOOR), math.log(10.0)
    values = -np.log(2.0 - ARMS)
    result = Tables((nx - 1) ** 2, contexts=kappas)
    best = int(costs.sum(axis=0).argmin())
    result.add("CG", plain)
    for omega in (1.0, 1.5):
        result.add(f"SSOR-CG, omega = {omega:g}", costs[:, int(np.argmin(np.abs(ARMS - omega)))])
    result.add(f"best fixed: omega = {ARMS[best]:.2f}", costs[:, best])
    prior = SSORPrior(ARMS, family(nx, config.start))
    count, many = len(ARMS), (config.seeds, config.seed)
    result.add("Tsallis-INF", trials(lambda s: TsallisINF(count, seed=s), costs, None, *many)[1])
    binned = lambda s: BinnedContexts(lambda j: TsallisINF(count, seed=100 * s + j), 6, 0.0, 10.0)  # noqa: E731
    result.add("Tsallis-INF, 6 bins", trials(binned, costs, kappas, *many)[1])
    result.add(CHEBCB, trials(lambda s: ChebCB(count, 6, 0.0, 10.0, seed=s), costs, kappas, *many)[1])
    result.add("Thompson", trials(lambda s: ThompsonSampling(values, *ends, seed=s), costs, logs, *many)[1])

    def modelled(seed: int) -> ThompsonSampling:
        return ThompsonSampling(values, *ends, prior=lambda c: prior(math.exp(c)), seed=seed)  # type: ignore[arg-type]

    _, mean, arms = trials(modelled, costs, logs, *many)
    result.add(MODEL, mean)
    middle = [diffusivity(config.start + (t + 0.5) * DT) for t in range(len(kappas))]
    result.theory = np.array([prior.factor(kappa) or 1.0 for kappa in middle])
    nearest = np.abs(ARMS[None, :] - result.theory[:, None]).argmin(axis=1)
    result.add("closed form", costs[np.arange(len(costs)), nearest])
    result.add(TUNED, closed_loop(nx, len(costs), config))
    result.oracle = costs.min(axis=1)
    result.add("per-step oracle", result.oracle)
    result.omegas = ARMS[arms]
    return result


def family(nx: int, start: float) -> Family:
    """Young's unknown from one ordinary solve by CG, at the largest diffusivity of the first thousand steps."""
    heat = HeatSequence(nx, start=start)
    heat.step = max(range(1000), key=lambda step: diffusivity(start + (step + 0.5) * DT))
    A, b, context = heat.system()
    result = small_cg(A, b, heat.u, rtol=RTOL)
    diagonal = float(A.diagonal()[0])
    found = Family("scale", diagonal, at=diffusivity(heat.time + DT / 2))
    rhos, curvatures = result.details["coefficients"]
    least = least_from_cg(rhos, curvatures, diagonal)
    if least is not None:
        found.observe(context, least)
    return found


def closed_loop(nx: int, steps: int, config: Config) -> Floats:
    """Iterations of a TunedSolver over the same factors, from its own solutions; its looks at the spectrum included."""
    solver = TunedSolver(sweep("ssor", ssor_cg, omega=ARMS), default=10, context=log_range(), cost="iterations",
                         allowance=math.inf, model=RelaxationModel("scale", math.exp), seed=config.seed)  # fmt: skip
    heat, counts = HeatSequence(nx, steps=steps, start=config.start), []
    for A, b, kappa in heat:
        result = solver.solve(A, b, heat.u, context=log_of(kappa), rtol=RTOL)
        counts.append(float(result.details.get("iterations_in_all", result.iterations)))
        heat.advance(result.x)
    return np.array(counts)


def log_of(kappa: float) -> float:
    """The context of the tuned solvers: costs are smooth in it."""
    return math.log(max(kappa, FLOOR))


def log_range() -> tuple[float, float]:
    """Its range."""
    return math.log(FLOOR), math.log(10.0)


def candidates() -> list[Candidate]:
    """What the tuned solvers of the races choose from; CG, the default, first."""
    return [
        *sweep("cg", small_cg),
        *sweep("mic", mic_cg, relaxation=[0.97, 1.0]),
        *sweep("ssor", ssor_cg, omega=[1.0, 1.3, 1.5, 1.65, 1.8, 1.9]),
    ]


def iteration_costs(config: Config) -> list[Verdict]:
    """An iteration of SSOR-CG against one of `cg`, which keeps more books, and of the compiled loop `small_cg`."""
    heat = HeatSequence(config.race_nx)
    A = heat.operator(10.0)
    b = np.random.default_rng(config.seed).standard_normal(heat.n)
    methods: dict[str, Callable[..., Any]] = {"cg": cg, "small_cg": small_cg, "ssor_cg": partial(ssor_cg, omega=1.5)}
    paces(A, b, methods, repeats=1)
    took = paces(A, b, methods, clock=_clock(config))
    return [
        at_most(f"n={heat.n}: an iteration of ssor_cg over one of {name}", took["ssor_cg"] / took[name], 2.0)
        for name in ("cg", "small_cg")
    ]


def _clock(config: Config) -> Callable[[], float]:
    """What seconds are."""
    return time.perf_counter if config.clock == "wall" else time.thread_time


def run_races(config: Config, stop: Any) -> list[Race]:
    """Race in seconds: the heat equation, the same in a medium that jumps, and shifted Laplacians."""
    nx, steps = config.race_nx, config.race_steps
    clock = _clock(config)
    sequences: list[tuple[str, Any, bool]] = [
        (f"heat n={(m - 1) ** 2}", HeatSequence(m, steps=steps, start=config.start), True)
        for m in sorted({max(8, nx // 4), nx})
    ]
    jumping = VariableHeatSequence(nx, steps=steps, seed=config.seed, start=config.start)
    sequences.append((f"jumping heat n={(nx - 1) ** 2}", jumping, False))
    sequences += [
        (f"shifted ({v}) n=100", ShiftedLaplacians(10, v, steps=steps, seed=config.seed), False)
        for v in ("high", "low")
    ]
    races = []
    for name, sequence, constant in sequences:
        heat = not isinstance(sequence, ShiftedLaplacians)
        fixed = candidates()
        model = RelaxationModel("scale", math.exp) if constant else None
        ends = log_range() if heat else (sequence.low, sequence.high)
        tuned = {TUNED: TunedSolver(fixed, context=ends, model=model, clock=clock, seed=config.seed)}
        beside = _beside(config, constant)
        warm_up(sequence, [*fixed, *beside])
        races.append(race(name, sequence, fixed, tuned, context=log_of if heat else float, beside=beside, clock=clock,
                          stop=stop))  # fmt: skip
        print(f"\n{name}: {tuned[TUNED].report()}")
        if stop.happened:
            break
    return races


def _beside(config: Config, constant: bool) -> list[Candidate]:
    """The direct solver where it applies, and PETSc."""
    found = sweep("DST direct", _direct) if constant else []
    if config.petsc:
        try:
            import mpi4py.MPI  # noqa: F401

            import petsc4py  # noqa: F401
        except ImportError:
            return found
        found += petsc_sweep("petsc cg + gamg", "-ksp_type cg -pc_type gamg")
    return found


def _direct(A: Any, b: Any, x0: Any = None, *, rtol: float, atol: float, maxiter: int | None) -> Any:
    """Fast sine transforms: exact, without iterations."""
    return fast_poisson(A, b, rtol=rtol, atol=atol)


def iteration_table(found: Sequence[Tables], *, first: bool = False) -> Table:
    """Iterations in all, or of the first thousand steps."""
    result = Table(["iterations", *(f"n = {t.n}" for t in found)])
    names = list(dict.fromkeys("best fixed" if k.startswith("best fixed") else k for t in found for k in t.rows))
    for name in names:
        cells = []
        for t in found:
            source = t.first if first else t.rows
            key = next(k for k in source if k.startswith(name))
            cells.append(f"{source[key]:,.0f}" + (f" ({key.rsplit(' ', 1)[1]})" if name == "best fixed" else ""))
        result.add(name, *cells)
    return result


def verdicts(found: Sequence[Tables], races: Sequence[Race]) -> list[Verdict]:
    """The ship bar: fewer iterations than ChebCB everywhere, and never over 5 % slower than the default."""
    result = []
    for t in found:
        for name in (MODEL, TUNED):
            result.append(at_most(f"n={t.n}: {name} over ChebCB, iterations", t.rows[name] / t.rows[CHEBCB], 1.0))
            ratio = t.first[name] / t.first[CHEBCB]
            result.append(at_most(f"n={t.n}: the same, first {min(1000, len(t.contexts))} steps", ratio, 1.0))
    for r in races:
        result.append(at_most(f"{r.name}: tuned over default, seconds", r.total(TUNED) / r.total(r.labels[0]), 1.05))
        if r.name.startswith("jumping"):
            ratio = r.total(TUNED) / float(r.seconds[:, r.best].sum())
            result.append(at_most(f"{r.name}: tuned over best fixed, seconds", ratio, 1.0))
    return result


def report(
    run: Run, config: Config, found: list[Tables], races: list[Race], costs: list[Verdict], *, interrupted: bool
) -> None:
    """Print the tables and write the run's files."""
    pages = []
    if found:
        pages += [iteration_table(found), iteration_table(found, first=True)]
        print(f"\niterations in all, {config.steps} steps (learners replay a cost table; {TUNED} runs in closed loop)")
        print(pages[0].text())
        print(f"\nfirst {min(1000, config.steps)} steps\n{pages[1].text()}")
    if races:
        pages.append(table(races))
        print(f"\nseconds ({config.clock}), everyone on the same systems, in turns\n{pages[-1].text()}")
    judged = verdicts(found, races) + costs
    if judged:
        pages.append(verdict_table(judged))
        print(f"\n{pages[-1].text()}")
    run.page("\n\n".join(page.markdown() for page in pages))
    run.history(
        ["sequence", "step", "context", "solver", "seconds", "iterations"],
        ((r.name, t, r.contexts[t], label, r.seconds[t, k], r.iterations[t, k])
         for r in races for k, label in enumerate(r.labels) for t in range(0, len(r.contexts), 5)),
    )  # fmt: skip
    run.result({
        "converged": True, "interrupted": interrupted,
        "iterations": [{"n": t.n, "all": t.rows, "first": t.first} for t in found],
        "races": [facts(r) for r in races],
        "bars": [{"what": v.what, "value": v.value, "bound": v.bound, "passed": v.passed} for v in judged],
    })  # fmt: skip
    print(f"plot: {run.plot(picture(found, races))}")
    heats = [r for r in races if "heat" in r.name][-2:]
    if heats:
        print(f"plot: {run.plot(loops(heats), 'loops')}")


def loops(races: Sequence[Race]) -> Figure:
    """Draw the seconds of time loops, a panel each: the default, the best fixed setting, and the tuned solver."""
    figure = Figure(figsize=(4.6 * len(races), 3.1), layout="constrained", dpi=80)
    axes = figure.subplots(1, len(races), squeeze=False)
    for r, ax in zip(races, axes[0], strict=True):
        curves = {"default: cg": r.seconds[:, 0], "best fixed, in hindsight": r.seconds[:, r.best]}
        curves |= {TUNED: r.seconds[:, r.labels.index(TUNED)], "per-step oracle": r.oracle}
        draw.running(curves, ax, label="seconds of solving")
        ax.set_title(f"{r.name} (best fixed: {r.labels[r.best]})", fontsize=10)
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def picture(found: Sequence[Tables], races: Sequence[Race]) -> Figure:
    """Draw iterations, seconds, choices and regret; what was not run leaves no gap."""
    panels = 3 * bool(found) + bool(races)
    rows, columns = (2, 2) if panels == 4 else (1, max(1, panels))
    figure = Figure(figsize=(6.5 * columns, 4.5 * rows), layout="constrained")
    free = iter(figure.subplots(rows, columns, squeeze=False).ravel())
    if found:
        t, a = found[-1], next(free)
        shown = [k for k in t.curves if k not in ("CG", "SSOR-CG, omega = 1", "Thompson", "Tsallis-INF, 6 bins")]
        draw.running({k: t.curves[k] for k in shown}, a, label="iterations, of the oracle's", relative_to=t.oracle)
        a.set_ylim(0.98, 1.9)
        a.set_title(f"heat equation, n = {t.n:,}: iterations so far", fontsize=10)
        draw.legend(a)
    jumping = [r for r in races if r.name.startswith("jumping")] or list(races)
    if jumping:
        r, b = jumping[0], next(free)
        curves = {f"default: {r.labels[0]}": r.seconds[:, 0], f"best fixed: {r.labels[r.best]}": r.seconds[:, r.best]}
        curves |= {r.labels[k]: r.seconds[:, k] for k in range(r.fixed, len(r.labels))} | {"per-step oracle": r.oracle}
        draw.running(curves, b, label="seconds")
        b.set_yscale("log")
        b.set_title(f"{r.name}: seconds so far", fontsize=10)
        b.legend(frameon=False, fontsize=8)
    if found:
        c, d = next(free), next(free)
        draw.choices(t.contexts, t.omegas, c, label="diffusivity", best=t.theory)
        c.set_xscale("symlog", linthresh=FLOOR)
        c.set_title("what Thompson sampling with the model chose", fontsize=10)
        names = ("Tsallis-INF", "Tsallis-INF, 6 bins", CHEBCB, "Thompson", MODEL, TUNED)
        slopes = ((2 / 3, "$T^{2/3}$"), (9 / 11, "$T^{9/11}$ (ChebCB)"))
        draw.regret({k: t.curves[k] - t.oracle for k in names}, d, slopes=slopes)
        d.set_title("regret against the best arm of every step, iterations", fontsize=10)
        d.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
