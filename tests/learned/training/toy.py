"""A small model, its data, and a training script that the tests run, kill, and start under torchrun."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.training import FitConfig, History, fit


@dataclass(frozen=True)
class ToyConfig:
    """Shape of the toy."""

    dimension: int = 2
    widths: tuple[int, ...] = (8,)
    dropout: float = 0.0


class Toy(nn.Module):
    """A perceptron with a buffer that training changes."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.dimension, *config.widths, 1)
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("calls", torch.zeros(()))

    calls: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map (rows, dimension) to (rows,)."""
        if self.training:
            self.calls += 1
        for layer in list(self.layers)[:-1]:
            x = self.dropout(torch.tanh(layer(x)))
        return self.layers[-1](x)[:, 0]  # type: ignore[no-any-return]


def toy(seed: int = 0, **config: Any) -> Toy:
    """Build a toy with seeded weights, leaving the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy(ToyConfig(**config))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean squared error."""
    x, y = batch
    error: Tensor = model(x) - y
    return error.square().mean()


def batch(step: int, rows: int = 12) -> tuple[Tensor, Tensor]:
    """Rows of step `step`, a function of the step alone."""
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.rand(rows, 2, generator=generator) * 2 - 1
    return x, torch.sin(2 * x[:, 0]) * x[:, 1]


VALIDATION = [batch(-1), batch(-2), batch(-3)]


class Replay:
    """Batches with a memory: the rows of step k are mixed with a buffer of earlier ones."""

    def __init__(self) -> None:
        self.memory = torch.zeros(4, 2)

    def __call__(self, step: int, /) -> tuple[Tensor, Tensor]:
        x, _ = batch(step)
        self.memory = 0.5 * self.memory + 0.5 * x[:4] + 0.01 * torch.rand(4, 2)
        x = torch.cat([x, self.memory])
        return x, torch.sin(2 * x[:, 0]) * x[:, 1]

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {"memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a memory over."""
        self.memory = state["memory"]


def train(folder: Path, batches: Any, model: Toy, **settings: Any) -> History:
    """Train a toy with everything on and save what came out, as rank 0."""
    config = FitConfig(**{"steps": 40, "ema": 0.9, "validate_every": 7, "checkpoint_every": 5, **settings})
    history = fit(
        model, loss, batches, config=config, validation=VALIDATION, checkpoint=folder / "run.pt", progress=False
    )
    return history


def main() -> None:
    """Script: toy.py FOLDER SETTINGS (as JSON; "kill_at" sends SIGKILL to itself after that step)."""
    import os
    import signal

    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    kill_at = settings.pop("kill_at", 0)
    replay = Replay() if settings.pop("replay", False) else None
    model = toy(dropout=settings.pop("dropout", 0.0), seed=settings.pop("model_seed", 0))

    def batches(step: int, /) -> tuple[Tensor, Tensor]:
        if kill_at and step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch(step)

    history = train(folder, replay or batches, model, **settings)
    if int(os.environ.get("RANK", "0")) == 0:
        losses, validation = torch.tensor(history.losses), torch.tensor(history.validation)
        torch.save({"model": dict(model.state_dict()), "losses": losses, "validation": validation}, folder / "end.pt")


if __name__ == "__main__":
    main()
