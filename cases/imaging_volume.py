"""A stack of slices: DDS with total variation across them, against each slice by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from conjugo.cases.diffusion_recipes import TEST, VALIDATION
from conjugo.cases.imaging_methods import OURS
from conjugo.cases.imaging_race import Judge, mean_error
from conjugo.cases.imaging_scene import Scene, Slices
from conjugo.cases.imaging_tuning import Choice, Tuner
from conjugo.cases.table import MISSING, Table, seconds
from conjugo.learned.diffusion.imaging.peers import Method, Reconstruction
from conjugo.learned.diffusion.imaging.physics import noisy_data
from conjugo.learned.diffusion.schedule import Split
from conjugo.learned.diffusion.volume import dds_volume

BAND = 6
"""Neighbouring slices at the start of the validation slices: one of their two bands."""


def across(scene: Scene, steps: int) -> Method:
    """DDS on a whole stack, whose data step is an ADMM sweep on least squares and total variation across slices."""

    def run(y: Tensor, *, steps: int, seed: int, weight: float, rho: float, eta: float, split: Split) -> Reconstruction:
        result = dds_volume(
            scene.denoiser, scene.A, y, shape=scene.A.image_shape, weight=weight, rho=rho, evaluations=steps, eta=eta,
            split=split, seed=seed, check=False,
        )  # fmt: skip
        return Reconstruction(result.x, result.evaluations, 0, result.applications, result.seconds)

    grid: dict[str, tuple[Any, ...]] = {
        "weight": (0.04, 0.01, 0.003, 0.001, 0.0),
        "rho": (10.0, 1.0, 0.1),
        "eta": (0.85, 0.15),
        "split": ("paper", "ddim"),
    }
    return Method("DDS, TV across slices", run, (steps,), grid, "DDS")


def volume_table(
    scene: Scene, validation: Tensor, test: Tensor, methods: Sequence[Method], choices: dict[tuple[str, int], Choice],
    judge: Judge, *, steps: int, depth: int, seed: int,
) -> tuple[str, list[dict[str, Any]]]:  # fmt: skip
    """Reconstruct `depth` neighbouring test slices, as a stack and one by one.

    Parameters
    ----------
    scene : Scene
        Scanner, noise and prior.
    validation, test : (N, channels, h, w) tensors
        All slices of each kind, in order: the first six of validation are neighbours.
    methods, choices : sequence, dict
        Of the comparison by slices.
    judge : Judge
        Of the scores.
    steps, depth, seed : int
        Evaluations, slices, seed of noise and samplers.

    Returns
    -------
    text : str
        The table.
    rows : list of dict
        Its numbers.
    """
    device = scene.test.y.device
    band = validation[:BAND].float().to(device)
    first = max(0, (len(test) - depth) // 2)
    stack = test[first : first + depth].float().to(device)
    near = Slices(band, noisy_data(scene.A, band, scene.sigma, seed=seed, first=VALIDATION + 1000))
    seen = Slices(stack, noisy_data(scene.A, stack, scene.sigma, seed=seed, first=TEST + 1000))
    variation = across(scene, steps)
    chosen = Tuner(near, judge.mean_psnr, seed)(variation, steps)
    entries = [(variation, chosen.settings)]
    entries += [(m, choices[m.name, steps].settings) for m in methods if m.name in ("DDS", OURS) and steps in m.budgets]
    table = Table(["method", "PSNR", "SSIM", "evaluations", "applications", "seconds a slice"])
    rows = []
    for method, settings in tqdm(entries, desc="stack", unit="run"):
        with torch.no_grad():
            method.run(near.y, steps=steps, seed=seed, **settings)
            found = method.run(seen.y, steps=steps, seed=seed, **settings)
        psnr, ssim = judge.psnr(found.x, seen.truth), judge.ssim(found.x, seen.truth)
        took = found.seconds / len(stack)
        name = method.name if method is variation else f"{method.name}, slice by slice"
        table.add(f"{name}, {steps}", mean_error(psnr, 2), mean_error(ssim, 3), str(found.evaluations),
                  str(found.applications) if found.applications else MISSING, seconds(took))  # fmt: skip
        rows.append({"method": name, "settings": settings, "psnr": float(psnr.mean()), "ssim": float(ssim.mean()),
                     "applications": found.applications, "seconds": took})  # fmt: skip
    text = (
        f"A stack of {len(stack)} neighbouring test slices (all in one batch; TV across slices tuned on {BAND} "
        f"validation slices: {', '.join(f'{key} {value}' for key, value in chosen.settings.items())}):\n\n"
    )
    return text + table.text(), rows
