"""Vorticity of two-dimensional turbulence, ten steps ahead: trained operators beside a coarse solver.

conjugo operator-navier-stokes
conjugo operator-navier-stokes --models runs/weights --count 200 --size 256 --device cuda
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.cases.launch import launch
from conjugo.cases.operator_models import (
    KNOWN,
    TEST_FIRST,
    WANTED,
    Map,
    Trained,
    apply,
    by_label,
    load,
    milliseconds,
    relative,
    spread,
)
from conjugo.cases.operator_plots import enstrophy_spectra, over_time, vorticity_fields
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, significant
from conjugo.learned.operators.rollout import rollout
from conjugo.learned.operators.spectral_base import coarse_step
from conjugo.learned.preconditioners.forward import available
from conjugo.pde.evolution.navier_stokes import navier_stokes
from conjugo.pde.trajectories import Trajectories
from conjugo.solvers.adapters.host import to_numpy

TRUTH = 1.6
"""Time step of the truth times its nodes a side: what is stable until t = 20."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare trained operators for the vorticity equation with persistence and a coarse spectral solver."""

    models: tuple[Path, ...] = ()
    """Files or folders of trained operators; default those that conjugo ships."""
    count: int = 8
    """Unseen trajectories."""
    size: int = 0
    """Points a side of the truth, of which every fourth is seen; default as the models were trained, or 256."""
    viscosity: float = 1e-5
    """Kinematic viscosity; the models were trained at 1e-5."""
    refine: tuple[int, ...] = (1, 2)
    """Grids of the solver that starts from the last known frame: nodes a side over those that are seen."""
    courant: float = 1.28
    """Its time step times the nodes a side of its grid; the truth takes 1.6."""
    seed: int = 0
    """Seed of the initial fields."""
    device: str = "cpu"
    """cpu or cuda."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Few trajectories of a coarse truth, so that it ends in seconds."""


@dataclass(slots=True, eq=False)
class Scores:
    """Of every method: relative L2 errors over ten frames (samples,), by frame (samples, 10), and a roll-out."""

    joint: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    frames: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    first: dict[str, Tensor] = field(default_factory=dict)
    milliseconds: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, count=2, size=config.size or 96, refine=(1,))
    device = available(config.device)
    models = load(config.models, "navier-stokes", device)
    config = replace(config, size=config.size or max([item.size for item in models], default=256))
    if other := [item.label for item in models if item.size != config.size]:
        print(f"trained on another grid than every fourth node of {config.size}^2: {', '.join(other)}")
    run = Run("operator_navier_stokes", config, config.folder)
    data = trajectories(config, device)
    frames = torch.as_tensor(to_numpy(data.u), dtype=torch.float32)
    known, wanted = frames[:, :KNOWN], frames[:, KNOWN:]
    print(
        f"{config.count} unseen trajectories, truth on {config.size}^2 with dt = {TRUTH / config.size:g}, seen on "
        f"{config.size // 4}^2 at t = 1 .. 20, {KNOWN} frames known; {device}"
    )
    scores = Scores()
    for label, call in numerics(config).items():
        measure(scores, label, call, known, wanted, device)
    for item in models:
        measure(scores, item.label, partial(rolled, item.model), known, wanted, device)
    print(f"\n{(table := summary(scores, models)).text()}\n")
    run.page(table.markdown())
    times = to_numpy(data.t)[KNOWN:]
    run.history(
        ["method", "time", "relative_l2"],
        [(m, float(t), float(e)) for m, v in scores.frames.items() for t, e in zip(times, v.mean(axis=0), strict=True)],
    )
    run.result({"scores": facts(scores, models)})
    run.plot(over_time(times, {label: values.mean(axis=0) for label, values in scores.frames.items()}), "rollout")
    run.plot(enstrophy_spectra(wanted[:, -1], {m: p[:, -1] for m, p in scores.first.items()}), "spectra")
    one = {label: prediction[0] for label, prediction in scores.first.items()}
    print(f"plot: {run.plot(vorticity_fields(wanted[0], one, list(times)))}")
    return run.folder


def trajectories(config: Config, device: torch.device) -> Trajectories:
    """Compute the truth, on the GPU where there is one."""
    made: dict[str, Any] = {"xp": "torch", "device": device} if device.type == "cuda" else {}
    return navier_stokes(
        config.count, size=config.size, keep=config.size // 4, viscosity=config.viscosity, dt=TRUTH / config.size,
        seed=config.seed, first=TEST_FIRST, dtype="float32", progress=True, **made,
    )  # fmt: skip


def numerics(config: Config) -> dict[str, Map]:
    """What needs no training: the last known frame, kept or advanced on the grid that is seen."""

    def persistence(known: Tensor) -> Tensor:
        return known[:, -1:].expand(-1, WANTED, -1, -1)

    def solver(refine: int) -> Map:
        def step(frames: Tensor) -> Tensor:
            dt = config.courant / (refine * (config.size // 4))
            later: Tensor = coarse_step(frames[:, -1:], 1.0, viscosity=config.viscosity, dt=dt, refine=refine)
            return later

        return lambda known: rollout(step, known, WANTED)

    return {"persistence": persistence} | {
        f"spectral solver {refine * config.size // 4}^2": solver(refine) for refine in config.refine
    }


def rolled(step: Callable[[Tensor], Tensor], known: Tensor) -> Tensor:
    """Roll a model out."""
    return rollout(step, known, WANTED)


def measure(scores: Scores, label: str, call: Map, known: Tensor, wanted: Tensor, device: torch.device) -> None:
    """Apply one method to all trajectories, and time it on one and on up to twenty."""
    prediction = apply(call, known, device=device, label=label)
    alone, many = (milliseconds(call, known[:n], device=device, repeats=3) for n in (1, 20))
    scores.joint.setdefault(label, []).append(relative(prediction, wanted))
    scores.milliseconds.setdefault(label, []).append((alone, many))
    by_frame = [relative(prediction[:, i], wanted[:, i]) for i in range(wanted.shape[1])]
    scores.frames.setdefault(label, np.stack(by_frame, axis=1))
    scores.first.setdefault(label, prediction)


def summary(scores: Scores, models: list[Trained]) -> Table:
    """Make the table of all methods."""
    groups = by_label(models)
    headers = [
        "method", "ten frames", "first frame", "last frame", "parameters", "trained, s", "on", "ms alone", "ms of 20",
    ]  # fmt: skip
    table = Table(headers)
    for label, errors in scores.joint.items():
        group = groups.get(label, [])
        alone, many = np.median(scores.milliseconds[label], axis=0)
        frames = scores.frames[label].mean(axis=0)
        table.add(
            label,
            spread([float(e.mean()) for e in errors]),
            spread([float(frames[0])]),
            spread([float(frames[-1])]),
            f"{group[0].parameters:,}" if group else "0",
            "+".join(f"{item.train_seconds:.0f}" for item in group) or "0",
            group[0].trained_on if group else "-",
            significant(float(alone)),
            significant(float(many)),
        )
    return table


def facts(scores: Scores, models: list[Trained]) -> list[dict[str, Any]]:
    """Give the table's figures for result.json."""
    groups = by_label(models)
    return [
        {
            "method": label,
            "ten_frames": [float(e.mean()) for e in errors],
            "by_frame": scores.frames[label].mean(axis=0),
            "train_seconds": [item.train_seconds for item in groups.get(label, [])],
            "ms_alone_and_of_20": scores.milliseconds[label],
        }
        for label, errors in scores.joint.items()
    ]


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
