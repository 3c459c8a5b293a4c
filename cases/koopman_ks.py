"""Forecasts of the Kuramoto-Sivashinsky equation on a chaotic interval, by models that are linear in a code.

conjugo koopman-ks --seeds 5
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from conjugo.cases.koopman_models import KURAMOTO_SIVASHINSKY
from conjugo.cases.koopman_plots import horizons, space_time, spectrum
from conjugo.cases.koopman_scores import Scores, publish, run_row
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.cases.train_lran import REENCODE, trajectories, unseen
from conjugo.learned.dynamics import EDMD, LinearModel, OnWaves, Radial, Sliced, resdmd_residuals
from conjugo.learned.dynamics.lran_model import LRANModel
from conjugo.learned.training.models import weights_path
from conjugo.pde.trajectories import Trajectories

STEPS = (1, 3, 5, 8, 10, 15, 20, 30)
"""Horizons of the table, in steps of one unit of time."""

LYAPUNOV_TIME = 21.0
"""1 / 0.047, at the length 22."""

LENGTH = 22.0
"""Of the periodic interval."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare forecasts of the Kuramoto-Sivashinsky equation."""

    seeds: int = 5
    """Data sets, each with its own centres; medians over them are shown."""
    trajectories: int = 20
    """Trajectories of 499 steps that each classical model is fitted to."""
    models: tuple[str, ...] = tuple(KURAMOTO_SIVASHINSKY)
    """Rows of the table."""
    lran: Path | None = None
    """Weights of the autoencoder; default those that conjugo ships."""
    reencode: int = REENCODE["ks"]
    """Steps after which the autoencoder's second forecast returns to the state space."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small models of few trajectories, so that it ends in seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the picture needs of one model, from the first seed."""

    model: LinearModel | Sliced
    forecast: NDArray[np.float64]


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    run = Run("koopman_ks", config, config.folder)
    found: dict[str, Scores] = {}
    shown: dict[str, Shown] = {}
    first: Trajectories | None = None
    for seed in range(1 if config.fast else config.seeds):
        test = unseen("ks", seed=seed, fast=config.fast)
        first = first or test
        for name, model, reencode, took in models(config, seed):
            forecast = model.predict(test.u[:, 0], max(STEPS), reencode=reencode)
            found.setdefault(name, Scores(name)).add(forecast, test.u, took, **spectral(model))
            shown.setdefault(name, Shown(model, forecast))
            print(f"seed {seed}: {name}", flush=True)
    publish(run, found, STEPS)
    if first is not None:
        print(f"plot: {run.plot(picture(first, found, shown))}")
    return run.folder


def spectral(model: LinearModel | Sliced) -> dict[str, float]:
    """Dimension and spectral radius of a model's K; nothing of a model that has none."""
    if isinstance(model, Sliced):
        return {}
    return {"d": float(len(model.K)), "radius": float(np.abs(model.eigenvalues).max())}


def models(config: Config, seed: int) -> Iterator[tuple[str, LinearModel | Sliced, int | None, float]]:
    """Yield each row's name, fitted model, steps between re-encodings, and seconds; the autoencoder last."""
    data = trajectories("ks", 4 if config.fast else config.trajectories, seed=seed, fast=config.fast)
    kept: dict[tuple[int, int], tuple[LinearModel | Sliced, float]] = {}
    for name in config.models:
        row = KURAMOTO_SIVASHINSKY[name]
        if config.fast:
            if row.needs or "quadratic" in name or "256" in name:
                continue
            if "Gaussian" in name:
                row = replace(row, build=small_on_slice if "slice" in name else small, copies=min(2, row.copies))
            name = name.replace("2,000", "100")
        key = (id(row.build), row.copies)
        made = kept.get(key) or run_row(row, data, seed)  # the relifted model is the linear one, used otherwise
        if made is None:
            print(f"{name} left out: {row.needs} is not installed")
            continue
        kept[key] = made
        yield name, made[0], row.reencode, made[1]
    try:
        path = config.lran or weights_path("lran_ks")
    except ValueError as error:
        print(f"LRAN left out: {error}")
        return
    learned = LRANModel.load(path, data)
    yield f"LRAN d = {len(learned.K)}", learned, None, float("nan")
    yield f"LRAN d = {len(learned.K)}, re-encoded every {config.reencode}", learned, config.reencode, float("nan")


def small(seed: int) -> EDMD:
    """Stand in for the 2,000 Gaussians where it has to be fast."""
    return EDMD(Radial(100, "gaussian", 0.6, relative=True, seed=seed), ridge=1e-9)


def small_on_slice(seed: int) -> Sliced:
    """Stand in for those on the slice."""
    gaussian = Radial(100, "gaussian", 0.6, relative=True, choice="farthest", seed=seed)
    return Sliced(EDMD(OnWaves(24, gaussian), ridge=1e-9))


def chosen(shown: dict[str, Shown]) -> list[str]:
    """Names of the two models whose fields and spectra are drawn: the autoencoder, and the best linear one there is."""
    wanted = ("LRAN d = 256", "balanced 256 of forecasts on the slice", "EDMD Gaussian 2,000", "EDMD Gaussian 100")
    linear = [name for name, one in shown.items() if isinstance(one.model, LinearModel)]
    return list(dict.fromkeys([*(name for name in wanted if name in shown), *linear]))[:2]


def picture(test: Trajectories, found: dict[str, Scores], shown: dict[str, Shown]) -> Figure:
    """Draw a trajectory, two forecasts of it and their errors; errors by horizon; two spectra."""
    figure = Figure(figsize=(16.0, 9.2), layout="constrained")
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=(1.0, 1.25)), dtype=object)
    truth = test.u[0, : max(STEPS) + 1]
    fields = [("truth", truth)]
    for name in chosen(shown):
        forecast = shown[name].forecast[0]
        fields += [(name, forecast), ("its error", forecast - truth)]
    axes = above.subplots(1, len(fields), sharex=True, sharey=True)
    top = float(np.abs(truth).max())
    image = space_time(fields, axes, length=LENGTH, unit=1.0 / LYAPUNOV_TIME, top=top)
    above.colorbar(image, ax=axes, shrink=0.8, label="u", pad=0.01)
    left, *others = below.subplots(1, 3, width_ratios=(1.6, 1.0, 1.0))
    curves = {name: scores.median() for name, scores in found.items()}
    horizons(curves, left, unit=1.0 / LYAPUNOV_TIME, label="Lyapunov times (21)")
    for name, ax in zip(chosen(shown), others, strict=False):
        model = shown[name].model
        if isinstance(model, LinearModel):
            spectrum(model.eigenvalues, resdmd_residuals(model, test), ax, title=f"{name}: eigenvalues")
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
