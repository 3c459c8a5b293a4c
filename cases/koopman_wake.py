"""Koopman models of a cylinder's wake, from its unstable steady flow to the vortex street.

conjugo koopman-wake
conjugo koopman-wake --reynolds 60 --time 200
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.cases.koopman_models import Persistence
from conjugo.cases.launch import launch
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, significant
from conjugo.cases.wake_modes import Basis, draw_eigenvalues, draw_mode, mirrored
from conjugo.learned.dynamics import (
    DMD,
    EDMD,
    KernelEDMD,
    LinearModel,
    OnModes,
    Polynomials,
    Radial,
    Reduced,
    nrmse,
    resdmd_residuals,
)
from conjugo.pde.fem.wake import wake
from conjugo.pde.grid import Grid
from conjugo.pde.store import generate, read
from conjugo.pde.trajectories import Trajectories

type Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Koopman models of a cylinder's wake, from its unstable steady flow to the vortex street (extra fem)."""

    reynolds: float = 100.0
    """Of the diameter; a vortex street above 47."""
    resolution: int = 12
    """Elements along a side of the box of 4 x 4 diameters round the cylinder."""
    time: float = 80.0
    """Length of a wake, in diameters over speed."""
    dt: float = 0.25
    """Between snapshots."""
    amplitude: float = 0.05
    """Largest speed of the disturbance of the steady flow."""
    wakes: int = 2
    """Recorded, each with a disturbance of its own; the last is for the test."""
    rank: int = 20
    """Proper orthogonal modes of the velocity."""
    centres: int = 200
    """Gaussians of the dictionary; half as many again for the kernel."""
    horizon: int = 48
    """Steps of the forecasts."""
    pictured: str = "balanced 12 of Gaussian"
    """Model whose modes are drawn."""
    seed: int = 0
    """Of disturbances and centres."""
    cache: Path = Path("data")
    """Folder of the recorded wakes."""
    folder: Path = Path("runs")
    """Where runs are kept."""
    fast: bool = False
    """A coarse and short flow, so that it ends in seconds."""


def gaussians(config: Config) -> EDMD:
    """A dictionary of Gaussians about k-means centres."""
    return EDMD(Radial(config.centres, "gaussian", 1.0, relative=True, seed=config.seed), ridge=1e-9)


MODELS: dict[str, Callable[[Config], LinearModel]] = {
    "persistence": lambda config: Persistence(),
    "DMD": lambda config: DMD(),
    "EDMD quadratic on 8": lambda config: EDMD(OnModes(8, Polynomials(2))),
    "EDMD Gaussian": gaussians,
    "kernel EDMD": lambda config: KernelEDMD(3 * config.centres // 2, width=1.0, ridge=1e-9, seed=config.seed),
    "balanced 12 of Gaussian": lambda config: Reduced(gaussians(config), 12, horizon=40),
}
"""Name of a model: what makes it."""

SHOWN = ("DMD", "EDMD Gaussian", "kernel EDMD", "balanced 12 of Gaussian")
"""Models whose eigenvalues are drawn."""


class Outcome(NamedTuple):
    """One model.

    Parameters
    ----------
    name : str
        Its name.
    model : LinearModel
        Fitted.
    errors : (horizon + 1,) array
        Normalised root mean square error of the coefficients against the horizon.
    residuals : (d,) array
        Of its eigenpairs on the test wake.
    """

    name: str
    model: LinearModel
    errors: Values
    residuals: Values


def main(config: Config) -> Path:
    """Run the case and return its folder."""
    if config.fast:
        config = replace(config, resolution=8, time=12.0, amplitude=0.3, rank=min(config.rank, 8),
                         horizon=min(config.horizon, 8), centres=min(config.centres, 30))  # fmt: skip
    if config.wakes < 2 or config.pictured not in MODELS:
        raise ValueError(f"wakes = {config.wakes}, pictured = {config.pictured!r}: expected at least two wakes, of "
                         f"which the last is for the test, and one of {', '.join(MODELS)}")  # fmt: skip
    arrays, grid = recorded(config)
    run = Run("koopman_wake", config, config.folder)
    t, u, steady = arrays["t"][0], arrays["u"].astype(np.float64), arrays["steady"][0]
    train = np.concatenate([u[:-1], mirrored(u[:-1])])  # the set-up is symmetric: a reflected wake is a wake
    basis = Basis.of(train, steady, config.rank)
    known, unknown = (Trajectories(part, t, "wake") for part in (train, u[-1:]))
    outcomes = [examined(name, make, basis.coefficients(known), basis.coefficients(unknown), config)
                for name, make in tqdm(MODELS.items(), desc="models", unit="model")]  # fmt: skip
    report(run, config, outcomes, arrays, {"held": basis.held, "lost": basis.lost(unknown)})
    run.plot(spectra(outcomes, config, t, arrays["lift"]))
    chosen = next(outcome for outcome in outcomes if outcome.name == config.pictured)
    run.plot(modes(chosen, basis, grid, u[-1, -1, 2], config), "modes")
    print(f"\n{run.folder}")
    return run.folder


def recorded(config: Config) -> tuple[dict[str, NDArray[Any]], Grid]:
    """The wakes, from the cache where it has them, and the grid of their snapshots."""
    options = {"reynolds": config.reynolds, "resolution": config.resolution, "time": config.time, "dt": config.dt,
               "amplitude": config.amplitude, "seed": config.seed}  # fmt: skip

    def sample(first: int, count: int) -> Mapping[str, NDArray[Any]]:
        found = wake(count, first=first, progress=True, **options)  # type: ignore[arg-type]
        return {"u": found.trajectories.u.astype(np.float32), "drag": found.drag, "lift": found.lift,
                "strouhal": np.nan_to_num(found.strouhal), "t": np.tile(found.trajectories.t, (count, 1)),
                "steady": np.tile(found.steady, (count, 1, 1, 1)),
                "nodes": np.tile([*found.grid.origin, *found.grid.spacing], (count, 1))}  # fmt: skip

    name = "-".join(f"{value:g}" for value in (*options.values(), config.wakes))
    path = generate(config.cache / f"wake-{name}.h5", sample, config.wakes, config=options, chunk=1, progress=False)
    arrays, _ = read(path)
    arrays["strouhal"][arrays["strouhal"] == 0] = np.nan  # too short a wake: the store takes no NaN
    x, y, dx, dy = (float(value) for value in arrays["nodes"][0])
    return {key: np.asarray(value) for key, value in arrays.items()}, Grid(arrays["u"].shape[-2:], (dx, dy), (x, y))


def examined(
    name: str, make: Callable[[Config], LinearModel], known: Trajectories, unknown: Trajectories, config: Config
) -> Outcome:
    """Fit a model, and test its forecasts from every fourth state of the test wake and its eigenpairs."""
    model: LinearModel = make(config).fit(known)
    windows = unknown.windows(config.horizon + 1, every=4)
    forecast = model.predict(windows[:, 0], config.horizon)
    errors = nrmse(forecast, windows, np.arange(config.horizon + 1).tolist())
    return Outcome(name, model, errors, resdmd_residuals(model, unknown))


def report(
    run: Run, config: Config, outcomes: Sequence[Outcome], arrays: Mapping[str, NDArray[Any]], facts: dict[str, Any]
) -> None:
    """Write the files and print the table."""
    steps = [s for s in (1, 4, 8, 24, 48) if s <= config.horizon]
    run.history(["model", *range(config.horizon + 1)], ([o.name, *o.errors] for o in outcomes))
    table = Table(["model", *(f"{s * config.dt:g} D/U" for s in steps), "radius", "dimension", "residual < 0.01"])
    rows = []
    for name, model, errors, residuals in outcomes:
        radius = float(np.abs(model.eigenvalues).max())
        trusted = int(np.sum(residuals < 0.01))
        table.add(
            name, *(significant(float(errors[s])) for s in steps), f"{radius:.4f}", str(len(residuals)), str(trusted)
        )
        rows.append({"model": name, "errors": errors, "radius": radius, "dimension": len(residuals), "trusted": trusted,
                     "frequency": frequency(model, residuals)})  # fmt: skip
    late = slice(-40, None)
    facts |= {"strouhal": arrays["strouhal"], "models": rows, "converged": True,
              "lift": np.abs(arrays["lift"][:, late]).max(axis=1),
              "drag": arrays["drag"][:, late].mean(axis=1)}  # fmt: skip
    run.result(facts)
    numbers = ", ".join(f"{value:.4f}" for value in arrays["strouhal"])
    head = (f"Re {config.reynolds:g}: Strouhal {numbers}; {config.rank} modes hold {100 * facts['held']:.3f} % of the "
            f"training energy, and miss {100 * facts['lost']:.2f} % of the test wake")  # fmt: skip
    run.page(f"{head}\n\n{table.markdown()}")
    print(f"\n{head}\n\n{table.text()}")
    for row in rows:
        print(f"{row['model']}: largest oscillating mode with a residual below 0.1 at f D/U = {row['frequency']:.4f}")


def frequency(model: LinearModel, residuals: Values) -> float:
    """Frequency of the oscillating eigenpair with the largest mode among those with a residual below 0.1; NaN: none."""
    rate = model.exponents.imag / (2 * np.pi)
    size = np.linalg.norm(model.modes, axis=1) * (residuals < 0.1) * (rate > 0.01)
    return float(rate[np.argmax(size)]) if size.any() else float("nan")


def spectra(outcomes: Sequence[Outcome], config: Config, t: Values, lift: Values) -> Figure:
    """Draw eigenvalues coloured by residual, forecast errors, and the lift of the wakes."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    above, below = rows
    shown = [outcome for outcome in outcomes if outcome.name in SHOWN]
    for ax, outcome in zip(above.subplots(1, len(shown)), shown, strict=True):
        draw_eigenvalues(ax, outcome.model.eigenvalues, outcome.residuals, outcome.name, above)
    left, right = below.subplots(1, 2)
    for outcome in outcomes:
        left.semilogy(
            config.dt * np.arange(1, len(outcome.errors)), np.minimum(outcome.errors[1:], 10), label=outcome.name
        )
    left.set_xlabel("horizon, D / U")
    left.set_ylabel("relative error, test wake")
    left.legend(fontsize=8, frameon=False)
    for i, values in enumerate(lift):
        right.plot(t, values, linewidth=1, label="test" if i == len(lift) - 1 else f"training {i + 1}")
    right.set_xlabel("time, D / U")
    right.set_ylabel("lift coefficient")
    right.legend(fontsize=8, frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def modes(outcome: Outcome, basis: Basis, grid: Grid, last: Values, config: Config) -> Figure:
    """Draw the last snapshot, the steady flow, and the six largest modes that the test wake trusts."""
    model = outcome.model
    size = np.linalg.norm(model.modes, axis=1)
    upper = (model.eigenvalues.imag >= -1e-12) & (outcome.residuals < 0.3)
    order = [int(i) for i in np.argsort(-size) if upper[i]][:6]
    figure = Figure(figsize=(13, 8.6), layout="constrained")
    panels = figure.subplots(4, 2).ravel()
    draw_mode(panels[0], last, grid, f"vorticity at t = {config.time:g}")
    draw_mode(panels[1], basis.steady[2], grid, "the unstable steady flow")
    for ax, i in zip(panels[2:], order, strict=False):
        field = np.tensordot(model.modes[i], basis.vorticity, axes=1)
        field = (field * np.exp(-0.5j * np.angle(np.sum(field**2)))).real  # the phase in which the real part is largest
        mu = model.exponents[i]
        draw_mode(ax, field, grid, f"growth {mu.real:+.4f}, f D/U = {mu.imag / (2 * np.pi):.4f}, "
                  f"residual {outcome.residuals[i]:.1e}, size {size[i]:.2g}")  # fmt: skip
    for ax in panels[2 + len(order) :]:
        ax.set_visible(False)
    figure.suptitle(f"{outcome.name}: modes as vorticity, largest first", fontsize=10)
    return figure


if __name__ == "__main__":
    raise SystemExit(launch(Config, main))
