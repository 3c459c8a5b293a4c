"""Schedules: the published grids of times, products of betas, and the variance that each split must keep."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conjugo.learned.diffusion.schedule import Schedule, Split, VESchedule, VPSchedule

VP, VE = VPSchedule(), VESchedule(0.02, 40.0)


@pytest.mark.parametrize(("evaluations", "skip"), [(19, 50), (49, 20), (99, 10), (4, 200)])
def test_the_published_grids(evaluations: int, skip: int) -> None:
    """Times ..., 2 s, s, 0 with s = 1000 // T_s for T_s = evaluations + 1: no evaluation is made at 0."""
    assert VP.times(evaluations) == tuple(range(skip * evaluations, -1, -skip))
    assert len(VP.times(evaluations)) == evaluations + 1


@pytest.mark.parametrize("evaluations", [1, 6, 30, 333, 999])
def test_any_number_of_evaluations_has_a_grid(evaluations: int) -> None:
    times = np.array(VP.times(evaluations))
    assert len(times) == evaluations + 1
    assert times[-1] == 0
    assert times[0] < 1000
    assert np.all(np.diff(times) < 0)
    assert np.ptp(np.diff(times)) <= 1


def test_abar_is_the_product_of_the_alphas() -> None:
    products, product = [], 1.0
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        products.append(product)
    assert np.allclose(VP.abar, products, rtol=1e-12)
    assert math.isclose(VP.sigma(300), math.sqrt((1 - products[300]) / products[300]), rel_tol=1e-12)
    assert math.isclose(VP.signal(300) ** 2 + VP.noise(300) ** 2, 1.0, rel_tol=1e-12)


def test_ve_is_geometric_between_its_ends() -> None:
    sigmas = [VE.sigma(t) for t in VE.times(9)]
    assert math.isclose(sigmas[0], 40.0)
    assert math.isclose(sigmas[-1], 0.02)
    assert np.allclose(np.diff(np.log(sigmas)), math.log(0.02 / 40.0) / 9)
    assert VE.start(1.0) == VE.noise(1.0) == VE.sigma(1.0)


@pytest.mark.parametrize("schedule", [VP, VE])
@pytest.mark.parametrize("split", ["paper", "ddim"])
@pytest.mark.parametrize("eta", [0.0, 0.15, 0.85, 1.0])
def test_both_parts_of_the_noise_add_up(schedule: Schedule, split: Split, eta: float) -> None:
    for t, t_next in zip(schedule.times(9)[:-1], schedule.times(9)[1:], strict=True):
        predicted, fresh = schedule.split(t, t_next, eta, split)
        assert math.isclose(predicted**2 + fresh**2, schedule.noise(t_next) ** 2, rel_tol=1e-12)
        assert (fresh == 0) == (eta == 0)


def test_the_splits_of_the_papers() -> None:
    t, s = 500, 450
    a, b = VP.abar[t], VP.abar[s]
    c2, c1 = VP.split(t, s, 0.85, "paper")
    assert math.isclose(c1, 0.85 * math.sqrt(1 - b))
    assert math.isclose(c2, math.sqrt(1 - b) * math.sqrt(1 - 0.85**2))
    _, c1 = VP.split(t, s, 0.85, "ddim")
    assert math.isclose(c1, 0.85 * math.sqrt((1 - a / b) * (1 - b) / (1 - a)))
    _, fresh = VE.split(0.5, 0.4, 0.85, "paper")
    assert math.isclose(fresh, 0.85 * VE.sigma(0.4))
    _, fresh = VE.split(0.5, 0.4, 0.85, "ddim")
    assert math.isclose(fresh, 0.85 * VE.sigma(0.4) * (1 - VE.sigma(0.4) ** 2 / VE.sigma(0.5) ** 2))


def test_ddim_with_eta_one_is_ancestral_sampling() -> None:
    """Where x_0 is known, q(x_{t-1} | x_t, x_0) of DDPM: mean and variance by the formula of Ho et al., eq. (7)."""
    t, s = 400, 399
    beta = 1 - VP.abar[t] / VP.abar[s]
    variance = beta * (1 - VP.abar[s]) / (1 - VP.abar[t])
    predicted, fresh = VP.split(t, s, 1.0, "ddim")
    assert math.isclose(fresh**2, variance, rel_tol=1e-9)
    of_x_t = math.sqrt(1 - beta) * (1 - VP.abar[s]) / (1 - VP.abar[t])
    of_x_0 = math.sqrt(VP.abar[s]) * beta / (1 - VP.abar[t])
    assert math.isclose(predicted / VP.noise(t), of_x_t, rel_tol=1e-9)
    assert math.isclose(VP.signal(s) - predicted * VP.signal(t) / VP.noise(t), of_x_0, rel_tol=1e-6)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="evaluations = 0: expected 1 to 999"):
        VP.times(0)
    with pytest.raises(ValueError, match="evaluations = 1000"):
        VP.times(1000)
    with pytest.raises(ValueError, match="evaluations = -1: expected 1 or more"):
        VE.times(-1)
    with pytest.raises(ValueError, match="steps = 1"):
        VPSchedule(1)
    with pytest.raises(ValueError, match="beta = "):
        VPSchedule(10, (0.02, 1e-4))
    with pytest.raises(ValueError, match="sigma_min = 2"):
        VESchedule(2.0, 1.0)
