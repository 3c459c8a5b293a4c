"""The training loop, the only one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from tqdm import tqdm

from conjugo.learned.training.config import FitConfig
from conjugo.learned.training.distributed import joined
from conjugo.learned.training.graphed import GraphedGradients
from conjugo.learned.training.history import History, StepRecord
from conjugo.learned.training.interrupt import Stop
from conjugo.learned.training.passes import Loss, check_finite, gradients, validate
from conjugo.learned.training.randomness import seeded
from conjugo.learned.training.state import State

__all__ = ["Batches", "FitConfig", "History", "Loss", "StepRecord", "fit"]


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
    A step is w <- AdamW(w, g min(1, clip / ||g||)) with the gradient g of the loss over the whole batch. On the CPU a
    run that was killed and resumed ends with the same bits as one that was not. Under `torchrun` every process calls
    `fit` with the same arguments; see `distributed`.

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
        backward = GraphedGradients(called, loss, state) if config.graph else partial(gradients, called, loss, state)
        stopping, shown = False, progress and world.rank == 0
        if validation and not state.validation:
            state.judge(validate(model, loss, validation, state))
        with tqdm(total=config.steps, initial=state.step, disable=not shown, unit="step") as bar:
            while state.step < config.steps and not stopping:
                model.train()
                value, stopping = backward(batches(state.step), stop.wanted)
                norm = float(nn.utils.clip_grad_norm_(state.parameters, config.clip or math.inf))
                check_finite(value, norm, state.step, path)
                rate = state.advance()
                score = None
                if validation and state.step % config.validate_every == 0:
                    score = state.judge(validate(model, loss, validation, state))
                record = state.note(value, rate, norm, score)
                if state.step % config.checkpoint_every == 0 or state.step == config.steps or stopping:
                    state.save(path, batches)
                if on_step is not None and world.rank == 0:
                    on_step(record)
                bar.set_postfix(loss=f"{value:.3e}", refresh=False)
                bar.update()
        if validation and state.validation[-1][0] < state.step:
            state.judge(validate(model, loss, validation, state))
        return state.finish(interrupted=state.step < config.steps)
