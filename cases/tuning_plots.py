"""Pictures of tuned solvers: what was spent, what was chosen, and how regret grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from conjugo.cases.plotting import COLOURS, DASHES

type Floats = NDArray[np.float64]

_CYCLE = [COLOURS[name] for name in ("multigrid + Krylov", "algebraic multigrid", "stationary", "preconditioned CG")]
_OWN = {
    "best fixed": "#7F7F7F",
    "default": "#000000",
    "SSOR-CG": "#BBBBBB",
    "TunedSolver": COLOURS["multigrid"],
    "Thompson + model": COLOURS["Krylov"],
    "Thompson": COLOURS["algebraic multigrid"],
    "ChebCB": COLOURS["preconditioned CG"],
    "Tsallis-INF": COLOURS["multigrid + Krylov"],
    "Tsallis-INF, ": COLOURS["stationary"],
    "DST direct": COLOURS["preconditioned CG"],
    "petsc": COLOURS["Krylov"],
}
"""Colours by the beginning of a name, the longest one that fits: a policy looks the same in every panel."""


def style(name: str, place: int) -> dict[str, Any]:
    """Colour and dash of a policy's curve; oracles and closed forms are thin and dashed."""
    if "oracle" in name or "omega*" in name or "closed form" in name:
        return {"color": "#000000", "linewidth": 1.1, "linestyle": DASHES[1 + ("omega" in name or "closed" in name)]}
    fits = sorted((start for start in _OWN if name.startswith(start)), key=len)
    colour = _OWN[fits[-1]] if fits else _CYCLE[place % len(_CYCLE)]
    return {"color": colour, "linewidth": 2.2 if name == "TunedSolver" else 1.5}


def legend(ax: Axes) -> None:
    """Write the legend on white, above the curves."""
    ax.legend(fontsize=8, ncols=2, loc="upper right", framealpha=0.92, edgecolor="none")


def running(curves: Mapping[str, Floats], ax: Axes, *, label: str, relative_to: Floats | None = None) -> None:
    """Draw cumulative costs against steps, or how much they are of a reference's."""
    for place, (name, costs) in enumerate(curves.items()):
        total = np.cumsum(costs)
        steps = np.arange(1, len(total) + 1)
        shown = total if relative_to is None else total / np.cumsum(relative_to)
        kept = np.unique(np.linspace(0, len(total) - 1, 600).astype(int))
        ax.plot(steps[kept], shown[kept], label=name, **style(name, place))
    ax.set_xlabel("systems solved")
    ax.set_ylabel(label)
    quiet(ax)


def choices(contexts: Floats, omegas: Floats, ax: Axes, *, label: str, best: Floats | None = None) -> None:
    """Draw chosen parameters against the context: early ones pale, late ones dark; and the theory's."""
    late = np.linspace(0.15, 1.0, len(contexts))
    colour = np.zeros((len(contexts), 4))
    colour[:, :3], colour[:, 3] = (0.0, 0.447, 0.698), 0.15 + 0.6 * late
    jitter = np.random.default_rng(0).uniform(-0.008, 0.008, len(contexts))
    ax.scatter(contexts, omegas + jitter, s=7, c=colour, linewidths=0, label="chosen (dark: late)")
    if best is not None:
        order = np.argsort(contexts)
        ax.plot(contexts[order], best[order], color=COLOURS["multigrid"], linewidth=1.6, label="best in theory")
    ax.set_xlabel(label)
    ax.set_ylabel("relaxation factor")
    ax.legend(frameon=False, fontsize=8)
    quiet(ax)


def regret(curves: Mapping[str, Floats], ax: Axes, *, slopes: Sequence[tuple[float, str]] = ()) -> None:
    """Draw cumulative regret on logarithmic axes, with lines of the slopes that theory promises."""
    top = 1.0
    for place, (name, costs) in enumerate(curves.items()):
        total = np.cumsum(costs)
        steps = np.arange(1, len(total) + 1)
        kept = np.unique(np.geomspace(1, len(total), 200).astype(int)) - 1
        kept = kept[total[kept] > 0]
        ax.plot(steps[kept], total[kept], label=name, **style(name, place))
        top = max(top, float(total[-1]))
    last = len(next(iter(curves.values()))) if curves else 1
    for place, (slope, name) in enumerate(slopes):
        t = np.geomspace(max(2, last // 100), last, 2)
        ax.plot(
            t,
            1.5 * top * (t / last) ** slope,
            label=name,
            color="0.6",
            linewidth=1.1,
            linestyle=DASHES[place % len(DASHES)],
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("systems solved")
    ax.set_ylabel("regret")
    quiet(ax)


def quiet(ax: Axes) -> None:
    """Leave out what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, which="major", linewidth=0.4, color="0.88")
    ax.set_axisbelow(True)
