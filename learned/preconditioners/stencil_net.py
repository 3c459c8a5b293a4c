"""The set-up network of the learned V-cycle: from a level's stencils to transfer weights and relaxation factors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from conjugo.solvers.multigrid.parity import Parity, directions
from conjugo.solvers.multigrid.terms import sum_terms

LARGEST_LOGIT = 8.0
"""Bound of the logits: a weight relative to another changes by at most exp(16), about 1e7."""
LARGEST_CHANGE = 0.95
"""Relaxation factors differ from 1 by at most this: well inside (0, 2)."""
LITTLE = -1e4
"""Stands for the logarithm of a weight that takes no part."""
DECADES = 6
"""Ratios of couplings to diagonals are seen down to 1e-6."""


@dataclass(frozen=True, kw_only=True)
class StencilNetConfig:
    """Size of a `StencilNet`."""

    dimension: int = 2
    """Dimension of the grids: 2 or 3."""
    width: int = 32
    """Channels of the hidden layers."""
    layers: int = 2
    """Hidden convolutions over the neighbouring patches, with dilations 1, 2, 1, 2, ..."""

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
    coupling relative to the diagonals of both its ends (r, and sign(r) (1 + log10 |r| / 6) above 1e-6), the logarithms
    of the diagonals relative to the coarse node's, whether nodes exist at all, and the classical weights; all of them
    unchanged when A is scaled. The last layer starts at zero, so that the untrained network returns the classical
    cycle exactly.

    Weights: w_c <- w_c exp(t_c) sum(w) / sum(w exp(t)) over the positive ones (`reweigh`): each node's sum, and so the
    constants, is kept, and a weight of zero (a wall) stays zero. Factors: omega = 1 + 0.95 tanh(h / 2), in
    [0.05, 1.95], 1 at the start and where a node couples to nothing.

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
        self.channels = 4 * half * self.parts + (self.parts - 1) + self.parts + self.weights
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if d == 2 else nn.Conv3d
        self.read = conv(self.channels, width, 1)
        self.hidden = nn.ModuleList(
            [conv(width, width, 3, padding=1 + i % 2, dilation=1 + i % 2) for i in range(config.layers)]
        )
        self.write = conv(width, self.weights + self.parts, 1)
        nn.init.zeros_(self.write.weight)
        assert self.write.bias is not None
        nn.init.zeros_(self.write.bias)

    @property
    def flops(self) -> float:
        """Operations of one application for each node of the level (twice the multiply-adds)."""
        products: int = sum(p.numel() for p in self.parameters() if p.ndim > 1)
        return 2.0 * products / self.parts

    def features(self, grid: Parity, a: Tensor, p: Tensor) -> Tensor:
        """Channels of the patches, (batch, channels, *padded); a and p are (batch, rows, size)."""
        batch, parts = a.shape[0], self.parts
        diagonal = a[:, :parts]
        exists = diagonal > 0
        inverse = torch.where(exists, 1 / torch.where(exists, diagonal, 1.0), 0.0)
        dtype = self.read.weight.dtype
        couplings = a[:, parts:].reshape(batch, len(grid.directions), parts, grid.size)
        channels: list[Tensor] = []
        for way in directions(grid.dimensions, True):
            if way not in grid.directions:
                channels.append(torch.zeros(batch, 4 * parts, grid.size, dtype=dtype, device=a.device))
                continue
            c = -couplings[:, grid.directions.index(way)]
            far = [torch.roll(inverse[:, t], -f, -1) for t, f in (grid.step(s, way) for s in range(parts))]
            for ratio in (c * inverse, c * torch.stack(far, dim=1)):
                ratio = ratio.clamp(-2.0, 2.0).to(dtype)
                channels += [ratio, strength(ratio)]
        log = torch.where(exists, torch.where(exists, diagonal, 1.0).log(), 0.0)
        relative = torch.where(exists[:, :-1] & exists[:, -1:], (log[:, :-1] - log[:, -1:]) / 10, 0.0)
        channels += [relative.clamp(-3.0, 3.0).to(dtype), exists.to(dtype), p[:, 2:-1].clamp(-2.0, 2.0).to(dtype)]
        return torch.cat(channels, dim=1).reshape(batch, -1, *grid.padded)

    def forward(self, grid: Parity, a: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (batch, 3^d - 1, size) and relaxation factors (batch, 2^d, size) of a level."""
        inside = (slice(None), slice(None), *(slice(1, -1) for _ in grid.shape))
        x = torch.nan_to_num(self.features(grid, a, p)[inside], 0.0, 0.0, 0.0)  # one bad problem spoils no other
        x = torch.relu(self.read(x))
        for layer in self.hidden:
            x = x + torch.relu(layer(x))
        x = nn.functional.pad(self.write(x), (1, 1) * grid.dimensions).flatten(2).to(a.dtype)
        change = torch.where(coupled(grid, a), LARGEST_CHANGE * torch.tanh(x[:, self.weights :] / 2), 0.0)
        return x[:, : self.weights], 1 + change


def coupled(grid: Parity, a: Tensor) -> Tensor:
    """Whether a node couples to anything, (batch, 2^d, size); the others (solids) keep omega = 1 and a residual of 0.

    A coarse node inside a solid can stand for a patch of fluid nodes beside it; a residual there would disturb them.
    """
    parts = []
    for part in range(grid.parts):
        size = torch.zeros_like(a[:, part])
        for row, shift in sum_terms(grid, part).tolist():
            size = size + torch.roll(a[:, row], -shift, -1).abs()
        parts.append(size > 0)
    return torch.stack(parts, dim=1)


def strength(ratio: Tensor) -> Tensor:
    """Return sign(r) (1 + log10 |r| / 6), and 0 where |r| is below 1e-6: 1 stays 1, a thousandth becomes a half."""
    size = ratio.abs().clamp(min=10.0**-DECADES).log10() / DECADES
    return ratio.sign() * (1 + size.clamp(max=0.0))


def reweigh(grid: Parity, p: Tensor, logits: Tensor) -> Tensor:
    """Redistribute the interpolation weights of every node by the logits, its sum kept.

    Only positive weights take part: v_c = w_c exp(t_c - L) with L = log sum(w exp(t)) - log sum(w), which is a softmax
    of log w + t times the sum; negative weights (rotated anisotropy) and zeros (walls) stay. With t in [-8, 8] neither
    the values nor the derivatives can overflow, and t = 0 returns the weights bit for bit.
    """
    rows: dict[int, Tensor] = {}
    for kind in grid.kinds:
        mine = [grid.weights[c] for c in grid.corners(kind)]
        w = p[:, [2 + c for c in mine]]
        t = LARGEST_LOGIT * torch.tanh(logits[:, mine] / LARGEST_LOGIT)
        live = w > 0
        log = torch.where(live, torch.where(live, w, 1.0).log(), LITTLE)
        change = t - (torch.logsumexp(log + t, 1, keepdim=True) - torch.logsumexp(log, 1, keepdim=True))
        v = torch.where(live, w * torch.exp(torch.where(live, change, 0.0)), w)
        rows.update({c: v[:, i] for i, c in enumerate(mine)})
    middle = torch.stack([rows[c] for c in range(len(rows))], dim=1)
    return torch.cat([p[:, :2], middle, torch.zeros_like(p[:, -1:])], dim=1)
