"""MultilevelNet: a direction network with the shape of a multigrid cycle, many times cheaper than DirectionNet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners import cycle_weights
from conjugo.learned.preconditioners.dcdm import check_grid, check_sides

SMALLEST = 4
"""Cells a side of the coarsest level, at least."""

NOISE = 0.02
"""Size of the random part of the first weights, relative to PyTorch's own initialisation."""


@dataclass(frozen=True, kw_only=True)
class MultilevelNetConfig:
    """Shape of a MultilevelNet.

    Parameters
    ----------
    dimension : {2, 3}
        Of the grid.
    channels, coarse_channels : int
        At half resolution, the finest level that has convolutions, and on all levels below; at least 2 x 2^dimension.
    blocks, coarse_blocks : int
        Residual blocks of two convolutions on the way down, and as many on the way up.
    activation : {"none", "relu"}
        Between the two convolutions of a block. With "none" the direction is linear in the residual.
    geometry : bool
        Whether the network sees where walls and solids are.
    """

    dimension: Literal[2, 3] = 3
    channels: int = 16
    coarse_channels: int = 16
    blocks: int = 1
    coarse_blocks: int = 1
    activation: Literal["none", "relu"] = "none"
    geometry: bool = True

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3):
            raise ValueError(f"dimension = {self.dimension}: expected 2 or 3")
        least = 2 * 2**self.dimension
        for name, smallest in (("channels", least), ("coarse_channels", least), ("blocks", 1), ("coarse_blocks", 1)):
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} = {getattr(self, name)}: expected at least {smallest}")
        if self.activation not in ("none", "relu"):
            raise ValueError(f"activation = {self.activation!r}: expected 'none' or 'relu'")


class MultilevelNet(nn.Module):
    """Map a residual to a search direction, (batch, 1, *grid) to the same shape, as a learned V-cycle does.

    Parameters
    ----------
    config : MultilevelNetConfig
        Its shape.

    Raises
    ------
    ValueError
        By `config` for wrong numbers, and by `forward` for fields that it cannot coarsen.

    Notes
    -----
    A 2-wide convolution of stride 2 takes the residual to half resolution, where the 2^d points of a cell are fields;
    no full-resolution convolution remains. From there every level is::

        h = h + b * W2 act(a * (W1 h))          # 3-wide, `blocks` times
        h = h + up(level below(down(h)))        # 4-wide, stride 2
        h = h + b * W4 act(a * (W3 h))

    until a side has fewer than 8 cells. All levels below the first share one set of weights, so the depth follows from
    the grid: the network reaches across grids of any size, and weights trained on small grids work on large ones.
    No convolution of h has a bias, hence f(c r) = c f(r) for c > 0. The factors a and b come from the geometry: which
    points are active, how far the diagonal of A is from 2 d there, and what a small network makes of both; `gates`
    computes them once a problem.

    The first weights are those of a V(1, 1)-cycle with Chebyshev smoothers of degree 2, cell-averaging restriction and
    linear interpolation (for `activation="none"`), plus noise: `cycle_weights`. Training starts from there.

    Costs in 3-D by default, a voxel of the full grid: 4 convolutions 16 -> 16 at 1/8 of the voxels are 6.9 kFLOP, the
    first transfers 2 x 0.5, and all levels below a seventh of that: 9 kFLOP, against 122 and 184 of the published
    networks. Unfused in bfloat16 about 20 passes over 16 x 2 / 8 = 4 bytes on the first level, 2 x 6 bytes at the ends
    and a seventh for the levels below: 0.1 kB, against 1.5.

    Examples
    --------
    >>> net = MultilevelNet(MultilevelNetConfig(dimension=2, geometry=False))
    >>> r = torch.randn(1, 1, 16, 16)
    >>> bool(torch.allclose(net(8 * r), 8 * net(r), rtol=1e-4, atol=1e-4))
    True
    """

    def __init__(self, config: MultilevelNetConfig) -> None:
        super().__init__()
        self.config = config
        d, fine, coarse = config.dimension, config.channels, config.coarse_channels
        conv: Any = nn.Conv2d if d == 2 else nn.Conv3d
        transposed: Any = nn.ConvTranspose2d if d == 2 else nn.ConvTranspose3d
        self.enter = conv(1, fine, 2, stride=2, bias=False)
        self.leave = transposed(fine, 1, 2, stride=2, bias=False)
        self.before, self.after = _Blocks(config, fine, config.blocks), _Blocks(config, fine, config.blocks)
        self.first_down = conv(fine, coarse, 4, stride=2, padding=1, bias=False)
        self.first_up = transposed(coarse, fine, 4, stride=2, padding=1, bias=False)
        self.coarse_before = _Blocks(config, coarse, config.coarse_blocks)
        self.coarse_after = _Blocks(config, coarse, config.coarse_blocks)
        self.down = conv(coarse, coarse, 4, stride=2, padding=1, bias=False)
        self.up = transposed(coarse, coarse, 4, stride=2, padding=1, bias=False)
        self.fine_gate = _Gate(config, fine, config.blocks) if config.geometry else None
        self.coarse_gate = _Gate(config, coarse, config.coarse_blocks) if config.geometry else None
        with torch.no_grad():
            self._start_as_cycle(d)

    def _start_as_cycle(self, d: int) -> None:
        """Set the first weights."""
        fill = {
            cycle_weights.enter_convolution: [self.enter],
            cycle_weights.leave_convolution: [self.leave],
            cycle_weights.down_convolution: [self.first_down, self.down],
            cycle_weights.up_convolution: [self.first_up, self.up],
            cycle_weights.first_convolution: [one for part in self._parts() for one in part.one],
            cycle_weights.second_convolution: [two for part in self._parts() for two in part.two],
        }
        for function, layers in fill.items():
            for layer in layers:
                layer.weight.mul_(NOISE)
                function(layer.weight, d)

    def _parts(self) -> tuple[_Blocks, ...]:
        return self.before, self.after, self.coarse_before, self.coarse_after

    def depth(self, shape: tuple[int, ...]) -> int:
        """Return the number of halvings for a grid."""
        check_grid(shape, self.config.dimension, smallest=2 * SMALLEST)
        return int(math.log2(min(shape) / SMALLEST))

    def coarsening(self, shape: tuple[int, ...]) -> int:
        """Return what every side must be a multiple of, so that the padded grid has this depth too."""
        multiple, found = 0, 2 ** self.depth(shape)
        while found != multiple:
            multiple = found
            found = 2 ** self.depth(tuple(-(-n // multiple) * multiple for n in shape))
        return int(multiple)

    def gates(self, geometry: Tensor) -> list[Tensor]:
        """Return each level's factors; they depend on the geometry (batch, 2, *grid) alone."""
        if self.fine_gate is None or self.coarse_gate is None:
            return []
        result = [self.fine_gate(geometry)]
        for _ in range(self.depth(tuple(geometry.shape[2:])) - 1):
            geometry = _coarser(geometry)
            result.append(self.coarse_gate(geometry))
        return result

    def forward(self, residual: Tensor, geometry: Tensor | list[Tensor] | None = None) -> Tensor:
        """Propose a direction.

        Parameters
        ----------
        residual : (batch, 1, *grid) tensor
            Sides are multiples of `coarsening`.
        geometry : (batch, 2, *grid) tensor or list, optional
            `GridLaplacian.geometry()`, or what `gates` made of it; only read where `config.geometry`.

        Returns
        -------
        (batch, 1, *grid) tensor

        Raises
        ------
        ValueError
            For sides that are too small or no multiples, or a geometry that is missing.
        """
        shape = tuple(residual.shape[2:])
        check_sides(residual, self.coarsening(shape))
        gates: list[Tensor] = []
        if self.config.geometry:
            if geometry is None:
                raise ValueError("this network was trained with geometry: pass GridLaplacian.geometry() as well")
            gates = geometry if isinstance(geometry, list) else self.gates(geometry)
        before, after = gates[0].chunk(2, dim=1) if gates else (None, None)
        h = self.before(self.enter(residual), before)
        if self.depth(shape) > 1:
            h = h + self.first_up(self._coarse(self.first_down(h), self.depth(shape) - 1, gates[1:]))
        direction: Tensor = self.leave(self.after(h, after))
        return direction

    def _coarse(self, h: Tensor, levels: int, gates: list[Tensor]) -> Tensor:
        """Run the shared level, and those below it."""
        before, after = gates[0].chunk(2, dim=1) if gates else (None, None)
        h = self.coarse_before(h, before)
        # The coarsest level smooths once more where the others go down and up again.
        h = (
            h + self.up(self._coarse(self.down(h), levels - 1, gates[1:]))
            if levels > 1
            else self.coarse_after(h, after)
        )
        result: Tensor = self.coarse_after(h, after)
        return result


class _Blocks(nn.Module):
    """h + b * W2 act(a * (W1 h)) several times."""

    def __init__(self, config: MultilevelNetConfig, channels: int, blocks: int) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if config.dimension == 2 else nn.Conv3d
        self.one = nn.ModuleList(conv(channels, channels, 3, padding=1, bias=False) for _ in range(blocks))
        self.two = nn.ModuleList(conv(channels, channels, 3, padding=1, bias=False) for _ in range(blocks))
        self.relu = config.activation == "relu"

    def forward(self, h: Tensor, gates: Tensor | None) -> Tensor:
        factors = [None] * 2 * len(self.one) if gates is None else gates.chunk(2 * len(self.one), dim=1)
        for i, (one, two) in enumerate(zip(self.one, self.two, strict=True)):
            a, b = factors[2 * i : 2 * i + 2]
            inner = one(h) if a is None else a * one(h)
            step = two(torch.relu(inner) if self.relu else inner)
            h = h + (step if b is None else b * step)
        return h


class _Gate(nn.Module):
    """Factors of one level's blocks, four a block, from the geometry at the points of that level.

    Without training they make the blocks right for walls and solids: the fields that hold x are multiplied by
    e = diag - 2 d, and what a block adds to x by whether the point is active.
    """

    def __init__(self, config: MultilevelNetConfig, channels: int, blocks: int) -> None:
        super().__init__()
        conv: Any = nn.Conv2d if config.dimension == 2 else nn.Conv3d
        self.points, self.spare, self.blocks = 2**config.dimension, channels - 2 * 2**config.dimension, blocks
        self.hidden = conv(2 * self.points, channels, 3, padding=1)
        self.out = conv(channels, 4 * channels * blocks, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, geometry: Tensor) -> Tensor:
        image = _points(geometry)
        active, excess = image[:, : self.points], image[:, self.points :]
        one = torch.ones_like(active)
        spare = torch.ones_like(image[:, :1]).expand(-1, self.spare, *image.shape[2:])
        block = torch.cat([one, excess, spare, one, active, spare], dim=1)
        learned: Tensor = self.out(torch.relu(self.hidden(image)))
        return torch.cat([block] * (2 * self.blocks), dim=1) + learned


def _points(geometry: Tensor) -> Tensor:
    """Turn the 2^d points of each cell into channels: (batch, c, *grid) to (batch, c 2^d, *grid / 2)."""
    batch, channels, *shape = geometry.shape
    d = len(shape)
    split = geometry.reshape(batch, channels, *[part for n in shape for part in (n // 2, 2)])
    order = (0, 1, *range(3, 3 + 2 * d, 2), *range(2, 2 + 2 * d, 2))
    return split.permute(order).reshape(batch, channels * 2**d, *[n // 2 for n in shape])


def _coarser(geometry: Tensor) -> Tensor:
    """Average the geometry over cells; only the cells beside a wall differ from 2 d, so e is doubled."""
    pool = nn.functional.avg_pool2d if geometry.ndim == 4 else nn.functional.avg_pool3d
    active, excess = geometry[:, :1], geometry[:, 1:]
    return torch.cat([pool(active, 2), 2 * pool(excess, 2)], dim=1)
