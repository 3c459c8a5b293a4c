"""Kuramoto-Sivashinsky: step halving, order, invariances, the Lyapunov exponent, and reproducibility."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate

from conjugo.pde.evolution import kuramoto_sivashinsky
from conjugo.pde.evolution.kuramoto_sivashinsky import evolve, largest_exponent


@pytest.fixture(scope="module")
def states() -> np.ndarray:
    """Eight states on the attractor."""
    return np.asarray(kuramoto_sivashinsky(8, 1, seed=1).u[:, 0])


def _relative(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.linalg.norm(u - v) / np.linalg.norm(v))


def test_the_default_step_at_t_50(states: np.ndarray) -> None:
    """h = .05 against .0125 to 1e-3, the gate, in each of the trajectories; and the order on the way there."""
    ends = {h: evolve(states, 1, dt_out=50.0, h=h).u[:, -1] for h in (0.1, 0.05, 0.0125)}
    worst = [max(_relative(u, v) for u, v in zip(ends[h], ends[0.0125], strict=True)) for h in (0.1, 0.05)]
    assert worst[1] < 1e-3
    assert 3.2 < np.log2(worst[0] / worst[1]) < 4.8


def test_order_four(states: np.ndarray) -> None:
    """Reached below h = .02; above, the stiff modes still take some of it (3.1 from .2 to .1)."""
    ends = [evolve(states, 1, dt_out=1.0, h=h).u[:, -1] for h in (0.02, 0.01, 0.005, 0.001)]
    errors = np.array([_relative(u, ends[-1]) for u in ends[:-1]])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 4) < 0.4), errors


def test_against_another_integrator(states: np.ndarray) -> None:
    """Radau on the grid, with differentiation by a matrix and the product u u_x as it stands."""
    n = 64
    k = np.fft.fftfreq(n, 1 / n) * (np.abs(np.fft.fftfreq(n, 1 / n)) < n / 2)
    D = np.real(np.fft.ifft(2j * np.pi / 22 * k[:, None] * np.fft.fft(np.eye(n), axis=0), axis=0))
    L = -D @ D - D @ D @ D @ D

    def slope(t: float, u: np.ndarray) -> np.ndarray:
        return np.asarray(L @ u - u * (D @ u))

    def jacobian(t: float, u: np.ndarray) -> np.ndarray:
        return np.asarray(L - np.diag(D @ u) - u[:, None] * D)

    exact = scipy.integrate.solve_ivp(slope, (0, 5), states[0], "Radau", jac=jacobian, rtol=1e-8, atol=1e-9).y[:, -1]
    assert _relative(evolve(states[:1], 5, h=0.0125).u[0, -1], exact) < 1e-7


def test_resolution(states: np.ndarray) -> None:
    """The same states on twice the points move alike: 64 points resolve L = 22."""
    fine = np.fft.irfft(2 * np.fft.rfft(states), 128)
    np.testing.assert_allclose(evolve(fine, 10).u[:, :, ::2], evolve(states, 10).u, atol=1e-7)


def test_invariances(states: np.ndarray) -> None:
    """Translation, reflection u(x) -> -u(-x), and Galilean boosts: u + c moves by c t further."""
    moved = evolve(states, 10).u
    np.testing.assert_allclose(evolve(np.roll(states, 5, axis=-1), 10).u, np.roll(moved, 5, axis=-1), atol=1e-8)
    mirror = -np.roll(states[:, ::-1], 1, axis=-1)
    np.testing.assert_allclose(evolve(mirror, 10).u, -np.roll(moved[..., ::-1], 1, axis=-1), atol=1e-8)
    c = 5 * 22 / 64 / 10  # five grid points in ten units of time
    boosted = evolve(states + c, 10, h=0.0125).u[:, -1]
    np.testing.assert_allclose(boosted - c, np.roll(evolve(states, 10, h=0.0125).u[:, -1], 5, axis=-1), atol=1e-5)


def test_energy_budget(states: np.ndarray) -> None:
    """d/dt <u^2> / 2 = <u_x^2> - <u_xx^2>, integrated by Simpson's rule; the mean stays."""
    data = evolve(states, 100, dt_out=0.05)
    q = 2 * np.pi / 22 * np.arange(33)
    power = np.abs(np.fft.rfft(data.u) / 64) ** 2 * np.where((q > 0) & (np.arange(33) < 32), 2.0, 1.0)
    energy, rate = power.sum(axis=-1) / 2, (power * (q**2 - q**4)).sum(axis=-1)
    budget = scipy.integrate.simpson(rate, dx=0.05, axis=-1)
    np.testing.assert_allclose(energy[:, -1] - energy[:, 0], budget, atol=2e-5)  # fourth order in h = .05
    np.testing.assert_allclose(data.u.mean(axis=-1), 0.0, atol=1e-12)


def test_samples_do_not_depend_on_the_count() -> None:
    """To the last bit, although the flow is chaotic: every row is computed on its own."""
    whole = kuramoto_sivashinsky(5, 20, seed=7, discard=50.0)
    np.testing.assert_array_equal(whole.u[3:], kuramoto_sivashinsky(2, 20, seed=7, first=3, discard=50.0).u)
    np.testing.assert_array_equal(whole.u[:1], kuramoto_sivashinsky(1, 20, seed=7, discard=50.0).u)
    assert whole.dt == 1.0
    assert 0.8 < whole.u.std() < 1.7  # of the attractor: 1.2


def test_short_intervals_decay() -> None:
    """Below a length of 2 pi every mode is damped."""
    assert np.abs(kuramoto_sivashinsky(2, 1, length=5.0, points=16).u).max() < 1e-12


def test_lyapunov_exponent_is_positive(states: np.ndarray) -> None:
    """A quick look; the slow test has the figure. Eight states over 100 units: standard error about .006."""
    assert 0.02 < largest_exponent(states, 100.0).mean() < 0.085


@pytest.mark.slow
def test_lyapunov_exponent() -> None:
    """.047 +- .005 at L = 22, from 40 trajectories over 1000 units of time."""
    start = kuramoto_sivashinsky(40, 1, seed=3).u[:, 0]
    assert abs(largest_exponent(start, 1000.0).mean() - 0.047) < 0.005


def test_overflow() -> None:
    with pytest.raises(FloatingPointError, match=r"h = 1.0: take a shorter step"):
        evolve(1e3 * np.cos(2 * np.pi * np.arange(64) / 64)[None], 5, h=1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kuramoto_sivashinsky(0, 1), "count = 0"),
        (lambda: kuramoto_sivashinsky(1, 0), "steps = 0"),
        (lambda: kuramoto_sivashinsky(1, 1, points=63), "points = 63"),
        (lambda: kuramoto_sivashinsky(1, 1, length=-1.0), "length = -1.0"),
        (lambda: kuramoto_sivashinsky(1, 1, h=0.0), "h = 0.0"),
        (lambda: kuramoto_sivashinsky(1, 1, dt_out=np.nan), "dt_out = nan"),
        (lambda: kuramoto_sivashinsky(1, 1, discard=-1.0), "discard = -1.0"),
        (lambda: evolve(np.zeros(64), 1), r"u0 has shape \(64,\)"),
        (lambda: evolve(np.full((1, 64), np.inf), 1), "finite"),
        (lambda: largest_exponent(np.zeros((1, 64)), 0.0), "time = 0.0"),
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
