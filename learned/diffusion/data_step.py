"""What a data step is: the part of a sampler that moves a denoised image towards the measurement."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from conjugo.learned.diffusion.counting import Applications
from conjugo.solvers.result import Status

type Shape = tuple[int, ...]


class DataStep(Protocol):
    """From the denoised images x_hat and the data y to images that agree better with y.

    A step may carry `A`, the measurement it uses, which a sampler then tests before it starts.
    """

    @property
    def applications(self) -> Applications:
        """Products with A and A^H so far, and their seconds."""

    def __call__(self, x_hat: Tensor, y: Tensor, sigma_t: float, /) -> Tensor:
        """Correct images (B, *shape) by data (B, m) at noise level sigma_t; neither is changed."""


class StepError(ArithmeticError):
    """Raised by a data step that met numbers it cannot go on with; a sampler ends there and says so.

    Parameters
    ----------
    status : Status
        NONFINITE or INDEFINITE.
    note : str
        What happened and what to try.
    """

    def __init__(self, status: Status, note: str) -> None:
        super().__init__(note)
        self.status = status


def all_finite(x: Tensor) -> bool:
    """Say whether x holds no NaN and no infinity; most often in one cheap pass, as a sum keeps both."""
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def columns(images: Tensor) -> Tensor:
    """View images (B, *shape) as a block (n, B), whose columns are contiguous."""
    return images.reshape(images.shape[0], -1).T


def images(block: Tensor, like: Tensor) -> Tensor:
    """View a block (n, B) as images shaped like `like`."""
    return block.T.reshape(like.shape)
