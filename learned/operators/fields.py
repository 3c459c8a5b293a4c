"""Checks that the operators share, and `predict`, the way into a model for data that nobody has looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def check_fields(x: Tensor, channels: int, dimension: int, *, name: str = "a", smallest: int = 1) -> None:
    """Refuse fields of another layout. It looks at shapes only, so that nothing waits for the device.

    Parameters
    ----------
    x : Tensor, shape (batch, channels, *spatial)
        The fields.
    channels, dimension, smallest : int
        Channels, spatial axes and nodes along each that are needed.
    name : str
        What the caller calls them.

    Raises
    ------
    ValueError
        Naming what there is, what was expected and the remedy.
    """
    layout = "(batch, channels, " + ", ".join(("height", "width", "depth")[:dimension]) + ")"
    if x.ndim != dimension + 2:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}: expected {layout}; fields of one channel need {name}[:, None]"
        )
    if x.shape[1] != channels:
        raise ValueError(f"{name} has {x.shape[1]} channels (shape {tuple(x.shape)}): expected {channels} in {layout}")
    if not x.is_floating_point():
        raise ValueError(f"{name} has type {x.dtype}: expected real floating point, say {name}.float()")
    if min(x.shape[2:]) < smallest:
        raise ValueError(f"{name} has a grid of {tuple(x.shape[2:])}: at least {smallest} nodes an axis are needed")


def check_finite(x: Tensor, name: str) -> None:
    """Refuse NaN and infinity, naming the first sample that has one; it waits for the device.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    bad = ~torch.isfinite(x).flatten(1).all(1)
    if bool(bad.any()):
        raise ValueError(
            f"{name} has NaN or infinity in {int(bad.sum())} of {len(x)} samples, the first at index "
            f"{int(bad.nonzero()[0, 0])}: leave them out, or look at where they were made"
        )


@torch.no_grad()
def predict(model: nn.Module, a: NDArray[Any] | Tensor, *, batch: int = 32) -> Any:
    """Apply a model to checked fields, a batch at a time.

    Parameters
    ----------
    model : nn.Module
        An operator of this folder; it is used in eval() and left in the mode it was in.
    a : array or Tensor, shape (samples, channels, *spatial)
        Physical fields, of any real type, on any device.
    batch : int
        Samples at a time.

    Returns
    -------
    array or Tensor, shape (samples, channels, *spatial)
        float32; NumPy for NumPy, else a tensor on the device of `a`.

    Raises
    ------
    ValueError
        If there is no sample, a value is NaN or infinite, or the model refuses the shape.

    Examples
    --------
    >>> predict(nn.Conv2d(1, 2, 1), np.ones((3, 1, 8, 8))).shape
    (3, 2, 8, 8)
    """
    fields = torch.as_tensor(a)
    if fields.ndim < 3 or not len(fields) or batch < 1:
        raise ValueError(
            f"a has shape {tuple(fields.shape)} and batch is {batch}: expected (samples, channels, *spatial), "
            "a sample at least, and a batch of at least 1"
        )
    check_finite(fields, "a")
    device = next((p.device for p in model.parameters()), fields.device)
    training = model.training
    model.eval()
    try:
        parts = [model(part.to(device, torch.float32)).to(fields.device) for part in torch.split(fields, batch)]
    finally:
        model.train(training)
    out = torch.cat(parts)
    return out.numpy() if isinstance(a, np.ndarray) else out
