"""MetricStep and PerturbedStep: the conditional law, exactly, by every way of solving; samplers that reach Bayes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.learned.diffusion.dds import dds
from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum, calibrated, levels
from conjugo.learned.diffusion.exact_step import SensorStep
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.metric_step import MetricStep, Whitened
from conjugo.learned.diffusion.perturbed_step import PerturbedStep
from conjugo.learned.diffusion.quiet import Quiet
from conjugo.learned.diffusion.schedule import VESchedule, VPSchedule
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.problem import (
    InverseProblem,
    heat_problem,
    sensor_problem,
    source_problem,
)
from conjugo.pde.inverse.sensors import Sensors

LEVELS = levels()


def prior_and_spectrum(problem: InverseProblem) -> tuple[GaussianPrior, ErrorSpectrum]:
    prior = GaussianPrior(problem.spectrum, problem.basis)
    return prior, ErrorSpectrum.exact(prior, LEVELS)


def error(problem: InverseProblem, x: torch.Tensor) -> float:
    """Root mean square error over the prior's standard deviation, which is 1."""
    assert problem.truth is not None
    return float(np.sqrt(np.mean((x.reshape(len(x), -1).T.numpy() - problem.truth) ** 2)))


@pytest.mark.parametrize("make", [source_problem, sensor_problem, heat_problem])
def test_it_is_the_conditional_mean(make: object) -> None:
    problem = make(16, count=2) if make is heat_problem else make(16, 20, count=2)  # type: ignore[operator]
    prior, spectrum = prior_and_spectrum(problem)
    x_hat, sigma = prior.sample(2, seed=4), 0.3
    y = torch.as_tensor(problem.y.T)
    exact = [
        GaussianPosterior(problem.A, column, problem.sigma, mean, spectrum(sigma), problem.basis).mean
        for column, mean in zip(problem.y.T, x_hat.reshape(2, -1).numpy(), strict=True)
    ]
    by_default = MetricStep(problem.A, spectrum, problem.sigma)
    assert by_default.exact
    by_cg = MetricStep(problem.A, spectrum, problem.sigma, exact=False, iterations=400)
    for step, tolerance in ((by_default, 1e-9), (by_cg, 1e-7)):
        found = step(x_hat, y, sigma)
        np.testing.assert_allclose(found.reshape(2, -1).numpy(), np.stack(exact), atol=tolerance)
        single = step(x_hat.float(), y.float(), sigma)
        np.testing.assert_allclose(single.reshape(2, -1).numpy(), np.stack(exact), atol=2e-2)


def test_few_iterations_bring_the_objective_down_and_are_counted() -> None:
    problem = source_problem(16, 20)
    prior, spectrum = prior_and_spectrum(problem)
    x_hat, y, sigma = prior.sample(1, seed=4), torch.as_tensor(problem.y.T), 2.0
    exact = MetricStep(problem.A, spectrum, problem.sigma)(x_hat, y, sigma)
    distances = []
    for iterations in (2, 5, 10, 20):
        step = MetricStep(problem.A, spectrum, problem.sigma, exact=False, iterations=iterations)
        increment = step(x_hat, y, sigma) - exact
        z = problem.basis.forward(increment) / torch.as_tensor(spectrum(sigma)).sqrt()
        z = torch.where(torch.as_tensor(spectrum(sigma)) > 1e-12, z, 0.0)
        block = z.reshape(1, -1).T
        counted = step.applications.total
        energy = (block * (Whitened(step, step.deviations(sigma, x_hat)) @ block)).sum()
        distances.append(float(energy))
        assert counted == 2 * (iterations + 1)  # A x_hat, A^H of the residual, and two for each iteration
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3 * distances[0]


def test_with_a_flat_spectrum_it_is_the_isotropic_step_with_calibrated_gamma() -> None:
    problem = source_problem(12, 15)
    flat = ErrorSpectrum(problem.basis, [0.1, 1.0], np.stack([np.full((12, 12), 0.01), np.ones((12, 12))]))
    x_hat, y = torch.randn(2, 12, 12, dtype=torch.float64), torch.as_tensor(problem.y.T).repeat(2, 1)
    isotropic = SensorStep(problem.A, calibrated(flat, 0.05))
    np.testing.assert_allclose(MetricStep(problem.A, flat, 0.05)(x_hat, y, 0.4), isotropic(x_hat, y, 0.4), atol=1e-10)


def test_the_flow_from_the_centre_ends_at_the_posterior_mean() -> None:
    problem = sensor_problem(24, 60, count=4)
    prior, spectrum = prior_and_spectrum(problem)
    step = MetricStep(problem.A, spectrum, problem.sigma)
    mean = problem.posterior().mean
    assert problem.truth is not None
    for schedule in (VPSchedule(), VESchedule(0.01, 1000.0)):
        result = dds(prior, step, problem.y.T, shape=(24, 24), schedule=Quiet(schedule), eta=0.0, noise="conditional",
                     evaluations=19, dtype=torch.float64)  # fmt: skip
        assert error(problem, result.x) < 1.02 * float(np.sqrt(np.mean((mean - problem.truth) ** 2)))
    np.testing.assert_allclose(result.x.reshape(4, -1).T.numpy(), mean, atol=0.01)  # from sigma far above all modes


def test_the_measured_spectrum_serves_as_well_as_the_known_one() -> None:
    problem = sensor_problem(24, 60, count=8)
    prior, exact = prior_and_spectrum(problem)
    measured = ErrorSpectrum.measure(prior, prior.sample(48, seed=8), LEVELS)
    options = {"shape": (24, 24), "dtype": torch.float64, "evaluations": 9, "seed": 2}
    known, found = (
        error(problem, dds(prior, MetricStep(problem.A, spectrum, problem.sigma), problem.y.T, **options).x)  # type: ignore[arg-type]
        for spectrum in (exact, measured)
    )
    assert found == pytest.approx(known, rel=0.03)


@pytest.mark.parametrize("evaluations", [1, 4, 9])
def test_perturbed_steps_sample_the_posterior_at_any_number_of_evaluations(evaluations: int) -> None:
    problem = sensor_problem(8, 10, 0.2)
    prior, spectrum = prior_and_spectrum(problem)
    count = 1500
    step = PerturbedStep(MetricStep(problem.A, spectrum, problem.sigma), count, seed=1)
    schedule = VESchedule(0.01, 150.0)
    y = torch.as_tensor(problem.y.T).repeat(count, 1)
    drawn = dds(prior, step, y, shape=(8, 8), eta=1.0, schedule=schedule, evaluations=evaluations).x.reshape(count, -1)
    posterior = problem.posterior()
    np.testing.assert_allclose(drawn.std(0).numpy(), posterior.standard_deviation, rtol=0.09)  # 5 / sqrt(2 count)
    gap = (drawn.mean(0).numpy() - posterior.mean[:, 0]) / posterior.standard_deviation
    assert np.abs(gap).max() < 5 / count**0.5 + 0.02


def test_a_sample_does_not_depend_on_its_chunk() -> None:
    problem = sensor_problem(8, 10, 0.2, count=5)
    prior, spectrum = prior_and_spectrum(problem)
    whole, chunked = (
        dds(prior, PerturbedStep(MetricStep(problem.A, spectrum, 0.2), 5), problem.y.T, shape=(8, 8), evaluations=4,
            eta=1.0, dtype=torch.float64, chunk=chunk).x
        for chunk in (None, 2)
    )  # fmt: skip
    np.testing.assert_allclose(whole, chunked, atol=1e-10)


def test_factors_are_kept_within_the_memory_given() -> None:
    spectrum = ErrorSpectrum(CosineBasis((8, 8)), [0.1, 1.0], np.ones((2, 8, 8)))
    step = MetricStep(Sensors((8, 8), np.arange(10)), spectrum, 0.1, cache_bytes=3000)
    x, y = torch.zeros(1, 8, 8), torch.ones(1, 10)
    first = step(x, y, 0.5)
    for sigma in (0.2, 0.3, 0.4):
        step(x, y, sigma)
    assert sum(t.nbytes for kept in step._cache.values() for t in kept) <= 3000
    assert step.setup_applications == 10
    assert torch.equal(step(x, y, 0.5), first)


def test_bad_input_is_named() -> None:
    basis = CosineBasis((8, 8))
    spectrum, A = ErrorSpectrum(basis, [1.0], np.ones((1, 8, 8))), Sensors((8, 8), np.arange(10))
    with pytest.raises(ValueError, match="sigma_y = 0"):
        MetricStep(A, spectrum, 0.0)
    with pytest.raises(ValueError, match="iterations = 0"):
        MetricStep(A, spectrum, 0.1, iterations=0)
    with pytest.raises(ValueError, match="expected the same"):
        MetricStep(BackwardHeat((4, 4), 0.1), spectrum, 0.1)
    with pytest.raises(ValueError, match="exact=False or more cache_bytes"):
        MetricStep(A, spectrum, 0.1, exact=True, cache_bytes=100)
    with pytest.raises(ValueError, match="x_hat and y have shapes"):
        MetricStep(A, spectrum, 0.1)(torch.zeros(1, 8, 8), torch.zeros(1, 9), 1.0)
    with pytest.raises(ValueError, match="count = 0"):
        PerturbedStep(MetricStep(A, spectrum, 0.1), 0)
    with pytest.raises(ValueError, match="expected 1 in all"):
        PerturbedStep(MetricStep(A, spectrum, 0.1), 1)(torch.zeros(2, 8, 8), torch.zeros(2, 10), 1.0)
