"""Passes through the model: the gradient of a batch, and the loss of a validation set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.training.config import FitConfig
from conjugo.learned.training.devices import to_device
from conjugo.learned.training.distributed import World, parts
from conjugo.learned.training.randomness import seeded
from conjugo.learned.training.state import State

type Loss = Callable[[nn.Module, Any], Tensor]


def gradients(model: Any, loss: Loss, state: State, batch: Any, stop: bool) -> tuple[float, bool]:
    """Leave the gradient of the whole batch in the parameters; return its loss, and whether a process wants to stop."""
    world = state.world
    state.optimizer.zero_grad(set_to_none=True)
    notes = torch.tensor([0.0, float(stop)], device=world.device)
    for weight, part in parts(batch, world, state.config.accumulate):
        with autocast(state.config, world):
            value = as_scalar(loss(model, to_device(part, world.device)))
        (weight * value).backward()  # type: ignore[no-untyped-call]
        notes[0] += weight * value.detach()
    if world.size > 1:
        for parameter in state.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        world.sum([notes, *(parameter.grad for parameter in state.parameters if parameter.grad is not None)])
    total, wishes = notes.tolist()
    return total, wishes > 0


@torch.no_grad()
def validate(model: Any, loss: Loss, batches: Sequence[Any], state: State) -> float:
    """Mean loss over batches shared between the processes: in eval(), with averaged weights, from the same seed."""
    world = state.world
    total = torch.zeros(1, device=world.device)
    state.model.eval()
    with seeded(state.config.seed, world.device), state.averaged(), autocast(state.config, world):
        for batch in batches[world.rank :: world.size]:
            total += as_scalar(loss(model, to_device(batch, world.device)))
    world.sum([total])
    return float(total) / len(batches)


def autocast(config: FitConfig, world: World) -> torch.autocast:
    """Run in bfloat16 what may run so, where the configuration asks for it."""
    return torch.autocast(world.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def as_scalar(value: Tensor) -> Tensor:
    """Return a loss in at least float32; refuse what is no scalar."""
    if value.ndim:
        raise ValueError(f"loss returned a tensor of shape {tuple(value.shape)}: it must be a scalar, say its .mean()")
    return value.to(torch.promote_types(value.dtype, torch.float32))


def check_finite(value: float, norm: float, step: int, path: Path | None) -> None:
    """Refuse a step that would spoil the weights."""
    if not (math.isfinite(value) and math.isfinite(norm)):
        kept = "" if path is None or not path.exists() else f"; {path} holds the last good checkpoint"
        raise FloatingPointError(
            f"the loss is {value} and the gradient's norm {norm} at step {step}{kept}; try a smaller learning_rate, "
            "a longer warmup or a smaller clip, and look at the batch of that step"
        )
