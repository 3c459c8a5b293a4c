"""The decomposed diffusion sampler for volumes: a denoiser of slices, and total variation across them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from conjugo.learned.diffusion.dds import as_data, dds
from conjugo.learned.diffusion.march import Callback, Denoiser, Noise, evaluating, parts
from conjugo.learned.diffusion.result import SamplingResult
from conjugo.learned.diffusion.schedule import Schedule, Split
from conjugo.learned.diffusion.slicewise import SliceWise
from conjugo.learned.diffusion.variation_step import VariationStep
from conjugo.pde.inverse.operator import Measurement
from conjugo.solvers.operators.protocol import Array


class SliceDenoiser:
    """A denoiser of volumes (B, depth, *shape) that denoises their slices by themselves, a few at a time.

    Parameters
    ----------
    denoiser : callable
        Of slices (k, *shape).
    chunk : int, optional
        Slices that it sees at a time; all by default.

    Examples
    --------
    >>> seen = []
    >>> denoise = SliceDenoiser(lambda x, sigma: seen.append(len(x)) or x / 2, chunk=3)
    >>> float(denoise(torch.ones(1, 7, 4, 4), 1.0).mean()), seen
    (0.5, [3, 3, 1])
    """

    def __init__(self, denoiser: Denoiser, chunk: int | None = None) -> None:
        self.denoiser, self.chunk = denoiser, chunk

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Denoise volumes."""
        slices = x.reshape(-1, *x.shape[2:])
        out = torch.empty_like(slices)
        for part in parts(len(slices), self.chunk):
            answer = self.denoiser(slices[part], sigma)
            if answer.shape != slices[part].shape:
                raise ValueError(
                    f"the denoiser gave {tuple(answer.shape)} for {tuple(slices[part].shape)}: expected the same"
                )
            out[part] = answer
        return out.reshape(x.shape)


def dds_volume(
    denoiser: Denoiser,
    A: Measurement,
    y: Array,
    *,
    shape: Sequence[int] | None = None,
    weight: float = 0.04,
    rho: float = 10.0,
    iterations: int = 5,
    schedule: Schedule | None = None,
    evaluations: int = 19,
    eta: float = 0.85,
    split: Split = "paper",
    noise: Noise = "unconditional",
    seed: int = 0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    chunk: int | None = 20,
    check: bool = True,
    callback: Callback | None = None,
    progress: bool = False,
) -> SamplingResult:
    """Sample a volume whose slices a denoiser finds likely and whose slices change little from one to the next.

    Parameters
    ----------
    denoiser : callable
        D(x, sigma) of slices (k, *shape).
    A : Measurement
        Of one slice, where y has a row a slice; else of the whole volume, `image_shape` (depth, *slice).
    y : (depth, m) or (m,) array
        The data.
    shape : sequence of int, optional
        Of a slice as the denoiser wants it, say (1, h, w); by default as A has it.
    weight, rho, iterations
        Of the ADMM sweep, see `VariationStep`.
    schedule, evaluations, eta, split, noise, seed, dtype, device, check, callback, progress
        As of `dds`; the callback sees the volume.
    chunk : int, optional
        Slices that the denoiser, and an A of slices, see at a time. Beside them the run keeps a dozen arrays of the
        volume's size.

    Returns
    -------
    SamplingResult
        `x` is (depth, *shape). One product with A is one with all of the volume.

    Raises
    ------
    ValueError
        As `dds`, and where the shapes of A, y and the slices disagree.

    References
    ----------
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024),
    section on 3D imaging.

    Examples
    --------
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> A = Sensors((4, 4), [0, 5, 10, 15])
    >>> result = dds_volume(lambda x, sigma: x / (1 + sigma**2), A, torch.ones(6, 4), weight=1.0, evaluations=9)
    >>> result.x.shape, result.evaluations
    (torch.Size([6, 4, 4]), 9)
    """
    data = as_data(y, dtype, device)
    by_slices = y.ndim == 2
    if by_slices and data.shape[1] != A.shape[0]:
        raise ValueError(f"y has shape {tuple(data.shape)} and A {A.shape[0]} rows: expected (depth, {A.shape[0]})")
    volume: Measurement = SliceWise(A, len(data), chunk) if by_slices else A
    depth, *of_slice = volume.image_shape
    size = tuple(of_slice) if shape is None else tuple(int(n) for n in shape)
    step = VariationStep(volume, weight=weight, rho=rho, iterations=iterations)
    with evaluating(denoiser):
        result = dds(
            SliceDenoiser(denoiser, chunk),
            step,
            data.reshape(1, -1),
            shape=(depth, *size),
            schedule=schedule,
            evaluations=evaluations,
            eta=eta,
            split=split,
            noise=noise,
            seed=seed,
            check=check,
            callback=None if callback is None else lambda x: callback(x[0]),
            progress=progress,
        )
    return replace(result, x=result.x[0])
