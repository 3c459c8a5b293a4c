"""A trained denoiser: the ADM U-Net of deepinv inside the preconditioning of Karras et al."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle


@dataclass(frozen=True, kw_only=True)
class UNetDenoiserConfig:
    """Settings of a `UNetDenoiser`.

    Parameters
    ----------
    size : int
        Pixels along a side of the images it is trained on.
    channels : int
        1 for real images, 2 for complex ones.
    width : int
        Features of the finest grid, a multiple of 32.
    multipliers : tuple of int
        Features of each grid, as multiples of the width; every grid has half the pixels a side of the one before.
    blocks : int
        Residual blocks a grid on the way down; one more on the way up.
    attention : tuple of int
        Pixels a side of the grids with attention, at the size of training; the coarsest one has one such block anyway.
    patch : int
        The network sees patches of patch x patch pixels as channels of one: less work by patch^2 where features count.
    dropout : float
        Share of features dropped in training.
    sigma_data : float
        Root mean square of the clean images, over all their numbers.

    Raises
    ------
    ValueError
        If a value is out of range, or the size is no multiple of the coarsest pixel.
    """

    size: int
    channels: int = 1
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: tuple[int, ...] = ()
    patch: int = 1
    dropout: float = 0.0
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        for name in ("size", "channels", "width", "blocks", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1 is needed")
        if not self.multipliers or min(self.multipliers) < 1 or self.width % 32:
            raise ValueError(f"width = {self.width}, multipliers = {self.multipliers}: expected a multiple of 32 "
                             "(groups of the normalisation) and positive factors")  # fmt: skip
        if self.size % self.coarsest:
            raise ValueError(f"size = {self.size}: expected a multiple of {self.coarsest}, patch 2^(grids - 1)")
        if not 0 <= self.dropout < 1 or not 0 < self.sigma_data < math.inf:
            raise ValueError(f"dropout = {self.dropout}, sigma_data = {self.sigma_data}: expected a number in [0, 1) "
                             "and a positive one")  # fmt: skip

    @property
    def coarsest(self) -> int:
        """Pixels of the image along a side of the coarsest grid's pixel."""
        return int(self.patch * 2 ** (len(self.multipliers) - 1))


class UNetDenoiser(nn.Module):
    """D(x, sigma), an estimate of E[x0 | x0 + sigma n = x].

    Parameters
    ----------
    config : UNetDenoiserConfig
        Its settings.

    Raises
    ------
    ImportError
        If deepinv is not there.

    Notes
    -----
    D(x, s) = c_skip x + c_out F(c_in x, ln(s) / 4), with d = sigma_data and c_skip = d^2 / (s^2 + d^2),
    c_out = s d / sqrt(s^2 + d^2), c_in = 1 / sqrt(s^2 + d^2): input and target of the network F have unit variance at
    every noise level. D is x at s = 0. The parameters are float32; other precisions are converted and given back.

    References
    ----------
    T. Karras et al., Elucidating the design space of diffusion-based generative models, NeurIPS (2022), table 1.
    P. Dhariwal, A. Nichol, Diffusion models beat GANs on image synthesis, NeurIPS (2021), section 3 (the U-Net).
    W. Shi et al., Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network, CVPR (2016), section 3.2 (patches as channels).
    """

    def __init__(self, config: UNetDenoiserConfig) -> None:
        super().__init__()
        try:
            models: Any = import_module("deepinv.models")  # seconds of import, for those alone who build a network
        except ImportError as error:
            raise ImportError("UNetDenoiser needs deepinv: install conjugo[imaging]") from error
        self.config = config
        channels = config.channels * config.patch**2
        self.net = models.ADMUNet(
            img_resolution=config.size // config.patch,
            in_channels=channels,
            out_channels=channels,
            model_channels=config.width,
            channel_mult=config.multipliers,
            num_blocks=config.blocks,
            attn_resolutions=tuple(side // config.patch for side in config.attention),
            dropout=config.dropout,
            pretrained=None,
        )

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        x : (B, channels, h, w) tensor
            Noisy images; h and w are multiples of `config.coarsest`.
        sigma : float or (B,) tensor
            Standard deviation of the noise, of all or of each.

        Returns
        -------
        (B, channels, h, w) tensor
            In the precision of x.
        """
        self._check(x.shape)
        d = self.config.sigma_data
        given = x.dtype
        x = x.float()
        s = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x)).reshape(-1, 1, 1, 1)
        s = s.clamp(min=torch.finfo(x.dtype).tiny)  # the embedding takes its logarithm
        total = (s * s + d * d).sqrt()
        features = pixel_unshuffle(x / total, self.config.patch)
        features = self.net.forward_unet(features, s.log().flatten() / 4)
        update = pixel_shuffle(features.float(), self.config.patch)
        return ((d / total) ** 2 * x + s * d / total * update).to(given)

    def _check(self, shape: Sequence[int]) -> None:
        c, step = self.config.channels, self.config.coarsest
        if len(shape) != 4 or shape[1] != c or shape[2] % step or shape[3] % step:
            raise ValueError(f"x has shape {tuple(shape)}: expected (B, {c}, h, w) with h and w multiples of {step}")
