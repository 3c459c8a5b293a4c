"""A running average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Exponential moving average of a model's trained parameters.

    Parameters
    ----------
    model : nn.Module
        Its parameters are averaged; buffers are taken as they are.
    decay : float
        The decay d, in [0, 1).

    Notes
    -----
    After step k = 1, 2, ... the average is e_k = d_k e_{k-1} + (1 - d_k) w_k with d_k = min(d, k / (k + 9)) and
    e_0 = w_0. The smaller d_k of the first steps forgets the weights that the model began with, which a short run
    would keep.

    Examples
    --------
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.zeros_(model.weight)
    >>> ema = EMA(model, 0.999)
    >>> _ = nn.init.ones_(model.weight)
    >>> ema.update(1)  # d_1 = 1/10
    >>> round(float(ema.average["weight"]), 6)
    0.9
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        decay = min(self.decay, step / (step + 9))
        torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average inside a `with` block, and its own weights back after it."""
        kept = {name: p.detach().clone() for name, p in self.parameters.items()}
        self._set(self.average)
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])

    def load(self, average: dict[str, Tensor]) -> None:
        """Take over a saved average, on the device of the model."""
        for name, value in self.average.items():
            value.copy_(average[name])

    def give(self) -> None:
        """Give the model the average for good."""
        self._set(self.average)
