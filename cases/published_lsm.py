"""The LSM in the order and memory layout in which it was published: what the speed of ours is measured against."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.operators.lsm import LSM
from conjugo.learned.operators.neural_spectral_block import NeuralSpectralBlock
from conjugo.learned.operators.unet import Double


class PublishedBlock(nn.Module):
    """A spectral block that makes keys, values and queries of every pixel, patch by patch, channels first.

    Parameters
    ----------
    block : NeuralSpectralBlock
        Whose parameters it uses; both compute the same function.
    """

    def __init__(self, block: NeuralSpectralBlock) -> None:
        super().__init__()
        self.inner = block

    def forward(self, x: Tensor, patch: tuple[int, ...]) -> Tensor:
        """As `NeuralSpectralBlock.forward`."""
        inner, C, d = self.inner, x.shape[1], len(patch)
        heads = inner.heads
        weight, bias = inner.project.weight, inner.project.bias
        assert bias is not None
        counts = [n // p for n, p in zip(x.shape[2:], patch, strict=True)]
        split = [size for pair in zip(counts, patch, strict=True) for size in pair]
        order = (0, *range(2, 2 * d + 1, 2), 1, *range(3, 2 * d + 2, 2))
        z = x.reshape(len(x), C, *split).permute(order).reshape(-1, C, *patch)
        conv: Any = nn.functional.conv2d if d == 2 else nn.functional.conv3d
        keys, values = conv(z, weight[: 2 * C], bias[: 2 * C]).reshape(len(z), 2, heads, C // heads, -1).unbind(1)
        tokens = torch.softmax(inner.latent @ keys, dim=-1) @ values.mT + inner.latent
        tokens = inner.series(tokens)
        queries = conv(z, weight[2 * C :], bias[2 * C :]).reshape(len(z), heads, C // heads, -1)
        share = torch.softmax(queries.mT @ tokens.mT, dim=-1)
        z = z + (share @ tokens).mT.reshape(z.shape)
        back = (0, 1 + d, *(axis for i in range(d) for axis in (1 + i, 2 + d + i)))
        return z.reshape(len(x), *counts, C, *patch).permute(back).reshape(x.shape)


class PublishedDouble(nn.Module):
    """The library's interpolation."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, *spatial) to twice the nodes along each axis."""
        mode = ("bilinear", "trilinear")[x.ndim - 4]
        return nn.functional.interpolate(x, scale_factor=2.0, mode=mode, align_corners=True)


def as_published(model: LSM) -> LSM:
    """Change a model in place to the published order and layout; its function stays.

    Examples
    --------
    >>> from conjugo.learned.operators.lsm import LSMConfig
    >>> model = LSM(LSMConfig(width=8, grid=(16, 32))).eval()
    >>> a = torch.rand(1, 1, 16, 32)
    >>> before = model(a)
    >>> bool(torch.allclose(as_published(model)(a), before, atol=1e-5))
    True
    """
    net = model.unet
    blocks = [PublishedBlock(block) for block in net.blocks if isinstance(block, NeuralSpectralBlock)]
    net.blocks = nn.ModuleList(blocks)
    assert isinstance(net.upsample, Double)
    net.upsample = PublishedDouble()  # type: ignore[assignment]
    net.register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
    return model
