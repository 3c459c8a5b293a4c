"""What both imaging comparisons do with a scene: tune, race, judge samples, write and print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from conjugo.cases.imaging_methods import OURS, methods
from conjugo.cases.imaging_plots import costs, reconstructions, shown, spread_and_coverage
from conjugo.cases.imaging_quality import quality, quality_table
from conjugo.cases.imaging_race import Judge, Row, duel_table, duels, race, table, verdicts
from conjugo.cases.imaging_scene import Scene
from conjugo.cases.imaging_tuning import Choice, Tuner, read, tune, write
from conjugo.cases.imaging_volume import volume_table
from conjugo.cases.runs import Run
from conjugo.cases.table import Table, seconds

DEPTH = 16
"""Slices of a stack."""

COLUMNS = ("method", "steps", "slice", "psnr", "ssim", "seconds", "evaluations", "backward", "applications")


def compare(
    run: Run,
    scene: Scene,
    *,
    facts: dict[str, Any],
    tuning: Path | None,
    samples: int,
    seed: int,
    fast: bool,
    stack: tuple[Tensor, Tensor] | None = None,
) -> list[Row]:
    """Tune on the validation slices, run on the test slices, print and write all there is to say.

    Parameters
    ----------
    run : Run
        Where results go.
    scene : Scene
        What is compared on.
    facts : dict
        What the settings depend on: kept beside them, and checked where `tuning` is read.
    tuning : Path, optional
        tuning.json of an earlier run, also of one that was cut short: what it chose is not tuned again.
    samples : int
        Of a slice, where the spread is judged; 0 leaves that out.
    seed : int
        Of the samplers.
    fast : bool
        Small budgets.
    stack : tuple of tensors, optional
        All validation and all test slices, where a stack of them is to be reconstructed with TV across slices too.
    """
    contenders = methods(scene, fast=fast)
    judge = Judge(scene)
    known = {} if tuning is None else read(tuning, contenders, facts)
    tuner = Tuner(scene.validation, judge.mean_psnr, seed)
    choices = tune(contenders, tuner, known, lambda found: write(found, run.folder / "tuning.json", facts))
    write(choices, run.folder / "tuning.json", facts)
    scene.spectrum.save(run.folder / "spectrum.npz")
    rows = race(scene, contenders, choices, judge, seed=seed + 1)
    steps = 4 if fast else 19
    slices = sorted({len(scene.test.y) // 3, 2 * len(scene.test.y) // 3})
    found = []
    if samples > 1:
        found = quality(scene, contenders, choices, names=("DDS", OURS), steps=steps, slices=slices,
                        count=samples, seed=seed + 1000)  # fmt: skip
    volume: tuple[str, list[dict[str, Any]]] = ("", [])
    if stack is not None:
        volume = volume_table(scene, *stack, contenders, choices, judge, steps=steps, depth=DEPTH, seed=seed)
    text = "\n".join(
        [
            *header(scene, samples),
            f"\nSettings, chosen by PSNR on {len(scene.validation.y)} validation slices:\n",
            settings_table(choices).text(),
            f"\n{len(scene.test.y)} test slices, mean +- standard error; costs of one slice, alone, warm (median):\n",
            table(rows).text(),
            "\nAt equal seconds: our best run that takes no longer than the rival's, paired over slices:\n",
            duel_table(duels(rows)).text(),
            "",
            *verdicts(rows),
            *(["\n" + volume[0]] if volume[0] else []),
            *(["\n" + f"{samples} samples of {len(slices)} slices, magnitudes:\n", quality_table(found).text()] if found
              else []),
        ]
    )  # fmt: skip
    print(f"\n{text}\n")
    run.page(text)
    run.history(COLUMNS, history(rows))
    run.result({"converged": all(np.isfinite(row.psnr).all() for row in rows), "rows": [summary(row) for row in rows],
                "duels": [asdict(duel) for duel in duels(rows)], "verdicts": list(verdicts(rows)), "stack": volume[1],
                "quality": [{"label": one.label, "ratio": one.ratio, "coverage": one.coverage} for one in found],
                "spectrum_seconds": scene.spectrum_seconds, "sigma": scene.sigma})  # fmt: skip
    index = slices[0]
    pictures = {"plot": reconstructions(scene, shown(rows, steps), found, index=index), "costs": costs(rows)}
    if found:
        pictures["samples"] = spread_and_coverage(scene, found, slices)
    for name, figure in pictures.items():
        print(f"{name}: {run.plot(figure, name)}")
    return rows


def header(scene: Scene, samples: int) -> list[str]:
    """Say what is compared on."""
    m, n = scene.A.shape
    signal = float(scene.test.y.square().mean().sqrt())
    return [
        f"{scene.name}. Images {scene.A.image_shape}, {m} data for {n} unknowns, noise {scene.sigma:.3g} "
        f"(data: {signal:.3g}).",
        f"Prior: {scene.prior}; its error spectrum was measured on training slices in "
        f"{seconds(scene.spectrum_seconds)}, once.",
        "PSNR and SSIM are of magnitudes, for a range of 1." if scene.is_complex else "PSNR and SSIM for a range of 1.",
    ]


def settings_table(choices: dict[tuple[str, int], Choice]) -> Table:
    """Tabulate what was chosen."""
    found = Table(["method", "settings", "validation PSNR", "tried"], left=2)
    for (name, steps), choice in choices.items():
        if choice.settings:
            chosen = ", ".join(f"{key} {_short(value)}" for key, value in choice.settings.items())
            found.add(f"{name} {steps}", chosen, f"{choice.score:.2f}", str(choice.tried or "as above"))
    return found


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_short(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def history(rows: list[Row]) -> list[tuple[object, ...]]:
    """One line a slice and run."""
    return [
        (row.method, row.steps, i, row.psnr[i], row.ssim[i], row.seconds[i], row.evaluations, row.backward,
         row.applications)
        for row in rows
        for i in range(len(row.psnr))
    ]  # fmt: skip


def summary(row: Row) -> dict[str, Any]:
    """Every number of the table."""
    return {
        "method": row.method, "steps": row.steps, "settings": row.settings, "psnr": float(row.psnr.mean()),
        "ssim": float(row.ssim.mean()), "evaluations": row.evaluations, "backward": row.backward,
        "applications": row.applications, "seconds": row.median, "setup": row.setup,
    }  # fmt: skip
