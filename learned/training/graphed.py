"""Gradients by CUDA graphs: a network of many small operations is bound by their launches, which a graph does once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.training.devices import to_device
from conjugo.learned.training.passes import Loss, as_scalar, autocast
from conjugo.learned.training.state import State

WARM_UP = 3
"""Passes before the capture, in which libraries choose their algorithms; what they change in buffers is undone."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A captured pass: where it reads its batch, and where it leaves loss and gradients."""

    graph: torch.cuda.CUDAGraph
    batch: Any
    loss: Tensor
    gradients: list[Tensor | None]


class GraphedGradients:
    """Forward and backward pass of a batch on one CUDA device, captured once for each shape of batch.

    Parameters
    ----------
    model : callable
        The module, or what `torch.compile` made of it.
    loss : callable
        As in `fit`. It must not wait for the device nor branch on values.
    state : State
        Of the run: one process, no accumulation.

    Raises
    ------
    ValueError
        If the run has no CUDA device, several processes, or accumulates.

    Notes
    -----
    The operations are those of `gradients`, in the same order; random numbers, as of dropout, go on from step to step.
    """

    def __init__(self, model: Any, loss: Loss, state: State) -> None:
        world, config = state.world, state.config
        if world.device.type != "cuda" or world.size > 1 or config.accumulate > 1:
            raise ValueError(
                f"graph = True on {world.device}, {world.size} processes, accumulate = {config.accumulate}: it needs "
                "one process on a CUDA device, and accumulate = 1"
            )
        self._model, self._loss, self._state = model, loss, state
        self._graphs: dict[Any, Graph] = {}

    def __call__(self, batch: Any, stop: bool) -> tuple[float, bool]:
        """Leave the gradient in the parameters; return the loss of the batch, and whether to stop."""
        batch = to_device(batch, self._state.world.device)
        shapes = tuple((tuple(tensor.shape), tensor.dtype) for tensor in _tensors(batch))
        if shapes not in self._graphs:
            self._graphs[shapes] = self._capture(batch)
        graph = self._graphs[shapes]
        for mine, given in zip(_tensors(graph.batch), _tensors(batch), strict=True):
            mine.copy_(given)
        graph.graph.replay()
        for parameter, gradient in zip(self._state.parameters, graph.gradients, strict=True):
            parameter.grad = gradient
        return float(graph.loss), stop

    def _capture(self, batch: Any) -> Graph:
        module: nn.Module = self._state.model
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        held = _clone(batch)
        side = torch.cuda.Stream(self._state.world.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self._pass(held)
        torch.cuda.current_stream().wait_stream(side)
        self._forget()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._pass(held)
        found = [parameter.grad for parameter in self._state.parameters]
        with torch.no_grad():
            for name, value in module.named_buffers():
                value.copy_(buffers[name])
        return Graph(graph, held, loss, found)

    def _pass(self, batch: Any) -> Tensor:
        self._forget()
        with autocast(self._state.config, self._state.world):
            value = as_scalar(self._loss(self._model, batch))
        value.backward()  # type: ignore[no-untyped-call]
        return value.detach()

    def _forget(self) -> None:
        for parameter in self._state.parameters:
            parameter.grad = None


def _tensors(batch: Any) -> list[Tensor]:
    """List the tensors of a batch in a fixed order."""
    if isinstance(batch, Tensor):
        return [batch]
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _clone(batch: Any) -> Any:
    """Copy the tensors of a batch."""
    if isinstance(batch, Tensor):
        return batch.clone()
    if isinstance(batch, dict):
        return {key: _clone(part) for key, part in batch.items()}
    return type(batch)(_clone(part) for part in batch) if isinstance(batch, list | tuple) else batch
