"""The neural spectral block: each patch of pixels is pooled to tokens, a series of sines changes them, they return."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class NeuralSpectralBlock(nn.Module):
    """Attention from a patch to a few latent tokens, sines and cosines of their values, attention back.

    Parameters
    ----------
    channels : int
        Channels C; a multiple of `heads`.
    dimension : int
        Spatial axes, 2 or 3.
    tokens : int
        Latent tokens S of a patch.
    modes : int
        Frequencies M.
    heads : int
        Heads, of c = C / heads channels each.

    Raises
    ------
    ValueError
        If a size is not positive or the channels do not divide.

    Notes
    -----
    With T0 the learned tokens of a head (S, c), shared by all patches, and x the pixels of a patch (L, C)::

        K, V = x W_k + b_k, x W_v + b_v                     T = T0 + softmax_L(T0 K^T) V
        t = T + sum_m a_m sin(pi m T / M) + b_m cos(pi m T / M),  m = 0 .. M - 1, a and b for each channel
        y = x + softmax_S(Q t^T) t                          Q = x W_q + b_q

    There is neither 1/sqrt(c) nor a normalisation. T0, a and b start uniform in [0, 1) / C.

    The same function is computed in another order, so that K, V and Q, each as large as x, are never made:

    - T0 K^T = x (W_k T0^T) + const: one product with heads x S columns, and the constant leaves the softmax over L
      unchanged;
    - softmax(.) V = (softmax(.) x) W_v + b_v, since the weights sum to one: pool first, project the pooled;
    - Q t^T = x (W_q t^T) + b_q t^T: the tokens are projected, not the pixels.

    All three are products of a patch (L, C) with heads x S vectors. `key`, `value` and `query` rows of the one
    projection keep the paper's parameters. The softmaxes and the series are in float32 under autocast.

    References
    ----------
    H. Wu, T. Hu, H. Luo, J. Wang, M. Long, "Solving High-Dimensional PDEs with Latent Spectral Models", ICML 2023,
    section 3.

    Examples
    --------
    >>> block = NeuralSpectralBlock(16, dimension=2)
    >>> block(torch.zeros(1, 16, 12, 8), (3, 2)).shape
    torch.Size([1, 16, 12, 8])
    """

    frequencies: Tensor

    def __init__(self, channels: int, dimension: int, *, tokens: int = 4, modes: int = 12, heads: int = 8) -> None:
        super().__init__()
        if min(channels, tokens, modes, heads) < 1 or channels % heads:
            raise ValueError(
                f"channels = {channels}, tokens = {tokens}, modes = {modes}, heads = {heads}: all must be positive and "
                "the channels a multiple of the heads"
            )
        self.heads, self.tokens, self.dimension = heads, tokens, dimension
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.project = conv(channels, 3 * channels, 1)  # rows: key, value, query; kept as the convolution it is
        self.latent = nn.Parameter(torch.rand(heads, tokens, channels // heads) / channels)
        self.spectral = nn.Parameter(torch.rand(channels, 2 * modes) / channels)
        self.register_buffer("frequencies", math.pi * torch.arange(modes) / modes, persistent=False)

    def forward(self, x: Tensor, patch: tuple[int, ...]) -> Tensor:
        """Apply the block.

        Parameters
        ----------
        x : Tensor, shape (batch, channels, *spatial)
            Features; fast in channels_last.
        patch : tuple of int
            Pixels of a patch along each axis; they divide the grid.

        Returns
        -------
        Tensor
            As x.
        """
        pixels = fold(x, patch)
        weight = self.project.weight.reshape(3, self.heads, -1, x.shape[1])  # (3, heads, c, C)
        assert self.project.bias is not None
        bias = self.project.bias.reshape(3, self.heads, -1)
        tokens = self.pool(pixels, weight, bias)
        tokens = self.series(tokens)
        return unfold(self.spread(pixels, tokens, weight[2], bias[2]), tuple(x.shape), patch)

    def pool(self, pixels: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Pixels of the patches (P, L, C) to tokens (P, heads, S, c): T0 + softmax_L(T0 K^T) V."""
        keys = torch.einsum("hsc,hcd->hsd", self.latent, weight[0]).flatten(0, 1)  # (heads S, C)
        scores = nn.functional.linear(pixels, keys)
        share = torch.softmax(wide(scores), dim=1)
        pooled = torch.bmm(share.to(pixels.dtype).mT, pixels)  # (P, heads S, C)
        values = torch.einsum("phsd,hcd->phsc", pooled.reshape(len(pixels), self.heads, self.tokens, -1), weight[1])
        return self.latent + bias[1][:, None] + wide(values)

    def series(self, tokens: Tensor) -> Tensor:
        """Add to each token value t its sum of w_m sin(pi m t / M) and w_m cos(pi m t / M)."""
        sines, cosines = self.spectral.reshape(self.heads, 1, -1, self.spectral.shape[1]).chunk(2, dim=-1)
        phase = tokens[..., None] * self.frequencies
        added: Tensor = (phase.sin() * sines + phase.cos() * cosines).sum(-1)
        return tokens + added

    def spread(self, pixels: Tensor, tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Tokens back to the pixels: x + softmax_S(Q t^T) t."""
        queries = torch.einsum("phsc,hcd->phsd", tokens, weight).flatten(1, 2)  # (P, heads S, C)
        offset = (tokens * bias[:, None]).sum(-1).flatten(1)[:, None]
        scores = torch.bmm(pixels, queries.to(pixels.dtype).mT) + offset
        share = torch.softmax(wide(scores).reshape(*scores.shape[:2], self.heads, self.tokens), dim=-1).flatten(2)
        # (P, heads S, C) with each head's tokens in its own channels: one product serves all heads
        own = torch.eye(self.heads, dtype=tokens.dtype, device=tokens.device)[:, None, :, None]
        placed = (tokens[:, :, :, None] * own).flatten(3).flatten(1, 2)
        return torch.baddbmm(pixels, share.to(pixels.dtype), placed.to(pixels.dtype))


def wide(x: Tensor) -> Tensor:
    """Return x in at least float32: where bfloat16 would lose what matters."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def fold(x: Tensor, patch: tuple[int, ...]) -> Tensor:
    """Cut (batch, C, *spatial) into patches (batch x patches, pixels, C); one copy, of whole pixels in channels_last.

    Examples
    --------
    >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> fold(x, (2, 2))[0, :, 0].tolist()
    [0.0, 1.0, 4.0, 5.0]
    """
    split = [size for n, p in zip(x.shape[2:], patch, strict=True) for size in (n // p, p)]
    d = len(patch)
    order = (0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2), 2 * d + 1)
    return x.movedim(1, -1).reshape(len(x), *split, x.shape[1]).permute(order).reshape(-1, math.prod(patch), x.shape[1])


def unfold(pixels: Tensor, shape: tuple[int, ...], patch: tuple[int, ...]) -> Tensor:
    """Put patches back together: the inverse of `fold`; the result is in channels_last.

    Examples
    --------
    >>> x = torch.rand(2, 3, 4, 6)
    >>> bool((unfold(fold(x, (2, 3)), (2, 3, 4, 6), (2, 3)) == x).all())
    True
    """
    d, spatial = len(patch), shape[2:]
    counts = [n // p for n, p in zip(spatial, patch, strict=True)]
    order = (0, *(axis for i in range(d) for axis in (1 + i, 1 + d + i)), 2 * d + 1)
    whole = pixels.reshape(shape[0], *counts, *patch, shape[1]).permute(order)
    return whole.reshape(shape[0], *spatial, shape[1]).movedim(-1, 1)
