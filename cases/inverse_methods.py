"""Samplers on inverse problems whose exact answer is known: settings, tuning, scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.diffusion.data_step import DataStep
from conjugo.learned.diffusion.dds import dds
from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum, calibrated, levels
from conjugo.learned.diffusion.exact_step import DiagonalStep, NullSpaceStep, SensorStep, is_diagonal
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.learned.diffusion.metric_step import MetricStep
from conjugo.learned.diffusion.mixture import GaussianMixture
from conjugo.learned.diffusion.perturbed_step import PerturbedStep
from conjugo.learned.diffusion.quality import spread_error
from conjugo.learned.diffusion.quiet import Quiet
from conjugo.learned.diffusion.result import SamplingResult
from conjugo.learned.diffusion.schedule import VESchedule, VPSchedule
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.problem import InverseProblem

type Values = NDArray[np.float64]

ETAS = (0.15, 0.5, 0.85, 1.0)
GAMMAS = (1.0, 10.0, 1e2, 1e3, 1e4, 1e5)
FEW = (1e2, 1e4)
"""Weights of noisy DDS that are tried, and those of fast runs."""
EXACT_DATA = 1e-4
"""Noise that stands for none in steps that need some."""

BAYES, MEAN, SAMPLE = "Bayes (kriging), no sampler", "ours, flow of the mean", "ours, one sample"
NOISELESS, TUNED, PUBLISHED = "DDS noiseless, M=5", "DDS noisy, gamma tuned, M=5", "DDS noisy, gamma=1, M=5"
CONTROL = "our flow, gamma_t for the metric"
TUNED_MEAN = "the same without noise, from 0"
DDNM, CALIBRATED, METRIC = "DDNM", "DDS, gamma_t calibrated, exact", "DDS, metric of the error"


@dataclass(eq=False)
class Task:
    """A problem with its prior, the denoiser's measured error and the exact answer.

    Parameters
    ----------
    problem : InverseProblem
        Its first `tuning` images choose settings, the others give the scores.
    prior : GaussianPrior or GaussianMixture
        The exact denoiser.
    tuning : int
        Images that settings are chosen on.
    seed : int
        Of samplers, and of the fields that the error is measured on.
    fields : int
        How many these are.
    gammas : sequence of float
        Weights that DDS may choose from.
    """

    problem: InverseProblem
    prior: GaussianPrior | GaussianMixture
    tuning: int
    seed: int = 0
    fields: int = 64
    gammas: Sequence[float] = GAMMAS
    mean: Values = field(init=False)
    exact: GaussianPosterior | None = field(init=False, default=None)
    bayes_seconds: float = field(init=False)
    spectrum: ErrorSpectrum = field(init=False)
    spectrum_seconds: float = field(init=False)
    sigma_max: float = field(init=False)
    scale: float = field(init=False)

    def __post_init__(self) -> None:
        problem, started = self.problem, time.perf_counter()
        if isinstance(self.prior, GaussianMixture):
            self.mean = self.prior.posterior_mean(problem.A, problem.y, problem.sigma)[0]
        else:
            self.exact = problem.posterior()
            self.mean = self.exact.mean
        self.bayes_seconds = time.perf_counter() - started
        self.sigma_max = max(50.0, 4 * float(problem.spectrum.max()) ** 0.5)
        started = time.perf_counter()
        samples = self.prior.sample(self.fields, self.seed + 1_000_003)
        sigmas = levels(5e-3, 1.05 * max(self.sigma_max, 160.0))
        self.spectrum = ErrorSpectrum.measure(self.prior, samples, sigmas, basis=problem.basis, seed=self.seed)
        self.spectrum_seconds = time.perf_counter() - started
        self.scale = prior_deviation(problem)

    @property
    def sigma_y(self) -> float:
        """Noise that steps are told; without noise a small one."""
        return self.problem.sigma or EXACT_DATA

    def of_target(self, x: Values) -> Values:
        """What errors are measured of, for images (n, k)."""
        return x if self.problem.target is None else np.asarray(self.problem.target @ x)

    def error(self, x: Values, images: slice) -> float:
        """Root mean square error of (n, k) estimates relative to the prior's deviation."""
        assert self.problem.truth is not None
        return float(np.sqrt(np.mean(self.of_target(x - self.problem.truth[:, images]) ** 2))) / self.scale

    def run(
        self, trial: Trial, evaluations: int, images: slice, repeats: int = 1, seed: int = 0
    ) -> tuple[Values, SamplingResult]:
        """Sample each image's posterior; (repeats, n, k) and the run."""
        y = torch.as_tensor(self.problem.y[:, images].T.copy()).repeat(repeats, 1)
        step = trial.step(len(y))
        shape = self.problem.A.image_shape
        result = dds(self.prior, step, y, shape=shape, evaluations=evaluations, seed=self.seed + 17 + seed, check=False,
                     **trial.options)  # fmt: skip
        return host(result.x, repeats), result


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One setting of a method: its name, what makes the step for a batch, and options of the sampler."""

    setting: str
    step: Callable[[int], DataStep]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """What a method made of a problem; seconds and applications for one image of a batch."""

    problem: str
    method: str
    setting: str
    evaluations: int
    error: float
    bayes: float
    spread: float | None
    seconds: float
    applications: int
    setup_seconds: float
    setup_applications: int

    @property
    def ratio(self) -> float:
        """Error over that of the posterior mean, on the same images."""
        return self.error / self.bayes


def prior_deviation(problem: InverseProblem) -> float:
    """Return the root mean square under the prior of what errors are measured of."""
    if problem.target is None:
        return float(np.sqrt(problem.spectrum.mean()))
    known = problem.target.diagonal  # type: ignore[attr-defined]
    return float(np.sqrt(np.mean(known.values**2 * problem.basis.power(problem.spectrum, known.basis))))


def host(x: Tensor, repeats: int) -> Values:
    """View samples (repeats k, *shape) as (repeats, n, k)."""
    flat = x.reshape(repeats, len(x) // repeats, -1).double().cpu().numpy()
    return np.ascontiguousarray(np.moveaxis(flat, 1, 2))


def methods(task: Task, names: Sequence[str] | None = None) -> Iterator[tuple[str, list[Trial], DataStep]]:
    """Yield name, settings to choose from, and a step that knows what its set-up took."""
    A = task.problem.A

    def exact(gamma: Any) -> DataStep:
        return DiagonalStep(A, gamma) if is_diagonal(A) else SensorStep(A, gamma)

    ways: list[tuple[str, dict[str, Any]]] = [(f"eta {eta:g}", {"eta": eta}) for eta in ETAS]
    ways.append(("eta 0, start 0", {"eta": 0.0, "schedule": Quiet(VPSchedule())}))
    metric = MetricStep(A, task.spectrum, task.sigma_y)
    metric.prepare(torch.zeros(()))

    def fresh() -> MetricStep:
        metric.forget()  # or a run would profit from factors that another one paid for
        return metric

    log = VESchedule(0.01, task.sigma_max)
    flow = {"schedule": Quiet(log), "eta": 0.0, "noise": "conditional"}
    makers: dict[str, Callable[[], tuple[list[Trial], DataStep]]] = {
        NOISELESS: lambda: _each(KrylovStep(A, noiseless=True), ways),
        TUNED: lambda: (
            [t for g in task.gammas for t in _each(KrylovStep(A, gamma=g), ways[: len(ETAS)], f"gamma {g:g}, ")[0]],
            KrylovStep(A),
        ),
        TUNED_MEAN: lambda: (
            [t for g in task.gammas for t in _each(KrylovStep(A, gamma=g), ways[len(ETAS) :], f"gamma {g:g}, ")[0]],
            KrylovStep(A),
        ),
        PUBLISHED: lambda: _each(KrylovStep(A), ways[2:3]),
        DDNM: lambda: _each(NullSpaceStep(A), ways),
        CALIBRATED: lambda: _each(exact(calibrated(task.spectrum, task.sigma_y)), ways),
        METRIC: lambda: ([Trial(ways[2][0], lambda k: fresh(), ways[2][1])], metric),
        CONTROL: lambda: _each(exact(calibrated(task.spectrum, task.sigma_y)), [("no noise", flow)]),
        MEAN: lambda: ([Trial("no noise", lambda k: fresh(), flow)], metric),
        SAMPLE: lambda: (
            [Trial("fresh noise", lambda k: PerturbedStep(fresh(), k, seed=task.seed), {"schedule": log, "eta": 1.0})],
            metric,
        ),
    }
    for name in names or makers:
        yield name, *makers[name]()


def _each(step: DataStep, ways: Sequence[tuple[str, dict[str, Any]]], before: str = "") -> tuple[list[Trial], DataStep]:
    return [Trial(before + name, lambda k: step, options) for name, options in ways], step


def study(task: Task, evaluations: Sequence[int], names: Sequence[str] | None = None) -> Iterator[Score]:
    """Tune every method on the first images for each number of evaluations, and score it on the others."""
    assert task.problem.truth is not None
    first, rest = slice(0, task.tuning), slice(task.tuning, None)
    bayes = task.error(task.mean[:, rest], rest)
    label = task.problem.name
    m = 0 if is_diagonal(task.problem.A) else task.problem.A.shape[0]
    k = task.problem.y.shape[1]
    yield Score(label, BAYES, "", 0, bayes, bayes, None, task.bayes_seconds / k, 0, 0.0, m)
    for name, trials, known in methods(task, names):
        for count in evaluations:
            trial = trials[0] if len(trials) == 1 else min(trials, key=lambda one: _tuned(task, one, count, first))
            x, result = task.run(trial, count, rest, repeats=2)
            yield score(task, name, trial, x, result, known, rest)


def score(
    task: Task, name: str, trial: Trial, x: Values, result: SamplingResult, known: DataStep, images: slice
) -> Score:
    """Judge samples (2, n, k) of some images."""
    assert task.problem.truth is not None
    truth = task.of_target(task.problem.truth[:, images])
    errors = [task.error(one, images) for one in x]
    measured = task.spectrum_seconds if name in (CALIBRATED, CONTROL, METRIC, MEAN, SAMPLE) else 0.0
    return Score(
        problem=task.problem.name,
        method=name,
        setting=trial.setting,
        evaluations=result.evaluations,
        error=float(np.sqrt(np.mean(np.square(errors)))),
        bayes=task.error(task.mean[:, images], images),
        spread=spread_error(np.stack([task.of_target(one) for one in x]), truth),
        seconds=result.seconds / len(result.x),
        applications=result.applications,
        setup_seconds=measured + float(getattr(known, "setup_seconds", 0.0)),
        setup_applications=int(getattr(known, "setup_applications", 0)),
    )


def _tuned(task: Task, trial: Trial, evaluations: int, images: slice) -> float:
    """Error on the tuning images; infinite where numbers break down."""
    found = task.error(task.run(trial, evaluations, images, seed=1)[0][0], images)
    return found if np.isfinite(found) else float("inf")
