"""A network that proposes the local low-energy vectors of a block: a learned local coarse basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conjugo.solvers.multigrid.blocks import Blocks

type Values = NDArray[np.float64]

_DECADES = 6.0
"""Strengths of couplings are told apart down to 10^-6."""


@dataclass(frozen=True, kw_only=True)
class BlockNetConfig:
    """Size of a `BlockNet`."""

    dimension: int = 2
    """Dimension of the grids: 2 or 3."""
    block: int = 8
    """Nodes of a block along each axis."""
    vectors: int = 12
    """Vectors proposed for a block."""
    width: int = 256
    """Hidden units."""
    layers: int = 2
    """Hidden layers."""
    degree: int = 4
    """Degree of the Chebyshev filter that follows, in training as in use."""
    threshold: float = 0.15
    """Energy below which a vector is wanted."""

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise ValueError(f"dimension = {self.dimension}: expected 2 or 3")
        if min(self.vectors, self.width, self.layers) < 1 or self.block < 2 or self.degree < 0:
            raise ValueError(f"{self}: sizes must be positive, a block at least 2 and the degree not negative")


class BlockNet(nn.Module):
    """Couplings of a block in, vectors of low energy out: a small dense network, the same for every block.

    Parameters
    ----------
    config : BlockNetConfig
        Sizes.

    Notes
    -----
    `LocalSpace(A, propose=Proposer(net), degree=net.config.degree)` filters what is proposed, keeps what has low energy
    and solves exactly in its span: the network can only save set-up time or cost iterations. Inputs, all unchanged when
    A is scaled: the strengths -a_ij / sqrt(a_ii a_jj) of the couplings inside the block and the diagonals relative to
    the largest, as logarithms over six decades, and the share of a node's diagonal that couplings inside make up.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.block_net import BlockNet, BlockNetConfig
    >>> sum(p.numel() for p in BlockNet(BlockNetConfig()).parameters())
    328960
    """

    def __init__(self, config: BlockNetConfig) -> None:
        super().__init__()
        self.config = config
        self.m = config.block**config.dimension
        width = config.width
        self.read = nn.Linear((config.dimension + 2) * self.m, width)
        self.hidden = nn.ModuleList([nn.Linear(width, width) for _ in range(config.layers - 1)])
        self.write = nn.Linear(width, self.m * config.vectors)

    @property
    def flops(self) -> float:
        """Operations a node of the grid (twice the multiply-adds)."""
        return 2 * sum(p.numel() for p in self.parameters() if p.ndim > 1) / self.m

    def forward(self, features: Tensor) -> Tensor:
        """(blocks, channels x m) to (blocks, m, vectors)."""
        x = nn.functional.silu(self.read(features))
        for layer in self.hidden:
            x = x + nn.functional.silu(layer(x))
        out: Tensor = self.write(x).reshape(-1, self.m, self.config.vectors)
        return out


def block_features(blocks: Blocks) -> NDArray[np.float32]:
    """Inputs of the network.

    Parameters
    ----------
    blocks : Blocks
        Local problems of a VariableStencil.

    Returns
    -------
    (blocks, channels x m) float32 array
        Numbers between 0 and 1.
    """
    there = blocks.d > 0
    root = np.where(there, 1 / np.sqrt(np.where(there, blocks.d, 1.0)), 0.0)
    channels = []
    inside = np.zeros_like(blocks.d)
    for w, shift in enumerate(blocks.offsets):
        c = np.abs(blocks.c[:, w, : blocks.m - shift])
        strength = np.zeros_like(blocks.d)
        strength[:, : blocks.m - shift] = c * root[:, : blocks.m - shift] * root[:, shift:]
        inside[:, : blocks.m - shift] += c
        inside[:, shift:] += c
        channels.append(_decades(strength))
    largest = blocks.d.max(axis=1, keepdims=True)
    channels += [_decades(blocks.d / np.where(largest > 0, largest, 1.0)), inside * root**2]
    return np.concatenate(channels, axis=1).astype(np.float32)


def _decades(x: Values) -> Values:
    """1 at 1 and 0 at 10^-6 and below, linear in the logarithm."""
    return 1 + np.log10(np.clip(x, 10**-_DECADES, 1.0)) / _DECADES


class Proposer:
    """What `LocalSpace` asks for its vectors.

    Parameters
    ----------
    net : BlockNet
        Trained for the dimension and the size of the blocks.
    """

    def __init__(self, net: BlockNet) -> None:
        self.net = net.eval()

    @torch.no_grad()
    def __call__(self, blocks: Blocks, vectors: int) -> Values:
        """Return (blocks, m, vectors) values; `vectors` must be the network's."""
        config = self.net.config
        if (blocks.size, len(blocks.shape)) != (config.block, config.dimension):
            raise ValueError(
                f"blocks of {blocks.size} nodes an axis in {len(blocks.shape)}-D: the network was trained for "
                f"{config.block} in {config.dimension}-D"
            )
        if len(blocks.offsets) != config.dimension:
            raise ValueError("the network knows couplings along the axes only: leave out propose for a CompactStencil")
        if vectors != config.vectors:
            raise ValueError(f"vectors = {vectors}: expected {config.vectors}, which the network proposes")
        device = self.net.read.weight.device
        out = self.net(torch.from_numpy(block_features(blocks)).to(device))
        return out.cpu().numpy().astype(np.float64)
