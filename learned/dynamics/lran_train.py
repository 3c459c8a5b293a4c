"""Training of linearly recurrent autoencoders: from a classical start, through windows that grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.dynamics.balanced import Reduced
from conjugo.learned.dynamics.centres import Choice
from conjugo.learned.dynamics.closed_form import RefitBatches
from conjugo.learned.dynamics.dictionaries import Radial
from conjugo.learned.dynamics.dmd import DMD
from conjugo.learned.dynamics.edmd import EDMD
from conjugo.learned.dynamics.lran import LRAN, LRANConfig
from conjugo.learned.dynamics.lran_loss import LRANLoss
from conjugo.learned.dynamics.lran_start import start
from conjugo.learned.dynamics.lran_windows import SYMMETRIES, Curriculum, Symmetry, WindowBatches
from conjugo.learned.dynamics.model import LinearModel
from conjugo.learned.dynamics.radial import Kind
from conjugo.learned.dynamics.regression import RIDGE
from conjugo.learned.dynamics.snapshots import checked_states
from conjugo.learned.training.fit import FitConfig, History, StepRecord, fit
from conjugo.pde.trajectories import Trajectories


@dataclass(frozen=True, kw_only=True)
class LRANTraining:
    """How an autoencoder is made and trained.

    Parameters
    ----------
    latent : int
        Dimension d of the code.
    start : {"balanced", "dmd", "random"}
        What it begins as: the balanced reduction of radial EDMD; DMD, for which d is at most the state's dimension; or
        random layers and K = 1.
    centres, kind, width, choice
        Of the radial dictionary, see `Radial`; for all but thin plates the width is in units of the median distance.
    centres_among : {"all states", "first states"}
        Which states the centres are chosen from. Where trajectories decay, the first ones cover the space evenly.
    ridge : float
        Of the EDMD that is reduced.
    horizon : int
        Of the balanced reduction: the steps that the code should see.
    copies : int
        Copies of the data, moved by the symmetry, from which the start is fitted.
    start_times : int, optional
        States of each trajectory, from its first, to which the start is fitted; default all.
    encoder, decoder : tuple of int
        Widths of the hidden layers.
    stable : bool
        Whether K is made of blocks that cannot grow.
    lengths : tuple of int
        States T of the windows, stage by stage; the last stage takes half of the steps.
    symmetry : {"none", "sign", "shift and reflect"}
        Of the system, see `WindowBatches`.
    decay, balance, state_floor, code_floor
        Of the loss, see `LRANLoss`; the floors are relative to the mean squares of states and codes.
    step : {"trained", "fixed", "refit"}
        K is trained with the rest, stays that of the start, or is refitted in closed form.
    refit_every : int
        Training steps between refits.
    trained : {"all", "decoder"}
        "decoder" leaves encoder and K as the start has them: a classical model with a network for its
        reconstruction. The codes' errors then have no gradient.
    batch, steps, learning_rate, ema, seed, device, time_limit
        See `FitConfig`; a batch counts windows.
    """

    latent: int = 16
    start: Literal["balanced", "dmd", "random"] = "balanced"
    centres: int = 1000
    kind: Kind = "thin_plate"
    width: float = 1.0
    choice: Choice = "kmeans"
    centres_among: Literal["all states", "first states"] = "all states"
    ridge: float = RIDGE
    horizon: int = 40
    copies: int = 2
    start_times: int | None = None
    encoder: tuple[int, ...] = (64, 64)
    decoder: tuple[int, ...] = (64, 64)
    stable: bool = False
    lengths: tuple[int, ...] = (11, 21, 41)
    symmetry: Symmetry = "none"
    decay: float = 1.0
    balance: float = 0.3
    state_floor: float = 0.1
    code_floor: float = 0.1
    step: Literal["trained", "fixed", "refit"] = "trained"
    refit_every: int = 500
    trained: Literal["all", "decoder"] = "all"
    batch: int = 128
    steps: int = 8000
    learning_rate: float = 1e-3
    ema: float | None = None
    seed: int = 0
    device: str = "cpu"
    time_limit: float | None = None


class RadialAmongFirst(Radial):
    """Radial functions about centres that were placed among the first states of trajectories."""

    def place(self, trajectories: Trajectories) -> None:
        """Choose the centres; they stay as they are in `fit`."""
        super().fit(checked_states(trajectories)[0][:, 0])

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Keep the centres."""
        return self


def classical_start(trajectories: Trajectories, training: LRANTraining) -> LinearModel:
    """Fit the model that the network begins as.

    Parameters
    ----------
    trajectories : Trajectories
        States (N, times, n).
    training : LRANTraining
        What to fit.

    Returns
    -------
    LinearModel
        `DMD`, or `Reduced(EDMD(Radial(...)))`.

    Raises
    ------
    ValueError
        As these models.
    """
    times = training.start_times
    trajectories = replace(trajectories, u=trajectories.u[:, :times], t=trajectories.t[:times])
    data = symmetric_copies(trajectories, training.symmetry, training.copies, seed=training.seed)
    if training.start == "dmd":
        return DMD(training.latent).fit(data)
    relative = training.kind != "thin_plate"
    kind = Radial if training.centres_among == "all states" else RadialAmongFirst
    dictionary = kind(
        training.centres, training.kind, training.width, relative=relative, choice=training.choice, seed=training.seed
    )
    if isinstance(dictionary, RadialAmongFirst):
        dictionary.place(data)
    return Reduced(EDMD(dictionary, ridge=training.ridge), training.latent, horizon=training.horizon).fit(data)


def fresh_network(trajectories: Trajectories, training: LRANTraining) -> LRAN:
    """Make the network that training starts from.

    Parameters
    ----------
    trajectories : Trajectories
        States (N, times, n), to which the classical model is fitted.
    training : LRANTraining
        Which start, and the sizes.

    Returns
    -------
    LRAN
        On the CPU.
    """
    if training.start != "random":
        model = classical_start(trajectories, training)
        return start(
            model, trajectories,
            encoder=training.encoder, decoder=training.decoder, stable=training.stable, seed=training.seed,
        )  # fmt: skip
    u, _ = checked_states(trajectories)
    config = LRANConfig(
        state=u.shape[2], latent=training.latent, encoder=training.encoder, decoder=training.decoder,
        stable=training.stable, reals=training.latent % 2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = LRAN(config)
    network.mean.copy_(torch.as_tensor(u.mean(axis=(0, 1))))
    network.scale.fill_(float(u.std()))
    return network


def train_lran(
    network: LRAN,
    trajectories: Trajectories,
    training: LRANTraining,
    *,
    validation: Trajectories | None = None,
    checkpoint: Path | str | None = None,
    on_step: Callable[[StepRecord], object] | None = None,
    progress: bool = True,
) -> History:
    """Train a network in place by `fit`.

    Parameters
    ----------
    network : LRAN
        From `start`.
    trajectories : Trajectories
        States (N, times, n), at least as long as the longest window.
    training : LRANTraining
        How.
    validation : Trajectories, optional
        Others, whose first windows decide which weights are kept.
    checkpoint, on_step, progress
        See `fit`.

    Returns
    -------
    History
        Of the run. The network ends on `training.device`.

    Raises
    ------
    ValueError
        For trajectories that are too short or not finite.

    Notes
    -----
    The length of the windows is a function of the step alone, and so are the windows: a run that was stopped goes on
    with the same bits. Where the kernel codes of all states can be known before (no random shifts), they are computed
    once.
    """
    u, _ = checked_states(trajectories)
    states = torch.as_tensor(u, dtype=torch.float32, device=training.device)
    network.to(training.device)
    symmetry = training.symmetry
    if symmetry == "sign":
        states, symmetry = torch.cat([states, -states]), "none"
    known = network.config.kernel != "none" and symmetry == "none"
    windows = WindowBatches(
        states,
        batch=training.batch,
        curriculum=Curriculum.even(training.lengths, training.steps),
        symmetry=symmetry,
        codes=kernel_codes(network, states) if known else None,
        seed=training.seed,
    )
    network.requires_grad_(True)
    if training.trained == "decoder":
        network.encoder.requires_grad_(False)
        network.fix_step()
    if training.step == "fixed":
        network.fix_step()
    batches = RefitBatches(windows, network, every=training.refit_every) if training.step == "refit" else windows
    config = FitConfig(
        steps=training.steps,
        learning_rate=training.learning_rate,
        warmup=min(100, training.steps // 2),
        ema=training.ema,
        validate_every=max(1, training.steps // 20),
        checkpoint_every=max(1, training.steps // 20),
        seed=training.seed,
        device=training.device,
        time_limit=training.time_limit,
    )
    held = None
    if validation is not None:
        first = checked_states(validation)[0][:, : max(training.lengths)]
        held = list(torch.split(torch.as_tensor(first, dtype=torch.float32), training.batch))
    loss = loss_for(network, states, training)
    return fit(network, loss, batches, config=config, validation=held, checkpoint=checkpoint, on_step=on_step,
               progress=progress)  # fmt: skip


def loss_for(network: LRAN, states: Tensor, training: LRANTraining) -> LRANLoss:
    """Return the loss, its floors in units of the mean squares of states and of the codes at the start."""
    return LRANLoss(
        decay=training.decay,
        balance=training.balance,
        state_floor=training.state_floor * float(states.double().square().sum(-1).mean()),
        code_floor=training.code_floor * float(network.spread.double().square().sum()),  # the start's codes,
    )


def kernel_codes(network: LRAN, states: Tensor, rows: int = 1 << 14) -> Tensor:
    """Return the kernel skip's codes (N, times, d) of states (N, times, n), some rows at a time."""
    flat = states.reshape(-1, states.shape[-1])
    return torch.cat([network.kernel_code(part) for part in torch.split(flat, rows)]).reshape(*states.shape[:2], -1)


def symmetric_copies(trajectories: Trajectories, symmetry: Symmetry, count: int, *, seed: int = 0) -> Trajectories:
    """Return trajectories and count - 1 copies of them, each moved by a random element of the symmetry group.

    For "sign" the second copy is the mirrored data, and there are no more.
    """
    u, _ = checked_states(trajectories)
    if symmetry == "none" or count < 2:
        return replace(trajectories, u=u)
    if symmetry == "sign":
        return replace(trajectories, u=np.concatenate([u, -u]))
    moved: list[NDArray[np.float64]] = [u]
    for copy in range(1, count):
        rng = np.random.default_rng([seed, copy])
        moved.append(SYMMETRIES[symmetry](torch.as_tensor(u), rng).numpy())
    return replace(trajectories, u=np.concatenate(moved))
