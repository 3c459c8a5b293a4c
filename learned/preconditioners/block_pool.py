"""Training of the block network: blocks of random problems with their low eigenvectors, and the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.block_net import BlockNet, BlockNetConfig, block_features
from conjugo.learned.preconditioners.stencil_problems import draw
from conjugo.solvers.multigrid.blocks import Blocks
from conjugo.solvers.operators.variable import VariableStencil


class BlockPool:
    """Blocks with at least two low-energy vectors, cut from random problems: batches for `fit`.

    Parameters
    ----------
    config : BlockNetConfig
        Dimension, size of the blocks, threshold.
    families : sequence of str
        Names for `stencil_problems.draw`, of operators with couplings along the axes.
    shape : tuple of int
        Grid of the problems.
    problems, most : int
        Problems to draw, and blocks to keep from each.
    batch : int
        Blocks a step.
    seed : int
        Of everything; problems of other seeds are other problems.
    """

    def __init__(
        self,
        config: BlockNetConfig,
        families: Sequence[str],
        shape: tuple[int, ...],
        *,
        problems: int = 100,
        most: int = 200,
        batch: int = 256,
        seed: int = 0,
    ) -> None:
        self.batch, self.seed = batch, seed
        parts: list[tuple[Tensor, ...]] = []
        for number in range(problems):
            A = draw(families, shape, int(np.random.default_rng([seed, number]).integers(10**6)))
            if not isinstance(A, VariableStencil):
                raise ValueError(f"a family of {families} gives a {type(A).__name__}: expected a VariableStencil")
            parts.append(_wanted(Blocks(A, config.block), config, most, number))
        self.features, self.roots, self.S, self.V, self.low = (torch.cat(rows) for rows in zip(*parts, strict=True))
        if len(self.features) == 0:
            raise ValueError(f"{problems} problems of {families} have no block with two low-energy vectors")

    def __len__(self) -> int:
        return len(self.features)

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        """Return (features, S, V, low) of the blocks of a step."""
        rng = np.random.default_rng([self.seed, 1, step])
        chosen = torch.from_numpy(rng.integers(0, len(self), self.batch))
        return self.features[chosen], self.S[chosen], self.V[chosen], self.low[chosen]


def _wanted(blocks: Blocks, config: BlockNetConfig, most: int, seed: int) -> tuple[Tensor, ...]:
    """Features, D^-1/2, S = D^-1/2 L D^-1/2, its lowest eigenvectors, and which of them are wanted."""
    S, root = local_matrices(blocks)
    values, vectors = np.linalg.eigh(S + np.where(root > 0, 0.0, 4.0)[:, :, None] * np.eye(blocks.m))
    low = values[:, : config.vectors] < config.threshold
    rich = np.flatnonzero(low.sum(axis=1) > 1)
    rich = np.random.default_rng(seed).permutation(rich)[:most]
    arrays = (block_features(blocks), root, S, vectors[:, :, : config.vectors], low)
    return tuple(torch.from_numpy(np.ascontiguousarray(a[rich])) for a in arrays)


def local_matrices(blocks: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Return S, (blocks, m, m), and D^-1/2, (blocks, m), of every block."""
    root = np.where(blocks.d > 0, 1 / np.sqrt(np.where(blocks.d > 0, blocks.d, 1.0)), 0.0)
    L = np.zeros((len(blocks.d), blocks.m, blocks.m))
    for w, shift in enumerate(blocks.offsets):
        i = np.arange(blocks.m - shift)
        c = blocks.c[:, w, : blocks.m - shift]
        L[:, i, i + shift] += c
        L[:, i + shift, i] += c
        L[:, i, i] -= c
        L[:, i + shift, i + shift] -= c
    return L * root[:, :, None] * root[:, None, :], root


def missed_energy(net: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean part of the wanted eigenvectors v that lies outside the span X of the filtered proposals.

    Parameters
    ----------
    net : BlockNet
        Proposes the vectors.
    batch : tuple of tensors
        As `BlockPool` returns it.

    Returns
    -------
    scalar tensor
        Mean over the wanted v of 1 - |P v|^2 / |v|^2, P the orthogonal projector on the span: between 0 and 1.
    """
    features, S, V, low = batch
    if not isinstance(net, BlockNet):
        raise TypeError(f"net is a {type(net).__name__}: expected a BlockNet")
    with torch.autocast(features.device.type, enabled=False):
        X = chebyshev_filter(S, net(features).to(S.dtype), net.config.degree, net.config.threshold)
        X = X / torch.linalg.norm(X, dim=1, keepdim=True).clamp(min=1e-12)
        G = X.mT @ X + 1e-8 * torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
        Y = X.mT @ V
        caught = (Y * torch.linalg.solve(G, Y)).sum(dim=1)
        return ((1 - caught) * low).sum() / low.sum()


def chebyshev_filter(S: Tensor, X: Tensor, degree: int, low: float) -> Tensor:
    """The filter of `LocalSpace` on dense blocks, differentiable."""
    if degree == 0:
        return X
    middle, half = (2 + low) / 2, (2 - low) / 2
    before, now = X, (S @ X - middle * X) / half
    for _ in range(1, degree):
        before, now = now, 2 * (S @ now - middle * now) / half - before
    return now
