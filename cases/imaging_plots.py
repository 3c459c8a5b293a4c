"""Pictures of the imaging comparisons: reconstructions and errors, scores against costs, spread and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from torch import Tensor

from conjugo.cases.imaging_methods import OURS
from conjugo.cases.imaging_quality import LEVELS, Quality
from conjugo.cases.imaging_race import Row
from conjugo.cases.imaging_scene import Scene
from conjugo.cases.plotting import COLOURS, MARKERS

PALETTE = {
    "numerics": COLOURS["PETSc"],
    "deepinv": COLOURS["Krylov"],
    "DDS": COLOURS["multigrid"],
    OURS: COLOURS["learned"],
}
"""One colour a family."""


def shown(rows: Sequence[Row], steps: int) -> list[Row]:
    """Of every method the run nearest to a number of steps."""
    names = dict.fromkeys(row.method for row in rows)
    return [min((row for row in rows if row.method == name), key=lambda row: abs(row.steps - steps)) for name in names]


def reconstructions(scene: Scene, rows: Sequence[Row], spreads: Sequence[Quality], *, index: int) -> Figure:
    """Draw one slice: truth and reconstructions, errors below on one scale, and the spread of samples."""
    columns = len(rows) + 1
    per_row = (columns + 1) // 2
    figure = Figure(figsize=(1.55 * per_row, 7.6), layout="constrained")
    axes: Any = figure.subplots(4, per_row)
    truth = picture(scene.magnitude(scene.test.truth)[index])
    errors = [picture(scene.magnitude(row.x)[index]) - truth for row in rows]
    top = float(np.median([np.quantile(np.abs(e), 0.995) for e in errors if np.all(np.isfinite(e))]))
    cells = [(block, column) for block in (0, 2) for column in range(per_row)]
    for block, column in cells:
        axes[block, column].set_axis_off()
        axes[block + 1, column].set_axis_off()
    axes[0, 0].imshow(truth, cmap="gray", vmin=0, vmax=1)
    axes[0, 0].set_title("truth", fontsize=8)
    _spread(axes[1, 0], spreads, index=0, top=top)
    drawn: Any = None
    for (block, column), row, error in zip(cells[1:], rows, errors, strict=False):
        axes[block, column].imshow(error + truth, cmap="gray", vmin=0, vmax=1)
        axes[block, column].set_title(f"{row.label}\n{row.psnr[index]:.2f} dB", fontsize=8)
        drawn = axes[block + 1, column].imshow(np.abs(error), cmap="magma", vmin=0, vmax=top)
    figure.colorbar(drawn, ax=axes, shrink=0.5, pad=0.01, label="|error| of the magnitude, and spread")
    return figure


def _spread(ax: Axes, spreads: Sequence[Quality], *, index: int, top: float) -> None:
    mine = [one for one in spreads if one.label.startswith(OURS) and one.label.endswith("ancestral")]
    if mine:
        ax.imshow(picture(mine[0].spread[index]), cmap="magma", vmin=0, vmax=top)
        ax.set_title(f"standard deviation,\n{mine[0].label}", fontsize=6.5)


def costs(rows: Sequence[Row]) -> Figure:
    """Draw PSNR and SSIM against evaluations, applications and seconds."""
    figure = Figure(figsize=(11.5, 6.4), layout="constrained")
    axes: Any = figure.subplots(2, 3, sharey="row")
    names = list(dict.fromkeys(row.method for row in rows))
    seen: dict[str, int] = {}
    for name in names:
        mine = [row for row in rows if row.method == name]
        family = mine[0].family
        place = seen.get(family, 0)
        seen[family] = place + 1
        dash = "-" if family in (OURS, "DDS") else ":"
        style: dict[str, Any] = {"color": PALETTE[family], "marker": MARKERS[place % len(MARKERS)], "label": name,
                                 "markersize": 5, "linewidth": 1.3, "linestyle": dash}  # fmt: skip
        if place >= 2:
            style["markerfacecolor"] = "white"
        works: Any = (
            [row.evaluations for row in mine],
            [row.applications for row in mine],
            [row.median for row in mine],
        )
        for column, work in enumerate(works):
            if column == 0 and not work[0]:
                for line, score in zip(axes[:, 0], (mine[0].psnr.mean(), mine[0].ssim.mean()), strict=True):
                    line.axhline(float(score), color="0.8", linewidth=0.7, zorder=0)
                continue
            axes[0, column].plot(work, [row.psnr.mean() for row in mine], **style)
            axes[1, column].plot(work, [row.ssim.mean() for row in mine], **style)
    for column, label in enumerate(("evaluations of the network", "applications of A and its adjoint",
                                    "seconds a slice, median")):  # fmt: skip
        axes[1, column].set_xlabel(label)
        for ax in axes[:, column]:
            ax.set_xscale("log")
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(True, linewidth=0.4, color="0.88")
            ax.set_axisbelow(True)
    counts: list[int] = []
    for count in sorted({row.evaluations for row in rows if row.evaluations}):
        if not counts or count > 1.1 * counts[-1]:
            counts.append(count)
    for ax in axes[:, 0]:
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("PSNR, dB")
    axes[1, 0].set_ylabel("SSIM")
    best = [max((row.psnr.mean() for row in rows if row.method == name), default=0.0) for name in names]
    axes[0, 0].set_ylim(bottom=max(min(best), max(best) - 12) - 0.5)
    handles, labels = axes[0, 2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    return figure


def spread_and_coverage(scene: Scene, found: Sequence[Quality], slices: Sequence[int]) -> Figure:
    """Draw the error of the samples' mean beside their standard deviation, and the coverage of intervals."""
    figure = Figure(figsize=(2.1 * len(found) + 3.4, 4.4), layout="constrained")
    grid = figure.add_gridspec(2, len(found) + 1, width_ratios=[*[1.0] * len(found), 1.6])
    truth = picture(scene.magnitude(scene.test.truth)[slices[0]])
    errors = [np.abs(picture(one.mean[0]) - truth) for one in found]
    top = float(np.quantile(np.stack(errors), 0.99))
    drawn: Any = None
    for column, (one, error) in enumerate(zip(found, errors, strict=True)):
        for line, values in enumerate((error, picture(one.spread[0]))):
            ax = figure.add_subplot(grid[line, column])
            drawn = ax.imshow(values, cmap="magma", vmin=0, vmax=top)
            ax.set_xticks([])
            ax.set_yticks([])
            if line == 0:
                ax.set_title(one.label, fontsize=8)
            if column == 0:
                ax.set_ylabel(("|error| of the mean", "standard deviation")[line], fontsize=8)
    figure.colorbar(drawn, ax=figure.axes, shrink=0.7, pad=0.01)
    ax = figure.add_subplot(grid[:, -1])
    ax.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for one, marker in zip(found, MARKERS, strict=False):
        family = OURS if one.label.startswith(OURS) else "DDS"
        dash = "-" if "tuned" in one.label else "--"
        ax.plot(LEVELS, one.coverage, color=PALETTE[family], marker=marker, linestyle=dash,
                label=f"{one.label}: {one.ratio:.2f}")  # fmt: skip
    ax.set(
        xlabel="nominal", ylabel="truth inside", title="central intervals; spread / error", xlim=(0.4, 1), ylim=(0, 1)
    )
    ax.title.set_fontsize(9)
    ax.legend(frameon=False, fontsize=7, loc="upper left")
    return figure


def picture(image: Tensor) -> NDArray[np.float64]:
    """Return one channel as an array."""
    return np.asarray(image.reshape(image.shape[-2:]).double().cpu().numpy())
