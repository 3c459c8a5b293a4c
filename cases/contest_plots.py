"""Pictures of a contest: seconds by class, iterations against size and contrast, and residuals class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from conjugo.cases.contest import TOLERANCES
from conjugo.cases.plotting import convergence, styles
from conjugo.cases.trial import Outcome

type Styles = Mapping[str, dict[str, Any]]
type Sweep = Mapping[float, Mapping[str, float]]


def method_styles(outcomes: Sequence[Outcome]) -> Styles:
    """One style a method, whatever the panel."""
    first = list({o.method: o for o in outcomes}.values())
    return {o.method: style for o, style in zip(first, styles(first), strict=True)}


def overview(
    summaries: Mapping[str, Sequence[dict[str, Any]]],
    sizes: Sweep,
    contrasts: Sweep,
    looks: Styles,
    titles: Sequence[str],
) -> Figure:
    """Draw median seconds by class and, where they were run, iterations against size and against contrast."""
    classes = len(summaries)
    figure = Figure(figsize=(15.0, max(7.0, 1.6 + 0.42 * classes)), layout="constrained")
    labels = ("unknowns along a side", "contrast  max k / min k")
    sweeps = [(v, label, title) for v, label, title in zip((sizes, contrasts), labels, titles, strict=True) if v]
    if sweeps:
        grid = figure.add_gridspec(len(sweeps), 2, width_ratios=(1.25, 1.0))
        seconds_by_class(summaries, looks, figure.add_subplot(grid[:, 0]))
        for row, (values, label, title) in enumerate(sweeps):
            sweep(values, looks, figure.add_subplot(grid[row, 1]), label=label, title=title)
    else:
        seconds_by_class(summaries, looks, figure.add_subplot())
    _legend(figure, looks)
    return figure


def seconds_by_class(summaries: Mapping[str, Sequence[dict[str, Any]]], looks: Styles, ax: Axes) -> Axes:
    """Draw the median seconds of every method to 1e-6, one line a class; methods that fail are left out."""
    for row, rows in enumerate(summaries.values()):
        ax.axhline(row, color="0.92", linewidth=0.8, zorder=0)
        for entry in rows:
            value = entry[f"seconds_{TOLERANCES[0]:.0e}"][0]
            if math.isfinite(value):
                look = {k: v for k, v in looks[entry["method"]].items() if k not in ("label", "linestyle")}
                learned = entry["family"] == "learned"
                ax.plot([max(value, 1e-5)], [row], **look | {"markersize": 9 if learned else 6.5}, linestyle="none")
    ax.set_yticks(range(len(summaries)), list(summaries))
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.set_xlabel("median seconds of a solve to 1e-6, set-up apart")
    ax.set_title("seconds by class (left is better)", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def sweep(values: Sweep, looks: Styles, ax: Axes, *, label: str, title: str) -> Axes:
    """Draw iterations to 1e-6 against a parameter; a method's line ends where it fails."""
    for name, look in looks.items():
        points = [(x, at[name]) for x, at in values.items() if math.isfinite(at.get(name, math.inf))]
        if points:
            x, y = np.array(points).T
            ax.plot(x, np.maximum(y, 1), **look)
    ax.set_xscale("log", base=2 if "side" in label else 10)
    if "side" in label and values:
        ax.set_xticks(list(values), [f"{x:.0f}" for x in values])
    ax.set_yscale("log")
    ax.set_xlabel(label)
    ax.set_ylabel("median iterations to 1e-6")
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, which="major", linewidth=0.4, color="0.88")
    return ax


def residuals(problems: Mapping[str, Sequence[Outcome]], looks: Styles) -> Figure:
    """Draw residuals against iterations and against seconds, for one problem of each class."""
    columns = 1 if len(problems) < 4 else 2
    rows = math.ceil(len(problems) / columns)
    figure = Figure(figsize=(9.0 * columns + 1.5, 2.0 + 2.9 * rows), layout="constrained")
    axes = np.atleast_2d(figure.subplots(rows, 2 * columns, squeeze=False))
    for place, (name, outcomes) in enumerate(problems.items()):
        row, column = divmod(place, columns)
        for panel, against in enumerate(("iterations", "seconds")):
            ax = axes[row, 2 * column + panel]
            drawn = [o for o in outcomes if len(o.residuals)]
            convergence(drawn, ax, against=against, rtol=TOLERANCES[-1])  # type: ignore[arg-type]
            for line, outcome in zip(ax.get_lines(), drawn, strict=False):
                look = looks[outcome.method]
                line.set(**{k: v for k, v in look.items() if k != "label"})
            ax.set_title(name, fontsize=10)
            if panel:
                ax.set_ylabel("")
    for place in range(len(problems), rows * columns):
        row, column = divmod(place, columns)
        for panel in (0, 1):
            axes[row, 2 * column + panel].set_visible(False)
    _legend(figure, looks)
    return figure


def _legend(figure: Figure, looks: Styles) -> None:
    handles = [Line2D([], [], **look) for look in looks.values()]
    figure.legend(handles, list(looks), loc="outside right upper", fontsize=8, frameon=False, handlelength=3.4)
