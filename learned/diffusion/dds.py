"""The decomposed diffusion sampler."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from conjugo.learned.diffusion.counting import Counted
from conjugo.learned.diffusion.data_step import DataStep, all_finite
from conjugo.learned.diffusion.march import Callback, Denoiser, March, Noise, Options, parts
from conjugo.learned.diffusion.result import SamplingResult
from conjugo.learned.diffusion.schedule import Schedule, Split, VPSchedule
from conjugo.learned.diffusion.streams import NoiseStreams
from conjugo.pde.inverse.operator import check_measurement
from conjugo.solvers.operators.protocol import Array


def dds(
    denoiser: Denoiser,
    step: DataStep,
    y: Array,
    *,
    shape: Sequence[int],
    schedule: Schedule | None = None,
    evaluations: int = 19,
    eta: float = 0.85,
    split: Split = "paper",
    noise: Noise = "unconditional",
    seed: int = 0,
    first: int = 0,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    chunk: int | None = None,
    check: bool = True,
    callback: Callback | None = None,
    progress: bool = False,
) -> SamplingResult:
    """Sample images that a denoiser finds likely and a linear measurement allows.

    Parameters
    ----------
    denoiser : callable
        D(x, sigma) = E[x_0 | x_0 + sigma n = x] for x (k, *shape), the same shape back. A network is held in eval().
    step : DataStep
        What moves the denoised images towards the data: `KrylovStep` is the published one.
    y : (m,) or (B, m) array
        Data of each sample; repeat a row to have several samples for it.
    shape : sequence of int
        Of one image, (C, h, w) or (h, w).
    schedule : Schedule, optional
        Default `VPSchedule()`.
    evaluations : int
        Of the denoiser; published are 19, 49 and 99.
    eta : float
        Share of fresh noise, 0 to 1.
    split : {"paper", "ddim"}
        How eta is meant; see the schedules.
    noise : {"unconditional", "conditional"}
        Whether the noise carried on is the one the denoiser predicts, or the one that the corrected image implies.
    seed, first : int
        Sample i is made from (seed, first + i) alone, whatever batch it runs in.
    dtype, device : optional
        Of the samples; default those of y (float32 for data that are no tensor).
    chunk : int, optional
        Samples that are denoised and corrected at a time, which bounds the memory of both.
    check : bool
        Whether to test the step's operator first, by `check_measurement`: a few products, counted apart
        as `check_applications`.
    callback : callable, optional
        Called with the corrected images after each step; returning True or raising StopIteration stops the run.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    SamplingResult
        After Ctrl-C the step is finished and what it reached is returned. Numbers that are not finite end the run with
        the step at which they arose.

    Raises
    ------
    ValueError
        For a y that is complex, not finite or of the wrong shape, an operator that is not linear, not real or whose
        adjoint is wrong, and options that make no sense.

    Notes
    -----
    With x_t = signal x_0 + noise n and sigma = noise / signal, a step from t to t' is

        x_hat = D(x_t / signal, sigma),   eps = (x_t - signal x_hat) / noise,   x_hat' = step(x_hat, y, sigma),
        x_t' = signal' x_hat' + c2 eps + c1 z,   z standard normal,

    with c2^2 + c1^2 = noise'^2 from the schedule. The answer is x_hat' of the last evaluation.

    References
    ----------
    H. Chung, S. Lee, J. C. Ye, Decomposed diffusion sampler for accelerating large-scale inverse problems, ICLR (2024),
    algorithms 2 to 4.
    Y. Zhu et al., Denoising diffusion models for plug-and-play image restoration, CVPR workshops (2023), algorithm 1
    (the noise of the corrected image).

    Examples
    --------
    Standard normal images of 2 cells, the first of them measured without noise:

    >>> from conjugo.learned.diffusion.krylov_step import KrylovStep
    >>> A = torch.tensor([[1.0, 0.0]])
    >>> result = dds(lambda x, sigma: x / (1 + sigma**2), KrylovStep(A, noiseless=True), torch.ones(3, 1), shape=(2,))
    >>> result.x[:, 0], result.evaluations, result.status
    (tensor([1., 1., 1.]), 19, <Status.CONVERGED: 'converged'>)
    """
    options = Options(schedule or VPSchedule(), evaluations, eta, split, noise, chunk, callback, progress)
    options.schedule.times(evaluations)
    size = tuple(int(n) for n in shape)
    data = as_data(y, dtype, device)
    checked = check_step(step, data, size, test=check)
    x = data.new_zeros((len(data), *size))

    def correct(x_hat: Tensor, sigma: float) -> Tensor:
        if chunk is None:
            return step(x_hat, data, sigma)
        corrected = torch.empty_like(x_hat)
        for part in parts(len(x_hat), chunk):
            corrected[part] = step(x_hat[part], data[part], sigma)
        return corrected

    streams = NoiseStreams(seed, first, len(x), x.device)
    march = March(denoiser, correct, x, streams, step.applications, options)
    march.details["check_applications"] = checked
    return march.run()


def as_data(y: Array, dtype: torch.dtype | None, device: torch.device | str | None) -> Tensor:
    """Return data as a real, finite tensor (B, m).

    Raises
    ------
    ValueError
        For complex data, another number of axes, or NaN.
    """
    data: Tensor = y if isinstance(y, Tensor) else torch.as_tensor(y)
    if data.is_complex():
        raise ValueError(f"y is {data.dtype}: expected real data; view complex ones as pairs of real numbers")
    if data.ndim not in (1, 2) or not data.numel():
        raise ValueError(f"y has shape {tuple(data.shape)}: expected (m,) or (B, m), a row a sample")
    wanted = dtype or (data.dtype if isinstance(y, Tensor) and data.is_floating_point() else torch.float32)
    if wanted not in (torch.float32, torch.float64):
        raise ValueError(f"dtype = {wanted}: expected torch.float32 or torch.float64; the denoiser may use less inside")
    data = data.detach().reshape(-1, data.shape[-1]).to(device=device, dtype=wanted)
    if not all_finite(data):
        raise ValueError("y holds NaN or infinity: expected finite data; leave absent sensors out of A")
    return data


def check_step(step: DataStep, data: Tensor, shape: tuple[int, ...], *, test: bool) -> int:
    """Refuse a step whose operator does not fit, or fails `check_measurement`; return how many products that took."""
    A = getattr(step, "A", None)
    if A is None:
        return 0
    m, n = A.shape
    if data.shape[1] != m:
        raise ValueError(f"y has shape {tuple(data.shape)} and A has {m} rows: expected ({m},) or (B, {m})")
    if math.prod(shape) != n:
        raise ValueError(f"shape = {shape} has {math.prod(shape)} numbers, but A has {n} columns: they must agree")
    if not test or not hasattr(A, "image_shape"):
        return 0
    counted: Any = Counted(A)
    check_measurement(counted, like=data)
    return int(counted.applications.total)
