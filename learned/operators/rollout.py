"""Autoregressive roll-outs: a model that maps the last frames to the next one, applied to its own answers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def rollout(step: Callable[[Tensor], Tensor], frames: Tensor, steps: int) -> Tensor:
    """Predict frames one after the other.

    Parameters
    ----------
    step : callable
        (B, C, *grid) to (B, 1, *grid): the frame after the C last ones, oldest first.
    frames : (B, C, *grid) tensor
        The frames that are known.
    steps : int
        Frames wanted.

    Returns
    -------
    (B, steps, *grid) tensor
        The predicted frames. Gradients flow through all steps.

    Raises
    ------
    ValueError
        If `steps` is below 1 or the step does not return one frame.

    Examples
    --------
    >>> two = torch.tensor([[[1.0], [2.0]]])
    >>> rollout(lambda w: 2 * w[:, 1:] - w[:, :1], two, 3).flatten().tolist()  # linear extrapolation
    [3.0, 4.0, 5.0]
    """
    if steps < 1:
        raise ValueError(f"steps = {steps}: at least 1 is needed")
    made = []
    for _ in range(steps):
        frame = step(frames)
        if frame.shape != (frames.shape[0], 1, *frames.shape[2:]):
            raise ValueError(
                f"the step maps {tuple(frames.shape)} to {tuple(frame.shape)}: one frame, "
                f"{(frames.shape[0], 1, *frames.shape[2:])}, is needed"
            )
        made.append(frame)
        frames = torch.cat([frames[:, 1:], frame], dim=1)
    return torch.cat(made, dim=1)
