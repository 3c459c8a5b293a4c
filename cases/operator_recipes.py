"""How each operator is built and trained for each problem: what `conjugo train operator` does by default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from conjugo.cases.operator_models import KNOWN, WANTED
from conjugo.learned.operators.baselines import FNOConfig, FNOOperator, UNOConfig, UNOOperator
from conjugo.learned.operators.batches import PairBatches
from conjugo.learned.operators.darcy_batches import darcy_batches, darcy_loss, darcy_validation
from conjugo.learned.operators.darcy_residual import DarcyResidual, DarcyResidualConfig
from conjugo.learned.operators.losses import relative_l2
from conjugo.learned.operators.lsm import LSM, LSMConfig
from conjugo.learned.operators.vorticity_attention import VorticityAttention, VorticityAttentionConfig
from conjugo.learned.operators.vorticity_batches import rollout_loss, vorticity_batches, vorticity_windows
from conjugo.learned.training.fit import Loss
from conjugo.pde import FieldPairs, Trajectories


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A model with what `fit` needs to train it."""

    model: nn.Module
    loss: Loss
    batches: Callable[[int], Any]
    validation: Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a recipe is asked for."""

    width: int | None
    batch: int
    seed: int
    steps: int
    device: torch.device


@dataclass(frozen=True)
class Recipe:
    """A row of the table: how to prepare, and the settings of `fit` that the options leave open."""

    label: str
    prepare: Callable[[Any, Any, Request], Prepared]
    settings: dict[str, Any] = field(default_factory=dict)


def pair_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Relative L2 error of a map from one field to another."""
    a, u = batch
    return relative_l2(model(a), u)


def images(pairs: FieldPairs, device: torch.device) -> tuple[Tensor, Tensor]:
    """Coefficients and solutions as float32 (N, 1, n, n)."""
    a, u = (torch.as_tensor(x, dtype=torch.float32, device=device)[:, None] for x in (pairs.a, pairs.u))
    return a, u


def darcy_network(build: Callable[[tuple[int, ...], int | None], nn.Module]) -> Callable[..., Prepared]:
    """Train a network to map a to u directly."""

    def prepare(train: FieldPairs, validation: FieldPairs, request: Request) -> Prepared:
        a, u = images(train, request.device)
        torch.manual_seed(request.seed)
        model = build(tuple(a.shape[2:]), request.width).to(request.device)
        model.scaling.measure(a, u)  # type: ignore[union-attr, operator]
        batches = PairBatches(a, u, batch=request.batch, seed=request.seed)
        held_out = list(zip(*(torch.split(x, 50) for x in images(validation, request.device)), strict=True))
        return Prepared(model, pair_loss, batches, held_out)

    return prepare


def vorticity_network(
    build: Callable[[tuple[int, ...], int | None], nn.Module], *, unroll: int = WANTED
) -> Callable[..., Prepared]:
    """Train a network on its own roll-outs over ten frames, gradients through all of them (Wu et al. 2023)."""

    def prepare(train: Trajectories, validation: Trajectories, request: Request) -> Prepared:
        torch.manual_seed(request.seed)
        model = build(tuple(train.u.shape[2:]), request.width).to(request.device)
        batches = vorticity_batches(
            train, request.batch, request.seed, frames=KNOWN, unroll=unroll, augment=False, device=request.device
        )
        held_out = vorticity_windows(validation, frames=KNOWN, count=WANTED, batch=25)
        return Prepared(model, rollout_loss, batches, held_out)

    return prepare


def darcy_ours(form: Literal["correction", "faces"]) -> Callable[..., Prepared]:
    """Train our hybrid, moved by the eight symmetries of the square; the coarse systems are solved once a sample."""

    def prepare(train: FieldPairs, validation: FieldPairs, request: Request) -> Prepared:
        torch.manual_seed(request.seed)
        sizes: dict[str, Any] = (
            {} if request.width is None else {"widths": tuple(request.width * k for k in (1, 2, 3, 4))}
        )
        model = DarcyResidual(DarcyResidualConfig(form=form, walls=form == "faces", **sizes)).to(request.device)
        model.measure(torch.as_tensor(train.a, device=request.device), torch.as_tensor(train.u, device=request.device))
        batches = darcy_batches(train, request.batch, request.seed, device=request.device)
        return Prepared(model, darcy_loss, batches, darcy_validation(validation, device=request.device))

    return prepare


def vorticity_ours(base: str) -> Callable[..., Prepared]:
    """Train our attention model, moved by the 256 symmetries: one step with noise first, roll-outs later."""

    def prepare(train: Trajectories, validation: Trajectories, request: Request) -> Prepared:
        torch.manual_seed(request.seed)
        sizes: dict[str, Any] = {} if request.width is None else {"width": request.width}
        if base == "spectral":
            sizes |= {"refine": 2, "dt": 1.6 / (2 * train.u.shape[-1])}
        model = VorticityAttention(VorticityAttentionConfig(base=base, **sizes)).to(request.device)  # type: ignore[arg-type]
        model.measure(train.u)
        if base == "spectral":  # solved once for every frame; the network sees true pasts only
            options: dict[str, Any] = {"base": model.base}
        else:
            plan = {0: 1, int(0.6 * request.steps): 2, int(0.85 * request.steps): 4}
            options = {"unroll": list(plan.items()), "noise": 0.01}
        batches = vorticity_batches(train, request.batch, request.seed, device=request.device, **options)
        held_out = vorticity_windows(validation, frames=KNOWN, count=WANTED, batch=25)
        return Prepared(model, rollout_loss, batches, held_out)

    return prepare


def darcy_lsm(grid: tuple[int, ...], width: int | None) -> nn.Module:
    """Build the paper's network for Darcy, or a narrower one."""
    return LSM(LSMConfig(grid=grid, width=width or 64))


def darcy_fno(grid: tuple[int, ...], width: int | None) -> nn.Module:
    """Build the authors' network for Darcy."""
    return FNOOperator(FNOConfig(grid=grid, width=width or 32))


def darcy_uno(grid: tuple[int, ...], width: int | None) -> nn.Module:
    """Build neuraloperator's U-NO."""
    return UNOOperator(UNOConfig(grid=grid, width=width or 32))


def vorticity_lsm(grid: tuple[int, ...], width: int | None) -> nn.Module:
    """Build the paper's network for the vorticity; it normalises nothing there."""
    return LSM(LSMConfig(in_channels=KNOWN, grid=grid, width=width or 64, scaling="channel"))


def vorticity_fno(grid: tuple[int, ...], width: int | None) -> nn.Module:
    """Build the authors' network for the vorticity."""
    return FNOOperator(FNOConfig(in_channels=KNOWN, grid=grid, width=width or 32, padding=0.0, scaling="channel"))


CLASSIC = {"learning_rate": 1e-3, "weight_decay": 1e-4, "schedule": "cosine", "warmup": 100, "clip": None}
OURS = {"learning_rate": 1e-3, "weight_decay": 1e-4, "schedule": "onecycle", "clip": 1.0, "ema": 0.999}

RECIPES: dict[tuple[str, str], Recipe] = {
    ("darcy", "ours"): Recipe("coarse solve + correction", darcy_ours("correction"), OURS),
    ("darcy", "faces"): Recipe("coarse solve with learned faces", darcy_ours("faces"), OURS),
    ("darcy", "lsm"): Recipe("LSM", darcy_network(darcy_lsm), CLASSIC),
    ("darcy", "fno"): Recipe("FNO", darcy_network(darcy_fno), CLASSIC),
    ("darcy", "uno"): Recipe("U-NO", darcy_network(darcy_uno), CLASSIC),
    ("navier-stokes", "lsm"): Recipe("LSM", vorticity_network(vorticity_lsm), CLASSIC | {"learning_rate": 5e-4}),
    ("navier-stokes", "fno"): Recipe("FNO", vorticity_network(vorticity_fno), CLASSIC),
    ("navier-stokes", "ours"): Recipe("attention", vorticity_ours("persistence"), OURS),
    ("navier-stokes", "hybrid"): Recipe("spectral solver + attention", vorticity_ours("spectral"), OURS),
}
"""Problem and model: how `conjugo train operator` trains it."""
