"""The training loop, the only one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from conjugo.learned.training.config import FitConfig
from conjugo.learned.training.devices import to_device
from conjugo.learned.training.distributed import World, joined, parts
from conjugo.learned.training.history import History, StepRecord
from conjugo.learned.training.interrupt import Stop
from conjugo.learned.training.randomness import seeded
from conjugo.learned.training.state import State

__all__ = ["Batches", "FitConfig", "History", "Loss", "StepRecord", "fit"]

type Loss = Callable[[nn.Module, Any], Tensor]


class Batches(Protocol):
    """The global batch of a step, as a function of a seed and the step.

    It may have `state_dict()` and `load_state_dict(state)`, of tensors and plain values, for the checkpoint.
    """

    def __call__(self, step: int, /) -> Any: ...


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Batches,
    *,
    config: FitConfig,
    validation: Sequence[Any] | None = None,
    on_step: Callable[[StepRecord], object] | None = None,
    checkpoint: Path | str | None = None,
    progress: bool = True,
) -> History:
    """Train a model.

    Parameters
    ----------
    model : nn.Module
        Trained in place, on `config.device`; afterwards in eval() with its best weights.
    loss : callable
        `loss(model, batch)`, a scalar tensor: a mean over the rows of the batch.
    batches : callable
        `batches(step)` for step 0, 1, ... is the whole batch: a tensor, or a tuple, list or dict of tensors whose first
        axis counts the rows. It depends on a seed and the step alone, or has `state_dict` and `load_state_dict`.
    config : FitConfig
        Everything else.
    validation : sequence of batches, optional
        Their mean loss, in eval() and with the averaged weights, decides which weights are kept.
    on_step : callable, optional
        Gets a `StepRecord` after every step, on rank 0.
    checkpoint : Path or str, optional
        File from which the run resumes where it exists, and to which it writes every `config.checkpoint_every` steps
        and at its end.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    History
        Losses, validation, time. Ctrl-C ends the run after the current step, with a checkpoint; a second one is raised.

    Raises
    ------
    ValueError
        If the device is missing, the checkpoint is of another run, a batch cannot be shared, or the loss is no scalar.
    FloatingPointError
        If a loss or gradient is not finite; the step is not taken and the checkpoint stays as it was.

    Notes
    -----
    A step is w <- AdamW(w, g min(1, clip / ||g||)) with the gradient g of the loss over the whole batch. On the CPU a run
    that was killed and resumed ends with the same bits as one that was not. Under `torchrun` every process calls `fit`
    with the same arguments, and none needs to know; see `distributed`.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019, algorithm 2 (AdamW).

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 16)[:, None]
    >>> model = nn.Linear(1, 1)
    >>> loss = lambda model, batch: (model(batch) - 3 * batch).square().mean()
    >>> history = fit(
    ...     model, loss, lambda step: x, config=FitConfig(steps=150, learning_rate=0.1, clip=None), progress=False
    ... )
    >>> bool(history.losses[-1] < 1e-3)
    True
    """
    path = None if checkpoint is None else Path(checkpoint)
    with (
        joined(config.device) as world,
        seeded(config.seed + world.rank, world.device),
        Stop(config.time_limit) as stop,
    ):
        state = State(model, config, world)
        state.resume(path, batches)
        called: Any = torch.compile(model) if config.compile else model
        stopping, shown = False, progress and world.rank == 0
        if validation and not state.validation:
            state.judge(validate(called, loss, validation, state))
        with tqdm(total=config.steps, initial=state.step, disable=not shown, unit="step") as bar:
            while state.step < config.steps and not stopping:
                model.train()
                value, stopping = gradients(called, loss, batches(state.step), state, stop.wanted)
                norm = float(nn.utils.clip_grad_norm_(state.parameters, config.clip or math.inf))
                check_finite(value, norm, state.step, path)
                rate = state.advance()
                score = None
                if validation and state.step % config.validate_every == 0:
                    score = validate(called, loss, validation, state)
                    state.judge(score)
                record = state.note(value, rate, norm, score)
                if state.step % config.checkpoint_every == 0 or state.step == config.steps or stopping:
                    state.save(path, batches)
                if on_step is not None and world.rank == 0:
                    on_step(record)
                bar.set_postfix(loss=f"{value:.3e}", refresh=False)
                bar.update()
        if validation and state.validation[-1][0] < state.step:
            state.judge(validate(called, loss, validation, state))
        return state.finish(interrupted=state.step < config.steps)


def gradients(model: Any, loss: Loss, batch: Any, state: State, stop: bool) -> tuple[float, bool]:
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
    """Mean loss over batches, shared between processes, in eval(), with averaged weights and the same seed each time."""
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
