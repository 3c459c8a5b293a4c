"""What a learned first guess saves, or loses: iterations and seconds of CG, inference included.

conjugo warm-start --size 421 --count 4
conjugo warm-start --size 129 --operator-steps 300
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.cases.launch import launch
from conjugo.cases.plotting import COLOURS, DASHES
from conjugo.cases.runs import Run
from conjugo.cases.starts import ERRORS, ZERO, Start, learned, starts
from conjugo.cases.table import MISSING, Table, scientific, seconds
from conjugo.learned.operators.guess_test import Guess, relaxation
from conjugo.learned.operators.operator_preconditioner import OperatorPreconditioner
from conjugo.learned.operators.residual_operator import ResidualOperator, ResidualOperatorConfig
from conjugo.learned.operators.residual_training import DarcyErrors, KrylovResiduals, operator_loss
from conjugo.learned.training.fit import FitConfig, fit
from conjugo.learned.training.models import load_model, save_model, weights_path
from conjugo.pde import LinearProblem, poisson
from conjugo.pde.darcy import darcy_coefficients, darcy_problem
from conjugo.solvers import FastPoisson, Multigrid, SolveResult, cg, fcg

RESIDUAL_OPERATOR = "residual_operator"
"""Name of its weights."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Solve Darcy problems from different first guesses, and with an operator as the preconditioner."""

    size: int = 421
    """Nodes a side, walls included."""
    count: int = 2
    """Problems."""
    coarse: int = 85
    """Nodes a side of the coarse solve, and of operators that do not name their grid."""
    rtols: tuple[float, ...] = (1e-4, 1e-8)
    """Tolerances."""
    error: float = 0.0065
    """Relative L2 error of the synthetic guesses."""
    repeats: int = 3
    """Timed solves, interleaved; the median counts."""
    operator_steps: int = 0
    """Train the residual operator for so many steps; 0 takes the weights that ship, where they do."""
    operator_size: int = 65
    """Nodes a side of its training problems."""
    sweeps: int = 4
    """Relaxation sweeps before and after its response."""
    seed: int = 10_000
    """Seed of the problems; training uses seeds from 0."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """One small problem, so that it ends in seconds."""


@dataclass(slots=True, eq=False)
class Found:
    """One start on one problem: its guess, the raw answer's energy error and residual, and what every solve took."""

    name: str
    timed: bool
    guess: Guess | None
    energy: tuple[float, float]
    residual: tuple[float, float]
    answer: NDArray[np.float64] | None = None
    raw: dict[tuple[str, float], int] = field(default_factory=dict)
    solves: dict[tuple[str, float], list[SolveResult]] = field(default_factory=dict)

    def cost(self, key: tuple[str, float]) -> float:
        """Median seconds of the solve, inference and test; inference does not count where there is no model."""
        extra = 0.0 if self.guess is None else self.guess.seconds if self.timed else self.guess.test_seconds
        return float(np.median([result.seconds for result in self.solves[key]])) + extra


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, size=41, count=1, coarse=21, repeats=1, operator_steps=4, operator_size=17)
    if config.count < 1 or config.repeats < 1:
        raise ValueError(f"count = {config.count}, repeats = {config.repeats}: expected at least 1")
    if not 5 <= config.coarse < config.size:
        raise ValueError(f"coarse = {config.coarse}: expected 5 to {config.size - 1} nodes, less than size")
    preconditioners(darcy_problem(np.ones((9, 9))))  # the compiled kernels are loaded before anything is timed
    run = Run("warm_start", config, config.folder)
    operators, absent = learned(config.coarse)
    network, origin = residual_operator(config, run.folder)
    rows: list[list[Found]] = []
    others: list[dict[str, tuple[SolveResult, float]]] = []
    curves: dict[str, NDArray[np.float64]] = {}
    setups: dict[str, float] = {}
    for index in tqdm(range(config.count), unit="problem"):
        problem = darcy_problem(darcy_coefficients(1, config.size, seed=config.seed, first=index)[0])
        methods = preconditioners(problem)
        setups = {name: float(getattr(M, "setup_seconds", 0.0)) for name, M in methods.items()}
        exact = cg(problem.A, problem.b, M=methods["DST"], rtol=1e-12).x
        kinds = starts(problem, exact, operators, coarse=config.coarse, error=config.error, seed=(config.seed, index))
        found = [examine(problem, exact, kind) for kind in [None, *kinds]]
        race(config, problem, methods, found)
        rows.append(found)
        others.append(as_preconditioner(config, problem, methods, network))
        curves = curves or {one.name: one.solves["none", config.rtols[-1]][0].residuals for one in found}
    text = report(config, rows, others, setups, absent, origin)
    print(f"\n{text}\n")
    run.page(text)
    run.history(["start", "iteration", "residual"], ((n, i, r) for n, c in curves.items() for i, r in enumerate(c)))
    converged = all(r[0].converged for found in rows for one in found for r in one.solves.values())
    run.result({"converged": converged, "absent": absent, "operator": origin, "starts": scores(rows)})
    print(f"plot: {run.plot(picture(config, rows, curves))}")
    return run.folder


def preconditioners(problem: LinearProblem) -> dict[str, Any]:
    """Set up one preconditioner of each kind; AMG where PyAMG is installed."""
    side = problem.A.grid_shape
    methods: dict[str, Any] = {
        "none": None,
        "multigrid": Multigrid(problem.A, symmetric=True),
        "DST": FastPoisson(poisson(side).A),
    }
    if find_spec("pyamg"):
        from conjugo.solvers import ruge_stuben

        methods["AMG"] = ruge_stuben(problem.A.tocsr())
    return methods


def residual_operator(config: Config, folder: Path) -> tuple[ResidualOperator, str]:
    """Return the residual operator and where it comes from."""
    torch.manual_seed(0)
    model = ResidualOperator(ResidualOperatorConfig())
    if config.operator_steps:
        batches = KrylovResiduals(DarcyErrors(size=config.operator_size, batch=8), model, sweeps=config.sweeps)
        settings = FitConfig(steps=config.operator_steps, learning_rate=3e-3, warmup=min(10, config.operator_steps - 1))
        history = fit(model, operator_loss(config.sweeps), batches, config=settings)
        save_model(model, folder / "weights.safetensors", steps=config.operator_steps, seed=0)
        return model, f"trained for {len(history.steps)} steps at {config.operator_size}^2, {seconds(history.seconds)}"
    try:
        loaded = load_model(weights_path(RESIDUAL_OPERATOR))
    except ValueError:
        return model, "not trained (its first weights are classical)"
    if not isinstance(loaded, ResidualOperator):
        raise ValueError(f"the weights {RESIDUAL_OPERATOR} hold a {type(loaded).__name__}: expected a ResidualOperator")
    return loaded, "shipped weights"


def examine(problem: LinearProblem, exact: NDArray[np.float64], start: Start | None) -> Found:
    """Make and test a guess, and measure it before and after; None is the zero guess."""
    if start is None:
        return Found(ZERO, True, None, (1.0, 1.0), (1.0, 1.0))
    start.warm(problem)  # the first call pays for what every later one finds ready
    guess = start.warm(problem)
    raw = start.warm.answer(problem)
    x0 = np.zeros_like(exact) if guess.x0 is None else guess.x0
    energies = (energy_error(problem, raw, exact), energy_error(problem, x0, exact))
    residuals = (float(guess.residual_before), float(guess.residual_after))
    return Found(start.name, start.timed, guess, energies, residuals, raw)


def energy_error(problem: LinearProblem, x: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    """Return the error in the energy norm, relative to the zero guess's."""
    e = x - exact
    return float(np.sqrt((e @ (problem.A @ e)) / (exact @ (problem.A @ exact))))


def race(config: Config, problem: LinearProblem, methods: Mapping[str, Any], found: list[Found]) -> None:
    """Solve from every start by every method to every tolerance, interleaved; the untested answers once."""
    for rtol in config.rtols:
        for name, M in methods.items():
            key = (name, rtol)
            for one in found:
                one.raw[key] = cg(problem.A, problem.b, x0=one.answer, M=M, rtol=rtol).iterations
            for _ in range(config.repeats):
                for one in found:
                    x0 = None if one.guess is None else one.guess.x0
                    one.solves.setdefault(key, []).append(cg(problem.A, problem.b, x0=x0, M=M, rtol=rtol))


def as_preconditioner(
    config: Config, problem: LinearProblem, methods: Mapping[str, Any], network: ResidualOperator
) -> dict[str, tuple[SolveResult, float]]:
    """Solve to the last tolerance with every preconditioner; seconds of set-up and solve beside each."""
    results: dict[str, tuple[SolveResult, float]] = {}
    for name, M in methods.items():
        label = "cg" if name == "none" else f"cg + {name}"
        result = cg(problem.A, problem.b, M=M, rtol=config.rtols[-1])
        results[label] = result, float(getattr(M, "setup_seconds", 0.0)) + result.seconds
    torch.manual_seed(0)
    nets = {"operator": network, "operator, untrained": ResidualOperator(network.config)}
    for label, net in nets.items():
        M = OperatorPreconditioner(net, problem, sweeps=config.sweeps)
        result = fcg(problem.A, problem.b, M=M, rtol=config.rtols[-1])
        results[f"fcg + {label}"] = result, M.setup_seconds + result.seconds
    alone = relaxation(problem.A, 2 * config.sweeps)
    if alone is not None:
        started = time.perf_counter()
        result = cg(problem.A, problem.b, M=alone.operator, rtol=config.rtols[-1])
        results["cg + as many sweeps, no operator"] = result, time.perf_counter() - started
    return results


def report(
    config: Config, rows: list[list[Found]], others: list[dict[str, tuple[SolveResult, float]]],
    setups: Mapping[str, float], absent: list[str], origin: str,
) -> str:  # fmt: skip
    """Write all tables."""
    parts = [
        f"Darcy, {config.size}^2 nodes, {config.count} problems (medians); stop at ||b - A x|| <= rtol ||b||.",
        "Absent weights: " + (", ".join(absent) or "none") + ".",
        "\nThe guesses: energy error and residual relative to the zero guess's, as answered -> as accepted.\n",
        guess_table(rows).text(),
    ]
    for rtol in config.rtols:
        parts += [
            f"\nrtol {rtol:.0e}: iterations from the tested guess (from the untested answer).\n",
            solve_table(rows, rtol, list(setups)).text(),
            "\nSeconds, inference and test included, and how many times as long as from zero (synthetic errors: test "
            "only).\n",
            time_table(rows, rtol, setups).text(),
        ]
    parts += [
        f"\nAs a preconditioner, rtol {config.rtols[-1]:.0e}, {config.sweeps} + {config.sweeps} sweeps; "
        f"operator: {origin}.\n",
        preconditioner_table(others).text(),
    ]
    return "\n".join(parts)


def columns(rows: list[list[Found]]) -> Iterator[list[Found]]:
    """Yield, start by start, what it did on all problems."""
    yield from (list(same) for same in zip(*rows, strict=True))


def guess_table(rows: list[list[Found]]) -> Table:
    """Tabulate what the test made of every guess."""
    table = Table(["start", "energy error", "residual", "outcome", "scale", "inference", "test"])
    for same in columns(rows):
        guesses = [one.guess for one in same if one.guess is not None]
        energy, residual = (np.median([getattr(one, name) for one in same], axis=0) for name in ("energy", "residual"))
        outcome = ", ".join(sorted({str(guess.outcome) for guess in guesses})) or MISSING
        times = [[guess.inference_seconds, guess.test_seconds] for guess in guesses]
        inference, test = np.median(times, axis=0) if times else (None, None)
        table.add(
            same[0].name,
            f"{energy[0]:.3g} -> {energy[1]:.3g}",
            f"{residual[0]:.3g} -> {residual[1]:.3g}",
            outcome,
            f"{np.median([guess.scale for guess in guesses]):.4f}" if guesses else MISSING,
            seconds(inference) if same[0].timed and guesses else MISSING,
            seconds(test) if guesses else MISSING,
        )
    return table


def solve_table(rows: list[list[Found]], rtol: float, methods: list[str]) -> Table:
    """Tabulate iterations."""
    table = Table(["start", *(heading(name) for name in methods)])
    for same in columns(rows):
        cells = []
        for name in methods:
            tested = np.median([one.solves[name, rtol][0].iterations for one in same])
            raw = np.median([one.raw[name, rtol] for one in same])
            cells.append(f"{tested:g}" if same[0].guess is None else f"{tested:g} ({raw:g})")
        table.add(same[0].name, *cells)
    return table


def time_table(rows: list[list[Found]], rtol: float, setups: Mapping[str, float]) -> Table:
    """Tabulate seconds and their ratio to the zero start."""
    table = Table(["start", *(heading(name) for name in setups)])
    for same in columns(rows):
        cells = []
        for name in setups:
            took = [one.cost((name, rtol)) for one in same]
            ratios = [cost / found[0].cost((name, rtol)) for cost, found in zip(took, rows, strict=True)]
            cells.append(f"{seconds(float(np.median(took)))}  x{np.median(ratios):.2f}")
        table.add(same[0].name, *cells)
    table.add("(set-up, once a problem)", *(seconds(value) if value else MISSING for value in setups.values()))
    return table


def preconditioner_table(others: list[dict[str, tuple[SolveResult, float]]]) -> Table:
    """Tabulate the operator as a preconditioner beside classical ones."""
    table = Table(["method", "iterations", "worst", "set-up + solve", "residual"])
    for label in others[0]:
        results = [one[label] for one in others]
        counts = [result.iterations for result, _ in results]
        worst = max(float(result.residuals[-1] / result.residuals[0]) for result, _ in results)
        took = float(np.median([time for _, time in results]))
        table.add(label, f"{np.median(counts):g}", str(max(counts)), seconds(took), scientific(worst))
    return table


def heading(name: str) -> str:
    """Name a method in a table."""
    return "CG" if name == "none" else f"{name}-CG"


def scores(rows: list[list[Found]]) -> list[dict[str, Any]]:
    """Return every number of the tables on the starts."""
    result = []
    for index, found in enumerate(rows):
        for one in found:
            for (name, rtol), solved in one.solves.items():
                row = {"problem": index, "start": one.name, "method": heading(name), "rtol": rtol}
                facts = {} if one.guess is None else one.guess.facts()
                row |= {"iterations": solved[0].iterations, "raw_iterations": one.raw[name, rtol]}
                row |= {"seconds": one.cost((name, rtol)), "energy": one.energy, "residual": one.residual}
                result.append({**row, "guess": facts})
    return result


def picture(config: Config, rows: list[list[Found]], curves: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw plain CG's residuals from every start, and the seconds of every method from zero and from timed guesses."""
    figure = Figure(figsize=(11.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    palette = [COLOURS[name] for name in ("automatic", "Krylov", "multigrid", "learned", "stationary")]
    palette += [COLOURS[name] for name in ("preconditioned CG", "algebraic multigrid", "PETSc")]
    scale = curves[ZERO][0]
    refused = [one.name for one in rows[0] if one.guess is not None and one.guess.x0 is None]
    for i, (name, residuals) in enumerate(curves.items()):
        if name in refused:
            continue
        style = DASHES[1] if name in ERRORS else DASHES[0]
        label = f"{name}; also, refused:\n{', '.join(refused)}" if name == ZERO and refused else name
        left.semilogy(residuals / scale, color=palette[i % len(palette)], linestyle=style, linewidth=1.2, label=label)
    left.set(xlabel="iterations of CG", ylabel="||b - A x|| / ||b||", title=f"plain CG, {config.size}^2 nodes")
    left.legend(frameon=False, fontsize=8)
    keys = list(rows[0][0].solves)
    timed = [(i, same) for i, same in enumerate(columns(rows)) if same[0].timed and same[0].guess is not None]
    width = 0.8 / len(timed)
    for place, (i, same) in enumerate(timed):
        ratios = [
            np.median([one.cost(key) / found[0].cost(key) for one, found in zip(same, rows, strict=True)])
            for key in keys
        ]
        x, color, name = np.arange(len(keys)) + place * width, palette[i % len(palette)], same[0].name
        right.bar(x, np.subtract(ratios, 1), width, bottom=1.0, color=color, label=name)
    right.set_yscale("log")
    right.axhline(1.0, color="0.5", linewidth=0.8)
    labels = [f"{heading(name)}\n{rtol:.0e}" for name, rtol in keys]
    right.set_xticks(np.arange(len(keys)) + width * (len(timed) - 1) / 2, labels, fontsize=7)
    right.set(ylabel="seconds over those from zero: below 1 is a gain", title="inference and test included")
    right.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
