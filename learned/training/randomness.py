"""The random generators of torch, NumPy and Python: seeded for a while, saved, and set back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed all generators inside a `with` block, and give the caller's back after it.

    Examples
    --------
    >>> with seeded(3, torch.device("cpu")):
    ...     first = torch.rand(2)
    >>> with seeded(3, torch.device("cpu")):
    ...     bool((torch.rand(2) == first).all())
    True
    """
    before = random_state(device)
    torch.manual_seed(seed)  # CUDA's generators too
    np.random.seed(seed % 2**32)  # noqa: NPY002  a loss or a data set may use the global generator
    random.seed(seed)
    try:
        yield
    finally:
        set_random_state(before, device)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of every generator, as tensors and plain values."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [str(kind), torch.tensor(np.asarray(words, dtype=np.int64)), *rest],
        "python": random.getstate(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Set every generator to a state from `random_state`; that of CUDA only where both have one."""
    torch.set_rng_state(state["torch"])
    kind, words, *rest = state["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
