"""Train a direction network, and count the iterations that it saves on problems it has not seen.

conjugo train dcdm --dimension 2 --size 64
conjugo train dcdm --dimension 3 --size 64 --network published --device cuda --precision bfloat16
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.cases.launch import launch, training_command
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds
from conjugo.cases.training_curve import training_curve
from conjugo.learned.preconditioners.dcdm import DirectionNet, DirectionNetConfig
from conjugo.learned.preconditioners.domains import Domains
from conjugo.learned.preconditioners.forward import available
from conjugo.learned.preconditioners.grid_laplacian import box_laplacian
from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
from conjugo.learned.preconditioners.multiscale import MultiscaleBatches
from conjugo.learned.preconditioners.neural import NeuralPreconditioner
from conjugo.learned.preconditioners.replay import ReplayBatches
from conjugo.learned.preconditioners.residual_loss import energy_loss, residual_loss
from conjugo.learned.preconditioners.ritz import RitzBatches
from conjugo.learned.training.cards import write_card
from conjugo.learned.training.fit import FitConfig, History, fit
from conjugo.learned.training.models import load_weights, save_model
from conjugo.pde import LinearProblem, poisson, pressure
from conjugo.pde.poisson.masks import porous
from conjugo.solvers import SolveResult, cg, fcg

HELD_OUT = 10_000
"""Seeds of the problems that are not trained on start here."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a direction network for Poisson's equation on boxes, empty or with solids in them."""

    dimension: Literal[2, 3] = 2
    """Dimension of the grid."""
    size: int = 64
    """Cells a side in training."""
    network: Literal["multilevel", "published"] = "multilevel"
    """The published network, or the cheap one that has the shape of a multigrid cycle."""
    published_size: Literal[64, 128] = 64
    """Which of the two published networks."""
    channels: int = 16
    """Fields at half resolution of the multilevel network, and on its levels below."""
    data: Literal["multiscale", "ritz"] = "multiscale"
    """Multi-scale noise on fresh domains, or Ritz vectors of the empty Neumann box."""
    vectors: int = 2000
    """Lanczos steps, for --data ritz."""
    loss: Literal["energy", "residual"] = "energy"
    """What one line search leaves: of the error in the energy norm, or of the residual (published)."""
    neumann: float = 0.5
    """Share of the domains with Neumann walls only."""
    solids: float = 0.5
    """Share of the domains with solids in them."""
    replay: int = 16
    """Solver steps after which a solve under way gives way to a new one; 0: every residual is new (published)."""
    steps: int = 1000
    """Training steps."""
    batch: int = 16
    """Residuals a step."""
    learning_rate: float = 3e-4
    """Largest learning rate (Adam, cosine)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's products in training."""
    compile: bool = False
    """Pass the network through torch.compile in training."""
    device: str = "cpu"
    """cpu or cuda."""
    start: Path | None = None
    """Weights to start from, of the same configuration."""
    checkpoint: Path | None = None
    """Go on from this file where it exists, and write to it."""
    time_limit: float | None = None
    """Seconds of training after which it stops in good order."""
    rtol: float = 1e-6
    """Tolerance of the solves that are counted."""
    problems: int = 3
    """Unseen problems a class and size."""
    test_sizes: tuple[int, ...] = ()
    """Cells a side of the unseen problems; default the training size and twice that."""
    seed: int = 0
    """Seed of weights and data."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A few steps of a small network, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, size=16, steps=20, batch=4, vectors=50, problems=1, test_sizes=(16,))
    device = available(config.device)
    model = network(config).to(device)
    if device.type == "cuda":
        layout: Any = torch.channels_last if config.dimension == 2 else torch.channels_last_3d
        model = model.to(memory_format=layout)
    run = Run("train_dcdm", config, config.folder)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{type(model).__name__} with {parameters:,} parameters on {device}; {config.steps} steps")
    history = train(config, model, device)
    table, rows = validate(config, model, device)
    print(f"\n{table.text()}\n")
    history.save_csv(run.folder / "history.csv")
    facts: dict[str, Any] = {"seed": config.seed, "steps": len(history.steps), "seconds": round(history.seconds, 1)}
    weights = save_model(model, run.folder / "weights.safetensors", **facts)
    card(config, weights, history, rows, parameters, device)
    run.result(
        {"converged": True, "interrupted": history.interrupted, "parameters": parameters, "scores": rows, **facts}
    )
    title = f"{config.network}, {config.size}^{config.dimension}"
    figure = training_curve(history, ylabel=f"{config.loss} that one step leaves", title=title)
    print(f"weights: {weights}\nplot: {run.plot(figure)}")
    return run.folder


def network(config: Config) -> nn.Module:
    """Make the network that the configuration names."""
    torch.manual_seed(config.seed)
    model: nn.Module
    if config.network == "published":
        model = DirectionNet(DirectionNetConfig(dimension=config.dimension, size=config.published_size))
    else:
        made = MultilevelNetConfig(
            dimension=config.dimension, channels=config.channels, coarse_channels=config.channels
        )
        model = MultilevelNet(made)
    if config.start is not None:
        load_weights(model, config.start)
    return model


def data(config: Config, model: nn.Module, device: torch.device) -> Callable[[int], dict[str, Tensor]]:
    """Make the batches that the configuration names."""
    shape = (config.size,) * config.dimension
    kind: Literal["error", "residual"] = "error" if config.loss == "energy" else "residual"
    fresh: Callable[[int], dict[str, Tensor]]
    if config.data == "ritz":
        A = box_laplacian(shape, wall=0.0, device=device)
        vectors = min(config.vectors, config.size**config.dimension - 1)
        fresh = RitzBatches(A=A, vectors=vectors, batch=config.batch, kind=kind, seed=config.seed)
    else:
        domains = Domains(neumann=config.neumann, solids=config.solids)
        fresh = MultiscaleBatches(
            shape=shape, batch=config.batch, domains=domains, kind=kind, seed=config.seed, device=device
        )
    if config.replay == 0:
        return fresh
    return ReplayBatches(fresh, model, steps=config.replay, precision=config.precision)


def train(config: Config, model: nn.Module, device: torch.device) -> History:
    """Train by `fit`; without validation, as the last weights of a cosine schedule are the ones to keep."""
    settings = FitConfig(
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup=min(50, config.steps // 2),
        precision=config.precision,
        seed=config.seed,
        device=str(device),
        compile=config.compile,
        time_limit=config.time_limit,
    )
    loss = energy_loss if config.loss == "energy" else residual_loss
    return fit(model, loss, data(config, model, device), config=settings, checkpoint=config.checkpoint)


def unseen(config: Config, size: int) -> Iterator[tuple[str, LinearProblem]]:
    """Yield problems of the classes box and solids, with seeds that training does not use."""
    shape = (size,) * config.dimension
    for seed in range(HELD_OUT, HELD_OUT + config.problems):
        yield "Neumann box", poisson(shape, bc="neumann", centring="cell", seed=seed)
        yield "Dirichlet box", poisson(shape, bc="dirichlet", centring="cell", seed=seed)
        yield "solids", pressure(porous(shape, count=12, density=0.2, seed=seed), seed=seed)


def validate(config: Config, model: nn.Module, device: torch.device) -> tuple[Table, list[dict[str, Any]]]:
    """Count iterations of cg and of fcg with the network on unseen problems."""
    table = Table(["problem", "size", "cg", "fcg + network", "worst", "not converged", "rejected", "cg s", "fcg s"])
    rows: list[dict[str, Any]] = []
    for size in config.test_sizes or (config.size, 2 * config.size):
        found: dict[str, list[tuple[SolveResult, SolveResult, int]]] = {}
        for name, problem in unseen(config, size):
            b = problem.b if device.type == "cpu" else torch.as_tensor(problem.b, device=device)
            M = NeuralPreconditioner(model, problem)
            plain = cg(problem.A, b, rtol=config.rtol)
            limit = max(20, 2 * plain.iterations)
            learned = fcg(problem.A, b, M=M, window=2, rtol=config.rtol, maxiter=limit)
            found.setdefault(name, []).append((plain, learned, M.rejected))
        for name, results in found.items():
            plain_counts = [plain.iterations for plain, _, _ in results]
            counts = [learned.iterations for _, learned, _ in results]
            row = {
                "problem": name,
                "size": size,
                "cg": int(np.median(plain_counts)),
                "fcg": int(np.median(counts)),
                "worst": max(counts),
                "not_converged": sum(not learned.converged for _, learned, _ in results),
                "rejected": sum(rejected for *_, rejected in results),
            }
            pairs = [(plain.seconds, learned.seconds) for plain, learned, _ in results]
            times = [float(t) for t in np.median(pairs, axis=0)]
            rows.append(row)
            table.add(*(str(value) for value in row.values()), *map(seconds, times))
    return table, rows


def card(
    config: Config, weights: Path, history: History, rows: list[dict[str, Any]], parameters: int, device: torch.device
) -> None:
    """Write the model card beside the weights."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    walls = "empty Neumann box" if config.data == "ritz" else "boxes with Neumann and Dirichlet walls, and with solids"
    write_card(
        weights,
        summary=f"A {config.network} direction network in {config.dimension}-D for fcg with window 2: "
        "NeuralPreconditioner(model, problem).",
        data=f"Trained on {config.data} residuals on {config.size}^{config.dimension} grids ({walls}), "
        f"replayed over {config.replay} solver steps; {config.loss} loss. Scores: median iterations to "
        f"{config.rtol:.0e} on {config.problems} unseen problems a row.",
        command=training_command("dcdm"),
        seed=config.seed,
        seconds=history.seconds,
        device=name,
        parameters=parameters,
        scores=rows,
        limits=[
            "Constant coefficients and equal spacing on all axes only: others were not trained on.",
            "Larger grids than those of the scores were not tried.",
        ],
    )


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
