"""Train the set-up network of the learned V-cycle, and count the iterations that it saves on problems it has not seen.

conjugo train multigrid --dimension 2
conjugo train multigrid --dimension 3 --device cuda --time-limit 240
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure

from conjugo.cases.launch import launch, training_command
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds
from conjugo.learned.preconditioners.learned_multigrid import LearnedMultigrid
from conjugo.learned.preconditioners.stencil_net import StencilNet, StencilNetConfig
from conjugo.learned.preconditioners.stencil_problems import HEADROOM, ROTATED, draw
from conjugo.learned.preconditioners.worst_modes import Bucket, WorstModes
from conjugo.learned.training.cards import write_card
from conjugo.learned.training.devices import find_device
from conjugo.learned.training.fit import FitConfig, History, fit
from conjugo.learned.training.models import load_weights, save_model
from conjugo.pde.poisson.families import CONTEST_SEEDS
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.multigrid.multigrid import Multigrid

SHAPES: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((48, 48), (61, 52), (72, 66)),
    3: ((20, 20, 20), (25, 22, 18)),
}
"""Training grids by dimension."""
ROUNDS = 4
"""Rounds over the shapes that are timed before the training; the first ones compile."""
TEST_SHAPE: dict[int, tuple[int, ...]] = {2: (150, 150), 3: (40, 40, 40)}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train the set-up network of the learned V-cycle on random problems with varying coefficients."""

    dimension: Literal[2, 3] = 2
    """Dimension of the grids."""
    families: tuple[str, ...] = (*HEADROOM, *ROTATED)
    """Families of problems, see stencil_problems.FAMILIES."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Training grids; default three in 2-D and two in 3-D, none a power of two."""
    width: int = 32
    """Channels of the network."""
    layers: int = 2
    """Its hidden convolutions."""
    pool: int = 64
    """Problems of a shape that are kept and followed."""
    batch: int = 8
    """Problems a step."""
    vectors: int = 6
    """Errors followed for each problem."""
    fresh: int = 1
    """Problems of a batch that give way to new ones after their step."""
    turns: int = 2
    """Cycles without gradient before each step, which turn the errors towards the worst modes."""
    floor: float = 1e-3
    """Ritz values below this hardly count."""
    steps: int = 0
    """Training steps; 0 takes as many as fit into the time limit, measured at the start."""
    learning_rate: float = 2e-3
    """Largest learning rate (Adam, cosine)."""
    time_limit: float | None = None
    """Seconds of training after which it stops in good order."""
    device: str = "cpu"
    """cpu or cuda."""
    seed: int = 0
    """Seed of weights and problems."""
    start: Path | None = None
    """Weights to start from, of the same configuration."""
    checkpoint: Path | None = None
    """Go on from this file where it exists, and write to it."""
    validation: int = 8
    """Unseen problems a shape that decide which weights are kept."""
    problems: int = 3
    """Unseen problems a family that are solved at the end."""
    test_shape: tuple[int, ...] = ()
    """Their grid; default 150^2 and 40^3."""
    rtol: float = 1e-6
    """Tolerance of these solves."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A few steps on small grids, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    config = completed(config)
    device = find_device(config.device)
    torch.manual_seed(config.seed)
    net = StencilNet(StencilNetConfig(dimension=config.dimension, width=config.width, layers=config.layers))
    if config.start is not None:
        load_weights(net, config.start)
    net.to(device)
    run = Run("train_multigrid", config, config.folder)
    parameters = sum(p.numel() for p in net.parameters())
    batches = modes(config)
    config = replace(config, steps=config.steps or affordable(config, net, batches))
    print(f"StencilNet with {parameters:,} parameters on {device}; {config.steps} steps")
    history = train(config, net, batches)
    history.save_csv(run.folder / "history.csv")
    net.to("cpu")
    facts: dict[str, Any] = {"seed": config.seed, "steps": len(history.steps), "seconds": round(history.seconds, 1)}
    weights = save_model(net, run.folder / "weights.safetensors", **facts)
    table, rows = evaluate(config, net)
    print(f"\n{table.text()}\n")
    run.page(table.markdown())
    card(config, weights, history, rows, parameters, device)
    stopped = history.interrupted and config.time_limit is None
    run.result({"converged": True, "interrupted": stopped, "parameters": parameters, "scores": rows, **facts})
    print(f"weights: {weights}\nplot: {run.plot(picture(history, rows))}")
    return run.folder


def completed(config: Config) -> Config:
    """Fill in what depends on the dimension, and what --fast makes small."""
    d = config.dimension
    shapes, test = config.shapes or SHAPES[d], config.test_shape or TEST_SHAPE[d]
    if config.fast:
        shapes, test = (((18, 21),), (40, 40)) if d == 2 else (((8, 9, 10),), (12, 12, 12))
        config = replace(config, steps=4, pool=4, batch=2, vectors=3, width=8, layers=1, validation=2, problems=1)
    if wrong := [shape for shape in (*shapes, test) if len(shape) != d or min(shape) < 8]:
        raise ValueError(f"shapes {wrong}: expected {d} axes of at least 8 nodes, as dimension = {d}")
    if config.steps < 0 or (config.steps == 0 and config.time_limit is None):
        raise ValueError(f"steps = {config.steps} without a time limit: give one of them, say --time-limit 600")
    return replace(config, shapes=shapes, test_shape=test)


def modes(config: Config) -> WorstModes:
    """Make the pool: a bucket for each shape and kind of coupling."""
    plain = tuple(name for name in config.families if name not in ROTATED)
    compact = tuple(name for name in config.families if name in ROTATED)
    kinds = [(False, plain)] * bool(plain) + [(True, compact)] * bool(compact)
    buckets = [Bucket(shape, kind, names) for shape in config.shapes for kind, names in kinds]
    return WorstModes(
        buckets,
        size=config.pool,
        batch=config.batch,
        vectors=config.vectors,
        fresh=config.fresh,
        turns=config.turns,
        floor=config.floor,
        seed=config.seed,
        device=config.device,
    )


def affordable(config: Config, net: StencilNet, batches: WorstModes) -> int:
    """Steps that fit into the time limit by the fastest of some rounds over the shapes, with a fifth in reserve."""
    assert config.time_limit is not None
    trial, other = copy.deepcopy(net).train(), modes(replace(config, pool=config.batch))
    shapes, times = len(other.buckets), []
    for turn in range(ROUNDS):
        started = time.perf_counter()
        for step in range(turn * shapes, (turn + 1) * shapes):
            loss = other.loss(trial, other(step))
            loss.backward()  # type: ignore[no-untyped-call]
            float(loss.detach())
        times.append(time.perf_counter() - started)
    return max(20, int(0.8 * config.time_limit * shapes / min(times)))


def train(config: Config, net: StencilNet, batches: WorstModes) -> History:
    """Train by `fit`; the averaged weights that do best on unseen problems are kept."""
    settings = FitConfig(
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup=min(50, config.steps // 4),
        ema=0.999,
        validate_every=100,
        checkpoint_every=max(1, config.steps // 4),
        seed=config.seed,
        device=config.device,
        time_limit=config.time_limit,
    )
    unseen = batches.held_out(config.validation) if config.validation else None
    return fit(net, batches.loss, batches, config=settings, validation=unseen, checkpoint=config.checkpoint)


def evaluate(config: Config, net: StencilNet) -> tuple[Table, list[dict[str, Any]]]:
    """Count iterations of cg with the classical V-cycle, with the W-cycle and with the learned V-cycle."""
    table = Table(["family", "V", "W", "learned V", "learned W", "worst V", "worst learned V", "set-up s", "network s"])
    rows: list[dict[str, Any]] = []
    for family in config.families:
        found, times = [], []
        for seed in range(CONTEST_SEEDS, CONTEST_SEEDS + config.problems):
            A = draw([family], config.test_shape, seed)
            b = A @ np.random.default_rng(seed).standard_normal(A.diag.size)
            cycles = [Multigrid(A, cycle=c, symmetric=True, precision="float64") for c in ("V", "W")]
            learned = [LearnedMultigrid(A, net, cycle=c, precision="float64") for c in ("V", "W")]
            found.append([cg(A, b, M=M, rtol=config.rtol, maxiter=1000).iterations for M in (*cycles, *learned)])
            times.append([learned[0].setup_seconds, learned[0].network_seconds])
        middle, worst = np.median(found, axis=0), np.max(found, axis=0)
        setup, network = (float(t) for t in np.median(times, axis=0))
        numbers = [*(f"{m:g}" for m in middle), str(worst[0]), str(worst[2])]
        table.add(family, *numbers, seconds(setup), seconds(network))
        names = ("V", "W", "learned V", "learned W", "worst V", "worst learned V")
        rows.append({"family": family, **dict(zip(names, map(float, [*middle, worst[0], worst[2]]), strict=True))})
    return table, rows


def card(
    config: Config, weights: Path, history: History, rows: list[dict[str, Any]], parameters: int, device: torch.device
) -> None:
    """Write the model card beside the weights."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    shapes = ", ".join(" x ".join(map(str, shape)) for shape in config.shapes)
    test = " x ".join(map(str, config.test_shape))
    write_card(
        weights,
        summary=f"The set-up network of the learned V-cycle in {config.dimension}-D: LearnedMultigrid(A, model).",
        data=f"Trained on {', '.join(config.families)} on grids {shapes}, contrasts 10 to 1e6, each with its "
        f"{config.vectors} worst modes. Scores: median and worst iterations of cg to {config.rtol:.0e} on "
        f"{config.problems} unseen problems a family, grid {test}, cycles in float64.",
        command=training_command("multigrid"),
        seed=config.seed,
        seconds=history.seconds,
        device=name,
        parameters=parameters,
        scores=rows,
        limits=[
            "Grids with a periodic axis stay classical; families not named above were not trained on.",
            "The coarse grid and the reach of the transfers are the classical ones: the gain is small.",
        ],
    )


def picture(history: History, rows: list[dict[str, Any]]) -> Figure:
    """Draw the loss, and the iterations of both V-cycles for every family."""
    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(history.steps, history.losses, color="0.75", linewidth=0.8, label="a step")
    if len(history.validation):
        left.plot(*history.validation.T, "o-", color="#0072B2", label="unseen problems")
    left.set_xlabel("step")
    left.set_ylabel("mean cost of the worst modes")
    left.legend(frameon=False)
    y = np.arange(len(rows))
    for shift, name, colour in ((-0.2, "V", "#E69F00"), (0.2, "learned V", "#7F7F7F")):
        right.barh(y + shift, [row[name] for row in rows], 0.38, color=colour, label=name)
    right.set_yticks(y, [row["family"] for row in rows])
    right.set_xscale("log")
    right.set_xlabel("iterations of cg")
    right.legend(frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
