"""Triton, or its interpreter where there is no CUDA device: what the kernels of this folder are written with."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import torch

if not torch.cuda.is_available():  # before triton's first import: its own helpers are decorated then
    os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl

__all__ = ["check_device", "divide_up", "jit", "power_of_two", "tl"]


def jit(*, fixed: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel; the arguments `fixed` are integers that must not give rise to specialised versions."""
    return cast(Callable[[Callable[..., Any]], Any], triton.jit(do_not_specialize=list(fixed)))


def divide_up(n: int, block: int) -> int:
    """Blocks that cover n places."""
    return -(-n // block)


def power_of_two(n: int) -> int:
    """Smallest power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def check_device(device: torch.device | str) -> torch.device:
    """Return the device that kernels run on.

    Parameters
    ----------
    device : device
        A CUDA device. The CPU is accepted where there is none: Triton's interpreter then runs the kernels, slowly,
        for tests.

    Raises
    ------
    ValueError
        If the device is not there.
    """
    device = torch.device(device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"device = {device}: no CUDA device is there; use Multigrid(A), which runs on the CPU")
        if device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        if device.index >= torch.cuda.device_count():
            raise ValueError(f"device = {device}: there are {torch.cuda.device_count()}, numbered from 0")
    elif device.type != "cpu" or torch.cuda.is_available():
        raise ValueError(f"device = {device}: expected a CUDA device, such as 'cuda'; use Multigrid(A) on the CPU")
    return device
