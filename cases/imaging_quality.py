"""Several samples of the same slice: is their spread the size of the error, and do their intervals hold the truth?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.cases.imaging_methods import OURS
from conjugo.cases.imaging_race import mean_error
from conjugo.cases.imaging_scene import Scene
from conjugo.cases.imaging_tuning import Choice
from conjugo.cases.table import MISSING, Table
from conjugo.learned.diffusion.imaging.peers import Method
from conjugo.learned.diffusion.quality import coverage, spread_error

DRAWN = {"eta": 1.0, "split": "paper", "noise": "conditional", "draw": True}
"""Each data step draws from the conditional law, and all noise is fresh: see `PerturbedStep`."""

LEVELS = (0.5, 0.8, 0.9)
"""Central intervals of the magnitudes."""

ANCESTRAL = {"eta": 1.0, "split": "ddim"}
"""Ancestral sampling: settings under which an exact score gives samples of the posterior, as steps grow many."""

type Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Samples of some slices by one method.

    Attributes
    ----------
    label : str
        Method, steps and settings.
    mean, spread : (slices, 1, h, w) tensors
        Mean and standard deviation of the magnitudes over samples.
    psnr, psnr_mean : (slices,) arrays
        Of the first sample, and of the samples' mean.
    ratio : float
        Root mean square spread over that of the mean's error, corrected for few samples: 1 where calibrated.
    coverage : (levels,) array
        Share of pixels whose truth lies in the central interval of the samples.
    """

    label: str
    mean: Tensor
    spread: Tensor
    psnr: Values
    psnr_mean: Values
    ratio: float
    coverage: Values


def sample_slices(
    scene: Scene, method: Method, steps: int, settings: dict[str, Any], *, slices: Sequence[int],
    count: int, seed: int, label: str,
) -> Quality:  # fmt: skip
    """Draw `count` samples for each of some slices and judge them by `coverage` and `spread_error`.

    Notes
    -----
    Pixels whose truth is below one hundredth are left out: in empty space a magnitude with any spread lies above the
    truth. Levels beyond 1 - 2 / (count + 1), that of the least to the largest sample, are NaN.
    """
    samples = []
    for i in slices:
        y = scene.test.y[i : i + 1].expand(count, -1).contiguous()
        samples.append(scene.magnitude(method.run(y, steps=steps, seed=seed + i, **settings).x))
    drawn = torch.stack(samples).double()
    truth = scene.magnitude(scene.test.truth[list(slices)]).double()
    mean, spread = drawn.mean(1), drawn.std(1)
    shown = truth > 0.01
    inside = drawn.movedim(1, 0)[:, shown].cpu().numpy()
    found = coverage(inside, truth[shown].cpu().numpy(), LEVELS)
    covered = np.array([found[level] if level <= 1 - 2 / (count + 1) + 1e-9 else np.nan for level in LEVELS])
    ratio = spread_error(inside, truth[shown].cpu().numpy())
    first = torch.cat([part[:1] for part in samples])
    return Quality(label, mean, spread, _psnr(first, truth), _psnr(mean, truth), ratio, covered)


def quality(
    scene: Scene, methods: Sequence[Method], choices: dict[tuple[str, int], Choice], *,
    names: Sequence[str], steps: int, slices: Sequence[int], count: int, seed: int,
) -> list[Quality]:  # fmt: skip
    """Judge samples of some methods, with the settings tuned for PSNR and with ancestral noise, and ours drawn."""
    found = []
    for method in methods:
        if method.name not in names or steps not in method.budgets:
            continue
        tuned = choices[method.name, steps].settings
        kinds = {"tuned": tuned, "ancestral": {**tuned, **ANCESTRAL}}
        if method.name == OURS:
            kinds["drawn"] = {**tuned, **DRAWN}
        for kind, settings in kinds.items():
            label = f"{method.name} {steps}, {kind}"
            found.append(sample_slices(scene, method, steps, settings, slices=slices, count=count, seed=seed,
                                       label=label))  # fmt: skip
    return found


def quality_table(found: Sequence[Quality]) -> Table:
    """Tabulate the samples' quality."""
    levels = [f"in {100 * level:.0f} %" for level in LEVELS]
    table = Table(["samples", "PSNR of one", "of the mean", "spread / error", *levels])
    for one in found:
        covered = [f"{100 * share:.0f} %" if share == share else MISSING for share in one.coverage]
        table.add(one.label, mean_error(one.psnr, 2), mean_error(one.psnr_mean, 2), f"{one.ratio:.2f}", *covered)
    return table


def _psnr(magnitudes: Tensor, truth: Tensor) -> Values:
    error = ((magnitudes.double() - truth) ** 2).flatten(1).mean(1)
    return np.asarray(-10 * torch.log10(error).cpu().numpy())
