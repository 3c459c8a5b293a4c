"""The methods of the imaging comparisons: without a prior, with a linear one, deepinv's samplers, DDS, and ours."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conjugo.cases.imaging_scene import Scene
from conjugo.learned.diffusion.data_step import DataStep
from conjugo.learned.diffusion.dds import dds
from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum, calibrated
from conjugo.learned.diffusion.exact_step import NullSpaceStep, SensorStep
from conjugo.learned.diffusion.imaging.peers import (
    Method,
    Reconstruction,
    cg_sense,
    diffpir,
    dps,
    moment_matching,
    pigdm,
    total_variation,
)
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.learned.diffusion.march import Noise
from conjugo.learned.diffusion.metric_step import MetricStep
from conjugo.learned.diffusion.perturbed_step import PerturbedStep
from conjugo.learned.diffusion.quiet import Quiet
from conjugo.learned.diffusion.schedule import Schedule, Split, VPSchedule

OURS = "ours"
NOISELESS, EXACT = "noiseless", "exact"

DENSE = 1024
"""Data up to which the sensor space is solved directly."""

CACHE_BYTES = 2**30
"""For the factors of all noise levels of the longest run."""

QUIET = "quiet"
SCHEDULES: dict[bool, Schedule] = {False: VPSchedule(), True: Quiet(VPSchedule())}
"""Whether samplers start at the middle of all the noise that they could start from."""

ETAS = (0.85, 0.5, 0.15, 0.0)
"""Shares of fresh noise; `QUIET` beside them starts without noise and adds none, as one choice: it pays as a whole."""
SPLITS = ("paper", "ddim")
BUDGETS = (19, 49, 99)
MINE = (4, 9, 14, 19, 49, 99)
"""Evaluations of DDS, and of ours."""

GAMMAS = (1.0, 5.0, 25.0, 125.0, 625.0, NOISELESS)
ITERATIONS = (5, 10, 20)
"""What DDS may choose from."""


def methods(scene: Scene, *, fast: bool = False) -> list[Method]:
    """Return all methods for a scene; `fast` leaves them small budgets and few settings."""
    A, sigma = scene.A, scene.sigma
    dense = A.shape[0] <= DENSE
    longer = (4,) if fast else (19, 49)
    guided: dict[str, Any] = {"scale": scene.scale}
    found = [direct(scene)]
    if scene.is_complex:
        found.append(cg_sense(A))
    found += [
        total_variation(A, sigma, squared_norm=1.02 * squared_norm(scene), budgets=(10 if fast else 100,)),
        linear_bayes(scene),
        dps(A, scene.denoiser, sigma, budgets=(4,) if fast else (100,), **guided),
        diffpir(A, scene.denoiser, sigma, low=scene.low, budgets=longer),
        pigdm(A, scene.denoiser, sigma, budgets=longer, **guided),
        moment_matching(A, scene.denoiser, sigma, budgets=longer if fast else (4, 9), **guided),
        ddnm(scene, longer, dense=dense),
        published(scene, longer if fast else BUDGETS),
        strengthened(scene, longer if fast else BUDGETS, dense=dense),
        isotropic(scene, longer if fast else MINE, dense=dense),
        metric(scene, (2, 4) if fast else MINE, dense=dense),
    ]
    return [brief(method) for method in found] if fast else found


def brief(method: Method) -> Method:
    """Leave two values of every setting."""
    return replace(method, grid={name: values[:2] for name, values in method.grid.items()})


def direct(scene: Scene) -> Method:
    """Zero-filled, or filtered backprojection."""

    def run(y: Tensor, *, steps: int, seed: int) -> Reconstruction:
        started = time.perf_counter()
        with torch.no_grad():
            x = scene.direct(y)
        return Reconstruction(x, 0, 0, 1, time.perf_counter() - started)

    return Method(scene.direct_name, run, family="numerics")


def linear_bayes(scene: Scene) -> Method:
    """The posterior mean of the Gaussian prior that has the training slices' mean and cosine spectrum: one solve."""
    prior = scene.linear
    least = np.finfo(np.float32).tiny
    covariance = ErrorSpectrum(prior.basis, [1.0], np.maximum(prior.spectrum, least)[None])
    kept: dict[int, MetricStep] = {}

    def run(y: Tensor, *, steps: int, seed: int) -> Reconstruction:
        if steps not in kept:
            kept[steps] = MetricStep(scene.A, covariance, scene.sigma, iterations=max(1, steps))
        step = kept[steps]
        before = step.applications.total
        started = time.perf_counter()
        with torch.no_grad():
            mean = torch.as_tensor(prior.mean).to(y).expand(len(y), *scene.A.image_shape)
            x = step(mean, y, 1.0)
        return Reconstruction(x, 0, 0, (step.applications.total - before) // len(y), time.perf_counter() - started)

    return Method("linear Bayes", run, (0 if scene.A.shape[0] <= DENSE else 60,), family="numerics")


def sampler(
    name: str, scene: Scene, step: Callable[..., DataStep], budgets: tuple[int, ...], grid: dict[str, tuple[Any, ...]],
    family: str, etas: tuple[float | str, ...] = (*ETAS, QUIET),
) -> Method:  # fmt: skip
    """DDS with a data step that `step(**settings)` makes; steps are kept, with what they have factorised."""
    kept: dict[tuple[Any, ...], DataStep] = {}

    def run(
        y: Tensor,
        *,
        steps: int,
        seed: int,
        eta: float | str,
        split: Split,
        noise: Noise = "unconditional",
        draw: bool = False,
        **settings: Any,
    ) -> Reconstruction:
        key = tuple(sorted(settings.items(), key=str))
        if key not in kept:
            kept[key] = step(**settings)
        correct: DataStep = PerturbedStep(kept[key], len(y), seed=seed) if draw else kept[key]  # type: ignore[arg-type]
        quiet = eta == QUIET
        result = dds(
            scene.denoiser, correct, y, shape=scene.A.image_shape, evaluations=steps, eta=0.0 if quiet else float(eta),
            split=split, noise=noise, seed=seed, check=False, schedule=SCHEDULES[quiet],
        )  # fmt: skip
        return Reconstruction(result.x, result.evaluations, 0, result.applications, result.seconds)

    return Method(name, run, budgets, {**grid, "eta": etas, "split": SPLITS}, family)


def published(scene: Scene, budgets: tuple[int, ...]) -> Method:
    """DDS as published: started at noise, iterations of CG with a fixed gamma or without the denoised image; tuned."""

    def step(gamma: float | str, iterations: int) -> DataStep:
        return krylov(scene, gamma, iterations)

    grid = {"gamma": GAMMAS, "iterations": ITERATIONS}
    return sampler("DDS", scene, step, budgets, grid, "DDS", ETAS)


def strengthened(scene: Scene, budgets: tuple[int, ...], *, dense: bool) -> Method:
    """DDS with what else is to be had here: the quiet start, and the exact solution where the data are few."""
    exact = SensorStep(scene.A, like=scene.test.y[:1].double()) if dense else None

    def step(gamma: float | str, iterations: int | str) -> DataStep:
        if exact is None or iterations != EXACT:
            return krylov(scene, gamma, int(iterations))
        same = copy.copy(exact)  # the factors do not depend on gamma
        same.gamma = math.inf if gamma == NOISELESS else float(gamma)
        return same

    iterations = (*ITERATIONS, EXACT) if dense else ITERATIONS
    return sampler("DDS+", scene, step, budgets, {"gamma": GAMMAS, "iterations": iterations}, "DDS")


def krylov(scene: Scene, gamma: float | str, iterations: int) -> DataStep:
    """The step of DDS."""
    if gamma == NOISELESS:
        return KrylovStep(scene.A, iterations=iterations, noiseless=True)
    return KrylovStep(scene.A, gamma=float(gamma), iterations=iterations)


def ddnm(scene: Scene, budgets: tuple[int, ...], *, dense: bool) -> Method:
    """The null-space step: by the singular vectors where the data are few, else by many iterations of CG."""
    if dense:
        like = scene.test.y[:1].double()
        return sampler("DDNM", scene, lambda rcond: NullSpaceStep(scene.A, rcond=rcond, like=like), budgets,
                       {"rcond": (1e-2, 1e-3, 1e-1, 1e-6)}, "DDS", ETAS)  # fmt: skip
    return sampler("DDNM", scene, lambda: KrylovStep(scene.A, iterations=50, noiseless=True), budgets, {}, "DDS",
                   ETAS)  # fmt: skip


def isotropic(scene: Scene, budgets: tuple[int, ...], *, dense: bool) -> Method:
    """DDS with gamma_t = r_t^2 / sigma_y^2 and the noise split of ours: what the calibration alone brings."""
    gamma = calibrated(scene.spectrum, scene.sigma)
    noises = {"noise": ("conditional", "unconditional")}
    if dense:
        like = scene.test.y[:1].double()
        return sampler("calibrated", scene, lambda: SensorStep(scene.A, gamma, like=like), budgets, noises, OURS)
    return sampler("calibrated", scene, lambda iterations: KrylovStep(scene.A, gamma=gamma, iterations=iterations),
                   budgets, {"iterations": (5, 10, 20), **noises}, OURS)  # fmt: skip


def metric(scene: Scene, budgets: tuple[int, ...], *, dense: bool) -> Method:
    """The step in the metric of the measured error spectrum."""
    noises = {"noise": ("conditional", "unconditional")}

    def step(iterations: int = 1) -> DataStep:
        return MetricStep(scene.A, scene.spectrum, scene.sigma, iterations=iterations, cache_bytes=CACHE_BYTES)

    grid: dict[str, tuple[Any, ...]] = noises if dense else {"iterations": (10, 5, 20), **noises}
    return sampler(OURS, scene, step, budgets, grid, OURS)


def squared_norm(scene: Scene, iterations: int = 30) -> float:
    """||A||_2^2 by the power method."""
    A, like = scene.A, scene.test.y
    x = torch.ones(A.shape[1], 1, dtype=like.dtype, device=like.device)
    largest = 0.0
    with torch.no_grad():
        for _ in range(iterations):
            x = A.H @ (A @ (x / x.norm()))
            largest = float(x.norm())
    if not largest > 0 or not math.isfinite(largest):
        raise ValueError(f"||A||^2 = {largest}: expected a positive number")
    return largest
