"""Normalisation that lives inside a model: physical fields in, physical fields out, nothing to remember beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conjugo.learned.operators.fields import check_finite

FLOOR = 1e-5
"""Smallest scale relative to the channel's largest: a node where all samples agree (a wall) divides by no zero."""
CHUNK = 256
"""Samples summed at a time."""


class Scaling(nn.Module):
    """Affine maps to mean zero and deviation one, measured on training data: one for the input, one for the output.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of input and output.
    shape : tuple of int, optional
        Grid of the training data, for a mean and a deviation at each node; by default one of each for a channel.

    Notes
    -----
    encode(a) = (a - mean_a) / scale_a and decode(y) = y scale_u + mean_u with scale = max(deviation, 1e-5 times the
    channel's largest deviation); 1 for a channel that never changes. Until `measure` is called both are the identity.
    The numbers are buffers: they are saved with the model and follow it to a device. On a grid other than `shape` they
    are interpolated (multi)linearly, nodes on the walls onto nodes on the walls. Arithmetic is in float32 or better,
    under autocast too.

    Examples
    --------
    >>> scaling = Scaling(1, 1, (4, 4))
    >>> a = torch.rand(8, 1, 4, 4)
    >>> encoded = scaling.measure(a, 3 + 2 * a).encode(a)
    >>> bool(encoded.mean(0).abs().max() < 1e-5), bool(torch.allclose(scaling.decode(encoded), 3 + 2 * a, atol=1e-5))
    (True, True)
    """

    mean_a: Tensor
    scale_a: Tensor
    mean_u: Tensor
    scale_u: Tensor

    def __init__(self, in_channels: int, out_channels: int, shape: Sequence[int] | None = None) -> None:
        super().__init__()
        if in_channels < 0 or out_channels < 1 or (shape is not None and min(shape, default=0) < 2):
            raise ValueError(
                f"in_channels = {in_channels}, out_channels = {out_channels}, shape = {shape}: expected at least 0, "
                "at least 1, and at least 2 nodes an axis (or None)"
            )
        self.shape = None if shape is None else tuple(shape)
        for name, channels in (("a", in_channels), ("u", out_channels)):
            self.register_buffer(f"mean_{name}", torch.zeros(channels, *(shape or ())))
            self.register_buffer(f"scale_{name}", torch.ones(channels, *(shape or ())))

    def measure(self, a: NDArray[Any] | Tensor, u: NDArray[Any] | Tensor) -> Scaling:
        """Set the maps from training data.

        Parameters
        ----------
        a, u : array or Tensor, shape (samples, channels, *spatial)
            Training inputs and outputs, never the test data; read in chunks.

        Returns
        -------
        Scaling
            Itself.

        Raises
        ------
        ValueError
            If the shapes do not fit or a value is not finite; then nothing has changed.
        """
        if len(a) != len(u) or not len(a):
            raise ValueError(f"a has {len(a)} samples and u {len(u)}: expected as many, and one at least")
        found = [self._statistics(a, "a"), self._statistics(u, "u")]
        for name, (mean, scale) in zip("au", found, strict=True):
            getattr(self, f"mean_{name}").copy_(mean)
            getattr(self, f"scale_{name}").copy_(scale)
        return self

    def encode(self, a: Tensor) -> Tensor:
        """Map physical inputs (batch, channels, *spatial) to normalised ones."""
        mean, scale = self._at(self.mean_a, a), self._at(self.scale_a, a)
        return (a - mean) / scale

    def decode(self, y: Tensor) -> Tensor:
        """Map normalised outputs (batch, channels, *spatial) to physical ones."""
        mean, scale = self._at(self.mean_u, y), self._at(self.scale_u, y)
        return y * scale + mean

    def encode_output(self, u: Tensor) -> Tensor:
        """Map physical outputs to normalised ones: the inverse of `decode`."""
        mean, scale = self._at(self.mean_u, u), self._at(self.scale_u, u)
        return (u - mean) / scale

    def _at(self, values: Tensor, x: Tensor) -> Tensor:
        """Return the numbers in a shape that broadcasts over x."""
        if x.ndim < 3 or x.shape[1] != values.shape[0] or (self.shape and x.ndim != 2 + len(self.shape)):
            wanted = f"{values.shape[0]} channels" + (f" on {len(self.shape)} axes" if self.shape else "")
            raise ValueError(f"fields of shape {tuple(x.shape)}: expected (batch, channels, *spatial) with {wanted}")
        if self.shape is None:
            return values.reshape(1, -1, *(1,) * (x.ndim - 2))
        if tuple(x.shape[2:]) == self.shape:
            return values[None]
        mode = ("linear", "bilinear", "trilinear")[len(self.shape) - 1]
        return nn.functional.interpolate(values[None], tuple(x.shape[2:]), mode=mode, align_corners=True)

    @torch.no_grad()
    def _statistics(self, data: NDArray[Any] | Tensor, name: str) -> tuple[Tensor, Tensor]:
        """Mean and floored deviation of the samples, by two passes in float64."""
        here: Tensor = getattr(self, f"mean_{name}")
        shape = (here.shape[0], *self.shape) if self.shape else (here.shape[0],)
        if (
            data.ndim < 3
            or tuple(data.shape[1 : len(shape) + 1]) != shape
            or (self.shape and data.ndim > 1 + len(shape))
        ):
            raise ValueError(
                f"{name} has shape {tuple(data.shape)}: expected (samples, {', '.join(map(str, shape))}"
                f"{')' if self.shape else ', *spatial)'}"
            )
        axes = (0,) if self.shape else (0, *range(2, data.ndim))
        count = len(data) if self.shape else len(data) * math.prod(data.shape[2:])
        mean = torch.zeros(shape, dtype=torch.float64, device=here.device)
        spread = torch.zeros_like(mean)
        for part in self._chunks(data):
            check_finite(part, name)
            mean += part.sum(axes) / count
        centre = mean if self.shape else mean.reshape(-1, *(1,) * (data.ndim - 2))
        for part in self._chunks(data):
            spread += (part - centre).square().sum(axes) / count
        scale = spread.sqrt()
        largest = scale.flatten(1).amax(1) if self.shape else scale
        constant = largest <= 1e-12 * mean.abs().reshape(len(mean), -1).amax(1)
        largest = torch.where(constant, 1.0, largest).reshape(-1, *(1,) * (len(shape) - 1))
        scale = torch.where(constant.reshape(largest.shape), 1.0, torch.maximum(scale, FLOOR * largest))
        return mean.to(here.dtype), scale.to(here.dtype)

    def _chunks(self, data: NDArray[Any] | Tensor) -> Iterator[Tensor]:
        for first in range(0, len(data), CHUNK):
            yield torch.as_tensor(data[first : first + CHUNK]).to(self.mean_a.device, torch.float64)
