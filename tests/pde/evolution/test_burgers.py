"""Burgers' equation against the solution of Cole and Hopf, itself against Hopf's integral; order, energy, data."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.integrate

from conjugo.pde.evolution import burgers
from conjugo.pde.evolution.burgers import cole_hopf, evolve


def _relative(u: np.ndarray, v: np.ndarray) -> float:
    return float((np.linalg.norm(u - v, axis=1) / np.linalg.norm(v, axis=1)).max())


def _wave(size: int, amplitude: float = 1.0) -> np.ndarray:
    x = 2 * np.pi * np.arange(size) / size
    return amplitude * np.stack([np.sin(x), np.sin(x) + 0.5 * np.cos(2 * x + 1) - 0.2 * np.sin(3 * x)])


def test_cole_hopf_against_hopfs_integral() -> None:
    """u(x, t) = mean of (x - y) / t under exp(-(U(y) / 2 + (x - y)^2 / 4t) / nu) dy, over the whole line."""
    nu, t, size = 0.1, 0.2, 64
    u = cole_hopf(_wave(size)[:1], t, viscosity=nu)[0]

    def weight(y: float, x: float) -> float:
        potential = (1 - np.cos(2 * np.pi * y)) / (2 * np.pi)
        return float(np.exp(-potential / (2 * nu) - (x - y) ** 2 / (4 * nu * t)))

    for j in (0, 5, 17, 40):
        x = j / size
        window = {"limit": 200, "epsabs": 1e-13, "epsrel": 1e-12}
        above = scipy.integrate.quad(lambda y, x=x: (x - y) / t * weight(y, x), x - 2.5, x + 2.5, **window)[0]
        below = scipy.integrate.quad(weight, x - 2.5, x + 2.5, args=(x,), **window)[0]
        assert u[j] == pytest.approx(above / below, abs=1e-9)


@pytest.mark.parametrize("viscosity", [0.1, 0.02])
def test_smooth_fields_are_exact(viscosity: float) -> None:
    u0 = _wave(256)
    exact = cole_hopf(u0, 0.5, viscosity=viscosity)
    assert _relative(evolve(u0, 0.5, viscosity=viscosity, dt=5e-4), exact) < 1e-9


def test_order_four() -> None:
    u0 = _wave(128, 2.0)
    exact = cole_hopf(u0, 0.25, viscosity=0.05)
    errors = np.array([_relative(evolve(u0, 0.25, viscosity=0.05, dt=0.25 / n), exact) for n in (50, 100, 200)])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 4) < 0.4), errors


def test_the_data_are_exact_to_1e_6() -> None:
    """The default step on the benchmark's fields, whose spectrum falls off slowly."""
    pairs = burgers(8, 2048, seed=3)
    assert _relative(np.asarray(pairs.u), cole_hopf(np.asarray(pairs.a), 1.0)) < 2e-6


def test_steep_fields() -> None:
    """The fields of the published generator at viscosity 2e-3, steep by time 0.3, against an adaptive Runge-Kutta."""
    size, nu = 512, 2e-3
    pairs = burgers(1, size, viscosity=nu, time=0.3, dt=1e-3, alpha=2.5, tau=7.0, sigma=49.0, seed=1)
    k = 2 * np.pi * np.arange(size // 2 + 1)
    inner = np.where(np.arange(size // 2 + 1) <= (size - 1) // 3, 1j * k, 0.0)

    def slope(t: float, u: np.ndarray) -> np.ndarray:
        return np.asarray(np.fft.irfft(-nu * k**2 * np.fft.rfft(u) - 0.5 * inner * np.fft.rfft(u * u), size))

    exact = scipy.integrate.solve_ivp(slope, (0, 0.3), np.asarray(pairs.a)[0], "RK45", rtol=1e-9, atol=1e-10).y[:, -1]
    assert _relative(np.asarray(pairs.u), exact[None]) < 1e-6


def test_a_mean_moves_the_field() -> None:
    """u + c is the same flow, moved by c t: here by a quarter of the interval."""
    u0 = _wave(128)
    moved = evolve(u0 + 0.5, 0.5, dt=1e-3) - 0.5
    np.testing.assert_allclose(moved, np.roll(evolve(u0, 0.5, dt=1e-3), 32, axis=1), atol=1e-9)


def test_energy_budget() -> None:
    """d/dt <u^2> / 2 = -nu <u_x^2>, by Simpson's rule; the mean is kept."""
    u, energy, rate = _wave(128), [], []
    for _ in range(201):
        slope = np.fft.irfft(2j * np.pi * np.arange(65) * (np.arange(65) < 64) * np.fft.rfft(u), 128)
        energy.append(0.5 * (u**2).mean(axis=1))
        rate.append(-0.1 * (slope**2).mean(axis=1))
        u = evolve(u, 0.002, dt=1e-3)
    budget = scipy.integrate.simpson(np.array(rate), dx=0.002, axis=0)
    np.testing.assert_allclose(energy[-1] - energy[0], budget, rtol=1e-6)
    np.testing.assert_allclose(u.mean(axis=1), 0.0, atol=1e-15)


def test_samples_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = burgers(5, 64, dt=0.02, seed=2)
    later = burgers(2, 64, dt=0.02, seed=2, first=3)
    np.testing.assert_array_equal(np.asarray(whole.a)[3:], later.a)
    np.testing.assert_array_equal(np.asarray(whole.u)[3:], later.u)
    monkeypatch.setattr(sys.modules["conjugo.pde.evolution.burgers"], "NODES", 2 * 64)
    np.testing.assert_array_equal(whole.u, burgers(5, 64, dt=0.02, seed=2).u)
    assert whole.grid is not None
    assert whole.grid.shape == (64,)


def test_the_fields_have_the_variance_asked_for() -> None:
    """sigma^2 sum over k != 0 of (4 pi^2 k^2 + tau^2)^-alpha, to four standard errors."""
    a = np.asarray(burgers(2000, 32, dt=0.5).a)
    variances = 2 * 625 * (4 * np.pi**2 * np.arange(1, 16) ** 2 + 25.0) ** -2
    expected, spread = variances.sum(), np.sqrt((variances**2).sum() / 2000)
    assert abs((a**2).mean() - expected) < 4 * spread + 1e-3 * expected
    np.testing.assert_allclose(a.mean(axis=1), 0.0, atol=1e-14)


def test_overflow() -> None:
    with pytest.raises(FloatingPointError, match=r"dt = 0.5: take a shorter step"):
        burgers(2, 256, viscosity=1e-4, time=50.0, dt=0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: burgers(0), "count = 0"),
        (lambda: burgers(1, 63), "size = 63"),
        (lambda: burgers(1, viscosity=0.0), "viscosity = 0.0"),
        (lambda: burgers(1, time=-1.0), "time = -1.0"),
        (lambda: burgers(1, dt=0.0), "dt = 0.0"),
        (lambda: burgers(1, first=-1), "first = -1"),
        (lambda: evolve(np.zeros(64), 1.0), r"u0 has shape \(64,\)"),
        (lambda: evolve(np.full((1, 64), np.nan), 1.0), "finite"),
        (lambda: cole_hopf(_wave(64) + 1.0, 1.0), "u0 has means up to 1"),
        (lambda: cole_hopf(_wave(64), 1.0, viscosity=1e-4), "spans .* viscosities: expected at most 600"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
