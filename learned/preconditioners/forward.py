"""Run a direction network fast: its precision, memory layout, compilation and CUDA graph."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

type Precision = Literal["float32", "bfloat16", "float64"]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}

WARM_UP = 3
"""Calls before a CUDA graph is recorded, so that libraries have chosen their kernels."""


class Forward:
    """A frozen copy of a network, ready to be called many times with fields of the same shape.

    Parameters
    ----------
    model : module
        Maps (batch, 1, *grid), and the geometry where it has any, to (batch, 1, *grid). It is copied, not changed.
    geometry : (1, 2, *grid) tensor
        Of the domain; a model with a method `gates` is asked once for what it makes of it.
    precision : {"float32", "bfloat16", "float64"}
        Of the network's weights and fields; float64 is for tests.
    device : device, optional
        Where it runs; default where the model is.
    compile : bool
        Pass the network through `torch.compile`.
    graph : bool
        On CUDA, record one graph for each batch size and replay it. Elsewhere it has no effect.

    Raises
    ------
    ValueError
        For an unknown precision, or a device that is not there.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
    >>> run = Forward(MultilevelNet(MultilevelNetConfig(dimension=2)), torch.zeros(1, 2, 8, 8))
    >>> tuple(run(torch.ones(3, 1, 8, 8)).shape)
    (3, 1, 8, 8)
    """

    def __init__(
        self,
        model: nn.Module,
        geometry: Tensor,
        *,
        precision: Precision = "float32",
        device: torch.device | str | None = None,
        compile: bool = False,
        graph: bool = True,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision = {precision!r}: expected one of {', '.join(PRECISIONS)}")
        self.device = available(device if device is not None else home(model))
        self.dtype = PRECISIONS[precision]
        layout: Any = torch.channels_last if geometry.ndim == 4 else torch.channels_last_3d
        self._layout = layout if self.device.type == "cuda" else torch.contiguous_format
        model = copy.deepcopy(model).to(device=self.device, dtype=self.dtype).eval().requires_grad_(False)
        model = model.to(memory_format=self._layout)
        gates = getattr(model, "gates", None)
        with torch.no_grad():
            image = geometry.to(device=self.device, dtype=self.dtype)
            self._geometry = image if gates is None else gates(image)
        self._call: Callable[[Tensor, Any], Tensor] = torch.compile(model) if compile else model
        self._graph = graph and self.device.type == "cuda"
        self._recorded: dict[tuple[int, ...], tuple[Any, Tensor, Tensor]] = {}

    @torch.no_grad()
    def __call__(self, field: Tensor) -> Tensor:
        """Return the network's output in its own precision; on CUDA it may be overwritten by the next call."""
        field = field.to(device=self.device, dtype=self.dtype).contiguous(memory_format=self._layout)
        if not self._graph:
            return self._call(field, self._geometry)
        shape = tuple(field.shape)
        if shape not in self._recorded:
            self._recorded[shape] = self._record(field)
        graph, source, result = self._recorded[shape]
        source.copy_(field)
        graph.replay()
        return result

    def _record(self, field: Tensor) -> tuple[Any, Tensor, Tensor]:
        """Record a CUDA graph that reads and writes fixed tensors."""
        source = field.clone(memory_format=torch.preserve_format)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._call(source, self._geometry)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self._call(source, self._geometry)
        return graph, source, result


def home(model: nn.Module) -> torch.device:
    """Return where a model's parameters are; the CPU for one that has none."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def available(device: torch.device | str) -> torch.device:
    """Return the device, or say that it is not there.

    Raises
    ------
    ValueError
        Naming the device and the remedy.

    Examples
    --------
    >>> available("cpu")
    device(type='cpu')
    """
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device = {device!r}: expected 'cpu', 'cuda' or 'cuda:N'") from None
    count = torch.cuda.device_count() if found.type == "cuda" else 1
    if found.type == "cuda" and (found.index or 0) >= count:
        raise ValueError(f"device = {str(device)!r} is not there: this machine has {count} CUDA devices; use 'cpu'")
    return found
