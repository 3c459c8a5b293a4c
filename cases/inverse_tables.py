"""Tables and pictures of samplers on inverse problems with exact answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from conjugo.cases.inverse_methods import (
    BAYES,
    CALIBRATED,
    CONTROL,
    DDNM,
    MEAN,
    METRIC,
    NOISELESS,
    PUBLISHED,
    SAMPLE,
    TUNED,
    TUNED_MEAN,
    Score,
    Task,
    methods,
)
from conjugo.cases.plotting import COLOURS, MARKERS
from conjugo.cases.table import MISSING, Table, seconds
from conjugo.learned.diffusion.quality import Quality, summary

type Values = NDArray[np.float64]

PALETTE = {
    BAYES: COLOURS["direct"],
    NOISELESS: COLOURS["Krylov"],
    TUNED: COLOURS["algebraic multigrid"],
    TUNED_MEAN: "#999933",
    PUBLISHED: COLOURS["PETSc"],
    DDNM: COLOURS["stationary"],
    CALIBRATED: COLOURS["multigrid + Krylov"],
    METRIC: COLOURS["preconditioned CG"],
    CONTROL: "#F0A3A3",
    MEAN: COLOURS["multigrid"],
    SAMPLE: COLOURS["learned"],
}
"""Colour of each method."""
COSTS = ("evaluations", "applications of A and A^H", "ms an image")
SAMPLED = (TUNED, METRIC, SAMPLE)
"""Methods of which several samples are drawn."""


def score_table(scores: Sequence[Score], evaluations: Sequence[int], *, chosen: int) -> Table:
    """Tabulate errors in per cent at every number of evaluations; the other columns at `chosen` of them."""
    table = Table(["method", *map(str, evaluations), "x Bayes", "spread/error", "ms/image", "A + A^H", "set-up",
                   f"setting at {chosen}"])  # fmt: skip
    for problem in dict.fromkeys(score.problem for score in scores):
        table.add(f"[{problem}]", *[""] * (len(table.headers) - 1))
        mine = [score for score in scores if score.problem == problem]
        for name in dict.fromkeys(score.method for score in mine):
            rows = {score.evaluations: score for score in mine if score.method == name}
            at = rows.get(chosen) or next(iter(rows.values()))
            errors = [percent(rows[n].error) if n in rows else MISSING for n in evaluations]
            if name == BAYES:
                errors = [percent(at.error)] * len(evaluations)
            table.add(
                name,
                *errors,
                f"{at.ratio:.2f}",
                MISSING if at.spread is None else f"{at.spread:.2f}",
                f"{1000 * at.seconds:.1f}",
                str(at.applications) if at.evaluations else f"(set-up {at.setup_applications})",
                seconds(at.setup_seconds) if at.setup_seconds else MISSING,
                at.setting or MISSING,
            )
            if name == BAYES:
                exact = percent(2**0.5 * at.error)
                table.add("an exact sample: sqrt(2) Bayes", *[exact] * len(evaluations), "1.41", "1.00",
                          *[MISSING] * 4)  # fmt: skip
    return table


def percent(value: float) -> str:
    """One decimal of per cent; more than a thousand is shown as such."""
    return MISSING if not math.isfinite(value) else ">1000" if value > 10 else f"{100 * value:.1f}"


def draw(task: Task, scores: Sequence[Score], count: int, evaluations: int, image: int) -> dict[str, Values]:
    """Draw samples (count, n) of one image's posterior by each method, with the settings that the scores had."""
    chosen = {score.method: score.setting for score in scores if score.evaluations == evaluations}
    drawn: dict[str, Values] = {}
    for name, trials, _ in methods(task, SAMPLED):
        trial = next(trial for trial in trials if trial.setting == chosen[name])
        x, _ = task.run(trial, evaluations, slice(image, image + 1), repeats=count, seed=2)
        drawn[name] = x[:, :, 0]
    return drawn


def judge(task: Task, drawn: Mapping[str, Values], image: int) -> dict[str, Quality]:
    """Compare samples with the truth and the exact posterior, and exact samples too where there are some."""
    problem = task.problem
    assert problem.truth is not None
    truth, count = problem.truth[:, image], len(next(iter(drawn.values())))
    all_drawn, mean = dict(drawn), task.mean[:, image]
    deviation = None
    if task.exact is not None:
        deviation = task.exact.standard_deviation
        all_drawn["exact samples"] = task.exact.samples(count, seed=task.seed + 5)[:, :, image]
    return {name: summary(x, truth, mean=mean, deviation=deviation) for name, x in all_drawn.items()}


def quality_table(found: Mapping[str, Quality]) -> Table:
    """Tabulate errors, spread and coverage; errors in per cent of the prior's deviation of 1."""
    levels = next(iter(found.values())).coverage
    table = Table(["samples of", "error of mean", "of one", "spread", "spread/error", *(f"in {q:.0%}" for q in levels),
                   "mean map", "deviation map"])  # fmt: skip
    for name, one in found.items():
        maps = [MISSING if gap is None else percent(gap) for gap in (one.mean_map_error, one.deviation_map_error)]
        shares = [f"{share:.0%}" for share in one.coverage.values()]
        errors = [percent(one.mean_error), percent(one.sample_error), percent(one.spread)]
        table.add(name, *errors, f"{one.spread_error:.2f}", *shares, *maps)
    return table


def picture(
    task: Task, scores: Sequence[Score], drawn: Mapping[str, Values], image: int, measurement: Values | None = None
) -> Figure:
    """Draw truth, data, estimates, errors and uncertainty, and errors against three kinds of cost."""
    problem = task.problem
    assert problem.truth is not None
    truth, mean = problem.truth[:, image], task.mean[:, image]
    figure = Figure(figsize=(12.5, 8.6), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[1.7, 1.0])
    upper, lower = parts
    axes = upper.subplots(2, 5)
    top = float(np.abs(truth).max())
    theirs, ours = drawn[TUNED], drawn[SAMPLE]
    fields = {"truth": truth, "measurement": measurement, "posterior mean": mean, "DDS tuned, one sample": theirs[0],
              "ours, one sample": ours[0]}  # fmt: skip
    show(upper, axes[0], fields, problem.A.image_shape, (-top, top), "RdBu_r")
    gaps: dict[str, Values | None] = {"error of the posterior mean": np.abs(mean - truth)}
    gaps["error of DDS tuned"] = np.abs(theirs[0] - truth)
    if task.exact is None:
        gaps["error of our sample"] = np.abs(ours[0] - truth)
    else:
        gaps["exact deviation"] = task.exact.standard_deviation
    gaps["deviation of DDS' samples"] = theirs.std(axis=0, ddof=1)
    gaps["deviation of our samples"] = ours.std(axis=0, ddof=1)
    most = 1.2 * float(np.quantile(np.abs(ours[0] - truth), 0.99))
    show(upper, axes[1], gaps, problem.A.image_shape, (0.0, most), "viridis")
    for i, (ax, cost) in enumerate(zip(lower.subplots(1, 3), COSTS, strict=True)):
        curves(ax, scores, cost)
        if i == 0:
            lower.legend(*ax.get_legend_handles_labels(), loc="outside right center", frameon=False, fontsize=7)
    figure.suptitle(problem.name, fontsize=11)
    return figure


def show(
    figure: Any, axes: Any, fields: Mapping[str, Values | None], shape: Sequence[int], limits: tuple[float, float],
    colours: str,
) -> None:  # fmt: skip
    """Draw a row of images on one scale of colours; NaN stays white, and an absent one leaves its place empty."""
    image = None
    for ax, (title, values) in zip(axes, fields.items(), strict=True):
        ax.set_axis_off()
        ax.set_title(title, fontsize=9)
        if values is not None:
            image = ax.imshow(values.reshape(shape), cmap=colours, vmin=limits[0], vmax=limits[1],
                              interpolation="nearest")  # fmt: skip
    figure.colorbar(image, ax=list(axes), shrink=0.8)


def curves(ax: Any, scores: Sequence[Score], cost: str) -> None:
    """Draw errors against one kind of cost."""
    for place, name in enumerate(dict.fromkeys(score.method for score in scores)):
        mine = [score for score in scores if score.method == name]
        if name == BAYES:
            ax.axhline(100 * mine[0].error, color="0.2", linewidth=1.0, label="Bayes")
            ax.axhline(100 * 2**0.5 * mine[0].error, color="0.2", linewidth=1.0, linestyle=":", label="sqrt(2) Bayes")
            continue
        x = [
            s.evaluations if cost == "evaluations" else s.applications if "A" in cost else 1000 * s.seconds
            for s in mine
        ]
        ax.plot(x, [100 * s.error for s in mine], color=PALETTE[name], marker=MARKERS[place % len(MARKERS)],
                markersize=4, linewidth=1.2, label=name)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
    ax.set_xlabel(cost)
    ax.set_ylabel("error, % of the prior's deviation")
    ax.grid(alpha=0.3)
