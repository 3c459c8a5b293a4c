"""A small model, its data, and a training script that the tests run, kill, and start under torchrun."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.learned.training import FitConfig, History, fit, rank


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

    @property
    def weight(self) -> Tensor:
        """The first layer's matrix."""
        return next(self.parameters()).detach()

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
    """Batches with a memory: the rows of step k are joined by a noisy average of earlier ones."""

    def __init__(self, kill_at: int = 0) -> None:
        self.memory = torch.zeros(4, 2)
        self.kill_at = kill_at

    def __call__(self, step: int, /) -> tuple[Tensor, Tensor]:
        """Return 16 rows; at step `kill_at` the process kills itself instead, beyond any handler."""
        if self.kill_at and step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        x, _ = batch(step)
        noise = torch.rand(4, 2) + float(np.random.rand()) + random.random()  # noqa: NPY002
        self.memory = 0.5 * self.memory + 0.5 * x[:4] + 0.01 * noise
        x = torch.cat([x, self.memory])
        return x, torch.sin(2 * x[:, 0]) * x[:, 1]

    def state_dict(self) -> dict[str, Any]:
        """Return the memory."""
        return {"memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a memory over."""
        self.memory = state["memory"]


def train(checkpoint: Path | None, batches: Any, model: Toy, **settings: Any) -> History:
    """Train a toy with averaging, validation and frequent checkpoints."""
    config = FitConfig(**{"steps": 40, "ema": 0.9, "validate_every": 7, "checkpoint_every": 5, **settings})
    return fit(model, loss, batches, config=config, validation=VALIDATION, checkpoint=checkpoint, progress=False)


def main() -> None:
    """Script: toy.py FOLDER SETTINGS, with settings in JSON; rank 0 writes FOLDER/end.pt."""
    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    memory, kill_at = settings.pop("memory"), settings.pop("kill_at", 0)
    model = toy(settings.pop("model_seed", 0) + rank(), dropout=settings.pop("dropout", 0.0))
    batches = Replay(kill_at) if memory else lambda step: batch(step, rows=13)
    history = train(folder / "run.pt", batches, model, **settings)
    if rank() == 0:
        arrays = {name: torch.tensor(getattr(history, name)) for name in ("steps", "losses", "validation")}
        torch.save({"model": dict(model.state_dict()), **arrays}, folder / "end.pt")


if __name__ == "__main__":
    main()
