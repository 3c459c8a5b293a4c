"""Normal random numbers for a batch of samples, each from a stream of its own."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from conjugo.learned.operators.batches import seeded


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

    Raises
    ------
    ValueError
        For a negative seed or first sample.

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
        if seed < 0 or first < 0:
            raise ValueError(f"seed = {seed}, first = {first}: expected numbers >= 0")
        self._streams = [_stream(seed, number, device) for number in range(first, first + count)]

    def add_to(self, x: Tensor, scale: float) -> None:
        """Add the next normal numbers times `scale` to each sample of x, (count, *shape), in place."""
        for image, stream in zip(x, self._streams, strict=True):
            z = torch.randn(image.shape, generator=stream, device=stream.device, dtype=torch.float32)
            image.add_(z, alpha=scale)


def _stream(seed: int, number: int, device: torch.device) -> torch.Generator:
    if device.type != "cuda":
        return seeded(seed, number)
    words = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(words[0]))
