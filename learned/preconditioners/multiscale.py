"""Training residuals that hold as much of the long waves as of the short ones, made without any eigenvector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.domains import Domains
from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian


@dataclass(frozen=True, kw_only=True, eq=False)
class MultiscaleBatches:
    """Sums over levels of a_l upsample(noise_l) on fresh domains: a function of (seed, step).

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    batch : int
        Samples a step.
    domains : Domains
        Where they live.
    kind : {"error", "residual"}
        Whether the sum is the error e, and f = A e, or f itself, less its mean where the problem is singular. Only
        errors can be judged by `energy_loss`.
    seed : int
        Seed.
    device : device
        Where the batches are made.

    Notes
    -----
    Level l has noise on a grid that is 2^l times coarser, and a_l is log-uniform between 0.01 and 1 in each sample.
    White noise has almost no energy in the long waves (a share of 2^(-d l) in those of level l), which are what an
    iteration is left with. f has unit root mean square over the active cells.

    Examples
    --------
    >>> batch = MultiscaleBatches(shape=(16, 16), batch=2, seed=3)(0)
    >>> sorted(batch), tuple(batch["f"].shape)
    (['active', 'diag', 'e', 'f'], (2, 1, 16, 16))
    """

    shape: Sequence[int]
    batch: int
    domains: Domains = field(default_factory=Domains)
    kind: Literal["error", "residual"] = "error"
    seed: int = 0
    device: torch.device | str = "cpu"

    def __call__(self, step: int, /) -> dict[str, Tensor]:
        generator = seeded(self.seed, step, self.device)
        A = self.domains.draw(self.shape, self.batch, generator)
        noise = multiscale_noise(self.shape, self.batch, generator)
        if self.kind == "residual":
            return as_batch(compatible(noise, A), A)
        return as_batch(A @ noise, A, error=A.active * noise)


def multiscale_noise(shape: Sequence[int], batch: int, generator: torch.Generator) -> Tensor:
    """Return sums of noise on all levels, (batch, 1, *shape), on the generator's device.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    batch : int
        Number of samples.
    generator : Generator
        Where the numbers come from.

    Returns
    -------
    tensor
    """
    device, d = generator.device, len(shape)
    mode = "bilinear" if d == 2 else "trilinear"
    levels = max(1, max(shape).bit_length() - 1)
    amplitude = 10 ** (-2 * torch.rand(batch, levels, generator=generator, device=device))
    total = torch.zeros(batch, 1, *shape, device=device)
    for level in range(levels):
        coarse = [max(2, -(-n // 2**level)) for n in shape]
        noise = torch.randn(batch, 1, *coarse, generator=generator, device=device)
        if level:
            noise = nn.functional.interpolate(noise, size=tuple(shape), mode=mode, align_corners=False)
        total += amplitude[:, level].reshape(-1, *[1] * (d + 1)) * noise
    return total


def compatible(f: Tensor, A: GridLaplacian) -> Tensor:
    """Mask f, and remove its mean where no wall and no air makes A regular (one region a sample is assumed)."""
    axes = tuple(range(1, f.ndim))
    f = f * A.active
    excess = (A @ A.active).sum(axes, keepdim=True)  # what the walls add
    mean = f.sum(axes, keepdim=True) / A.active.sum(axes, keepdim=True)
    return f - torch.where(excess > 0.5, 0.0, mean) * A.active


def as_batch(f: Tensor, A: GridLaplacian, *, error: Tensor | None = None) -> dict[str, Tensor]:
    """Scale f to unit root mean square over the active cells, e as much, and join them to their operator.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.grid_laplacian import box_laplacian
    >>> as_batch(torch.full((2, 1, 4, 4), 5.0), box_laplacian((4, 4), wall=1.0))["f"][0, 0, 0]
    tensor([1., 1., 1., 1.])
    """
    axes = tuple(range(1, f.ndim))
    cells = A.active.sum(axes, keepdim=True)
    scale = (f.square().sum(axes, keepdim=True) / cells).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    batch = {"f": f / scale, "active": A.active.expand_as(f), "diag": A.diag.expand_as(f)}
    return batch if error is None else {**batch, "e": error / scale}


def seeded(seed: int, step: int, device: torch.device | str) -> torch.Generator:
    """Return a generator that depends on the seed and the step alone."""
    generator = torch.Generator(device=device)
    generator.manual_seed((seed * 1_000_003 + step) % 2**63)
    return generator


type State = dict[str, Any]
"""What a batches object with a memory puts into a checkpoint."""
