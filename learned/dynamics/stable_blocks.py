"""A matrix that cannot grow: 2 x 2 rotations that shrink, and real eigenvalues of modulus below 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LARGEST = 1 - 1e-6
"""Largest modulus at the start: one of 1 would need an infinite parameter."""


class StableBlocks(nn.Module):
    """A block-diagonal matrix whose eigenvalues lie inside the unit circle for any parameters.

    Parameters
    ----------
    size, reals : int
        Its size, and how many eigenvalues are real; the others are complex pairs.

    Notes
    -----
    A pair r exp(+-i a) is r [[cos a, sin a], [-sin a, cos a]] with r = sigmoid(rho); a real eigenvalue is tanh(rho).

    Examples
    --------
    >>> blocks = StableBlocks(3, reals=1)
    >>> blocks.set(torch.tensor([0.5, 0.3 + 0.4j, 0.3 - 0.4j]))
    >>> blocks().detach()
    tensor([[ 0.5000,  0.0000,  0.0000],
            [ 0.0000,  0.3000,  0.4000],
            [ 0.0000, -0.4000,  0.3000]])
    """

    def __init__(self, size: int, reals: int) -> None:
        super().__init__()
        pairs = (size - reals) // 2
        self.reals = reals
        self.modulus = nn.Parameter(torch.cat([torch.zeros(reals), torch.full((pairs,), 3.0)]))
        self.angle = nn.Parameter(torch.linspace(0.1, 1.5, pairs) if pairs else torch.zeros(0))

    def forward(self) -> Tensor:
        """Return the matrix."""
        real = torch.tanh(self.modulus[: self.reals])
        r = torch.sigmoid(self.modulus[self.reals :])
        cos, sin = r * torch.cos(self.angle), r * torch.sin(self.angle)
        pairs = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
        matrix: Tensor = torch.block_diag(*real.reshape(-1, 1, 1), *pairs)  # type: ignore[no-untyped-call]
        return matrix

    @torch.no_grad()
    def set(self, eigenvalues: Tensor) -> None:
        """Take eigenvalues: the real ones first, then pairs, of which the first has the angle; shrunk into the circle.

        Raises
        ------
        ValueError
            If their number or order is another.
        """
        values = eigenvalues.to(torch.complex128)
        real, first, second = values[: self.reals], values[self.reals :: 2], values[self.reals + 1 :: 2]
        wanted = self.reals + 2 * len(self.angle)
        if len(values) != wanted or not torch.allclose(first, second.conj()) or not torch.allclose(real, real.conj()):
            raise ValueError(f"{len(values)} eigenvalues: expected {self.reals} real ones, then {len(self.angle)} "
                             "conjugate pairs")  # fmt: skip
        self.modulus[: self.reals] = torch.atanh(real.real.clamp(-LARGEST, LARGEST))
        self.modulus[self.reals :] = torch.logit(first.abs().clamp(1e-6, LARGEST))
        self.angle.copy_(first.angle())
