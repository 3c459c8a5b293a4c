"""Train the network that proposes local coarse vectors, and compare it with random proposals at every filter degree.

conjugo train basis --dimension 2
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from conjugo.cases.launch import launch, training_command
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds
from conjugo.learned.preconditioners.block_net import BlockNet, BlockNetConfig, Proposer
from conjugo.learned.preconditioners.block_pool import BlockPool, excess_energy
from conjugo.learned.preconditioners.stencil_problems import HEADROOM
from conjugo.learned.training.cards import write_card
from conjugo.learned.training.fit import FitConfig, History, fit
from conjugo.learned.training.models import save_model
from conjugo.pde.poisson.families import CONTEST_SEEDS, MEDIA, medium
from conjugo.solvers.multigrid.enriched import EnrichedMultigrid

SHAPE = {2: (128, 128), 3: (32, 32, 32)}
"""Grids that the training blocks are cut from."""
TEST_SHAPE = {2: (192, 192), 3: (32, 32, 32)}
TESTED = ("packed", "noise", "fibres", "two-phase")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a network to propose the low-energy vectors of the blocks of a grid."""

    dimension: Literal[2, 3] = 2
    """Dimension of the grids."""
    vectors: int = 12
    """Vectors a block."""
    width: int = 128
    """Hidden units."""
    layers: int = 2
    """Hidden layers."""
    degree: int = 6
    """Degree of the filter that follows the network."""
    threshold: float = 0.15
    """Energy below which a vector is wanted."""
    problems: int = 120
    """Problems that the training blocks are cut from."""
    steps: int = 6000
    """Training steps."""
    batch: int = 256
    """Blocks a step."""
    learning_rate: float = 2e-3
    """Largest learning rate (Adam, cosine)."""
    time_limit: float | None = None
    """Seconds of training after which it stops in good order."""
    device: str = "cpu"
    """cpu or cuda."""
    checkpoint: Path | None = None
    """Go on from this file where it exists, and write to it."""
    seed: int = 0
    """Seed of weights and data."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A few steps of a small network, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    test_shape = TEST_SHAPE[config.dimension]
    if config.fast:
        config = replace(config, width=16, problems=2, steps=10, batch=16)
        test_shape = (48, 48) if config.dimension == 2 else (12, 12, 12)
    made = BlockNetConfig(
        dimension=config.dimension, block={2: 8, 3: 4}[config.dimension], vectors=config.vectors, width=config.width,
        layers=config.layers, degree=config.degree, threshold=config.threshold,
    )  # fmt: skip
    run = Run("train_basis", config, config.folder)
    shape = (32,) * config.dimension if config.fast else SHAPE[config.dimension]
    pool = BlockPool(made, HEADROOM, shape, problems=config.problems, batch=config.batch, seed=config.seed)
    held_out = BlockPool(made, HEADROOM, shape, problems=max(2, config.problems // 10), seed=config.seed + 1)
    model = BlockNet(made)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {model.flops:.0f} operations a node; "
          f"{len(pool):,} blocks to train on, {len(held_out):,} held out")  # fmt: skip
    settings = FitConfig(
        steps=config.steps, learning_rate=config.learning_rate, warmup=min(100, config.steps - 1), seed=config.seed,
        ema=0.999, device=config.device, time_limit=config.time_limit, validate_every=500, checkpoint_every=1000,
    )  # fmt: skip
    history = fit(model, excess_energy, pool, config=settings, validation=[held_out(0)], checkpoint=config.checkpoint)
    table, rows = compare(model.cpu(), config, test_shape)
    print(f"\n{table.text()}\n")
    facts: dict[str, Any] = {"seed": config.seed, "steps": len(history.steps), "seconds": round(history.seconds, 1)}
    weights = save_model(model, run.folder / "weights.safetensors", **facts)
    card(config, weights, model, history, rows, test_shape)
    history.save_csv(run.folder / "history.csv")
    run.result({"converged": True, "interrupted": history.interrupted, "scores": rows, **facts})
    print(f"weights: {weights}\nplot: {run.plot(picture(history, rows))}")
    return run.folder


def compare(model: BlockNet, config: Config, shape: tuple[int, ...]) -> tuple[Table, list[dict[str, Any]]]:
    """Iterations and set-up with the network's and with random vectors, filters of several degrees, unseen problems."""
    table = Table(["proposal", "degree", "iterations", "worst", "basis", "set-up", "solve"])
    rows: list[dict[str, Any]] = []
    problems = [medium(MEDIA[name], shape, CONTEST_SEEDS + seed, contrast=1e5) for name in TESTED for seed in range(2)]
    offers: list[tuple[str, Any, int]] = [("learned", Proposer(model), config.degree), ("learned", Proposer(model), 0)]
    offers += [("random", None, degree) for degree in (config.degree, 12, 20)]
    for name, propose, degree in offers:
        found = []
        for problem in problems:
            options = {"vectors": config.vectors, "threshold": config.threshold}
            M = EnrichedMultigrid(problem.A, propose=propose, degree=degree, **options)
            result = M.solve(problem.b, rtol=1e-6, maxiter=400)
            count = result.iterations if result.converged else np.inf
            found.append((count, M.space.basis_seconds, M.setup_seconds, result.seconds))
        median = [float(v) for v in np.median(found, axis=0)]
        worst = float(np.max(found, axis=0)[0])
        row = {"proposal": name, "degree": degree, "iterations": median[0], "worst": worst}
        rows.append({**row, "basis_seconds": median[1], "setup_seconds": median[2], "solve_seconds": median[3]})
        table.add(*(f"{v:g}" if isinstance(v, float) else str(v) for v in row.values()), *map(seconds, median[1:]))
    return table, rows


def card(
    config: Config, weights: Path, model: BlockNet, history: History, rows: list[dict[str, Any]], shape: tuple[int, ...]
) -> None:
    """Write the model card beside the weights."""
    write_card(
        weights,
        summary=f"Proposes {config.vectors} local coarse vectors a block in {config.dimension}-D: "
        f"EnrichedMultigrid(A, propose=Proposer(model), vectors={config.vectors}, degree={config.degree}).",
        data=f"Blocks of {config.problems} random problems ({', '.join(HEADROOM)}; contrasts 10 to 1e6). Scores: "
        f"median and worst iterations to 1e-6 on {2 * len(TESTED)} unseen problems ({', '.join(TESTED)}; contrast 1e5, "
        f"grid {' x '.join(map(str, shape))}), with random vectors beside it.",
        command=training_command("basis"),
        seed=config.seed,
        seconds=history.seconds,
        device=config.device,
        parameters=sum(p.numel() for p in model.parameters()),
        scores=rows,
        limits=[
            "Couplings along the axes only; blocks of the size named.",
            "Saves set-up time only, where it saves any.",
        ],
    )


def picture(history: History, rows: list[dict[str, Any]]) -> Figure:
    """Draw the loss, and iterations against the time that the basis takes."""
    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(history.steps, history.losses, color="0.75", linewidth=0.8, label="a step")
    left.semilogy(history.validation[:, 0], history.validation[:, 1], color="#0072B2", marker="o", label="held out")
    left.set_xlabel("step")
    left.set_ylabel("mean log of the excess energy")
    left.legend(frameon=False)
    for name, colour, marker in (("random", "#E69F00", "s"), ("learned", "#0072B2", "o")):
        mine = [row for row in rows if row["proposal"] == name]
        x, y = [1e3 * row["basis_seconds"] for row in mine], [row["iterations"] for row in mine]
        right.semilogy(x, y, marker, color=colour, label=name)
        for row, a, b in zip(mine, x, y, strict=True):
            right.annotate(f"degree {row['degree']}", (a, b), textcoords="offset points", xytext=(6, 4), fontsize=8)
    right.yaxis.set_major_formatter(ScalarFormatter())
    right.yaxis.set_minor_formatter(ScalarFormatter())
    right.margins(0.2)
    right.set_xlabel("time to find the vectors (ms)")
    right.set_ylabel("median iterations to 1e-6")
    right.legend(frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
