"""The set-up network of the learned V-cycle: from a level's stencils to transfer weights and relaxation factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conjugo.solvers.multigrid.parity import Parity, directions


@dataclass(frozen=True, kw_only=True)
class StencilNetConfig:
    """Size of a `StencilNet`."""

    dimension: int = 2
    """Dimension of the grids: 2 or 3."""
    width: int = 32
    """Channels of the hidden layers."""
    layers: int = 2
    """Hidden convolutions over the neighbouring patches."""

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise ValueError(f"dimension = {self.dimension}: expected 2 or 3")
        if self.width < 1 or self.layers < 0:
            raise ValueError(f"width = {self.width} and layers = {self.layers}: expected at least 1 and 0")


class StencilNet(nn.Module):
    """Read the stencils of a patch of 2^d nodes and its neighbours; correct the patch's transfer and relaxation.

    Parameters
    ----------
    config : StencilNetConfig
        Dimension and size.

    Notes
    -----
    A patch is a channel vector: the colour-split storage of multigrid is a space-to-depth map already. Channels: each
    coupling relative to the diagonals of both its ends, the logarithms of the diagonals relative to the coarse node's,
    whether nodes couple at all, and the classical weights; all of them unchanged when A is scaled. The last layer
    starts at zero, so that the untrained network returns the classical cycle exactly.

    Weights: w_c <- w_c exp(t_c) sum(w) / sum(w exp(t)): each node's sum, and so the constants, is kept, and a weight
    of zero (a wall) stays zero. Factors: omega = 2 sigmoid(h), in (0, 2), 1 at the start.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.stencil_net import StencilNet, StencilNetConfig
    >>> sum(p.numel() for p in StencilNet(StencilNetConfig(width=16)).parameters())
    5692
    """

    def __init__(self, config: StencilNetConfig) -> None:
        super().__init__()
        self.config = config
        d, width = config.dimension, config.width
        self.parts, self.weights = 2**d, 3**d - 1
        half = (3**d - 1) // 2
        self.channels = 2 * half * self.parts + (self.parts - 1) + self.parts + self.weights
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if d == 2 else nn.Conv3d
        self.read = conv(self.channels, width, 1)
        self.hidden = nn.ModuleList([conv(width, width, 3, padding=1) for _ in range(config.layers)])
        self.write = conv(width, self.weights + self.parts, 1)
        nn.init.zeros_(self.write.weight)
        assert self.write.bias is not None
        nn.init.zeros_(self.write.bias)

    @property
    def flops(self) -> float:
        """Operations of one application for each node of the level (twice the multiply-adds)."""
        return 2 * sum(p.numel() for p in self.parameters() if p.ndim > 1) / self.parts

    def features(self, grid: Parity, a: Tensor, p: Tensor) -> Tensor:
        """Channels of the patches, (batch, channels, *padded); a and p are (batch, rows, size)."""
        batch, parts = a.shape[0], self.parts
        diagonal = a[:, :parts]
        exists = diagonal > 0
        inverse = torch.where(exists, 1 / torch.where(exists, diagonal, 1.0), 0.0)
        couplings = a[:, parts:].reshape(batch, len(grid.directions), parts, grid.size)
        channels = []
        for way in directions(grid.dimensions, True):
            if way not in grid.directions:
                channels += [a.new_zeros(batch, 2 * parts, grid.size)]
                continue
            c = -couplings[:, grid.directions.index(way)]
            far = [torch.roll(inverse[:, t], -f, -1) for t, f in (grid.step(s, way) for s in range(parts))]
            channels += [c * inverse, c * torch.stack(far, dim=1)]
        log = torch.where(exists, torch.where(exists, diagonal, 1.0).log(), 0.0)
        relative = torch.where(exists[:, :-1] & exists[:, -1:], (log[:, :-1] - log[:, -1:]) / 10, 0.0)
        channels += [relative, exists.to(a.dtype), p[:, 2:-1]]
        return torch.cat(channels, dim=1).reshape(batch, -1, *grid.padded)

    def forward(self, grid: Parity, a: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (batch, 3^d - 1, size) and relaxation factors (batch, 2^d, size) of a level."""
        inside = (..., *(slice(1, -1) for _ in grid.shape))
        x = self.features(grid, a, p)[inside].to(self.read.weight.dtype)
        x = torch.relu(self.read(x))
        for layer in self.hidden:
            x = x + torch.relu(layer(x))
        x = nn.functional.pad(self.write(x), (1, 1) * grid.dimensions).flatten(2).to(a.dtype)
        return x[:, : self.weights], 2 * torch.sigmoid(x[:, self.weights :])


def reweigh(grid: Parity, p: Tensor, logits: Tensor) -> Tensor:
    """Redistribute the interpolation weights of every node by the logits, its sum kept."""
    rows: dict[int, Tensor] = {}
    for kind in grid.kinds:
        mine = [grid.weights[c] for c in grid.corners(kind)]
        w, t = p[:, [2 + c for c in mine]], logits[:, mine]
        t = t - t.amax(1, keepdim=True).detach()
        share = w * torch.exp(t.clamp(min=-30.0))
        total = share.sum(1, keepdim=True)
        some = total > 0
        v = torch.where(some, share * (w.sum(1, keepdim=True) / torch.where(some, total, 1.0)), w)
        rows.update({c: v[:, i] for i, c in enumerate(mine)})
    middle = torch.stack([rows[c] for c in range(len(rows))], dim=1)
    return torch.cat([p[:, :2], middle, torch.zeros_like(p[:, -1:])], dim=1)
