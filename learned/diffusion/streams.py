"""Normal random numbers for a batch of samples, each from a stream of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class NoiseStreams:
    """Streams (seed, first + i), i = 0 ... count - 1: a sample sees the same numbers whatever batch it runs in.

    Parameters
    ----------
    seed, first : int
        Of the run, and the number of its first sample.
    count : int
        Samples.
    device : torch.device
        On CUDA the numbers are made on the device, and are others than those of the CPU.

    Notes
    -----
    They are drawn in single precision for every dtype, so that runs in both precisions see the same noise.

    Examples
    --------
    >>> a, b = torch.zeros(3, 2), torch.zeros(1, 2)
    >>> NoiseStreams(0, 0, 3, a.device).add_to(a, 1.0)
    >>> NoiseStreams(0, 2, 1, b.device).add_to(b, 1.0)
    >>> bool((a[2] == b[0]).all())
    True
    """

    def __init__(self, seed: int, first: int, count: int, device: torch.device) -> None:
        self.device = device
        self._on_cuda: list[torch.Generator] = []
        self._on_host: list[np.random.Generator] = []
        for number in range(first, first + count):
            if device.type == "cuda":
                state = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1, np.uint64)
                self._on_cuda.append(torch.Generator(device).manual_seed(int(state[0])))
            else:
                self._on_host.append(np.random.default_rng([seed, number]))

    def add_to(self, x: Tensor, scale: float) -> None:
        """Add the next normal numbers times `scale` to each sample of x, (count, *shape), in place."""
        for image, device_stream in zip(x, self._on_cuda, strict=False):
            z = torch.randn(image.shape, generator=device_stream, device=self.device, dtype=torch.float32)
            image.add_(z, alpha=scale)
        for image, stream in zip(x, self._on_host, strict=False):
            z = torch.from_numpy(stream.standard_normal(tuple(image.shape), dtype=np.float32))
            image.add_(z.to(image.dtype), alpha=scale)
