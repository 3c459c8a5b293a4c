"""Devices by name, and batches that go there."""

from __future__ import annotations

from typing import Any

import torch


def find_device(name: str | torch.device) -> torch.device:
    """Return the device of a name, or say what is missing.

    Parameters
    ----------
    name : str or torch.device
        "cpu", "cuda" or "cuda:1".

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    ValueError
        If there is no such device here.

    Examples
    --------
    >>> find_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device {name!r} is unknown to torch; use device="cpu" or device="cuda"') from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise ValueError(f'device="{name}" but torch finds no CUDA device here; use device="cpu"')
        if device.index is not None and device.index >= count:
            raise ValueError(
                f'device="{name}" but there are {count} CUDA devices here, counted from 0; use device="cuda"'
            )
    return device


def to_device(batch: Any, device: torch.device) -> Any:
    """Move the tensors of a batch; other parts stay as they are.

    Parameters
    ----------
    batch : Any
        A tensor, or tensors in tuples, lists and dicts.
    device : torch.device
        Where they go.

    Returns
    -------
    Any
        The batch in the same form.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    return map_parts(lambda part: to_device(part, device), batch)


def map_parts(change: Any, batch: Any) -> Any:
    """Apply `change` to the parts of a tuple, list or dict, named tuples too; another object is returned unchanged."""
    if isinstance(batch, dict):
        return {key: change(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(change, batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(map(change, batch))
    return batch
