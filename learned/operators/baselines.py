"""Baselines from the library that keeps them: FNO and U-NO of neuraloperator, behind our configuration and scaling."""

from __future__ import annotations

import contextlib
import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, get_args

import torch
from torch import Tensor, nn

from conjugo.learned.operators.fields import check_fields
from conjugo.learned.operators.lsm import ScalingKind
from conjugo.learned.operators.scaling import Scaling


@dataclass(frozen=True, kw_only=True)
class FNOConfig:
    """Size of an `FNOOperator`; the defaults are its authors' for Darcy flow.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    in_channels: int = 1
    """Channels of the input; coordinates are added inside."""
    out_channels: int = 1
    """Channels of the output."""
    width: int = 32
    """Channels of the hidden fields."""
    modes: int = 12
    """Wave numbers -modes .. modes are kept along each axis, as the authors count; neuraloperator counts twice that."""
    layers: int = 4
    """Fourier layers."""
    padding: float = 0.1
    """Share of the grid added as zeros, for fields that are not periodic; 0 for periodic ones."""
    grid: tuple[int, ...] = (85, 85)
    """Grid of the training data; others are taken too."""
    scaling: ScalingKind = "pixelwise"
    """Whether normalisation differs from node to node or from channel to channel only."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class UNOConfig:
    """Size of a `UNOOperator`: five Fourier layers, the middle three on half the grid.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    in_channels: int = 1
    """Channels of the input; coordinates are added inside."""
    out_channels: int = 1
    """Channels of the output."""
    width: int = 32
    """Channels on the full grid, half of those on the half grid."""
    modes: int = 8
    """Wave numbers -modes .. modes along each axis on the full grid, half of them on the half grid."""
    padding: float = 0.1
    """Share of the grid added as zeros, for fields that are not periodic; 0 for periodic ones."""
    grid: tuple[int, ...] = (85, 85)
    """Grid of the training data; others are taken too."""
    scaling: ScalingKind = "pixelwise"
    """Whether normalisation differs from node to node or from channel to channel only."""

    def __post_init__(self) -> None:
        _check(self)
        if self.modes % 2:
            raise ValueError(f"modes = {self.modes}: an even number is needed, the half grid keeps half of them")


class Baseline(nn.Module, ABC):
    """A network of neuraloperator between the two maps of a `Scaling`; in float32 under autocast (its FFTs need it).

    Parameters
    ----------
    config : FNOConfig or UNOConfig
        Sizes.
    """

    config: FNOConfig | UNOConfig

    def __init__(self, config: FNOConfig | UNOConfig) -> None:
        super().__init__()
        self.config = config
        shape = config.grid if config.scaling == "pixelwise" else None
        self.scaling = Scaling(config.in_channels, config.out_channels, shape)
        self.net = self._build(_models())
        self.register_state_dict_post_hook(_only_tensors)  # type: ignore[no-untyped-call]

    @abstractmethod
    def _build(self, models: ModuleType) -> nn.Module:
        """Build the library's network."""

    def forward(self, a: Tensor) -> Tensor:
        """Map inputs to outputs.

        Parameters
        ----------
        a : Tensor, shape (batch, in_channels, *spatial)
            Physical fields.

        Returns
        -------
        Tensor, shape (batch, out_channels, *spatial), float32
            Physical fields.

        Raises
        ------
        ValueError
            If the shape does not fit, or the grid is too small for the modes.
        """
        config = self.config
        check_fields(a, config.in_channels, len(config.grid), smallest=2 * config.modes)
        with torch.autocast(a.device.type, enabled=False):
            out: Tensor = self.net(self.scaling.encode(a.float()))
            return self.scaling.decode(out)


class FNOOperator(Baseline):
    """Fourier neural operator: physical fields on a regular grid to physical fields on the same grid.

    Parameters
    ----------
    config : FNOConfig
        Sizes.

    Raises
    ------
    ImportError
        If neuraloperator is missing (extra `operators`).

    References
    ----------
    Z. Li et al., "Fourier neural operator for parametric partial differential equations", ICLR 2021; the network is
    neuraloperator's.

    Examples
    --------
    >>> model = FNOOperator(FNOConfig(width=8, modes=4, grid=(21, 21)))
    >>> model(torch.rand(2, 1, 21, 21)).shape
    torch.Size([2, 1, 21, 21])
    """

    def __init__(self, config: FNOConfig) -> None:
        super().__init__(config)

    def _build(self, models: ModuleType) -> nn.Module:
        config = self.config
        assert isinstance(config, FNOConfig)
        made: nn.Module = models.FNO(
            n_modes=(2 * config.modes,) * len(config.grid),
            in_channels=config.in_channels,
            out_channels=config.out_channels,
            hidden_channels=config.width,
            n_layers=config.layers,
            domain_padding=config.padding or None,
        )
        return made


class UNOOperator(Baseline):
    """U-shaped neural operator: physical fields on a regular grid to physical fields on the same grid.

    Parameters
    ----------
    config : UNOConfig
        Sizes.

    Raises
    ------
    ImportError
        If neuraloperator is missing (extra `operators`).

    References
    ----------
    M. A. Rahman, Z. E. Ross, K. Azizzadenesheli, "U-NO: U-shaped neural operators", TMLR 2023; the network is
    neuraloperator's.

    Examples
    --------
    >>> model = UNOOperator(UNOConfig(width=8, modes=4, grid=(21, 21)))
    >>> model(torch.rand(2, 1, 21, 21)).shape
    torch.Size([2, 1, 21, 21])
    """

    def __init__(self, config: UNOConfig) -> None:
        super().__init__(config)

    def _build(self, models: ModuleType) -> nn.Module:
        config = self.config
        d, width = len(config.grid), config.width
        modes = [[2 * config.modes] * d, *([[config.modes] * d] * 3), [2 * config.modes] * d]
        with contextlib.redirect_stdout(io.StringIO()):  # it prints while it is built
            made: nn.Module = models.UNO(
                in_channels=config.in_channels,
                out_channels=config.out_channels,
                hidden_channels=2 * width,
                lifting_channels=2 * width,
                projection_channels=2 * width,
                n_layers=5,
                uno_out_channels=[width, 2 * width, 2 * width, 2 * width, width],
                uno_n_modes=modes,
                uno_scalings=[[scale] * d for scale in (1.0, 0.5, 1.0, 2.0, 1.0)],
                channel_mlp_skip="linear",  # its default needs as many channels out as in
                domain_padding=config.padding or None,
            )
        return made


def _models() -> ModuleType:
    try:
        return import_module("neuralop.models")
    except ImportError as error:
        raise ImportError(
            "FNO and U-NO need neuraloperator, which is not here: pip install 'conjugo[operators]'"
        ) from error


def _only_tensors(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    """Drop the record of arguments that neuraloperator adds to the weights; our configuration says the same."""
    state.pop("_metadata", None)


def _check(config: FNOConfig | UNOConfig) -> None:
    for name in ("in_channels", "out_channels", "width", "modes"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} = {getattr(config, name)}: at least 1 is needed")
    if isinstance(config, FNOConfig) and config.layers < 1:
        raise ValueError(f"layers = {config.layers}: at least 1 is needed")
    if not 0 <= config.padding < 1:
        raise ValueError(f"padding = {config.padding}: expected a share of the grid, at least 0 and below 1")
    if not 1 <= len(config.grid) <= 3 or min(config.grid) < 2 * config.modes:
        raise ValueError(
            f"grid = {config.grid} and modes = {config.modes}: expected one to three axes of at least "
            f"{2 * config.modes} nodes, which hold these modes"
        )
    if config.scaling not in get_args(ScalingKind):
        raise ValueError(f"scaling = {config.scaling!r}: choose one of {', '.join(map(repr, get_args(ScalingKind)))}")
