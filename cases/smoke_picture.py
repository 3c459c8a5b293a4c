"""The picture of a smoke race: frames of the plume above the curves of its pressure solves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from conjugo.cases.plotting import styles
from conjugo.cases.smoke_race import Entrant
from conjugo.cases.table import seconds
from conjugo.cases.trial import Outcome
from conjugo.pde.grid import Grid
from conjugo.solvers.result import Status

type Values = NDArray[np.float64]

SOLID = "#0072B2"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The density at one time, seen from the front."""

    step: int
    time: float
    density: Values


def seen_from_the_front(density: Values) -> Values:
    """Return what a frame shows: the density, in 3-D its mean along the last axis."""
    return density if density.ndim == 2 else density.mean(axis=-1)


def draw(
    frames: Sequence[Frame], solid: NDArray[np.bool_], grid: Grid, entrants: Sequence[Entrant], title: str
) -> Figure:
    """Draw the whole picture.

    Parameters
    ----------
    frames : sequence of Frame
        What to show of the plume, in order of time.
    solid : grid-shaped bool array
        Where solids are.
    grid : Grid
        The cells.
    entrants : sequence of Entrant
        The methods with their laps.
    title : str
        Written above all.

    Returns
    -------
    Figure
    """
    aspect = grid.lengths[0] / grid.lengths[1]
    tall = float(np.clip(10.3 / max(len(frames), 3) * aspect, 1.2, 4.5)) + 1.0
    figure = Figure(figsize=(13.0, tall + 4.0), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(tall, 4.0))
    draw_frames(parts[0], frames, solid, grid)
    draw_curves(parts[1], entrants)
    figure.suptitle(title, fontsize=12)
    return figure


def draw_frames(figure: SubFigure, frames: Sequence[Frame], solid: NDArray[np.bool_], grid: Grid) -> None:
    """Draw the density at some times, with one scale, and the solids in blue."""
    if not frames:
        return
    deep = len(grid.shape) == 3
    outline = solid if not deep else solid.any(axis=-1)
    extent = (0.0, grid.lengths[1], 0.0, grid.lengths[0])
    smoky = np.concatenate([frame.density[frame.density > 1e-3] for frame in frames])
    darkest = (
        float(np.quantile(smoky, 0.99)) if smoky.size else 1.0
    )  # in 3-D a film under a ceiling would fade the rest
    panels = figure.subplots(1, len(frames), sharey=True, squeeze=False)[0]
    for i, (frame, ax) in enumerate(zip(frames, panels, strict=True)):
        image = ax.imshow(frame.density, origin="lower", extent=extent, cmap="Greys", vmin=0.0, vmax=darkest,
                          interpolation="nearest")  # fmt: skip
        shown = np.ma.masked_where(~outline, np.ones(outline.shape))
        ax.imshow(shown, origin="lower", extent=extent, cmap=ListedColormap([SOLID]), alpha=0.45 if deep else 1.0,
                  interpolation="nearest")  # fmt: skip
        ax.set_title(f"step {frame.step}, t = {frame.time:.2f}", fontsize=10)
        ax.set_xlabel("x (box widths)")
        ax.set_xticks(np.linspace(0.0, grid.lengths[1], 3))
        if i == 0:
            ax.set_ylabel("height (box widths)")
    what = "density, mean over the depth" if deep else "density (1 at the source)"
    figure.colorbar(image, ax=list(panels), shrink=0.85, pad=0.01, label=what, extend="max" if deep else "neither")


def draw_curves(figure: SubFigure, entrants: Sequence[Entrant]) -> None:
    """Draw seconds and iterations of every step, with one legend beside them."""
    left, right = figure.subplots(1, 2)
    ran = [entrant for entrant in entrants if entrant.laps]
    looks = styles([Outcome(e.method.name, e.method.family, Status.CONVERGED) for e in ran])
    handles, labels = [], []
    for entrant, style in zip(ran, looks, strict=True):
        steps = [lap.step for lap in entrant.laps]
        every = max(1, len(steps) // 6)
        left.plot(steps, [1e3 * lap.seconds for lap in entrant.laps], **style, markevery=every)
        right.plot(steps, [max(lap.iterations, 0.5) for lap in entrant.laps], **style, markevery=every)
        handles.append(Line2D([], [], **style))
        name = entrant.method.name + ("" if not entrant.out else "  (out of time)")
        took = f"{seconds(entrant.median_seconds)} a step (median)"
        labels.append(f"{name}\n{took}\nset-up {seconds(entrant.setup_seconds)}")
    left.set_ylabel("milliseconds a pressure solve, without set-up")
    right.set_ylabel("iterations a pressure solve")
    for ax in (left, right):
        _finish(ax)
    if ran:
        figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8, handlelength=3.4,
                      labelspacing=0.9)  # fmt: skip


def _finish(ax: Axes) -> None:
    ax.set_yscale("log")
    ax.set_xlabel("step")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, which="major", linewidth=0.4, color="0.88")
    ax.set_axisbelow(True)
