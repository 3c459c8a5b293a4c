"""Train an operator for Darcy flow or for the vorticity equation: the networks of the tables, and ours.

conjugo train operator --problem darcy --model ours
conjugo train operator --problem navier-stokes --model lsm --data flows.h5 --device cuda --precision bfloat16
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from conjugo.cases.launch import launch, training_command
from conjugo.cases.operator_recipes import RECIPES, Prepared, Recipe, Request
from conjugo.cases.runs import Run
from conjugo.cases.table import seconds
from conjugo.cases.training_curve import training_curve
from conjugo.learned.preconditioners.forward import available
from conjugo.learned.training.cards import write_card
from conjugo.learned.training.fit import FitConfig, History, fit
from conjugo.learned.training.models import save_model
from conjugo.pde import FieldPairs
from conjugo.pde.darcy import darcy
from conjugo.pde.evolution.navier_stokes import navier_stokes
from conjugo.pde.store import load_pairs, load_trajectories

SIZES = {"darcy": 421, "navier-stokes": 256}
"""Nodes a side of the truth."""

CHUNK = 20
"""Samples generated at a time."""

TRIAL = 40
"""Steps of the trial from which `--budget` finds how many are affordable."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train an operator; its weights and card go into the run's folder."""

    problem: Literal["darcy", "navier-stokes"] = "darcy"
    """What is learned: a -> u of Darcy flow, or ten frames of vorticity -> the next."""
    model: Literal["ours", "faces", "hybrid", "lsm", "fno", "uno"] = "ours"
    """Ours (faces, hybrid: with more numerics inside, see the recipes); or a network of the literature."""
    label: str = ""
    """Name in tables; default the recipe's."""
    width: int | None = None
    """Channels; default the published network's."""
    data: Path | None = None
    """A file of `conjugo generate`; by default the samples are generated here."""
    train: int = 1000
    """Samples trained on, the first of the data."""
    validation: int = 100
    """Samples after those, which choose the weights that are kept."""
    size: int = 0
    """Nodes a side of the truth; default 421 for Darcy, 256 for the vorticity, of which every fourth is seen."""
    stride: int = 5
    """Every stride-th node is seen (Darcy)."""
    steps: int = 2000
    """Optimiser steps."""
    budget: float | None = None
    """Seconds of training: the number of steps follows from a trial of some steps, --steps is not read."""
    batch: int = 20
    """Samples a step."""
    learning_rate: float | None = None
    """Largest rate; default the recipe's."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's products in training."""
    compile: bool = False
    """Pass the network through torch.compile in training."""
    graph: bool = False
    """Replay each step as a CUDA graph."""
    validate_every: int = 500
    """Steps between validations."""
    device: str = "cpu"
    """cpu or cuda."""
    half: bool = False
    """Store the weights in float16, to halve the file; what is scored later is what was stored."""
    out: Path | None = None
    """Put weights and card there too, as operator_<problem>_<model>_<seed>."""
    checkpoint: Path | None = None
    """Go on from this file where it exists, and write to it."""
    time_limit: float | None = None
    """Seconds of training after which it stops in good order."""
    seed: int = 0
    """Seed of weights, order and generated data."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A few steps on a few coarse samples, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        small = 61 if config.problem == "darcy" else 96
        config = replace(
            config, train=8, validation=4, size=small, stride=2, steps=4, batch=2, width=config.width or 32
        )
    if (config.problem, config.model) not in RECIPES:
        known = ", ".join(f"{problem} {model}" for problem, model in RECIPES)
        raise ValueError(f"there is no model {config.model!r} for {config.problem!r}; these exist: {known}")
    device = available(config.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32 products where float32 is asked for
    recipe = RECIPES[config.problem, config.model]
    run = Run("train_operator", config, config.folder)
    train, validation = data(config, device)
    if config.budget is not None:
        config = replace(config, steps=affordable(config, recipe, train, validation, device))
    request = Request(width=config.width, batch=config.batch, seed=config.seed, steps=config.steps, device=device)
    prepared = recipe.prepare(train, validation, request)
    model = prepared.model
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{type(model).__name__} with {count:,} parameters on {device}; {config.steps} steps of {config.batch}")
    history = learn(config, prepared, recipe.settings, device)
    score = float(history.validation[:, 1].min())
    facts: dict[str, Any] = {
        "problem": config.problem,
        "label": config.label or recipe.label,
        "seed": config.seed,
        "size": config.size or SIZES[config.problem],
        "steps": len(history.steps),
        "train_seconds": round(history.seconds, 1),
        "trained_on": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "validation": score,
    }
    storage = torch.float16 if config.half else None
    weights = save_model(model, run.folder / "weights.safetensors", storage=storage, **facts)
    card(config, weights, facts, count)
    history.save_csv(run.folder / "history.csv")
    run.result({"converged": True, "interrupted": history.interrupted, "parameters": count, **facts})
    if config.out is not None:
        publish(weights, config)
    print(f"validation: relative L2 {score:.5f} after {seconds(history.seconds)}")
    figure = training_curve(history, ylabel="relative L2 error", title=facts["label"], validation=True)
    print(f"weights: {weights}\nplot: {run.plot(figure)}")
    return run.folder


def data(config: Config, device: torch.device) -> tuple[Any, Any]:
    """Return the samples to train on and those that choose the weights."""
    count = config.train + config.validation
    made: dict[str, Any] = {}
    found: Any
    if config.problem == "darcy":
        if config.data is not None:
            found = load_pairs(config.data, slice(count), stride=config.stride)
        else:
            found = seen(count, config)
    elif config.data is not None:
        found = load_trajectories(config.data)
    else:
        size = config.size or SIZES[config.problem]
        if device.type == "cuda":
            made = {"xp": "torch", "device": device}
        found = navier_stokes(
            count, size=size, keep=size // 4, dt=1.6 / size, seed=config.seed, dtype="float32", progress=True, **made
        )
    if len(found) < count:
        raise ValueError(
            f"{config.data} holds {len(found)} samples: --train {config.train} and --validation {config.validation} "
            f"need {count}"
        )
    return found[: config.train], found[config.train : count]


def seen(count: int, config: Config) -> FieldPairs:
    """Generate Darcy's pairs, of which only the nodes that are seen are kept."""
    parts = []
    for first in tqdm(range(0, count, CHUNK), desc="Darcy", unit=f"{CHUNK} samples"):
        many = min(CHUNK, count - first)
        pairs = darcy(many, config.size or SIZES[config.problem], seed=config.seed, first=first, variant="spline")
        parts.append(pairs.stride(config.stride))
    a, u = (np.concatenate([getattr(part, name) for part in parts]) for name in ("a", "u"))
    return replace(parts[0], a=a, u=u)


def affordable(config: Config, recipe: Recipe, train: Any, validation: Any, device: torch.device) -> int:
    """Number of steps that fit the budget, from the time of some; the model that they train is thrown away."""
    assert config.budget is not None
    request = Request(width=config.width, batch=config.batch, seed=config.seed, steps=TRIAL, device=device)
    prepared = recipe.prepare(train, validation[:1], request)
    times: list[float] = []
    fit(
        prepared.model,
        prepared.loss,
        prepared.batches,
        config=FitConfig(
            steps=TRIAL, precision=config.precision, compile=config.compile, graph=config.graph, device=str(device)
        ),
        on_step=lambda record: times.append(record.seconds),
        progress=False,
    )
    step = float(np.median(np.diff(times[TRIAL // 2 :])))
    return max(1, int(config.budget / step))


def learn(config: Config, prepared: Prepared, settings: dict[str, Any], device: torch.device) -> History:
    """Train by `fit`."""
    chosen = dict(settings)
    if config.learning_rate is not None:
        chosen["learning_rate"] = config.learning_rate
    if "warmup" in chosen:
        chosen["warmup"] = min(chosen["warmup"], config.steps // 2)
    settings_of_fit = FitConfig(
        steps=config.steps,
        precision=config.precision,
        compile=config.compile,
        graph=config.graph,
        validate_every=config.validate_every,
        seed=config.seed,
        device=str(device),
        time_limit=config.time_limit,
        **chosen,
    )
    return fit(
        prepared.model,
        prepared.loss,
        prepared.batches,
        config=settings_of_fit,
        validation=prepared.validation,
        checkpoint=config.checkpoint,
    )


def card(config: Config, weights: Path, facts: dict[str, Any], parameters: int) -> None:
    """Write the model card beside the weights."""
    what = {
        "darcy": f"Darcy flow, coefficient 12 or 3, seen on every {config.stride}-th node of the original grid",
        "navier-stokes": "vorticity on the periodic square, viscosity 1e-5, every fourth node of a "
        f"{facts['size']}^2 grid, frames one time unit apart",
    }[config.problem]
    write_card(
        weights,
        summary=f"{facts['label']}: {what}.",
        data=f"The first {config.train} samples of the generator, the next {config.validation} chose the weights; "
        f"{config.steps} steps of {config.batch}, {config.precision}.",
        command=f"{training_command('operator')}  # {config.steps} steps",
        seed=config.seed,
        seconds=facts["train_seconds"],
        device=facts["trained_on"],
        parameters=parameters,
        scores={"relative L2 on the validation samples": facts["validation"]},
        limits=[
            "Other coefficients, viscosities, forcings and boundary conditions were not trained on.",
            "Only what the case's table over resolutions lists was measured on other grids.",
        ],
    )


def publish(weights: Path, config: Config) -> None:
    """Copy weights and card to the folder of weights."""
    assert config.out is not None
    config.out.mkdir(parents=True, exist_ok=True)
    name = f"operator_{config.problem}_{config.model}" + (f"_{config.width}" if config.width else "")
    for suffix in (".safetensors", ".md"):
        shutil.copyfile(weights.with_suffix(suffix), config.out / f"{name}_{config.seed}{suffix}")


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
