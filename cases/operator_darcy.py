"""Darcy flow on unseen media: trained operators beside finite differences on the same input.

conjugo operator-darcy
conjugo operator-darcy --models runs/weights --count 200 --device cuda
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from conjugo.cases.launch import launch
from conjugo.cases.operator_models import (
    TEST_FIRST,
    Map,
    Trained,
    apply,
    by_label,
    load,
    milliseconds,
    relative,
    spread,
)
from conjugo.cases.operator_plots import darcy_fields, darcy_spectra, resolutions
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, significant
from conjugo.learned.operators.darcy_residual import DarcyResidual
from conjugo.learned.operators.finite_difference import finite_difference_baseline, fitted_scale
from conjugo.learned.operators.symmetries import group_average, square_symmetries
from conjugo.learned.preconditioners.forward import available
from conjugo.pde import FieldPairs
from conjugo.pde.darcy import darcy
from conjugo.solvers.adapters.host import to_numpy

CHUNK = 20
"""Samples computed at a time."""

SOME = 10
"""Samples of the table over resolutions."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare trained operators for Darcy flow with finite differences on the same coarse input."""

    models: tuple[Path, ...] = ()
    """Files or folders of trained operators; default those that conjugo ships."""
    count: int = 40
    """Unseen samples."""
    size: int = 421
    """Nodes a side of the grid on which the truth is computed."""
    stride: int = 5
    """Every stride-th node is seen."""
    strides: tuple[int, ...] = (4, 5, 7, 10)
    """Strides of the table over resolutions; the models were trained on one of them."""
    variant: Literal["spline", "clean"] = "spline"
    """The original script's coefficients, smoothed by splines, or piecewise constant ones."""
    fit: int = 20
    """Further samples on which the one scalar of the geometric baseline is fitted."""
    seed: int = 0
    """Seed of the media."""
    device: str = "cpu"
    """cpu or cuda."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Few samples of a coarse truth, so that it ends in seconds."""


@dataclass(slots=True, eq=False)
class Scores:
    """What was found: relative L2 errors (samples,) of every method and seed, and one prediction a method."""

    errors: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    first: dict[str, Tensor] = field(default_factory=dict)
    milliseconds: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, label: str, errors: NDArray[np.float64], prediction: Tensor, times: tuple[float, float]) -> None:
        """Note one model's result."""
        self.errors.setdefault(label, []).append(errors)
        self.first.setdefault(label, prediction)
        self.milliseconds.setdefault(label, []).append(times)


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, count=4, size=85, stride=2, strides=(2, 3), fit=2)
    device = available(config.device)
    models = load(config.models, "darcy", device)
    run = Run("operator_darcy", config, config.folder)
    extra = samples(config, TEST_FIRST - config.fit, config.fit, device)
    pairs = samples(config, TEST_FIRST, config.count, device)
    a, u = tensors(extra.stride(config.stride))
    scale = fitted_scale(differences("geometric")(a), u)
    a, u = tensors(pairs.stride(config.stride))
    print(
        f"{config.count} unseen samples, {config.variant} variant, truth on {config.size}^2, seen on {a.shape[-1]}^2; "
        f"{device}; the geometric baseline's scalar is {scale:.4f}, fitted on {config.fit} other samples"
    )
    scores = Scores()
    for label, call in baselines(scale).items():
        measure(scores, label, call, a, u, device)
    rows = models + [averaged(item) for item in models if isinstance(item.model, DarcyResidual)]
    for item in rows:
        measure(scores, item.label, item.model, a, u, device)
    print(f"\n{(shown := summary(scores, rows)).text()}\n")
    grids = over_resolutions(config, pairs, models, scale, device)
    print(f"relative L2 error against the grid that is seen\n{(table := grid_table(grids)).text()}\n")
    run.page(f"{shown.markdown()}\n\n{table.markdown()}")
    run.history(["method", "seed", "sample", "relative_l2"], listed(scores))
    run.result({"scale": scale, "scores": facts(scores, rows), "resolutions": grids})
    run.plot(darcy_spectra(u, scores.first), "spectra")
    run.plot(resolutions(grids, trained=a.shape[-1]), "resolutions")
    print(f"plot: {run.plot(darcy_fields(a, u, scores.first, scores.errors))}")
    return run.folder


def samples(config: Config, first: int, count: int, device: torch.device) -> FieldPairs:
    """Compute samples in chunks, on the GPU where there is one."""
    made: dict[str, Any] = {"xp": "torch", "device": device} if device.type == "cuda" else {}
    parts = [
        darcy(min(CHUNK, count - k), config.size, seed=config.seed, first=first + k, variant=config.variant, **made)
        for k in tqdm(range(0, count, CHUNK), desc="truth", unit=f"{CHUNK} samples", leave=False)
    ]
    a, u = (np.concatenate([to_numpy(getattr(part, name)) for part in parts]) for name in ("a", "u"))
    return replace(parts[0], a=a, u=u)


def tensors(pairs: FieldPairs) -> tuple[Tensor, Tensor]:
    """Return coefficient and solution as float32 tensors (N, 1, n, n)."""
    a, u = (torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float32)[:, None] for x in (pairs.a, pairs.u))
    return a, u


def differences(faces: Literal["harmonic", "geometric"], scale: float = 1.0) -> Map:
    """Finite differences on the grid that is seen, with harmonic or geometric means at the faces."""

    return lambda a: finite_difference_baseline(a.double(), faces, scale=scale)


def baselines(scale: float) -> dict[str, Map]:
    """What numerics alone gets from the same input."""
    return {
        "differences, harmonic": differences("harmonic"),
        "differences, geometric": differences("geometric", scale),
    }


def averaged(item: Trained) -> Trained:
    """Average a model over the eight symmetries of the square, which the solution operator has: eight passes."""

    def call(a: Tensor) -> Tensor:
        mean: Tensor = group_average(item.model, a, square_symmetries(a.shape[-1]))
        return mean

    return replace(item, label=f"{item.label}, 8 symmetries", model=call)


def measure(scores: Scores, label: str, call: Map, a: Tensor, u: Tensor, device: torch.device) -> None:
    """Apply one method to all samples, and time it on one and on up to twenty."""
    prediction = apply(call, a, device=device, label=label)
    times = tuple(milliseconds(call, a[:many], device=device) for many in (1, 20))
    scores.add(label, relative(prediction, u), prediction, (times[0], times[1]))


def summary(scores: Scores, models: list[Trained]) -> Table:
    """Make the table of all methods."""
    groups = by_label(models)
    headers = ["method", "relative L2", "median", "worst", "parameters", "trained, s", "on", "ms alone", "ms of 20"]
    table = Table(headers)
    for label, errors in scores.errors.items():
        group = groups.get(label, [])
        alone, many = np.median(scores.milliseconds[label], axis=0)
        table.add(
            label,
            spread([float(e.mean()) for e in errors]),
            f"{np.median(errors):.5f}".removeprefix("0"),
            f"{np.max(errors):.5f}".removeprefix("0"),
            f"{group[0].parameters:,}" if group else "1" if "geometric" in label else "0",
            "+".join(f"{item.train_seconds:.0f}" for item in group) or "0",
            group[0].trained_on if group else "-",
            significant(float(alone)),
            significant(float(many)),
        )
    return table


def over_resolutions(
    config: Config, pairs: FieldPairs, models: list[Trained], scale: float, device: torch.device
) -> dict[str, dict[int, float]]:
    """Mean error of every method (first seed) on other grids than that of its training; NaN where it takes none."""
    methods = baselines(scale)
    methods |= {label: group[0].model for label, group in by_label(models).items()}
    found: dict[str, dict[int, float]] = {label: {} for label in methods}
    for stride in sorted(config.strides, reverse=True):
        a, u = tensors(pairs.stride(stride)[: min(config.count, SOME)])
        for label, call in methods.items():
            try:
                prediction = apply(call, a, device=device, label=f"{label}, {a.shape[-1]}^2")
            except ValueError as error:
                print(f"{label} takes no {a.shape[-1]}^2: {error}")
                found[label][a.shape[-1]] = float("nan")
                continue
            found[label][a.shape[-1]] = float(relative(prediction, u).mean())
    return found


def grid_table(grids: Mapping[str, Mapping[int, float]]) -> Table:
    """Make the table over resolutions."""
    sizes = list(next(iter(grids.values())))
    table = Table(["method", *(f"{size}^2" for size in sizes)])
    for label, errors in grids.items():
        table.add(label, *(f"{errors[size]:.4f}".removeprefix("0") for size in sizes))
    return table


def listed(scores: Scores) -> list[tuple[str, int, int, float]]:
    """List every error."""
    return [
        (label, seed, sample, float(value))
        for label, lists in scores.errors.items()
        for seed, errors in enumerate(lists)
        for sample, value in enumerate(errors)
    ]


def facts(scores: Scores, models: list[Trained]) -> list[dict[str, Any]]:
    """Give the table's figures for result.json."""
    groups = by_label(models)
    return [
        {
            "method": label,
            "relative_l2": [float(e.mean()) for e in errors],
            "parameters": groups[label][0].parameters if label in groups else 0,
            "train_seconds": [item.train_seconds for item in groups.get(label, [])],
            "ms_alone_and_of_20": scores.milliseconds[label],
        }
        for label, errors in scores.errors.items()
    ]


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
