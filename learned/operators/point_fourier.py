"""Fourier layers between scattered points and a regular grid: non-uniform transforms on few modes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PointFourier(nn.Module):
    """Mix the channels of every Fourier mode; points or grid in, grid or points out.

    Parameters
    ----------
    channels : int
        Channels in and out.
    modes : int
        Modes m along each axis: wave numbers -m .. m - 1 along the first and 0 .. m - 1 along the second.

    Notes
    -----
    With waves e_k(x) = exp(2 pi i k.x): the coefficients of n values at x_j are the means
    ``f_k = 1/n sum_j f(x_j) exp(-2 pi i k.x_j)``, whatever n is; each mode's are multiplied by its own complex
    matrix; values anywhere are ``Re sum_k c_k f_k e_k(x)`` with c_k = 2 for k_2 > 0 (it stands for
    -k too) and 1 else. On a regular grid this is what the FFT computes, for any number of nodes. The two halves of the
    first axis keep their weights apart; complex matrices are stored as pairs of real numbers, for compilers and files.
    The sums are in float32 under autocast; they cost O(n m^2) for a channel.

    References
    ----------
    Z. Li, D. Z. Huang, B. Liu, A. Anandkumar, "Fourier neural operator with learned deformations for PDEs on general
    geometries", JMLR 24, 2023, section 3.

    Examples
    --------
    >>> layer = PointFourier(4, modes=3)
    >>> layer(torch.rand(2, 4, 50), torch.rand(2, 50, 2), torch.rand(2, 30, 2)).shape
    torch.Size([2, 4, 30])
    """

    first: Tensor
    second: Tensor

    def __init__(self, channels: int, modes: int) -> None:
        super().__init__()
        if channels < 1 or modes < 1:
            raise ValueError(f"channels = {channels} and modes = {modes}: at least 1 is needed of both")
        self.weight = nn.Parameter(torch.rand(2, channels, channels, modes, modes, 2) / channels**2)
        self.register_buffer(
            "first", torch.cat([torch.arange(modes), torch.arange(-modes, 0)]).float(), persistent=False
        )
        self.register_buffer("second", torch.arange(modes).float(), persistent=False)

    def forward(self, f: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Transform, multiply, transform back.

        Parameters
        ----------
        f : Tensor, shape (batch, channels, n)
            Values.
        source, target : Tensor, shapes (batch or 1, n, 2) and (batch or 1, m, 2)
            Where they are, and where values are wanted, in periods of the unit square.

        Returns
        -------
        Tensor, shape (batch, channels, m), float32
            Values at the targets.
        """
        with torch.autocast(f.device.type, enabled=False):
            return self.synthesise(self.multiply(self.analyse(f.float(), source)), target)

    def analyse(self, f: Tensor, source: Tensor) -> Tensor:
        """Coefficients (batch, channels, 2 m, m, 2), real and imaginary parts last."""
        (c1, s1), (c2, s2) = self._waves(source)
        # exp(-i (p + q)) = (c1 - i s1)(c2 - i s2): a product along the points for each of the four parts
        parts = [torch.einsum("bcn,bnk,bnl->bckl", f, p, q) for p in (c1, s1) for q in (c2, s2)]
        return torch.stack([parts[0] - parts[3], -parts[1] - parts[2]], dim=-1) / f.shape[-1]

    def multiply(self, waves: Tensor) -> Tensor:
        """Apply each mode's matrix."""
        weight = self.weight.movedim(0, 2).flatten(2, 3)  # (channels, channels, 2 m, m, 2)
        real, imaginary = waves.unbind(-1)
        a, b = weight.unbind(-1)
        mix = "bikl,iokl->bokl"
        return torch.stack(
            [
                torch.einsum(mix, real, a) - torch.einsum(mix, imaginary, b),
                torch.einsum(mix, real, b) + torch.einsum(mix, imaginary, a),
            ],
            dim=-1,
        )

    def synthesise(self, waves: Tensor, target: Tensor) -> Tensor:
        """Values of the waves at the targets, (batch, channels, m)."""
        (c1, s1), (c2, s2) = self._waves(target)
        twice = torch.where(self.second > 0, 2.0, 1.0)
        real, imaginary = (waves * twice[:, None]).unbind(-1)

        def along_second(part: Tensor, wave: Tensor) -> Tensor:
            return torch.einsum("bckl,bnl->bckn", part, wave.expand(len(waves), -1, -1))

        inner_real = along_second(real, c2) - along_second(imaginary, s2)
        inner_imaginary = along_second(real, s2) + along_second(imaginary, c2)
        total: Tensor = (inner_real * c1.mT[:, None]).sum(2) - (inner_imaginary * s1.mT[:, None]).sum(2)
        return total

    def _waves(self, points: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Cosines and sines of 2 pi k x along both axes, (batch, n, modes)."""
        turns = 2 * torch.pi * points.float()
        first, second = turns[..., :1] * self.first, turns[..., 1:] * self.second
        return (first.cos(), first.sin()), (second.cos(), second.sin())


def grid_points(n: int, device: torch.device) -> Tensor:
    """Points (1, n^2, 2) of the periodic n x n grid of the unit square, in the order of rows.

    Examples
    --------
    >>> grid_points(2, torch.device("cpu"))[0].tolist()
    [[0.0, 0.0], [0.0, 0.5], [0.5, 0.0], [0.5, 0.5]]
    """
    axis = torch.arange(n, device=device, dtype=torch.float32) / n
    return torch.cartesian_prod(axis, axis)[None]
