"""Pictures of learned operators: fields beside the truth, spectra of errors, errors over grids and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.fft
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

COLOURS = ("#7F7F7F", "#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, grey and black for numerics alone."""

DASHES: tuple[Any, ...] = ((0, (1, 1.2)), (0, (5, 1.5)), "-", (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), "-", "--", ":")
MARKERS = ("x", "+", "o", "s", "^", "D", "v", "P")


def style(place: int) -> dict[str, Any]:
    """Colour, dash and marker of the place-th method."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 5,
        "linewidth": 1.5,
    }


def darcy_fields(
    a: Tensor, u: Tensor, predictions: Mapping[str, Tensor], errors: Mapping[str, Sequence[NDArray[np.float64]]]
) -> Figure:
    """Draw one sample: medium and truth, then every method's prediction above its error, all errors on one scale."""
    sample = typical(errors)
    truth = u[sample, 0].numpy()
    columns = 1 + len(predictions)
    figure = Figure(figsize=(2.1 * columns, 4.6), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    image(axes[0, 0], truth, "truth", "viridis", 0.0, float(truth.max()))
    image(axes[1, 0], a[sample, 0].numpy(), "medium a", "Greys", 0.0, float(a[sample].max()))
    differences = {label: p[sample, 0].numpy() - truth for label, p in predictions.items()}
    top = float(np.quantile(np.abs(np.stack(list(differences.values()))), 0.999))
    last = None
    for column, (label, difference) in enumerate(differences.items(), start=1):
        image(axes[0, column], difference + truth, label, "viridis", 0.0, float(truth.max()))
        size = float(np.linalg.norm(difference) / np.linalg.norm(truth))
        last = image(axes[1, column], difference, f"error, {100 * size:.2f} %", "RdBu_r", -top, top)
    if last is not None:
        figure.colorbar(last, ax=list(axes[1, 1:]), location="bottom", label="prediction - truth", aspect=50)
    figure.suptitle("Darcy flow: one unseen sample, the one of median error", fontsize=10)
    return figure


def typical(errors: Mapping[str, Sequence[NDArray[np.float64]]]) -> int:
    """Index of the sample whose error, averaged over methods on a log scale, is the median."""
    mean = np.mean([np.log(lists[0]) for lists in errors.values()], axis=0)
    return int(np.argsort(mean)[len(mean) // 2])


def image(ax: Axes, values: NDArray[Any], title: str, colours: str, low: float, high: float) -> Any:
    """Draw a field without ticks."""
    shown = ax.imshow(values.T, origin="lower", cmap=colours, vmin=low, vmax=high)
    ax.set_title(title, fontsize=8)
    ax.set_xticks([])
    ax.set_yticks([])
    return shown


def darcy_spectra(u: Tensor, predictions: Mapping[str, Tensor]) -> Figure:
    """Draw the error of every method by wavenumber: mean square of its sine coefficients on rings, relative to u's."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    inner = u[:, 0, 1:-1, 1:-1].numpy()
    scale = rings(inner).sum()
    wavenumbers = np.arange(1, inner.shape[-1] + 1)
    ax.loglog(wavenumbers, np.sqrt(rings(inner) / scale), color="0.8", linewidth=3, label="the truth itself")
    for place, (label, prediction) in enumerate(predictions.items()):
        error = rings(prediction[:, 0, 1:-1, 1:-1].numpy() - inner)
        ax.loglog(wavenumbers, np.sqrt(error / scale), label=label, **{**style(place), "marker": ""})
    ax.set_xlabel("wavenumber |k|, half waves a side")
    ax.set_ylabel("root mean square on a ring / norm of u")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def rings(fields: NDArray[Any]) -> NDArray[np.float64]:
    """Energy of sine coefficients on rings round((k^2 + l^2)^(1/2)) = 1, 2, ..., averaged over samples."""
    n = fields.shape[-1]
    energy = (scipy.fft.dstn(fields.astype(np.float64), type=1, axes=(1, 2), norm="ortho") ** 2).mean(axis=0)
    k = np.arange(1, n + 1)
    ring = np.rint(np.hypot(k[:, None], k[None, :])).astype(int)
    return np.bincount(ring.ravel(), weights=energy.ravel(), minlength=n + 1)[1 : n + 1]


def resolutions(grids: Mapping[str, Mapping[int, float]], *, trained: int) -> Figure:
    """Draw the error over the grid that is seen; a line where the models were trained."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    for place, (label, errors) in enumerate(grids.items()):
        ax.loglog(list(errors), list(errors.values()), label=label, **style(place))
    ax.axvline(trained, color="0.6", linewidth=0.8, zorder=0)
    ax.annotate("this comparison", (trained, 0.02), xycoords=("data", "axes fraction"), fontsize=8, color="0.4",
                xytext=(3, 0), textcoords="offset points")  # fmt: skip
    sizes = list(next(iter(grids.values())))
    ax.set_xticks(sizes, [f"{size}²" for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("grid that is seen")
    ax.set_ylabel("relative L2 error")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def over_time(times: NDArray[Any], errors: Mapping[str, NDArray[np.float64]]) -> Figure:
    """Draw the error of roll-outs against time: the mean over samples, {label: (steps,)}."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    ax = figure.subplots()
    for place, (label, values) in enumerate(errors.items()):
        ax.semilogy(times, values, label=label, **style(place))
    ax.set_xlabel("time t")
    ax.set_ylabel("relative L2 error of the vorticity")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def vorticity_fields(truth: Tensor, predictions: Mapping[str, Tensor], times: Sequence[float]) -> Figure:
    """Draw one roll-out, first and last frame: (steps, n, n) truth and predictions above their errors."""
    frames = {"first": 0, "last": len(times) - 1}
    columns = 1 + len(predictions)
    figure = Figure(figsize=(2.1 * columns, 2.15 * 3), layout="constrained")
    axes = figure.subplots(3, columns, squeeze=False)
    top = float(truth.abs().max())
    drawn: list[Any] = [None, None]
    for row, (name, frame) in enumerate(frames.items()):
        at = f"t = {times[frame]:g}"
        drawn[0] = image(axes[row, 0], truth[frame].numpy(), f"truth, {name} frame, {at}", "RdBu_r", -top, top)
        for column, (label, values) in enumerate(predictions.items(), start=1):
            image(axes[row, column], values[frame].numpy(), label, "RdBu_r", -top, top)
    differences = {label: values[-1] - truth[-1] for label, values in predictions.items()}
    high = float(np.quantile(np.abs(np.stack([d.numpy() for d in differences.values()])), 0.99))
    axes[2, 0].set_axis_off()
    for column, difference in enumerate(differences.values(), start=1):
        size = float(difference.norm() / truth[-1].norm())
        drawn[1] = image(
            axes[2, column], difference.numpy(), f"error at {at}, {100 * size:.1f} %", "RdBu_r", -high, high
        )
    figure.colorbar(drawn[0], ax=list(axes[:2, -1]), label="vorticity", aspect=30)
    if drawn[1] is not None:
        figure.colorbar(drawn[1], ax=axes[2, -1], label="error", aspect=15)
    return figure


def enstrophy_spectra(truth: Tensor, predictions: Mapping[str, Tensor]) -> Figure:
    """Draw the enstrophy of the last frames (samples, n, n) by wavenumber, and that of the errors, dotted."""
    figure = Figure(figsize=(6.8, 4.4), layout="constrained")
    ax = figure.subplots()
    wavenumbers, energy = enstrophy(truth)
    ax.loglog(wavenumbers, energy, color="0.8", linewidth=4, label="truth")
    for place, (label, values) in enumerate(predictions.items()):
        mark = {**style(place), "marker": ""}
        ax.loglog(wavenumbers, enstrophy(values)[1], label=label, **mark)
        ax.loglog(wavenumbers, enstrophy(values - truth)[1], **{**mark, "linestyle": ":", "linewidth": 1.0})
    ax.set_ylim(bottom=1e-4 * float(energy.min()))  # what a solver cuts off is zero, far below
    ax.set_xlabel("wavenumber |k|, waves a side")
    ax.set_ylabel("enstrophy on a ring (dotted: of the error)")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def enstrophy(fields: Tensor) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return wavenumbers 1, 2, ..., n / 2 and the mean of |w^_k|^2 / 2 summed over rings, samples averaged."""
    n = fields.shape[-1]
    spectrum = np.abs(np.fft.fft2(fields.numpy().astype(np.float64)) / n**2) ** 2 / 2
    k = np.fft.fftfreq(n, 1 / n)
    ring = np.rint(np.hypot(k[:, None], k[None, :])).astype(int)
    sums = np.bincount(ring.ravel(), weights=spectrum.mean(axis=0).ravel(), minlength=n // 2 + 1)
    return np.arange(1, n // 2 + 1), sums[1 : n // 2 + 1]
