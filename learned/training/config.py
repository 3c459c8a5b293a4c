"""What a training run is told: its length, optimiser, schedule, precision and habits."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Schedule = Literal["constant", "cosine", "onecycle", "step"]
Precision = Literal["float32", "bfloat16"]

FREE = {"steps", "checkpoint_every", "device", "compile", "graph", "time_limit"}
"""Settings that a resumed run may change; any other would make it a different run."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Settings of `fit`.

    Parameters
    ----------
    steps : int
        Optimiser steps of the whole run, resumed parts included.
    learning_rate : float
        Largest rate of the schedule.
    weight_decay : float
        Decoupled decay of AdamW; 0 is Adam.
    betas : tuple of float
        Decay rates of Adam's two averages.
    schedule : {"constant", "cosine", "onecycle", "step"}
        Shape of the learning rate, see `schedules.learning_rate`.
    warmup : int
        Steps in which the rate rises linearly from 0; for "onecycle" the rise itself (0: 30 % of the steps).
    clip : float or None
        Largest norm of the whole gradient; a longer one is scaled to it.
    ema : float or None
        Decay of the running average of the weights, say 0.999; it is then what validates and what is kept.
    precision : {"float32", "bfloat16"}
        "bfloat16" runs the loss under autocast; weights, gradients and optimiser stay in their own type.
    accumulate : int
        Parts into which a process cuts its share of a batch, one after the other, to save memory; for a loss that is a
        mean over rows the gradient stays the same to rounding.
    validate_every, checkpoint_every : int
        Steps between validations, and between checkpoints.
    seed : int
        Seeds torch, NumPy and Python's `random` inside `fit`, with the rank added.
    device : str
        "cpu", "cuda" or "cuda:1".
    compile : bool
        Whether the model goes through `torch.compile` in training; validation runs it as it is.
    graph : bool
        Whether forward and backward pass are replayed as a CUDA graph (`GraphedGradients`): faster where many small
        operations wait for their launches.
    time_limit : float or None
        Seconds after which this call stops in good order, with a checkpoint.

    Raises
    ------
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> FitConfig(steps=0)
    Traceback (most recent call last):
    ...
    ValueError: steps = 0: at least 1 is needed
    """

    steps: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Schedule = "cosine"
    warmup: int = 0
    clip: float | None = 1.0
    ema: float | None = None
    precision: Precision = "float32"
    accumulate: int = 1
    validate_every: int = 100
    checkpoint_every: int = 100
    seed: int = 0
    device: str = "cpu"
    compile: bool = False
    graph: bool = False
    time_limit: float | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "accumulate", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1 is needed")
        for name in ("learning_rate", "clip", "time_limit"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} = {value}: a positive number is needed")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay = {self.weight_decay}: 0 or more is needed")
        if not 0 <= self.warmup < self.steps:
            raise ValueError(f"warmup = {self.warmup}: it must be at least 0 and less than steps = {self.steps}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas = {self.betas}: both must lie in [0, 1)")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise ValueError(f"ema = {self.ema}: it must lie in [0, 1), or be None for no average")
        for name, allowed in (("schedule", get_args(Schedule)), ("precision", get_args(Precision))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} = {getattr(self, name)!r}: choose one of {', '.join(map(repr, allowed))}")

    def check_resume(self, earlier: dict[str, Any]) -> None:
        """Refuse to go on from a checkpoint of a run with other settings.

        Parameters
        ----------
        earlier : dict
            `facts()` of the run that wrote the checkpoint.

        Raises
        ------
        ValueError
            If a setting that shapes the result differs.
        """
        mine = self.facts()
        changed = [name for name in mine if name not in FREE and mine[name] != earlier.get(name)]
        if changed:
            pairs = ", ".join(f"{name} = {mine[name]} (there {earlier.get(name)})" for name in changed)
            raise ValueError(
                f"the checkpoint belongs to a run with other settings: {pairs}; "
                "restore them, or give another checkpoint path"
            )

    def facts(self) -> dict[str, Any]:
        """Return the settings as plain values, tuples as lists."""
        plain = asdict(self)
        return {field.name: _plain(plain[field.name]) for field in fields(self)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
