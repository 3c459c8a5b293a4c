"""Train a linearly recurrent autoencoder from its balanced start, and measure its forecasts on unseen trajectories.

conjugo train lran --system duffing
conjugo train lran --system ks --device cuda --time-limit 240
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from conjugo.cases.launch import launch, training_command
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds, significant
from conjugo.cases.training_curve import training_curve
from conjugo.learned.dynamics.lran import LRAN
from conjugo.learned.dynamics.lran_model import LRANModel
from conjugo.learned.dynamics.lran_train import LRANTraining, fresh_network, train_lran
from conjugo.learned.dynamics.measures import nrmse, wrong_basin
from conjugo.learned.training.cards import write_card
from conjugo.learned.training.fit import History
from conjugo.learned.training.models import load_weights, save_model
from conjugo.pde.evolution.duffing import duffing
from conjugo.pde.evolution.kuramoto_sivashinsky import kuramoto_sivashinsky
from conjugo.pde.trajectories import Trajectories

HELD_OUT = 1_000_000
"""Trajectories of a seed from this number on are not trained on."""

SYSTEMS = {
    "duffing": LRANTraining(
        latent=16, centres=1500, kind="thin_plate", centres_among="first states", start_times=31, ridge=1e-12,
        horizon=40, copies=2, symmetry="sign", lengths=(41,), decay=0.82, balance=0.0, state_floor=1.0,
        trained="decoder", encoder=(64, 64), decoder=(64, 64), batch=128, steps=2500,
    ),
    "ks": LRANTraining(
        latent=256, centres=2000, kind="gaussian", width=0.7, choice="farthest", ridge=1e-9, horizon=25, copies=10,
        symmetry="shift and reflect", lengths=(5, 10, 15, 20, 25), decay=0.95, balance=0.3,
        encoder=(512, 512, 512), decoder=(512, 512, 512), batch=256, steps=20_000, learning_rate=5e-4,
    ),
}  # fmt: skip
"""What was found to work for each system."""

COUNT = {"duffing": 3000, "ks": 20}
"""Trajectories trained on by default."""

STEPS = {"duffing": (1, 4, 10, 20, 40), "ks": (1, 3, 5, 8, 10, 15, 20, 30)}
"""Horizons of the scores, in steps of 0.25 and of 1."""

REENCODE = {"duffing": 10, "ks": 8}
"""Steps between two returns to the state space, for the re-encoded forecast."""

type System = Literal["duffing", "ks"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a linearly recurrent autoencoder; what is not given is the system's own choice."""

    system: System = "duffing"
    """The Duffing equation, or the Kuramoto-Sivashinsky equation on an interval of length 22."""
    latent: int | None = None
    """Dimension of the code."""
    centres: int | None = None
    """Centres of the kernel in the encoder's skip."""
    start: Literal["balanced", "dmd", "random"] | None = None
    """What it begins as."""
    encoder: tuple[int, ...] | None = None
    """Widths of the encoder's hidden layers."""
    decoder: tuple[int, ...] | None = None
    """Widths of the decoder's hidden layers."""
    lengths: tuple[int, ...] | None = None
    """States of the windows, stage by stage."""
    horizon: int | None = None
    """Steps that the start's balanced reduction looks ahead."""
    decay: float | None = None
    """Weight of a step further into the future."""
    balance: float | None = None
    """Weight of the codes' errors."""
    step: Literal["trained", "fixed", "refit"] | None = None
    """Whether K is trained, stays the start's, or is refitted in closed form."""
    trained: Literal["all", "decoder"] | None = None
    """Whether the decoder alone is trained: encoder and K stay the start's."""
    steps: int | None = None
    """Training steps."""
    batch: int | None = None
    """Windows a step."""
    learning_rate: float | None = None
    """Largest learning rate (Adam, cosine)."""
    ema: float | None = None
    """Decay of a running average of the weights, say 0.999."""
    trajectories: int | None = None
    """Trajectories trained on: by default 3,000 of 50 steps (Duffing) or 20 of 499 (ks)."""
    fitted: int | None = None
    """Trajectories that the start is fitted to; default at most 2,000."""
    device: str = "cpu"
    """cpu or cuda."""
    weights: Path | None = None
    """Weights of the same configuration to go on from, instead of the classical start."""
    checkpoint: Path | None = None
    """Go on from this file where it exists, and write to it."""
    time_limit: float | None = None
    """Seconds of training after which it stops in good order."""
    seed: int = 0
    """Seed of data, centres, weights and windows."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A few steps of a small network, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    training, data, test = prepared(config)
    run = Run("train_lran", config, config.folder)
    network, fit_seconds = fresh(config, training, data)
    print(f"{config.system}: d = {training.latent}, start in {seconds(fit_seconds)}")
    before = scores(config.system, LRANModel().adopt(network, data[:50]), test)
    history = train_lran(network, data, training, checkpoint=config.checkpoint)
    parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
    model = LRANModel().adopt(network.cpu(), data[:50])
    after = scores(config.system, model, test)
    rows: list[dict[str, Any]] = [
        {"model": name, **row} for name, row in zip(("start", "start, re-encoded"), before, strict=True)
    ]
    rows += [{"model": name, **row} for name, row in zip(("LRAN", "LRAN, re-encoded"), after, strict=True)]
    table = Table(list(rows[0]))
    for row in rows:
        table.add(*(str(cell) if isinstance(cell, str) else significant(cell) for cell in row.values()))
    print(f"\n{table.text()}\n")
    history.save_csv(run.folder / "history.csv")
    facts: dict[str, Any] = {"seed": config.seed, "steps": len(history.steps), "seconds": round(history.seconds, 1)}
    weights = save_model(network, run.folder / "weights.safetensors", **facts)
    card(config, training, weights, history, rows, fit_seconds, parameters)
    run.result({"converged": True, "interrupted": False, "stopped_early": history.interrupted, "parameters": parameters,
                "start_seconds": fit_seconds, "scores": rows, **facts})  # fmt: skip
    figure = training_curve(history, ylabel="loss, Eq. 25", title=config.system)
    print(f"weights: {weights}\nplot: {run.plot(figure)}")
    return run.folder


def prepared(config: Config) -> tuple[LRANTraining, Trajectories, Trajectories]:
    """Return what is trained, on what, and the unseen trajectories."""
    given = {name: getattr(config, name) for name in CHOICES if getattr(config, name) is not None}
    training = replace(SYSTEMS[config.system], **given)
    if config.fast:
        sizes = {"latent": 8, "centres": 60, "horizon": 12, "encoder": (16,), "decoder": (16,), "batch": 16}
        training = replace(training, **sizes, lengths=(5, 9), copies=2, steps=30)  # type: ignore[arg-type]
    count = config.trajectories or COUNT[config.system]
    if config.fast:
        count = min(count, 4 if config.system == "ks" else 60)
    data = trajectories(config.system, count, seed=config.seed, fast=config.fast)
    return training, data, unseen(config.system, seed=config.seed, fast=config.fast)


CHOICES = ("latent", "centres", "start", "encoder", "decoder", "lengths", "horizon", "decay", "balance", "step",
           "trained", "steps", "batch", "learning_rate", "ema", "device", "time_limit", "seed")  # fmt: skip
"""Options that are settings of `LRANTraining`."""


def trajectories(system: System, count: int, *, seed: int = 0, fast: bool = False) -> Trajectories:
    """Make the training data: steps of 0.25 from [-2, 2]^2, or of 1 on the attractor."""
    if system == "duffing":
        return duffing(count, 20 if fast else 50, seed=seed)
    return kuramoto_sivashinsky(count, 60 if fast else 499, seed=seed, discard=50.0 if fast else 200.0)


def unseen(system: System, *, seed: int = 0, fast: bool = False) -> Trajectories:
    """Make the test data: 2,000 trajectories of the Duffing equation, long enough to settle, or 40 on the attractor."""
    if system == "duffing":
        return duffing(100 if fast else 2000, 60, seed=seed, first=HELD_OUT)
    return kuramoto_sivashinsky(8 if fast else 40, 40, seed=seed, first=HELD_OUT, discard=50.0 if fast else 200.0)


def fresh(config: Config, training: LRANTraining, data: Trajectories) -> tuple[LRAN, float]:
    """Return the network at its start, and the seconds that the classical model took."""
    began = time.perf_counter()
    network = fresh_network(data[: config.fitted or 2000], training)
    if config.weights is not None:
        load_weights(network, config.weights)
    return network, time.perf_counter() - began


def scores(system: System, model: LRANModel, test: Trajectories) -> list[dict[str, float]]:
    """Errors on the horizons of a system, rolled out linearly, and re-encoded."""
    horizon = max(STEPS[system])
    rows = []
    for reencode in (None, REENCODE[system]):
        forecast = model.predict(test.u[:, 0], horizon, reencode=reencode)
        errors = nrmse(forecast, test.u[:, : horizon + 1], STEPS[system])
        row = {str(step): float(error) for step, error in zip(STEPS[system], errors, strict=True)}
        if system == "duffing":
            row["wrong basin"] = wrong_basin(forecast, test.u)
        rows.append(row)
    return rows


def card(
    config: Config,
    training: LRANTraining,
    weights: Path,
    history: History,
    rows: list[dict[str, Any]],
    fit_seconds: float,
    parameters: int,
) -> None:
    """Write the model card beside the weights."""
    name = torch.cuda.get_device_name(0) if config.device.startswith("cuda") else "CPU"
    lengths = ", ".join(map(str, training.lengths))
    equation = {"duffing": "Duffing equation, steps of 0.25", "ks": "Kuramoto-Sivashinsky equation, L = 22, steps of 1"}
    write_card(
        weights,
        summary=f"A linearly recurrent autoencoder of the {equation[config.system]}, d = {training.latent}: "
        "LRANModel.load(path, trajectories).predict(x0, steps).",
        data=f"{config.trajectories or COUNT[config.system]} trajectories, windows of {lengths} states, symmetry: "
        f"{training.symmetry}; the start ({training.start}, {training.centres} centres) took {seconds(fit_seconds)}. "
        "Scores: pooled NRMSE after so many steps on unseen trajectories.",
        command=training_command("lran"),
        seed=config.seed,
        seconds=history.seconds,
        device=name,
        parameters=parameters,
        scores=rows,
        limits=[
            "States off the training distribution: outside [-2, 2]^2, or off the attractor.",
            "A relifted kernel model may forecast better at the same horizon: see docs/koopman.md.",
        ],
    )


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
