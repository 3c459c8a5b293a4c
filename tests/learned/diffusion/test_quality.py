"""Coverage and spread: right for a right posterior, and wrong where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.learned.diffusion.quality import coverage, spread_error, summary
from conjugo.pde.inverse.problem import sensor_problem


@pytest.mark.parametrize("count", [39, 79])
def test_exact_posterior_samples_are_calibrated(count: int) -> None:
    problem = sensor_problem(16, 30, count=40)
    posterior = problem.posterior()
    assert problem.truth is not None
    drawn = posterior.samples(count, seed=3)
    found = summary(drawn, problem.truth, mean=posterior.mean, deviation=posterior.standard_deviation[:, None])
    assert found.spread_error == pytest.approx(1.0, abs=0.05)
    for level, share in found.coverage.items():
        assert share == pytest.approx(level, abs=0.02)
    assert found.sample_error / found.mean_error == pytest.approx((2 / (1 + 1 / count)) ** 0.5, rel=0.03)
    assert found.deviation_map_error == pytest.approx((2 * count) ** -0.5, rel=0.2)
    assert found.mean_map_error is not None
    assert found.mean_map_error < 0.1


def test_samples_that_are_too_sure_are_seen() -> None:
    rng = np.random.default_rng(0)
    truth, drawn = rng.standard_normal(20_000), rng.standard_normal((39, 20_000))
    narrow = summary(0.5 * drawn, truth)
    assert narrow.spread_error == pytest.approx(0.5, abs=0.02)
    assert narrow.coverage[0.5] == pytest.approx(0.264, abs=0.02)  # P(|z| < 0.674 / 2)
    assert spread_error(np.zeros((5, 3)), np.ones(3)) == 0.0
    assert narrow.mean_map_error is None


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="K at least 2"):
        coverage(np.ones((1, 3)), np.ones(3))
    with pytest.raises(ValueError, match="levels"):
        coverage(np.ones((4, 3)), np.ones(3), levels=[1.5])
