"""What a network for two-dimensional flow is given by numerics: one coarse pseudo-spectral step, and the forcing."""

from __future__ import annotations

import torch
from torch import Tensor

from conjugo.learned.operators.uncompiled import uncompiled
from conjugo.pde.evolution.navier_stokes import advance


@uncompiled
@torch.no_grad()
def coarse_step(w: Tensor, time: float, *, viscosity: float, dt: float, refine: int = 1) -> Tensor:
    """Follow the vorticity for some time on its own grid, or on one that is finer by a factor, by `advance`.

    Parameters
    ----------
    w : (batch, 1, n, n) tensor
        Vorticity.
    time, viscosity, dt : float
        As for `conjugo.pde.evolution.navier_stokes.advance`.
    refine : int
        Nodes of the solver for one of w along a side. The solver keeps modes up to a third of its nodes: 2 keeps all
        that w holds.

    Returns
    -------
    (batch, 1, n, n) tensor
        Vorticity after `time`, in float32 at least. No gradient is followed.

    Raises
    ------
    ValueError
        If refine is below 1, or n is odd and refine is not 1.

    Examples
    --------
    >>> w = torch.zeros(2, 1, 16, 16)
    >>> coarse_step(w, 1.0, viscosity=1e-5, dt=0.1, refine=2).shape
    torch.Size([2, 1, 16, 16])
    """
    n = w.shape[-1]
    if refine < 1 or (refine > 1 and n % 2):
        raise ValueError(f"refine = {refine} on {n} nodes: expected at least 1, and an even number of nodes")
    with torch.autocast(w.device.type, enabled=False):
        fine = w.detach().to(torch.promote_types(w.dtype, torch.float32))
        if refine > 1:
            fine = refined(fine, refine)
        later: Tensor = advance(fine, time, viscosity=viscosity, dt=dt)
    return later[..., ::refine, ::refine].contiguous()


def refined(w: Tensor, factor: int) -> Tensor:
    """Interpolate periodic fields (..., n, n) on a finer grid by their Fourier series, without the Nyquist waves.

    Examples
    --------
    >>> x = torch.arange(8) * (torch.pi / 4)
    >>> w = x.sin()[:, None] * x.cos()
    >>> torch.allclose(refined(w, 2)[::2, ::2], w, atol=1e-6)
    True
    """
    n = w.shape[-1]
    half = n // 2
    waves = torch.fft.rfft2(w)
    wide = torch.zeros(*w.shape[:-2], factor * n, factor * half + 1, dtype=waves.dtype, device=w.device)
    wide[..., :half, :half] = waves[..., :half, :half]
    wide[..., 1 - half :, :half] = waves[..., 1 - half :, :half]
    found: Tensor = torch.fft.irfft2(wide, s=(factor * n, factor * n)) * factor**2
    return found


def forcing_channel(w: Tensor) -> Tensor:
    """Return the benchmark's forcing on the nodes of w, scaled to root mean square 1: (1, 1, n, n).

    Examples
    --------
    >>> from conjugo.pde.evolution.navier_stokes import forcing
    >>> channel = forcing_channel(torch.zeros(1, 1, 16, 16))[0, 0]
    >>> torch.allclose(0.1 * channel, torch.as_tensor(forcing(16), dtype=torch.float32), atol=1e-6)
    True
    """
    phase = torch.arange(w.shape[-1], device=w.device) * (2 * torch.pi / w.shape[-1])
    phase = phase[:, None] + phase
    return (phase.sin() + phase.cos())[None, None]
