"""Generate the samples of a learning problem into one HDF5 file; a run that was stopped goes on where it was.

conjugo generate darcy --count 1200 --size 421 --variant spline --out data/darcy.h5
conjugo generate kuramoto-sivashinsky --count 100 --steps 1000 --out data/ks.h5
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray

from conjugo.cases.generators import Equation, Samples, parameters, sampler
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds, significant
from conjugo.pde import FieldPairs, Trajectories, generate
from conjugo.pde.store import load
from conjugo.solvers.parallel import threads
from conjugo.solvers.result import ConvergenceError

SHOWN = 4
"""Samples in the picture."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Generate samples: pairs of fields, or trajectories."""

    equation: tyro.conf.Positional[Equation]
    """What to generate."""
    count: int = 1200
    """Samples."""
    out: Path | None = None
    """The file; default data/<equation>.h5."""
    size: int | None = None
    """Points along each axis."""
    variant: Literal["clean", "spline"] | None = None
    """Darcy: nodes and harmonic means, or the steps of the original data's script."""
    keep: int | None = None
    """Navier-Stokes: points along each axis that are kept."""
    rtol: float | None = None
    """Tolerance of the linear solves."""
    steps: int | None = None
    """Snapshots after the first."""
    interval: float | None = None
    """Time between snapshots."""
    dt: float | None = None
    """Step of the time integration."""
    length: float | None = None
    """Length of the domain."""
    viscosity: float | None = None
    """Viscosity."""
    seed: int = 0
    """Sample i is made from the seed and i alone."""
    dtype: Literal["float32", "float64"] = "float32"
    """Of the file."""
    chunk: int = 32
    """Samples made at a time: what memory is needed for."""
    threads: int = 0
    """Samples made side by side; 0: one a core."""
    device: str = "numpy"
    """numpy, or a device of torch: cpu, cuda."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Eight small samples, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, count=8, chunk=4)
    options = ("size", "keep", "variant", "rtol", "steps", "interval", "dt", "length", "viscosity", "seed")
    settled = parameters(config.equation, {name: getattr(config, name) for name in options}, fast=config.fast)
    sample = sampler(config.equation, settled, dtype=config.dtype, device=config.device)
    run = Run("generate", config, config.folder)
    out = config.out or (run.folder if config.fast else Path("data")) / f"{config.equation}.h5"
    facts = {"equation": config.equation, "dtype": config.dtype, **settled}
    rows: list[tuple[int, int, float]] = []
    failure = ""
    try:
        with threads(config.threads or cores()):
            generate(out, timed(sample, rows), config.count, config=facts, chunk=config.chunk)
    except KeyboardInterrupt:
        failure = "interrupted; run the same command again to go on"
    except ConvergenceError as error:
        failure = str(error)
    report(run, config, out, rows, failure)
    return run.folder


def timed(sample: Callable[[int, int], Samples], rows: list[tuple[int, int, float]]) -> Callable[[int, int], Samples]:
    """Note first sample, samples and seconds of every piece."""

    def noted(first: int, count: int) -> Samples:
        started = time.perf_counter()
        made = sample(first, count)
        rows.append((first, count, time.perf_counter() - started))
        return made

    return noted


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def report(run: Run, config: Config, out: Path, rows: list[tuple[int, int, float]], failure: str) -> None:
    """Write the files of the run, and print what there is."""
    made, spent = sum(count for _, count, _ in rows), sum(piece for *_, piece in rows)
    run.history(("first", "samples", "seconds"), rows)
    result = {
        "converged": not failure,
        "interrupted": failure.startswith("interrupted"),
        "file": str(out.resolve()),
        "made": made,
        "seconds": spent,
    }
    if failure:
        run.result(result)
        print(f"{out}.part holds what was made: {failure}")
        return
    shown = load(out, slice(0, SHOWN))
    shape = shown.u.shape[1:]
    table = Table(["file", "samples", "a sample", "made now", "seconds", "a sample takes", "MB"])
    table.add(
        str(out),
        str(config.count),
        "x".join(map(str, shape)),
        str(made),
        seconds(spent),
        seconds(spent / made if made else None),
        significant(out.stat().st_size / 1e6),
    )
    print(f"\n{table.text()}\n")
    run.result(result | {"shape": shape, "bytes": out.stat().st_size})
    print(f"plot: {run.plot(picture(shown, config.equation))}")


def picture(shown: Samples, title: str) -> Figure:
    """Draw the first samples: inputs above outputs, or states in the course of time."""
    rows = [shown.a, shown.u] if isinstance(shown, FieldPairs) else [shown.u]
    figure = Figure(figsize=(2.6 * len(shown) + 0.6, 2.4 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for ax, field in zip(axes.ravel(), (field for row in rows for field in row), strict=True):
        if isinstance(shown, Trajectories):
            _draw_trajectory(ax, np.asarray(field), shown.t)
        else:
            _draw_field(ax, np.asarray(field))
    figure.suptitle(f"{title}: the first {len(shown)} samples", fontsize=10)
    return figure


def _draw_field(ax: Any, field: NDArray[np.floating]) -> None:
    """A function on an interval as a line, on a square as a picture."""
    field = field[0] if field.ndim == 3 else field
    if field.ndim == 1:
        ax.plot(np.linspace(0, 1, len(field)), field, color="#0072B2")
    else:
        ax.imshow(field.T, origin="lower", cmap="viridis")
        ax.set_axis_off()


def _draw_trajectory(ax: Any, states: NDArray[np.floating], t: NDArray[np.float64]) -> None:
    """Few numbers as a curve in the plane of the first two, a line of them over time, a field at the last time."""
    if states.ndim == 3:
        _draw_field(ax, states[-1])
    elif states.shape[1] > 8:
        ax.imshow(states, origin="lower", aspect="auto", cmap="RdBu_r", extent=(0, states.shape[1], t[0], t[-1]))
        ax.set_xlabel("point")
        ax.set_ylabel("time")
    else:
        ax.plot(states[:, 0], states[:, 1], ".-", color="#0072B2", linewidth=0.8, markersize=3)


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
