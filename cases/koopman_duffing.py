"""Linear models of the Duffing equation: forecasts from new states, basins, eigenfunctions, and spectra with residuals.

conjugo koopman-duffing --seeds 5
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from conjugo.cases.koopman_models import DUFFING, SPIRAL, Row
from conjugo.cases.koopman_plots import basin_map, horizons, phase_plane, spectrum
from conjugo.cases.koopman_scores import Scores, publish, run_row
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.cases.train_lran import SYSTEMS, unseen
from conjugo.learned.dynamics import LinearModel, nearest, resdmd_residuals, wrong_basin
from conjugo.learned.dynamics.lran_model import LRANModel
from conjugo.learned.training.models import weights_path
from conjugo.pde.evolution.duffing import duffing, evolve
from conjugo.pde.trajectories import Trajectories

STEPS = (1, 4, 10, 20, 40)
"""Horizons of the table, in steps of 0.25."""

BOX = 2.0
"""Initial states lie in [-BOX, BOX]^2."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare linear models of the Duffing equation."""

    seeds: int = 5
    """Data sets, each with its own centres; medians over them are shown."""
    trajectories: int = 1000
    """Trajectories that each classical model is fitted to."""
    models: tuple[str, ...] = tuple(DUFFING)
    """Rows of the table."""
    lran: Path | None = None
    """Weights of the autoencoder; default those that conjugo ships."""
    retrain: bool = False
    """Train the autoencoder anew for each seed (minutes each), instead of loading weights."""
    resolution: int = 120
    """Points a side of the pictures over the phase plane."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """Small models of few trajectories, so that it ends in seconds."""


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    run = Run("koopman_duffing", config, config.folder)
    found: dict[str, Scores] = {}
    shown: dict[str, LinearModel] = {}
    for seed in range(1 if config.fast else config.seeds):
        test = unseen("duffing", seed=seed, fast=config.fast)
        for name, model, reencode, took in models(config, seed):
            scores = found.setdefault(name, Scores(name))
            forecast = model.predict(test.u[:, 0], max(STEPS), reencode=reencode)
            near = nearest(model.exponents, SPIRAL)
            residual = float(resdmd_residuals(model, test[:200])[near])
            extra = {"wrong basin": wrong_basin(forecast, test.u), "spiral error": abs(model.exponents[near] - SPIRAL)}
            scores.add(forecast, test.u, took, **extra, residual=residual)
            shown.setdefault(name, model)
            print(f"seed {seed}: {name}", flush=True)
    publish(run, found, STEPS)
    print(f"plot: {run.plot(picture(config, found, shown))}")
    return run.folder


def models(config: Config, seed: int) -> Iterator[tuple[str, LinearModel, int | None, float]]:
    """Yield each row's name, fitted model, steps between re-encodings, and seconds; the autoencoder last."""
    count = 60 if config.fast else config.trajectories
    quick = ("DMD", "EDMD Chebyshev deg 5", "balanced 8 of Gaussian", "relifted EDMD deg 9")
    for name in config.models:
        if config.fast and name not in quick:
            continue
        row: Row[LinearModel] = DUFFING[name]
        made = run_row(row, duffing(count, row.steps, seed=seed), seed)
        if made is None:
            print(f"{name} left out: {row.needs} is not installed")
            continue
        yield name, made[0], row.reencode, made[1]
    learned = autoencoder(config, seed, duffing(count, 50, seed=seed))
    if learned is not None:
        yield "LRAN d = 16", learned[0], None, learned[1]
        yield "LRAN d = 16, re-encoded", learned[0], 10, learned[1]


def autoencoder(config: Config, seed: int, data: Trajectories) -> tuple[LinearModel, float] | None:
    """Load the trained network, or train one; None where there are no weights."""
    if config.retrain:
        began = time.perf_counter()
        training = replace(SYSTEMS["duffing"], seed=seed)
        return LRANModel(training).fit(duffing(3000, 50, seed=seed), progress=True), time.perf_counter() - began
    try:
        path = config.lran or weights_path("lran_duffing")
    except ValueError as error:
        print(f"LRAN left out: {error}")
        return None
    return LRANModel.load(path, data), float("nan")


def grid(resolution: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the states of a grid over the box, and the well, -1 or 1, into which each falls."""
    x = np.linspace(-BOX, BOX, resolution)
    states = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    basins = np.sign(evolve(states, 1, dt=15.0).u[:, -1, 0])
    return states, basins.reshape(resolution, resolution)


def best(shown: dict[str, LinearModel]) -> str:
    """Name of the model whose eigenfunctions are drawn: the first that there is."""
    wanted = ("LRAN d = 16", "balanced 16 of it", "balanced 16 of thin-plate", "balanced 8 of Gaussian")
    return next(name for name in (*wanted, *shown) if name in shown)


def picture(config: Config, found: dict[str, Scores], shown: dict[str, LinearModel]) -> Figure:
    """Draw errors by horizon, two spectra, the basins as forecast, and two eigenfunctions."""
    figure = Figure(figsize=(16.0, 10.4), layout="constrained")
    axes = figure.subplots(2, 3)
    horizons({name: scores.median() for name, scores in found.items()}, axes[0, 0], unit=0.25, label="time")
    name = best(shown)
    model = shown[name]
    size = 40 if config.fast else config.resolution
    states, basins = grid(size)
    test = unseen("duffing", seed=0, fast=config.fast)[:200]
    residuals = resdmd_residuals(model, test)
    products = [a * SPIRAL + b * SPIRAL.conjugate() for a in range(4) for b in range(4) if a + b <= 3]
    known = np.exp(0.25 * np.array(products))
    spectrum(model.eigenvalues, residuals, axes[0, 1], title=f"{name}: eigenvalues and residuals", truth=known)
    many = ("EDMD thin-plate 1,000", "EDMD Gaussian 303", "EDMD Chebyshev deg 5")
    large = next((other for other in many if other in shown), name)
    spectrum(shown[large].eigenvalues, resdmd_residuals(shown[large], test), axes[0, 2],
             title=f"{large}: eigenvalues and residuals", truth=known)  # fmt: skip
    forecast = np.sign(model.predict(states, max(STEPS))[:, -1, 0]).reshape(size, size)
    share = np.mean(forecast != basins)
    basin_map(basins, axes[1, 0], box=BOX, wrong=forecast != basins,
              title=f"basins, and where {name} errs (black, {100 * share:.1f} %)")  # fmt: skip
    phi = model.eigenfunctions(states)
    label = basin_function(model, phi)
    values = model.eigenvalues
    well = (phi[:, label].real - phi[:, label].real.mean()).reshape(size, size)
    well *= np.sign(np.sum(well * basins))  # an eigenfunction has no sign of its own: the right well is positive
    phase_plane(well, basins, axes[1, 1], box=BOX,
                title=f"eigenfunction of λ = {values[label].real:.4f}: which well (real part)")  # fmt: skip
    spiral = nearest(model.exponents, SPIRAL)
    phase_plane(np.angle(phi[:, spiral]).reshape(size, size), basins, axes[1, 2], box=BOX, cyclic=True,
                title=f"phase of the eigenfunction of μ = {model.exponents[spiral]:.3f}")  # fmt: skip
    return figure


def basin_function(model: LinearModel, phi: NDArray[np.complex128]) -> int:
    """Index of the eigenfunction of an eigenvalue near 1 that varies most: the other one near 1 is the constant."""
    near = np.flatnonzero(np.abs(model.eigenvalues - 1) < 0.03)
    near = near if near.size else np.array([nearest(model.eigenvalues, 1.0)])
    spread = phi[:, near].real.std(axis=0) / np.abs(phi[:, near]).mean(axis=0)
    return int(near[np.argmax(spread)])


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
