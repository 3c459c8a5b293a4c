"""A sequence of launches, recorded once as a CUDA graph and then replayed by one call."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Recorded:
    """Call `work()` again and again: by a CUDA graph on a CUDA device, plainly elsewhere.

    Parameters
    ----------
    work : callable
        Launches on fixed tensors, without a synchronisation.
    device : torch.device
        Where.

    Notes
    -----
    The first call runs the work plainly, so that kernels are compiled and libraries initialised; the second records.
    """

    def __init__(self, work: Callable[[], None], device: torch.device) -> None:
        self._work, self._device = work, device
        self._warm = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Run the work once."""
        if self._device.type != "cuda":
            self._work()
        elif not self._warm:
            with torch.cuda.device(self._device):
                self._work()
            self._warm = True
        else:
            if self._graph is None:
                graph = torch.cuda.CUDAGraph()
                torch.cuda.synchronize(self._device)
                with torch.cuda.device(self._device), torch.cuda.graph(graph):
                    self._work()
                self._graph = graph
            self._graph.replay()
