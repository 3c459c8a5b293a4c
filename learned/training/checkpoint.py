"""Checkpoints: one file of tensors and plain values, written whole, read without unpickling objects."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from conjugo.learned.training.files import write_whole

FORMAT = "conjugo checkpoint 1"
"""First thing that a checkpoint says of itself."""

PLAIN = (torch.Tensor, str, bytes, int, float, bool, type(None))
"""What a checkpoint may hold, besides dicts, lists and tuples."""


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    state : dict
        Tensors and plain values, in dicts, lists and tuples.

    Raises
    ------
    ValueError
        If something else is in it, which could not be read back safely.
    """
    _check(state, "checkpoint")
    write_whole(path, lambda beside: torch.save({"format": FORMAT, **state}, beside))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Parameters
    ----------
    path : Path
        A file from `write_checkpoint`.

    Returns
    -------
    dict
        The state.

    Raises
    ------
    ValueError
        If it is another file.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is no checkpoint of conjugo, or is damaged: remove it or give another path"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is no checkpoint of this version of conjugo: remove it or give another path")
    return state


def _check(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for key, inside in value.items():
            _check(key, place)
            _check(inside, f"{place}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, inside in enumerate(value):
            _check(inside, f"{place}[{index}]")
    elif type(value) not in PLAIN and not isinstance(value, torch.Tensor):
        raise ValueError(
            f"{place} is a {type(value).__module__}.{type(value).__qualname__}: a checkpoint holds tensors, numbers, "
            "strings, and dicts, lists and tuples of them; torch.from_numpy and .item() make them"
        )
