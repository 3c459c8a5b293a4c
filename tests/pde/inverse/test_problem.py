"""Problems with known answers: the draws, the scaling, and the expected errors against sampled truths."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from conjugo.pde import matern_field
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.operator import adjoint_mismatch, check_measurement
from conjugo.pde.inverse.problem import (
    InverseProblem,
    data_variance,
    draw_fields,
    field_spectrum,
    heat_problem,
    joint_problem,
    sensor_problem,
    source_problem,
)
from conjugo.pde.inverse.source import SourceToSensors

PROBLEMS: dict[str, Callable[..., InverseProblem]] = {
    "source": lambda count: source_problem(24, 40, count=count),
    "helmholtz source": lambda count: source_problem(24, 40, wavenumber=6.0, count=count),
    "sensors": lambda count: sensor_problem(24, 60, count=count),
    "heat": lambda count: heat_problem(24, 3e-3, 0.02, count=count),
    "joint inverse": lambda count: joint_problem("poisson", "inverse", 24, 40, count=count),
    "joint forward": lambda count: joint_problem("helmholtz", "forward", 24, 40, 0.01, count=count),
}


@pytest.mark.parametrize("zero_mean", [False, True])
def test_fields_are_those_of_matern_field(zero_mean: bool) -> None:
    basis = CosineBasis((12, 12))
    fields = draw_fields(field_spectrum(basis, 2.0, 3.0, zero_mean=zero_mean), basis, 2, seed=5).T.reshape(2, 12, 12)
    expected = matern_field((12, 12), 2, alpha=2.0, tau=3.0, zero_mean=zero_mean, seed=5)
    factor = np.linalg.norm(fields) / np.linalg.norm(expected)
    assert np.allclose(fields, factor * expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PROBLEMS)
def test_images_and_data_have_unit_variance_and_the_operator_its_adjoint(name: str) -> None:
    problem = PROBLEMS[name](1)
    check_measurement(problem.A)
    assert adjoint_mismatch(problem.A) < 1e-12
    m, n = problem.A.shape
    assert np.isclose(problem.spectrum.sum() / n, 1.0)
    phi = problem.basis.inverse(np.eye(n).reshape(-1, *problem.basis.shape)).reshape(n, n)
    dense = problem.A @ phi.T
    assert np.isclose(np.sum(dense**2 * problem.spectrum.ravel()) / m, 1.0, rtol=1e-10)
    assert problem.y.shape == (m, 1)


@pytest.mark.parametrize("name", PROBLEMS)
def test_expected_errors_agree_with_sampled_truths(name: str) -> None:
    """600 truths: the mean square error is known to 4 % for these few effective degrees of freedom."""
    problem = PROBLEMS[name](600)
    assert problem.truth is not None
    posterior = problem.posterior()
    error, truth = posterior.mean - problem.truth, problem.truth
    if problem.target is not None:
        error, truth = problem.target @ error, problem.target @ truth
        expected = posterior.relative_error(problem.target)
    else:
        expected = posterior.relative_error()
        total = np.sum(posterior.standard_deviation**2)
        assert np.isclose(np.mean(np.sum(error**2, axis=0)), total, rtol=0.04)
    assert np.isclose(np.sqrt(np.sum(error**2) / np.sum(truth**2)), expected, rtol=0.08)
    assert np.allclose(
        problem.relative_error(posterior.mean), np.linalg.norm(error, axis=0) / np.linalg.norm(truth, axis=0)
    )
    assert np.isclose(problem.bayes_error(), expected, rtol=1e-12)


def test_the_standard_settings_have_the_known_errors() -> None:
    """14.1 %, 8.8 %, 5.4 % are known to within the sensors' places and the number of truths that they came from."""
    assert np.isclose(np.mean([source_problem(seed=s).bayes_error() for s in range(4)]), 0.141, rtol=0.03)
    assert np.isclose(np.mean([sensor_problem(seed=s).bayes_error() for s in range(4)]), 0.088, rtol=0.06)
    assert np.isclose(heat_problem().bayes_error(), 0.054, rtol=0.04)


def test_data_follow_from_seed_and_noise() -> None:
    few, many = source_problem(16, 20, count=2, seed=3), source_problem(16, 20, count=5, seed=3)
    assert few.truth is not None
    assert many.truth is not None
    assert np.allclose(few.truth, many.truth[:, :2], atol=1e-13)
    assert np.allclose(few.y, many.y[:, :2], atol=1e-12)
    quiet, loud = source_problem(16, 20, 0.0, seed=3), source_problem(16, 20, 0.1, seed=3)
    assert np.allclose(quiet.y, quiet.A @ quiet.truth, atol=1e-13)
    assert np.isclose(np.std(loud.y - quiet.y), 0.1, rtol=0.4)


def test_data_variance_equals_the_dense_trace() -> None:
    basis = CosineBasis((16, 16))
    spectrum = field_spectrum(basis)
    phi = basis.inverse(np.eye(256).reshape(-1, 16, 16)).reshape(256, 256)
    for A in (BackwardHeat((16, 16), 1e-3), SourceToSensors((16, 16), [3, 99, 200])):
        dense = A @ phi.T
        expected = np.sum(dense**2 * spectrum.ravel()) / len(dense)
        assert np.isclose(data_variance(A, spectrum, basis), expected, rtol=1e-10)


@pytest.mark.slow
def test_500_sensors_on_128_cells_take_seconds_and_200_megabytes() -> None:
    problem = joint_problem(sigma=1e-3)
    tracemalloc.start()
    started = time.perf_counter()
    posterior = problem.posterior()
    assert posterior.relative_error() < 0.1
    assert posterior.standard_deviation.shape == (128**2,)
    assert posterior.samples(32).shape == (32, 128**2, 1)
    seconds, (_, peak) = time.perf_counter() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 30  # 1.6 on one idle core
    assert peak < 200e6


@pytest.mark.slow
def test_the_geometry_of_random_sensors_on_128_cells_has_the_known_errors() -> None:
    """5.5 (5.6), 1.6, 7.2, 11.7 and 19.3 %: means of relative errors over truths; 6.2 %: the expectation."""
    for equation in ("poisson", "helmholtz"):
        for direction, sigma, known, rtol in (
            ("inverse", 0.0, 0.055, 0.08),
            ("forward", 0.0, 0.016, 0.2),
            ("inverse", 1e-3, 0.072, 0.06),
            ("inverse", 0.01, 0.117, 0.06),
            ("inverse", 0.05, 0.193, 0.08),
        ):
            problem = joint_problem(equation, direction, sigma=sigma, count=256)  # type: ignore[arg-type]
            assert np.isclose(problem.relative_error(problem.posterior().mean).mean(), known, rtol=rtol)
        assert np.isclose(joint_problem(equation, sigma=1e-3).bayes_error(), 0.062, rtol=0.03)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: source_problem(16, 20, -0.1), "sigma = -0.1"),
        (lambda: source_problem(16, 300), "expected 1 to 256 sensors"),
        (lambda: source_problem(16, 20, count=0), "count = 0"),
        (lambda: joint_problem("stokes"), "equation = 'stokes'"),  # type: ignore[arg-type]
        (lambda: joint_problem("poisson", "sideways"), "direction = 'sideways'"),  # type: ignore[arg-type]
        (lambda: field_spectrum(CosineBasis((4, 4)), 2.0, 0.0, zero_mean=False), "tau = 0"),
        (lambda: field_spectrum(CosineBasis((4, 4)), 2.0, -1.0), "tau = -1.0"),
        (lambda: sensor_problem(16, 20).relative_error(np.ones((3, 1))), r"expected \(256, 1\)"),
    ],
)
def test_wrong_input_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
