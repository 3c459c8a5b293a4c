"""VorticityAttention: the next frame of a periodic two-dimensional flow, by attention over all its patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from conjugo.learned.operators.periodic_attention import PeriodicBlock, PeriodicRotary
from conjugo.learned.operators.spectral_base import coarse_step, forcing_channel

Base = Literal["persistence", "spectral"]


@dataclass(frozen=True, kw_only=True)
class VorticityAttentionConfig:
    """Size of the network, and what it corrects.

    Parameters
    ----------
    frames : int
        Past frames that it sees.
    width, heads, blocks, expansion : int
        Of the transformer: components of a token, attention heads, blocks, hidden width of the perceptrons over
        `width`.
    stem : int
        Channels at full resolution.
    patch : int
        Nodes a side of a token.
    waves : int
        Largest wave number of the relative positions; half the tokens a side is all that a grid tells apart.
    base : {"persistence", "spectral"}
        What the network's output is added to: the last frame (a pure network), or one coarse pseudo-spectral step
        from it on the same grid (a hybrid: numerics with a learned sub-grid correction).
    interval : float
        Time between frames, for "spectral".
    viscosity, dt : float
        Of the solver in that step.
    refine : int
        Its nodes for one of the data along a side; 1 costs least, 2 keeps all waves that the data hold.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    frames: int = 10
    width: int = 256
    heads: int = 8
    blocks: int = 8
    expansion: int = 3
    stem: int = 64
    patch: int = 2
    waves: int = 16
    base: Base = "persistence"
    interval: float = 1.0
    viscosity: float = 1e-5
    dt: float = 0.05
    refine: int = 1

    def __post_init__(self) -> None:
        for name in ("frames", "width", "heads", "blocks", "expansion", "stem", "patch", "waves", "refine"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: at least 1 is needed")
        if self.base not in get_args(Base):
            raise ValueError(f"base = {self.base!r}: choose one of {', '.join(map(repr, get_args(Base)))}")
        for name in ("interval", "viscosity", "dt"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} = {getattr(self, name)}: a positive number is needed")


class VorticityAttention(nn.Module):
    """Map the last frames of the vorticity to the next one, (batch, frames, n, n) to (batch, 1, n, n).

    Parameters
    ----------
    config : VorticityAttentionConfig
        Size, and what it corrects.

    Raises
    ------
    ValueError
        By `forward`, for another number of frames or a grid that is no square of whole patches.

    Notes
    -----
    w_next = base(w_last) + c net(w / s, f, base / s), with the deviations s of the vorticity and c of (next frame -
    base) measured on training data (`measure`). The network: a circular 3 x 3 convolution at full resolution,
    patches of 2 x 2 nodes, pre-norm blocks of depthwise circular convolution, softmax attention over all patches and
    a perceptron, back to full resolution, two circular convolutions. No map depends on the place, but through the
    forcing, which is a channel: shifts by whole patches that keep the forcing commute with the network. The last
    convolution starts at zero, so a new model is its base.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1. The rest of the architecture is ours.

    Examples
    --------
    >>> from conjugo.learned.operators.rollout import rollout
    >>> model = VorticityAttention(VorticityAttentionConfig(width=16, heads=2, blocks=1, stem=8))
    >>> w = torch.randn(2, 10, 8, 8)
    >>> torch.equal(model(w), w[:, -1:])
    True
    >>> rollout(model, w, 3).shape
    torch.Size([2, 3, 8, 8])
    """

    spread: Tensor
    increment: Tensor

    def __init__(self, config: VorticityAttentionConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.frames + 1 + (config.base == "spectral")
        self.register_buffer("spread", torch.tensor(1.0))
        self.register_buffer("increment", torch.tensor(1.0))
        self.stem = nn.Conv2d(channels, config.stem, 3, padding=1, padding_mode="circular")
        self.enter = nn.Conv2d(config.stem, config.width, config.patch, stride=config.patch)
        self.rotary = PeriodicRotary(config.width // config.heads, config.waves)
        self.blocks = nn.ModuleList(
            PeriodicBlock(config.width, config.heads, config.expansion) for _ in range(config.blocks)
        )
        self.norm = nn.GroupNorm(1, config.width)
        self.leave = nn.ConvTranspose2d(config.width, config.stem, config.patch, stride=config.patch)
        self.merge = nn.Conv2d(2 * config.stem, config.stem, 3, padding=1, padding_mode="circular")
        self.last = nn.Conv2d(config.stem, 1, 3, padding=1, padding_mode="circular")
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def base(self, last: Tensor) -> Tensor:
        """Return what the network corrects, from the last frame (batch, 1, n, n)."""
        config = self.config
        if config.base == "persistence":
            return last
        step: Tensor = coarse_step(
            last, config.interval, viscosity=config.viscosity, dt=config.dt, refine=config.refine
        )
        return step

    def forward(self, w: Tensor, base: Tensor | None = None) -> Tensor:
        """Predict the next frame.

        Parameters
        ----------
        w : (batch, frames, n, n) tensor
            The past.
        base : (batch, 1, n, n) tensor, optional
            `self.base` of the last frame, where it is at hand.
        """
        self._check(w)
        base = self.base(w[:, -1:]) if base is None else base
        fields = [w / self.spread, forcing_channel(w).expand(len(w), 1, -1, -1)]
        if self.config.base == "spectral":
            fields.append(base / self.spread)
        fine = functional.gelu(self.stem(torch.cat(fields, dim=1)))
        x = self.enter(fine)
        turn = self.rotary((x.shape[2], x.shape[3]))
        for block in self.blocks:
            x = block(x, turn)
        fine = functional.gelu(self.merge(torch.cat([fine, self.leave(self.norm(x))], dim=1)))
        following: Tensor = base + self.increment * self.last(fine).to(base.dtype)
        return following

    @torch.no_grad()
    def measure(self, frames: NDArray[Any] | Tensor, chunk: int = 64) -> VorticityAttention:
        """Set the two deviations from training trajectories.

        Parameters
        ----------
        frames : (trajectories, times, n, n) array or tensor
            Vorticity; never the test data.
        chunk : int
            Trajectories at a time.

        Returns
        -------
        VorticityAttention
            Itself.

        Raises
        ------
        ValueError
            If there are fewer than two times, or a value is not finite.
        """
        if frames.ndim != 4 or frames.shape[1] < 2:
            raise ValueError(f"frames has shape {tuple(frames.shape)}: expected (trajectories, at least 2 times, n, n)")
        total = torch.zeros(2, dtype=torch.float64)
        for first in range(0, len(frames), chunk):
            w = torch.as_tensor(frames[first : first + chunk]).to(self.spread.device, torch.float32)
            base = self.base(w[:, :-1].flatten(0, 1)[:, None])
            missing = w[:, 1:].flatten(0, 1)[:, None] - base
            total += torch.stack([w.double().square().mean(), missing.double().square().mean()]).cpu() * len(w)
        found = (total / len(frames)).sqrt()
        if not bool(torch.isfinite(found).all()):
            raise ValueError("frames holds values that are not finite, or the coarse step left them: check them, or dt")
        self.spread.fill_(float(found[0]))
        self.increment.fill_(float(found[1]))
        return self

    def _check(self, w: Tensor) -> None:
        config = self.config
        if w.ndim != 4 or w.shape[1] != config.frames or w.shape[2] != w.shape[3] or w.shape[2] % config.patch:
            raise ValueError(
                f"the past has shape {tuple(w.shape)}: expected (batch, {config.frames}, n, n) with n a multiple of "
                f"{config.patch}"
            )
