"""Batches of training pairs: shuffled every epoch by a seed, as a function of the step, so that runs resume exactly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def seeded(seed: int, *numbers: int) -> torch.Generator:
    """Make a generator from a seed and other numbers, say a step; it is another one for other numbers.

    Notes
    -----
    On the CPU torch keeps the low 32 bits of a seed: sums or shifts of the numbers would collide, so they go through a
    hash.

    Examples
    --------
    >>> seeded(0, 1).initial_seed() == seeded(0, 1).initial_seed() != seeded(1, 0).initial_seed()
    True
    """
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed, spawn_key=numbers).generate_state(1)[0]))


class PairBatches:
    """Batches from tensors that all have one row a sample.

    Parameters
    ----------
    tensors : Tensor
        (N, ...) each; they stay where they are, so put them on the GPU if they fit.
    batch : int
        Rows of a batch.
    seed : int
        Of the order; epoch e is shuffled by (seed, e).

    Raises
    ------
    ValueError
        If the tensors differ in their number of rows, or there are fewer rows than `batch`.

    Notes
    -----
    Rows left over at the end of an epoch are skipped in that epoch.

    Examples
    --------
    >>> batches = PairBatches(torch.arange(5), torch.arange(5) ** 2, batch=2, seed=0)
    >>> x, y = batches(7)
    >>> bool((y == x**2).all()), sorted(torch.cat([batches(2)[0], batches(3)[0]]).unique().shape)
    (True, [4])
    """

    def __init__(self, *tensors: Tensor, batch: int, seed: int = 0) -> None:
        rows = {len(tensor) for tensor in tensors}
        if len(rows) != 1:
            raise ValueError(f"the tensors have {sorted(rows)} rows: one row a sample is needed in each")
        self.rows = rows.pop()
        if not 1 <= batch <= self.rows:
            raise ValueError(f"batch = {batch}: it must be at least 1 and at most the number of samples, {self.rows}")
        self.tensors, self.batch, self.seed = tensors, batch, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    @property
    def steps_an_epoch(self) -> int:
        """Number of batches in an epoch."""
        return self.rows // self.batch

    def __call__(self, step: int, /) -> tuple[Tensor, ...]:
        """Return the batch of a step."""
        epoch, place = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            self._order = torch.randperm(self.rows, generator=seeded(self.seed, epoch)).to(self.tensors[0].device)
            self._epoch = epoch
        chosen = self._order[place * self.batch : (place + 1) * self.batch]
        return tuple(tensor[chosen] for tensor in self.tensors)
