"""All that a training run carries from step to step, and its way into a checkpoint and back."""

from __future__ import annotations

import dataclasses
import math
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.training.checkpoint import read_checkpoint, write_checkpoint
from conjugo.learned.training.config import FitConfig
from conjugo.learned.training.distributed import World
from conjugo.learned.training.ema import EMA
from conjugo.learned.training.history import History, StepRecord
from conjugo.learned.training.randomness import random_state, set_random_state
from conjugo.learned.training.schedules import learning_rate


class State:
    """A run in progress.

    Parameters
    ----------
    model : nn.Module
        Goes to the world's device; all processes start from the weights of rank 0.
    config : FitConfig
        Its settings.
    world : World
        The processes.
    """

    def __init__(self, model: nn.Module, config: FitConfig, world: World) -> None:
        self.model, self.config, self.world = model.to(world.device), config, world
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        if not self.parameters:
            raise ValueError("the model has no parameter with requires_grad: there is nothing to train")
        world.share_first([tensor.detach() for tensor in (*model.parameters(), *model.buffers())])
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=self._fused,
        )
        self.ema = None if config.ema is None else EMA(model, config.ema)
        self.step = 0
        self.records: list[StepRecord] = []
        self.validation: list[tuple[int, float]] = []
        self.best: dict[str, Tensor] | None = None
        self.best_loss, self.best_step = math.inf, 0
        self._started = time.perf_counter()

    @property
    def _fused(self) -> bool:
        """Whether all parameters are updated by one kernel, which exists on CUDA and for real numbers."""
        return self.world.device.type == "cuda" and not any(p.is_complex() for p in self.parameters)

    @property
    def seconds(self) -> float:
        """Time trained, resumed parts included."""
        return time.perf_counter() - self._started

    def averaged(self) -> AbstractContextManager[None]:
        """Give the model the running average of its weights inside a `with` block, where there is one."""
        return nullcontext() if self.ema is None else self.ema.applied()

    def advance(self) -> float:
        """Take an optimiser step with the gradient that the parameters hold; return the learning rate used."""
        rate = learning_rate(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.step)
        return rate

    def note(self, loss: float, rate: float, norm: float, score: float | None) -> StepRecord:
        """Record the step that was taken."""
        self.records.append(StepRecord(self.step, loss, rate, norm, self.seconds, score))
        return self.records[-1]

    def judge(self, score: float) -> float:
        """Note a validation loss of the model as it is now, and keep its weights if it is the best; return it."""
        self.validation.append((self.step, score))
        if score < self.best_loss:
            with self.averaged():
                self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
            self.best_loss, self.best_step = score, self.step
        return score

    def finish(self, interrupted: bool) -> History:
        """Leave the best weights in the model, without validation the last ones, averaged where asked."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        else:
            self.best_step = self.step
            if self.ema is not None:
                self.ema.give()
        self.model.eval()
        return History.of(
            self.records,
            self.validation,
            seconds=self.seconds,
            best_step=self.best_step,
            interrupted=interrupted,
        )

    def save(self, path: Path | None, batches: Any) -> None:
        """Write a checkpoint; every process takes part, rank 0 writes."""
        if path is None:
            return
        own = {"random": random_state(self.world.device), "batches": _state_of(batches)}
        processes = self.world.gather(own)
        if self.world.rank == 0:
            state = {
                "config": self.config.facts(),
                "step": self.step,
                "seconds": self.seconds,
                "model": dict(self.model.state_dict()),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.ema is None else self.ema.average,
                "best": self.best,
                "best_loss": self.best_loss,
                "best_step": self.best_step,
                "records": [list(dataclasses.astuple(record)) for record in self.records],
                "validation": self.validation,
                "processes": processes,
            }
            write_checkpoint(path, state)

    def resume(self, path: Path | None, batches: Any) -> None:
        """Go on from a checkpoint, where there is one.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or belongs to other settings, another model or another number of processes.
        """
        if path is None or not path.exists():
            return
        saved = read_checkpoint(path)
        try:
            self.config.check_resume(saved["config"])
            if saved["step"] > self.config.steps:
                raise ValueError(f"the checkpoint is at step {saved['step']} but steps = {self.config.steps}")
            if len(saved["processes"]) != self.world.size:
                raise ValueError(
                    f"the checkpoint is of {len(saved['processes'])} processes but this run has {self.world.size}: "
                    "start as many (torchrun --nproc-per-node)"
                )
            self._check_model(saved["model"])
        except ValueError as error:
            raise ValueError(f"cannot resume from {path}: {error}") from error
        self.model.load_state_dict(saved["model"])
        for group in saved["optimizer"]["param_groups"]:
            group["fused"] = self._fused  # the device may have changed
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.ema is not None:
            self.ema.load(saved["average"])
        self.step, self.best_loss, self.best_step = saved["step"], saved["best_loss"], saved["best_step"]
        self.best = saved["best"]
        self.records = [StepRecord(*row) for row in saved["records"]]
        self.validation = saved["validation"]
        own = saved["processes"][self.world.rank]
        set_random_state(own["random"], self.world.device)
        if own["batches"] is not None:
            batches.load_state_dict(own["batches"])
        self._started = time.perf_counter() - saved["seconds"]

    def _check_model(self, weights: dict[str, Tensor]) -> None:
        mine = {name: tuple(value.shape) for name, value in self.model.state_dict().items()}
        theirs = {name: tuple(value.shape) for name, value in weights.items()}
        differing = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        if differing:
            name = differing[0]
            raise ValueError(
                f"it holds another model: {name} is {theirs.get(name, 'missing')} there and "
                f"{mine.get(name, 'missing')} here ({len(differing)} tensors differ)"
            )


def _state_of(batches: Any) -> Any:
    return batches.state_dict() if hasattr(batches, "state_dict") else None
