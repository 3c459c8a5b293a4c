"""Pictures of models of dynamics: errors by horizon, spectra with residuals, eigenfunctions, space-time fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from conjugo.cases.plotting import COLOURS, DASHES
from conjugo.cases.tuning_plots import quiet

type Floats = NDArray[np.float64]
type Complexes = NDArray[np.complex128]

BASINS = ListedColormap(["#FBE3D6", "#DCEBF7"])
"""The left well's basin, and the right one's."""

_HUES = [COLOURS[name] for name in ("Krylov", "preconditioned CG", "multigrid + Krylov", "stationary",
                                    "algebraic multigrid", "PETSc", "multigrid")]  # fmt: skip


def style(name: str, place: int) -> dict[str, Any]:
    """Colour and dash of a model's curve: LRANs thick and violet, re-encoded ones dashed, persistence grey."""
    if "LRAN" in name:
        return {"color": COLOURS["learned"], "linewidth": 2.4, "linestyle": DASHES[1 if "re-encoded" in name else 0]}
    if name == "persistence":
        return {"color": "0.6", "linewidth": 1.3}
    return {"color": _HUES[place % len(_HUES)], "linewidth": 1.4, "linestyle": DASHES[(place // len(_HUES)) % 3]}


def horizons(curves: Mapping[str, Floats], ax: Axes, *, unit: float, label: str) -> None:
    """Draw errors by step on a logarithmic axis; `unit` is the time of a step in the axis' unit."""
    place = 0
    for name, errors in curves.items():
        times = unit * np.arange(1, len(errors))
        shown = np.where(np.isfinite(errors[1:]), np.maximum(errors[1:], 1e-8), np.nan)
        ax.semilogy(times, shown, label=name, **style(name, place))
        place += "LRAN" not in name and name != "persistence"
    ax.set_ylim(top=3.0)
    ax.axhline(1.0, color="0.8", linewidth=0.8, zorder=0)
    ax.set_xlabel(label)
    ax.set_ylabel("NRMSE of the state")
    ax.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, labelspacing=0.3)
    quiet(ax)


def spectrum(values: Complexes, residuals: Floats, ax: Axes, *, title: str, truth: Complexes | None = None) -> None:
    """Draw eigenvalues in the complex plane, coloured by residual: what is pale is not to be believed."""
    angle = np.linspace(0, 2 * np.pi, 400)
    ax.plot(np.cos(angle), np.sin(angle), color="0.75", linewidth=0.8, zorder=0)
    if truth is not None:
        ax.scatter(
            truth.real, truth.imag, s=90, facecolors="none", edgecolors="0.25", linewidths=0.9, zorder=3, label="known"
        )
        ax.legend(fontsize=8, frameon=False, loc="lower left")
    order = np.argsort(-residuals)  # the best last, on top
    norm = LogNorm(1e-3, 1.0)
    shown = np.clip(np.nan_to_num(residuals, posinf=1.0, nan=1.0), 1e-3, 1.0)
    ax.scatter(
        values.real[order], values.imag[order], c=shown[order], cmap="viridis", norm=norm, s=22, linewidths=0, zorder=2
    )
    ax.figure.colorbar(ScalarMappable(norm, "viridis"), ax=ax, shrink=0.8, label="residual", extend="both")
    ax.set_aspect("equal")
    ax.set_xlim(-1.15, 1.15)
    ax.set_ylim(-1.15, 1.15)
    ax.set_xlabel("Re λ")
    ax.set_ylabel("Im λ")
    ax.set_title(title, fontsize=10)


def phase_plane(values: Floats, basins: Floats, ax: Axes, *, box: float, title: str, cyclic: bool = False) -> None:
    """Draw a function of (x, x') as colour, with the basins' boundary; without values, the basins themselves."""
    extent = (-box, box, -box, box)
    top = np.pi if cyclic else float(np.quantile(np.abs(values), 0.99))
    cmap = "twilight" if cyclic else "RdBu"
    image = ax.imshow(values.T, origin="lower", extent=extent, cmap=cmap, vmin=-top, vmax=top, interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, shrink=0.8)
    x = np.linspace(-box, box, len(basins))
    ax.contour(x, x, basins.T, levels=[0.0], colors="black", linewidths=0.8)
    ax.plot([-1, 1], [0, 0], "o", color="black", markersize=4)
    ax.plot([0], [0], "x", color="black", markersize=5)
    ax.set_xlabel("x")
    ax.set_ylabel("dx/dt")
    ax.set_title(title, fontsize=10)


def basin_map(basins: Floats, ax: Axes, *, box: float, wrong: NDArray[np.bool_] | None = None, title: str) -> None:
    """Colour the basins, and mark in black where a model forecasts the other well."""
    extent = (-box, box, -box, box)
    ax.imshow(basins.T, origin="lower", extent=extent, cmap=BASINS, vmin=-1, vmax=1, interpolation="nearest")
    if wrong is not None:
        mask = np.ma.masked_where(~wrong.T, np.ones(wrong.T.shape))
        ax.imshow(mask, origin="lower", extent=extent, cmap="gray", vmin=0, vmax=1e9, interpolation="nearest")
    ax.plot([-1, 1], [0, 0], "o", color="black", markersize=4)
    ax.set_xlabel("x")
    ax.set_ylabel("dx/dt")
    ax.set_title(title, fontsize=10)


def space_time(
    fields: Sequence[tuple[str, Floats]], axes: Sequence[Axes], *, length: float, unit: float, top: float
) -> AxesImage:
    """Draw fields (times, points) side by side in one scale, time to the right."""
    image = None
    for (title, values), ax in zip(fields, axes, strict=True):
        extent = (0, unit * (len(values) - 1), 0, length)
        image = ax.imshow(values.T, origin="lower", aspect="auto", extent=extent, cmap="RdBu_r", vmin=-top, vmax=top)
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("Lyapunov times")
        ax.label_outer()
    axes[0].set_ylabel("x")
    if image is None:
        raise ValueError("fields is empty: pass at least one")
    return image
