"""Every method on every test slice, interleaved; a table of scores and costs, and the verdict at equal seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from conjugo.cases.imaging_methods import OURS
from conjugo.cases.imaging_scene import Scene
from conjugo.cases.imaging_tuning import Choice
from conjugo.cases.table import MISSING, Table, seconds
from conjugo.learned.diffusion.imaging.peers import Method, Reconstruction

KILL = ("DDS", "DDS+", "PiGDM", "MomentMatching")
"""Samplers that ours must beat at equal seconds, or it is not worth having."""

type Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One method with one number of steps on all test slices.

    Attributes
    ----------
    method, family, steps, settings
        What ran.
    x : Tensor, (n, *image_shape)
        Its images.
    psnr, ssim, seconds : (n,) arrays
        Of every slice.
    evaluations, backward, applications : int
        For one slice.
    setup : float
        Seconds by which the first run was longer than the median, where it factorised anything.
    """

    method: str
    family: str
    steps: int
    settings: dict[str, Any]
    x: Tensor
    psnr: Values
    ssim: Values
    seconds: Values
    evaluations: int
    backward: int
    applications: int
    setup: float

    @property
    def label(self) -> str:
        """Name and steps."""
        return f"{self.method} {self.steps}" if self.steps else self.method

    @property
    def median(self) -> float:
        """Median seconds of a slice."""
        return float(np.median(self.seconds))


class Judge:
    """PSNR and SSIM by deepinv (torchmetrics), of the magnitude, for a range of 1."""

    def __init__(self, scene: Scene) -> None:
        metric = import_module("deepinv.loss.metric")
        self.scene, self._psnr, self._ssim = scene, metric.PSNR(), metric.SSIM()

    def psnr(self, x: Tensor, truth: Tensor) -> Values:
        """Decibels, (B,)."""
        return self._scores(self._psnr, x, truth)

    def ssim(self, x: Tensor, truth: Tensor) -> Values:
        """Structural similarity, (B,)."""
        return self._scores(self._ssim, x, truth)

    def mean_psnr(self, x: Tensor, truth: Tensor) -> float:
        """What settings are chosen by."""
        return float(self.psnr(x, truth).mean())

    def _scores(self, metric: Any, x: Tensor, truth: Tensor) -> Values:
        seen, wanted = self.scene.magnitude(x.float()), self.scene.magnitude(truth.float())
        if not bool(torch.isfinite(seen).all()):
            return np.full(len(seen), np.nan)
        found: Values = metric(seen, wanted).double().cpu().numpy()
        return found


def race(
    scene: Scene, methods: Sequence[Method], choices: dict[tuple[str, int], Choice], judge: Judge, *, seed: int
) -> list[Row]:
    """Run every method alone on every test slice, slice by slice, after one run of each that is not counted."""
    entries = [(method, steps, choices[method.name, steps].settings) for method in methods for steps in method.budgets]
    found: list[list[Reconstruction]] = [[] for _ in entries]
    first = []
    with tqdm(total=len(entries) * (1 + len(scene.test.y)), desc="test", unit="run") as bar:
        for method, steps, settings in entries:
            started = time.perf_counter()
            method.run(scene.validation.y[:1], steps=steps, seed=seed, **settings)
            first.append(time.perf_counter() - started)
            bar.update()
        for i in range(len(scene.test.y)):
            for place, (method, steps, settings) in enumerate(entries):
                result = method.run(scene.test.y[i : i + 1], steps=steps, seed=seed + 1 + i, **settings)
                found[place].append(result)
                bar.update()
    return [
        _row(entry, results, judge, scene, spent)
        for entry, results, spent in zip(entries, found, first, strict=True)
    ]  # fmt: skip


def _row(
    entry: tuple[Method, int, dict[str, Any]], results: list[Reconstruction], judge: Judge, scene: Scene, spent: float
) -> Row:
    method, steps, settings = entry
    x = torch.cat([result.x for result in results])
    took = np.array([result.seconds for result in results])
    setup = spent - float(np.median(took))
    return Row(
        method.name, method.family, steps, settings, x, judge.psnr(x, scene.test.truth),
        judge.ssim(x, scene.test.truth), took, results[0].evaluations, results[0].backward,
        max(result.applications for result in results), max(0.0, setup),
    )  # fmt: skip


def table(rows: Sequence[Row]) -> Table:
    """Tabulate scores, as mean and standard error over slices, and costs of a slice."""
    found = Table(["method", "PSNR", "SSIM", "evaluations", "back", "applications", "seconds", "first run more"])
    for row in rows:
        found.add(
            row.label, mean_error(row.psnr, 2), mean_error(row.ssim, 3), str(row.evaluations),
            str(row.backward) if row.backward else MISSING, str(row.applications), seconds(row.median),
            seconds(row.setup) if row.setup > 0.5 * row.median else MISSING,
        )  # fmt: skip
    return found


def mean_error(values: Values, digits: int) -> str:
    """Mean +- standard error."""
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():.{digits}f} +- {error:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Duel:
    """Ours against a rival's run: our best run that took no more seconds, and the difference in PSNR.

    Attributes
    ----------
    rival, ours : str
        Labels; ours is empty where no run of ours was as fast.
    gain, error : float
        Mean difference over slices, and its standard error.
    similarity : float
        Mean difference in SSIM.
    """

    rival: str
    ours: str
    gain: float
    error: float
    similarity: float

    @property
    def won(self) -> bool:
        """Whether ours has at least the rival's PSNR."""
        return bool(self.ours) and self.gain >= 0


def duels(rows: Sequence[Row], name: str = OURS) -> list[Duel]:
    """Compare a method of ours with every other sampler at no more than its seconds."""
    mine = [row for row in rows if row.method == name]
    found = []
    for rival in rows:
        if rival.family == OURS or not rival.evaluations:
            continue
        fast = [row for row in mine if row.median <= rival.median]
        if not fast:
            found.append(Duel(rival.label, "", float("nan"), float("nan"), float("nan")))
            continue
        best = max(fast, key=lambda row: float(row.psnr.mean()))
        gain, error = paired(best.psnr, rival.psnr)
        found.append(Duel(rival.label, best.label, gain, error, float((best.ssim - rival.ssim).mean())))
    return found


def paired(ours: Values, theirs: Values) -> tuple[float, float]:
    """Mean of the difference over slices, and its standard error."""
    gain = ours - theirs
    return float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else 0.0


def duel_table(found: Sequence[Duel]) -> Table:
    """Tabulate the comparisons at equal seconds."""
    result = Table(["rival", "ours, no slower", "PSNR more", "at least equal", "SSIM more"])
    for duel in found:
        if duel.ours:
            result.add(duel.rival, duel.ours, f"{duel.gain:+.2f} +- {duel.error:.2f}", "yes" if duel.won else "NO",
                       f"{duel.similarity:+.3f}")  # fmt: skip
        else:
            result.add(duel.rival, "none is as fast", MISSING, "NO", MISSING)
    return result


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Say, from the table, who wins: against DDS, in the kill test, and against all that needs no network."""
    found = duels(rows)
    for name in KILL:
        mine = [duel for duel in found if duel.rival.split()[0] == name]
        if not mine:
            continue
        lost = [duel for duel in mine if not duel.won]
        unsure = [duel.rival for duel in mine if duel.won and duel.gain < 2 * duel.error]
        text = f"Ours has at least the PSNR of {name} at equal seconds: "
        if lost:
            slow = [duel.rival for duel in lost if not duel.ours]
            less = [f"{duel.rival} ({duel.gain:+.2f} dB)" for duel in lost if duel.ours]
            text += "NO" + (f"; it loses to {', '.join(less)}" if less else "")
            text += f"; no run of ours is as fast as {', '.join(slow)}" if slow else ""
        else:
            text += "yes" + (f"; within two standard errors of {', '.join(unsure)}" if unsure else "")
        yield text + "."
    killed = any(not duel.won for duel in found if duel.rival.split()[0] in KILL)
    yield f"Kill test (ours beats tuned {', '.join(KILL)} at equal seconds): {'FAILED' if killed else 'passed'}."
    behind = [duel.rival for duel in found if duel.similarity < 0]
    yield "By SSIM the same runs of ours " + (f"LOSE to {', '.join(behind)}." if behind else "lose to none of them.")
    yield from against_calibration(rows)
    yield from calibration_alone(rows)
    numerics = [row for row in rows if not row.evaluations]
    best = max(numerics, key=lambda row: float(row.psnr.mean()))
    top = max((row for row in rows if row.evaluations), key=lambda row: float(row.psnr.mean()))
    yield (
        f"Without a network the best is {best.label}, {best.psnr.mean():.2f} dB and SSIM {best.ssim.mean():.3f} in "
        f"{seconds(best.median)}; of all samplers {top.label}, {top.psnr.mean():.2f} dB and {top.ssim.mean():.3f} in "
        f"{seconds(top.median)}."
    )


def against_calibration(rows: Sequence[Row]) -> Iterator[str]:
    """Say what the metric adds to a calibrated gamma, at equal evaluations."""
    mine = {row.steps: row for row in rows if row.method == OURS}
    gains = []
    for row in rows:
        if row.method == "calibrated" and row.steps in mine:
            gain, error = paired(mine[row.steps].psnr, row.psnr)
            gains.append(f"{gain:+.2f} +- {error:.2f} dB at {row.steps} evaluations")
    if gains:
        yield f"What the metric adds to the calibrated gamma alone: {', '.join(gains)}."


def calibration_alone(rows: Sequence[Row]) -> Iterator[str]:
    """Say how the calibrated gamma without the metric stands against the samplers of the kill test."""
    found = [duel for duel in duels(rows, "calibrated") if duel.rival.split()[0] in KILL]
    if found:
        told = [
            f"{duel.gain:+.2f} dB against {duel.rival}" if duel.ours else f"slower than {duel.rival}" for duel in found
        ]
        yield f"The calibrated gamma without the metric, at equal seconds: {', '.join(told)}."
