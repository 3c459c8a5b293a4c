"""First guesses for the pressure systems of a flow: iterations that each method saves, at three step sizes.

conjugo initial-guess
conjugo initial-guess --source smoke --strides 1 2 4
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.cases.forecasts import Informed, RefittedDMD
from conjugo.cases.launch import interruptible, launch
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, significant
from conjugo.pde.store import generate, read
from conjugo.solvers.adapters.pyamg import smoothed_aggregation
from conjugo.solvers.guess import Extrapolation, Fischer, Guess, Previous
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.preconditioners.jacobi import jacobi

type Values = NDArray[np.float64]

GUESSES: dict[str, Callable[[], Guess | None]] = {
    "zero": lambda: None,
    "previous": Previous,
    "quadratic": lambda: Extrapolation(2),
    "cubic": lambda: Extrapolation(3),
    "refitted DMD": RefittedDMD,
    "refitted DMD, 100": lambda: RefittedDMD(100, 30),
    "Fischer 8": lambda: Fischer(8),
    "Fischer 20": lambda: Fischer(20),
    "Fischer 90": lambda: Fischer(90),
    "Fischer 20, restarted": lambda: Fischer(20, restart=True),
    "Fischer 8 + DMD": lambda: Informed(Fischer(8), RefittedDMD()),
    "Fischer 20 + DMD": lambda: Informed(Fischer(20), RefittedDMD()),
}
"""Name of a guess: what makes a fresh one."""

PRECONDITIONERS: dict[str, Callable[[Any], Any]] = {"jacobi": jacobi, "amg": smoothed_aggregation}


@dataclass(frozen=True, kw_only=True)
class Config:
    """First guesses for the pressure systems of a flow: iterations that each saves, at three step sizes."""

    source: Literal["wake", "smoke"] = "wake"
    """The DFG 2D-2 wake (extra fem): pressure increments; or a plume of smoke: pressures."""
    resolution: int = 16
    """Of the wake: elements across the channel. Of the plume: cells across / 8."""
    settle: float = 6.5
    """Time before the first system: the vortex street has set in after 5; of the plume a fifth of it."""
    systems: int = 1700
    """Systems recorded, one a step; two periods of the wake."""
    strides: tuple[int, ...] = (1, 5, 10)
    """Every so many are kept: larger steps."""
    most: int = 500
    """Systems solved at most, for each stride."""
    preconditioners: tuple[Literal["jacobi", "amg"], ...] = ("jacobi", "amg")
    """Of CG: the diagonal, and PyAMG's smoothed aggregation (extra amg)."""
    rtol: float = 1e-6
    """Relative tolerance of the true residual."""
    cache: Path = Path("data")
    """Folder of the recorded systems."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A coarse flow and few systems, so that it ends in seconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """One guess at one stride with one preconditioner, over the systems after the first 40 (all guesses are full then).

    Parameters
    ----------
    guess, preconditioner : str
        Their names.
    stride : int
        Every so many systems.
    iterations, residual : float
        Mean iterations, and median of ||b - A x0|| / ||b||.
    seconds, guess_seconds : float
        Mean of a solve with its guess and update, and the guess's and update's part.
    converged : bool
        Whether every solve met the tolerance.
    """

    guess: str
    preconditioner: str
    stride: int
    iterations: float
    residual: float
    seconds: float
    guess_seconds: float
    converged: bool


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, resolution=min(config.resolution, 8), settle=0.05, systems=90, strides=(1, 2),
                         preconditioners=("jacobi",))  # fmt: skip
    if min(config.strides, default=0) < 1 or config.systems < 1:
        raise ValueError(f"strides = {config.strides}, systems = {config.systems}: expected positive numbers")
    A, b = recorded(config)
    run = Run("initial_guess", config, config.folder)
    rows: list[Row] = []
    with interruptible() as stop, suppress(KeyboardInterrupt):
        for name in config.preconditioners:
            M = PRECONDITIONERS[name](A)
            for stride in config.strides:
                chosen = b[::stride][: config.most]
                cases = tqdm(GUESSES.items(), desc=f"{name}, every {stride}", unit="guess")
                rows.extend(replay(A, chosen, M, make(), (guess, name, stride), config.rtol) for guess, make in cases)
    report(run, config, rows, len(A.indptr) - 1, interrupted=stop.happened)
    return run.folder


def recorded(config: Config) -> tuple[sp.csr_array, Values]:
    """The matrix and the right-hand sides (systems, n), from the cache where it has them."""
    facts = {"source": config.source, "resolution": config.resolution, "settle": config.settle}
    name = "-".join(str(value) for value in (*facts.values(), config.systems))

    def sample(first: int, count: int) -> Mapping[str, Any]:
        A, b = (_wake if config.source == "wake" else _smoke)(config)
        return {"data": A.data[None], "indices": A.indices[None], "indptr": A.indptr[None], "b": b[None]}

    path = generate(config.cache / f"pressure-{name}.h5", sample, 1, config={**facts, "systems": config.systems},
                    progress=False)  # fmt: skip
    arrays, _ = read(path)
    data, indices, indptr, b = (np.asarray(arrays[key][0]) for key in ("data", "indices", "indptr", "b"))
    return sp.csr_array((data, indices, indptr), shape=(b.shape[1],) * 2), b


def _wake(config: Config) -> tuple[sp.csr_array, Values]:
    from conjugo.pde.fem.cylinder import dfg_cylinder
    from conjugo.pde.fem.wake import advance, pressure_systems

    case = dfg_cylinder(config.resolution)
    flow = case.flow()
    advance(case, flow, config.settle, progress=True)
    return pressure_systems(case, flow, config.systems, progress=True)


def _smoke(config: Config) -> tuple[sp.csr_array, Values]:
    from conjugo.pde.evolution import Ball, Smoke

    size = 8 * config.resolution
    plume = Smoke((3 * size // 2, size), solids=[Ball((0.75, 0.44), 0.14)], top="open")
    solve = partial(cg, M=PRECONDITIONERS["amg"](plume.problem.compress().A), rtol=1e-8)
    skipped = round(config.settle / 5 / plume.dt)
    taken: list[Values] = []
    small = plume.problem.compress().A
    active = plume.problem.active

    def compressed(A: Any, b: Values, x0: Values) -> Any:
        inner = solve(small, b[active], x0[active])
        taken.append(b[active])
        return replace(inner, x=plume.problem.expand(inner.x))

    states = plume.run(compressed, steps=skipped + config.systems)
    for _ in tqdm(states, total=skipped + config.systems, desc="plume", unit="step"):
        pass
    return small, np.stack(taken[skipped:])


def replay(A: sp.csr_array, b: Values, M: Any, guess: Guess | None, names: tuple[str, str, int], rtol: float) -> Row:
    """Solve the systems one after another, each from the guess that the method's own solutions give.

    Parameters
    ----------
    A : (n, n) csr_array
        Symmetric positive definite.
    b : (systems, n) array
        Right-hand sides.
    M : preconditioner
        Of A.
    guess : Guess or None
        A fresh one; None starts at zero.
    names : (str, str, int)
        Of the guess and the preconditioner, and the stride.
    rtol : float
        Relative tolerance.

    Returns
    -------
    Row
        Means over the systems after the first 40, or all where there are fewer than 50.
    """
    iterations, residuals, spent, overhead, converged = [], [], [], [], True
    for right in b:
        start = time.perf_counter()
        x0 = np.zeros_like(right) if guess is None else guess(A, right)
        guessed = time.perf_counter()
        result = cg(A, right, x0, rtol=rtol, M=M)
        solved = time.perf_counter()
        if guess is not None:
            guess.update(A, result.x, right)
        end = time.perf_counter()
        iterations.append(result.iterations)
        residuals.append(float(result.residuals[0]) / (float(np.linalg.norm(right)) or 1.0))
        spent.append(end - start)
        overhead.append(guessed - start + end - solved)
        converged &= result.converged
    late = slice(40 if len(b) >= 50 else 0, None)
    guess_name, preconditioner, stride = names
    return Row(guess_name, preconditioner, stride, float(np.mean(iterations[late])), float(np.median(residuals[late])),
               float(np.mean(spent[late])), float(np.mean(overhead[late])), converged)  # fmt: skip


def report(run: Run, config: Config, rows: list[Row], n: int, *, interrupted: bool) -> None:
    """Write the files and print the tables: one row a guess, one column a stride."""
    columns = list(Row.__dataclass_fields__)
    run.history(columns, ([getattr(row, name) for name in columns] for row in rows))
    run.result({"rows": rows, "unknowns": n, "interrupted": interrupted, "converged": all(r.converged for r in rows)})
    pages = []
    for name in config.preconditioners:
        table = Table(["guess", *(f"every {s}" for s in config.strides), *(f"ms, {s}" for s in config.strides)])
        for guess in GUESSES:
            mine = {row.stride: row for row in rows if (row.guess, row.preconditioner) == (guess, name)}
            if len(mine) == len(config.strides):
                counts = [f"{mine[s].iterations:.1f}" for s in config.strides]
                table.add(guess, *counts, *(significant(1e3 * mine[s].seconds) for s in config.strides))
        pages.append(f"CG with {name}, {config.source}, {n} unknowns, rtol {config.rtol:g}: mean iterations, and "
                     "milliseconds with guess and update")  # fmt: skip
        print(f"\n{pages[-1]}\n{table.text()}")
        pages.append(table.markdown())
    run.page("\n\n".join(pages))
    if rows:
        run.plot(draw(rows, config))
    print(f"\n{run.folder}")


def draw(rows: list[Row], config: Config) -> Figure:
    """Draw the iterations of every guess against the stride, a panel a preconditioner."""
    figure = Figure(figsize=(5.5 * len(config.preconditioners) + 2.4, 4.4), layout="constrained")
    panels = figure.subplots(1, len(config.preconditioners), squeeze=False)[0]
    colours = (
        "#000000",
        "#7F7F7F",
        "#56B4E9",
        "#0072B2",
        "#5B2A86",
        "#E69F00",
        "#D55E00",
        "#CC79A7",
        "#8FBC8F",
        "#009E73",
    )
    for ax, name in zip(panels, config.preconditioners, strict=True):
        for guess, colour in zip(GUESSES, colours, strict=True):
            mine = sorted(
                (row for row in rows if (row.guess, row.preconditioner) == (guess, name)), key=lambda r: r.stride
            )
            if mine:
                ax.plot([r.stride for r in mine], [r.iterations for r in mine], marker="o", color=colour, label=guess,
                        linestyle="--" if "+" in guess else "-", markersize=4, linewidth=1.4)  # fmt: skip
        ax.set_xscale("log")
        ax.set_xticks(config.strides, [str(s) for s in config.strides])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_xlabel("steps between systems")
        ax.set_ylabel("mean iterations")
        ax.set_title(f"CG, {name}", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
