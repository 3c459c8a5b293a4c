"""Training on several processes: who takes which rows of a batch, and the sum over all.

`torchrun` starts the processes and sets RANK, WORLD_SIZE and LOCAL_RANK. Each takes the rows rank::size of every batch
and weighs its loss by its share of the rows, so that the sum over processes is the gradient of the whole batch even
where the rows do not divide evenly. One reduction a step carries the loss, the wish to stop, and all gradients.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from conjugo.learned.training.devices import find_device, map_parts


def rank() -> int:
    """Rank of this process: 0 without torchrun. Only rank 0 writes files.

    Examples
    --------
    >>> rank()
    0
    """
    return int(os.environ.get("RANK", "0"))


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes
    ----------
    rank, size : int
        This process, and how many there are.
    device : torch.device
        Where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    def sum(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one reduction."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, total in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def share_first(self, tensors: list[Tensor]) -> None:
        """Give every process the values of rank 0."""
        for tensor in tensors if self.size > 1 else []:
            distributed.broadcast(tensor, 0)

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes that torchrun started, or be alone.

    Parameters
    ----------
    device : str
        "cuda" under torchrun is cuda:LOCAL_RANK and reduces by NCCL; "cpu" by Gloo.

    Yields
    ------
    World
        Rank, size and device of this process.

    Raises
    ------
    ValueError
        If the device is not there.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, find_device(device))
        return
    where = find_device(f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device)
    mine = not distributed.is_initialized()
    if mine:
        if where.type == "cuda":
            torch.cuda.set_device(where)
        distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield World(rank(), size, where)
    finally:
        if mine:
            distributed.destroy_process_group()


def rows(batch: Any) -> int:
    """Count the rows of a batch: the length of the first axis of its tensors, which must agree.

    Raises
    ------
    ValueError
        If it holds no tensor, or tensors of different lengths.

    Examples
    --------
    >>> rows({"a": torch.zeros(5, 2), "b": torch.zeros(5)})
    5
    """
    found = _lengths(batch)
    if len(found) != 1:
        what = f"tensors of {sorted(found)} rows" if found else f"no tensor ({type(batch).__name__})"
        raise ValueError(
            "a batch must be a tensor, or a tuple, list or dict of tensors with equal first axes, to be shared "
            f"between processes or accumulated; this one holds {what}"
        )
    return found.pop()


def parts(batch: Any, world: World, accumulate: int) -> list[tuple[float, Any]]:
    """Cut this process's parts from a batch.

    Parameters
    ----------
    batch : Any
        The whole batch; every tensor's first axis counts the rows. Tensors without axes go to every part.
    world : World
        Rank and number of processes.
    accumulate : int
        Parts for each process.

    Returns
    -------
    list of (float, Any)
        Weight and part; the weights of all processes add up to 1.

    Raises
    ------
    ValueError
        If there are fewer rows than parts.

    Notes
    -----
    With c = size * accumulate parts, part j of a process takes the rows (rank + size j)::c of the batch and weighs
    (its rows) / (all rows), so that a loss that is a mean over rows, and its gradient, add up to those of the whole
    batch.

    Examples
    --------
    >>> world = World(1, 2, torch.device("cpu"))
    >>> parts(torch.arange(5), world, 1)
    [(0.4, tensor([1, 3]))]
    """
    count = world.size * accumulate
    if count == 1:
        return [(1.0, batch)]
    total = rows(batch)
    if total < count:
        raise ValueError(
            f"a batch of {total} rows cannot be cut into {count} parts ({world.size} processes, "
            f"accumulate = {accumulate}); make the batches larger, or use fewer parts"
        )
    firsts = [world.rank + world.size * j for j in range(accumulate)]
    return [(len(range(first, total, count)) / total, _rows_of(batch, first, count)) for first in firsts]


def _lengths(batch: Any) -> set[int]:
    if isinstance(batch, Tensor):
        return {batch.shape[0]} if batch.ndim else set()
    inside = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, (tuple, list)) else ()
    return {length for part in inside for length in _lengths(part)}


def _rows_of(batch: Any, first: int, count: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[first::count] if batch.ndim else batch
    return map_parts(lambda part: _rows_of(part, first, count), batch)
