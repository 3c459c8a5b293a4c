"""Pictures of results: functions of results and axes that change no global setting and show nothing.

Colours are those of Okabe and Ito, which colour-blind people can tell apart; one colour a family of methods,
and one line style and marker a method within the family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from conjugo.cases.table import seconds, significant
from conjugo.cases.trial import Outcome

COLOURS = {
    "automatic": "#000000",
    "direct": "#000000",
    "multigrid": "#D55E00",
    "multigrid + Krylov": "#E69F00",
    "preconditioned CG": "#009E73",
    "Krylov": "#0072B2",
    "stationary": "#CC79A7",
    "algebraic multigrid": "#56B4E9",
    "PETSc": "#7F7F7F",
    "learned": "#5B2A86",
}
"""Okabe and Ito's colours (their yellow is too faint on white; grey stands for it), and violet for learned methods."""

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2, 1, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

type Against = Literal["iterations", "seconds"]


def convergence(
    outcomes: Sequence[Outcome], ax: Axes | None = None, *, against: Against = "iterations", rtol: float | None = None
) -> Axes:
    """Draw the relative residual of every outcome.

    Parameters
    ----------
    outcomes : sequence of Outcome
        What to draw; each keeps its style whatever the axis is.
    ax : Axes, optional
        Where; default a new figure's.
    against : {"iterations", "seconds"}
        Horizontal axis; seconds count the set-up.
    rtol : float, optional
        Draw the tolerance as a thin line; residuals below a tenth of it are drawn there.

    Returns
    -------
    Axes
    """
    ax = ax or Figure(layout="constrained").subplots()
    floor = 1e-16 if rtol is None else 0.1 * rtol  # direct solves end far below: they would squeeze all others
    for outcome, style in zip(outcomes, styles(outcomes), strict=True):
        if len(outcome.residuals) == 0:
            continue
        y = np.maximum(outcome.residuals, floor)
        if against == "seconds":
            x: NDArray[Any] = np.maximum(outcome.times, 1e-4)  # a tenth of a millisecond: set-ups that cost nothing
        else:
            x = np.maximum(np.arange(len(y)), 0.5)  # a logarithmic axis has no zero: the start sits at one half
        ax.plot(x, y, **style, markevery=_marks(x))
    if rtol is not None:
        ax.axhline(rtol, color="0.6", linewidth=0.8, zorder=0)
        ax.annotate(f"tolerance {rtol:.0e}", (0.01, rtol), xycoords=("axes fraction", "data"), fontsize=8, color="0.4",
                    xytext=(0, 2), textcoords="offset points")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("iterations" if against == "iterations" else "seconds, set-up included")
    ax.set_ylabel("relative residual  ‖b - A x‖ / ‖b‖")
    return _quiet(ax)


def styles(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Give every outcome a colour by family and a dash and marker of its own within the family."""
    seen: dict[str, int] = {}
    result = []
    for outcome in outcomes:
        place = seen.get(outcome.family, 0)
        seen[outcome.family] = place + 1
        style = {
            "color": COLOURS.get(outcome.family, "#7F7F7F"),
            "linestyle": DASHES[place % len(DASHES)],
            "marker": MARKERS[place % len(MARKERS)],
            "markersize": 4.5,
            "markerfacecolor": "white" if place >= 3 else COLOURS.get(outcome.family, "#7F7F7F"),
            "linewidth": 1.4,
            "label": outcome.method,
        }
        result.append(style)
    return result


def legend(outcomes: Sequence[Outcome], figure: Figure) -> None:
    """Write a legend beside the axes, by family, with each method's seconds."""
    handles: list[Line2D] = []
    labels: list[str] = []
    headings = []
    pairs = list(zip(outcomes, styles(outcomes), strict=True))
    for family in dict.fromkeys(outcome.family for outcome in outcomes):
        headings.append(len(labels))
        handles.append(Line2D([], [], linestyle="none"))
        labels.append(family)
        for outcome, style in pairs:
            if outcome.family == family and len(outcome.residuals):
                handles.append(Line2D([], [], **style))
                took = seconds(outcome.total_seconds)
                labels.append(f"{outcome.method}  {took}" + ("" if outcome.converged else f"  ({outcome.status})"))
    drawn = figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False, handlelength=3.4)
    for i in headings:
        drawn.get_texts()[i].set_fontweight("bold")


def field(
    values: NDArray[Any], ax: Axes | None = None, *, title: str = "", extent: Sequence[float] | None = None
) -> Axes:
    """Draw a field on a grid: a line in one dimension, an image in two, the middle plane of three.

    Parameters
    ----------
    values : grid-shaped array
        The field; NaN where there is none.
    ax : Axes, optional
        Where; default a new figure's.
    title : str
        Written above.
    extent : sequence of float, optional
        Ends of the horizontal axis and, in two dimensions, of the vertical one.

    Returns
    -------
    Axes
    """
    ax = ax or Figure(layout="constrained").subplots()
    if values.ndim == 1:
        ends = extent or (0.0, 1.0)
        ax.plot(np.linspace(ends[0], ends[1], len(values)), values, color=COLOURS["Krylov"])
        ax.set_xlabel("x")
        ax.set_title(title, fontsize=10)
        return _quiet(ax)
    names = ("x", "y")
    if values.ndim == 3:
        values, title, names = values[len(values) // 2], f"{title}, middle plane", ("y", "z")
    box = None if extent is None else (extent[0], extent[1], extent[2], extent[3])
    image = ax.imshow(values.T, origin="lower", cmap="viridis", extent=box, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, shrink=0.85)
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.set_title(title, fontsize=10)
    return ax


def bars(names: Sequence[str], values: Sequence[float], ax: Axes | None = None, *, label: str = "seconds") -> Axes:
    """Draw horizontal bars on a logarithmic axis, the shortest on top, each with its value."""
    ax = ax or Figure(layout="constrained").subplots()
    order = sorted(range(len(values)), key=lambda i: -values[i])
    ax.barh([names[i] for i in order], [values[i] for i in order], color=COLOURS["Krylov"], height=0.6)
    for row, i in enumerate(order):
        ax.annotate(significant(values[i]), (values[i], row), xytext=(4, 0), textcoords="offset points",
                    va="center", fontsize=8)  # fmt: skip
    ax.set_xscale("log")
    ax.set_xlabel(label)
    ax.margins(x=0.15)
    return _quiet(ax)


def weak_scaling(rows: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Draw seconds against ranks for rows with keys problem, ranks, setup_seconds and seconds; level is ideal."""
    ax = ax or Figure(layout="constrained").subplots()
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    colours = (COLOURS["Krylov"], COLOURS["multigrid"], COLOURS["preconditioned CG"])
    for problem, colour, marker in zip(problems, colours, MARKERS, strict=False):
        mine = sorted((row for row in rows if row["problem"] == problem), key=lambda row: int(row["ranks"]))
        ranks = [row["ranks"] for row in mine]
        whole = [row["setup_seconds"] + row["seconds"] for row in mine]
        solve = [row["seconds"] for row in mine]
        ax.plot(ranks, whole, color=colour, marker=marker, label=f"{problem}: set-up and solve")
        ax.plot(ranks, solve, color=colour, marker=marker, markerfacecolor="white", linestyle="--",
                label=f"{problem}: solve")  # fmt: skip
    ax.set_xticks(sorted({row["ranks"] for row in rows}))
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("ranks, each with the same number of unknowns")
    ax.set_ylabel("seconds (level is ideal)")
    if problems:
        ax.legend(frameon=False, fontsize=8)
    return _quiet(ax)


def refinement(sizes: Sequence[float], errors: Sequence[float], order: float, ax: Axes | None = None) -> Axes:
    """Draw errors against elements along a side, with the line that theory promises."""
    ax = ax or Figure(layout="constrained").subplots()
    n = np.asarray(sizes, dtype=np.float64)
    if len(n):
        ax.loglog(n, errors, color=COLOURS["multigrid"], marker="o", label="error in L2")
        ax.loglog(n, errors[0] * (n[0] / n) ** order, color="0.5", linestyle="--", label=f"order {order:.3g}")
        ax.set_xticks(n, [f"{size:.0f}" for size in n], minor=False)
        ax.xaxis.set_minor_locator(NullLocator())
        ax.legend(frameon=False)
    ax.set_xlabel("elements along a side")
    ax.set_ylabel("error")
    return _quiet(ax)


def _marks(x: NDArray[Any]) -> list[int]:
    """Indices of about six markers, evenly apart on a logarithmic axis."""
    if len(x) <= 6:
        return list(range(len(x)))
    wanted = np.geomspace(x[0], x[-1], 6)
    return sorted({int(i) for i in np.clip(np.searchsorted(x, wanted), 0, len(x) - 1)})


def _quiet(ax: Axes) -> Axes:
    """Leave out what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, which="major", linewidth=0.4, color="0.88")
    ax.set_axisbelow(True)
    return ax
