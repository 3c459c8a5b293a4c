"""Scanners: deepinv's operators as measurements here, multi-coil MRI and sparse-view CT."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conjugo.learned.diffusion.imaging.coils import birdcage
from conjugo.learned.diffusion.imaging.masks import ACS, Pattern, column_mask
from conjugo.learned.operators.batches import seeded
from conjugo.pde.inverse.operator import ImageOperator
from conjugo.solvers.operators.protocol import Array

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
"""The complex numbers of a precision."""


class DeepinvMeasurement(ImageOperator):
    """A linear physics of deepinv as a measurement of flattened images.

    Parameters
    ----------
    physics : deepinv.physics.LinearPhysics
        Maps (B, *image_shape) to data of any shape by `A`, and back by `A_adjoint`.
    image_shape : sequence of int
        (channels, h, w); complex images have two channels.
    kept : bool tensor, optional
        Of the shape of one image's data: which of them were measured. The others, which the physics sets to 0, are no
        data here. All by default.

    Attributes
    ----------
    physics : deepinv.physics.LinearPhysics
        As given; its copies in other precisions and on other devices are made when they are asked for.
    data_shape : tuple of int
        Shape of one image's data in deepinv.

    Notes
    -----
    Complex data are viewed as pairs of real numbers. The precision and the device follow x, NumPy arrays are taken to
    torch and back.
    """

    def __init__(self, physics: Any, image_shape: Sequence[int], *, kept: Tensor | None = None) -> None:
        self.physics = physics
        first = _real(physics.A(torch.zeros(1, *image_shape, device=_home(physics))))
        self.data_shape = tuple(first.shape[1:])
        if kept is not None and tuple(kept.shape) != self.data_shape:
            raise ValueError(f"kept has shape {tuple(kept.shape)}: expected {self.data_shape}, as the physics's data")
        self.kept = None if kept is None else kept.flatten().nonzero()[:, 0].cpu()
        super().__init__(image_shape, math.prod(self.data_shape) if self.kept is None else len(self.kept))
        self._copies: dict[Any, tuple[Any, Tensor | None]] = {}

    def measure(self, images: Array) -> Array:
        """Data (k, m) of images (k, *image_shape)."""
        x = _tensor(images)
        physics, kept = self._on(x)
        data = _real(physics.A(x)).flatten(1)
        return _like(data if kept is None else data[:, kept], images)

    def scatter(self, data: Array) -> Array:
        """Images (k, *image_shape) that the adjoint makes of data (k, m)."""
        y = _tensor(data)
        return _like(self._on(y)[0].A_adjoint(self.unpacked(y)), data)

    def unpacked(self, data: Tensor) -> Tensor:
        """Data (k, m) in deepinv's shape, (k, *data_shape), with zeros where nothing was measured."""
        kept = self._on(data)[1]
        if kept is not None:
            full = data.new_zeros(len(data), math.prod(self.data_shape))
            full[:, kept] = data
            data = full
        return data.reshape(len(data), *self.data_shape)

    def _on(self, like: Tensor) -> tuple[Any, Tensor | None]:
        """The physics, and the places of its data, in the precision and on the device of a tensor."""
        key = (like.dtype, like.device)
        if key not in self._copies:
            physics = copy.deepcopy(self.physics)
            for module in physics.modules():
                _convert(module, like)
            if hasattr(physics, "_auto_grad_adjoint_fn"):
                physics._auto_grad_adjoint_fn = None  # it is bound to the original
            self._copies[key] = (physics, None if self.kept is None else self.kept.to(like.device))
        return self._copies[key]


def mri(
    size: int,
    *,
    coils: int = 4,
    acceleration: float = 4.0,
    pattern: Pattern = "uniform1d",
    acs: float = ACS,
    seed: int = 0,
) -> DeepinvMeasurement:
    """Build an accelerated Cartesian scan with several coils.

    Parameters
    ----------
    size : int
        Pixels along a side.
    coils : int
        Coils of a `birdcage`.
    acceleration, pattern, acs, seed
        Of the kept columns, see `column_mask`.

    Returns
    -------
    DeepinvMeasurement
        Of images (2, size, size), 2 coils size round(size / acceleration) data: the kept columns alone.

    Raises
    ------
    ImportError
        If deepinv is not there.
    ValueError
        For settings that `birdcage` or `column_mask` refuses.

    Notes
    -----
    y_c = P F S_c x with the centred orthonormal Fourier transform F; its norm is at most 1. No k-space was measured:
    coils, phases (`complex_images`) and noise (`noisy_data`) are simulated.

    References
    ----------
    K. Pruessmann et al., SENSE: sensitivity encoding for fast MRI, Magn. Reson. Med. 42 (1999), 952-962, eq. (12).
    """
    mask = torch.as_tensor(column_mask(size, acceleration=acceleration, pattern=pattern, acs=acs, seed=seed))
    maps = torch.as_tensor(birdcage(coils, size))
    physics = _deepinv().MultiCoilMRI(mask=mask.double().expand(size, size), coil_maps=maps)
    return DeepinvMeasurement(physics, (2, size, size), kept=mask.expand(2, coils, size, size))


def tomography(size: int, *, views: int = 10) -> DeepinvMeasurement:
    """Build a parallel-beam scan of few views.

    Parameters
    ----------
    size : int
        Pixels along a side.
    views : int
        Angles k 180 / views degrees, k = 0, ..., views - 1.

    Returns
    -------
    DeepinvMeasurement
        Of images (1, size, size), with the square's diagonal in pixels for each view, and norm 1.

    Raises
    ------
    ImportError
        If deepinv is not there.
    ValueError
        For no view.

    Notes
    -----
    deepinv's `Tomography`: the image is turned by linear interpolation and summed along columns. The adjoint is the
    transposed computation, not a backprojection.
    """
    if views < 1 or size < 2:
        raise ValueError(f"views = {views}, size = {size}: expected at least 1 view, and 2 pixels a side")
    angles = torch.arange(views) * (180.0 / views)
    physics = _deepinv().Tomography(
        angles=angles, img_width=size, circle=False, adjoint_via_backprop=True, normalize=True
    )
    return DeepinvMeasurement(physics, (1, size, size))


def noisy_data(A: DeepinvMeasurement, images: Tensor, sigma: float, *, seed: int = 0, first: int = 0) -> Tensor:
    """Measure images and add noise.

    Parameters
    ----------
    A : DeepinvMeasurement
        The scanner.
    images : (B, *image_shape) tensor
        The truth.
    sigma : float
        Standard deviation of the noise, of each real number.
    seed, first : int
        The noise of image i is drawn from (seed, first + i) alone.

    Returns
    -------
    (B, m) tensor
        A x + sigma n.

    Raises
    ------
    ValueError
        For a sigma that is negative or not finite.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma = {sigma}: expected a finite standard deviation, 0 or more")
    data: Tensor = A.measure(images)
    noise = [torch.randn(A.shape[0], generator=seeded(seed, first + i)) for i in range(len(images))]
    return data + sigma * torch.stack(noise).to(data)


def _convert(module: Any, like: Tensor) -> None:
    """Move a module's own buffers to the precision and device of a tensor; `Module.to` would spoil complex ones."""
    for name, buffer in module.named_buffers(recurse=False):
        real = like.dtype if buffer.is_floating_point() else buffer.dtype
        setattr(module, name, buffer.to(like.device, COMPLEX[like.dtype] if buffer.is_complex() else real))
    if isinstance(getattr(module, "dtype", None), torch.dtype):
        module.dtype = like.dtype  # in which deepinv builds its adjoint


def _deepinv() -> Any:
    try:
        return import_module("deepinv.physics")
    except ImportError as error:
        raise ImportError("scanners are deepinv's: install conjugo[imaging]") from error


def _home(physics: Any) -> torch.device:
    return next((buffer.device for buffer in physics.buffers()), torch.device("cpu"))


def _real(data: Tensor) -> Tensor:
    return torch.view_as_real(data) if data.is_complex() else data


def _tensor(x: Array) -> Tensor:
    return torch.as_tensor(np.require(x, requirements=["C", "W"])) if isinstance(x, np.ndarray) else x.contiguous()


def _like(result: Tensor, given: Array) -> Array:
    return result.detach().numpy() if isinstance(given, np.ndarray) else result
