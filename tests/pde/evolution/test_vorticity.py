"""The vorticity equation: exact flows, the convection on a finer grid, what is kept, order, and the stable step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import torch

from conjugo.pde.evolution import VorticityFlow
from conjugo.pde.evolution.navier_stokes import forcing, initial_vorticity

NU = 1e-5


def _waves(size: int) -> tuple[np.ndarray, np.ndarray]:
    k = 2 * np.pi * np.fft.fftfreq(size, 1 / size)
    return k[:, None], k[None]


def _velocity(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kx, ky = _waves(w.shape[-1])
    square = kx**2 + ky**2
    square[0, 0] = 1.0
    psi = np.fft.fft2(w) / square
    psi[..., 0, 0] = 0.0
    return np.fft.ifft2(1j * ky * psi).real, np.fft.ifft2(-1j * kx * psi).real


def _shell(size: int, square: int, seed: int) -> np.ndarray:
    """A random field of all modes with k1^2 + k2^2 = square: a steady solution of Euler's equations."""
    kx, ky = (k / (2 * np.pi) for k in _waves(size))
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((1, size, size)))
    return np.asarray(np.fft.ifft2(noise * (np.abs(kx**2 + ky**2 - square) < 0.5)).real) * size


@pytest.mark.parametrize("square", [1, 2, 25, 65])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_flows_of_one_wavelength_decay(square: int, library: str) -> None:
    """The interactions of the twelve modes of square 25, say, cancel; each mode decays as exp(-nu |k|^2 t)."""
    w, nu = _shell(32, square, 0), 2e-3
    force, start = (np.zeros((32, 32)), w) if library == "numpy" else (torch.zeros(32, 32).double(), torch.as_tensor(w))
    flow = VorticityFlow(force, viscosity=nu, dt=0.01)
    later = np.asarray(flow.field(flow.advance(flow.modes(start), 50)))
    exact = np.exp(-nu * 4 * np.pi**2 * square * 0.5) * w
    np.testing.assert_allclose(later, exact, atol=1e-11 * np.abs(w).max())


def test_a_force_of_one_wavelength_from_rest() -> None:
    """w = f (1 - exp(-nu k^2 t)) / (nu k^2), k^2 = 8 pi^2: the benchmark's force alone."""
    f, nu = forcing(32), 0.02
    flow = VorticityFlow(f, viscosity=nu, dt=0.05)
    rate = nu * 8 * np.pi**2
    w = flow.field(flow.advance(flow.modes(np.zeros((1, 32, 32))), 40))[0]
    np.testing.assert_allclose(w, f * (1 - np.exp(-rate * 2.0)) / rate, atol=1e-7 * 0.1 / rate)  # order 4 in rate dt
    np.testing.assert_allclose(f, forcing(64)[::2, ::2], atol=1e-16)


@pytest.mark.parametrize("size", [16, 24, 31, 32])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_convection_has_no_aliases(size: int, library: str) -> None:
    """dt (f - v . grad w) against products on a grid three times as fine, cut to the same modes."""
    rng, cutoff, dt = np.random.default_rng(0), (size - 1) // 3, 0.125
    kx, ky = (k / (2 * np.pi) for k in _waves(size))
    kept = (np.abs(kx) <= cutoff) & (np.abs(ky) <= cutoff)
    w = np.fft.ifft2(np.fft.fft2(rng.standard_normal((2, size, size))) * kept).real
    f = rng.standard_normal((size, size))
    fine = 3 * size
    index = np.fft.fftfreq(size, 1 / size).astype(int)
    padded = np.zeros((2, fine, fine), dtype=complex)
    padded[:, index[:, None], index] = 9 * np.fft.fft2(w)
    big = np.fft.ifft2(padded).real
    u, v = _velocity(big)
    qx, qy = _waves(fine)
    slope = u * np.fft.ifft2(1j * qx * padded).real + v * np.fft.ifft2(1j * qy * padded).real
    rate = (np.fft.fft2(f) - np.fft.fft2(slope)[:, index[:, None], index] / 9) * kept
    to: Any = np.asarray if library == "numpy" else torch.as_tensor
    flow = VorticityFlow(to(f), viscosity=0.1, dt=dt)
    found = np.asarray(flow.field(flow._increment(flow.modes(to(w)))))
    np.testing.assert_allclose(found, dt * np.fft.ifft2(rate).real, atol=1e-12 * np.abs(found).max())


def test_energy_and_enstrophy_are_kept_without_viscosity() -> None:
    """Both quadratic invariants of Galerkin's method, to the error in time, while the flow moves."""
    flow = VorticityFlow(np.zeros((32, 32)), viscosity=0.0, dt=0.01)
    w0 = flow.field(flow.modes(3 * initial_vorticity(3, 32, seed=1)))
    w1 = flow.field(flow.advance(flow.modes(w0), 200))
    assert np.linalg.norm(w1 - w0) > 0.5 * np.linalg.norm(w0)
    energies = [sum((c**2).mean(axis=(1, 2)) for c in _velocity(w)) for w in (w0, w1)]
    np.testing.assert_allclose(energies[1], energies[0], rtol=1e-8)
    np.testing.assert_allclose((w1**2).mean(axis=(1, 2)), (w0**2).mean(axis=(1, 2)), rtol=1e-6)


def test_enstrophy_budget() -> None:
    """d/dt <w^2> / 2 = <f w> - nu <|grad w|^2>, integrated by Simpson's rule over two units of time."""
    nu, f = 1e-3, forcing(48)
    flow = VorticityFlow(f, viscosity=nu, dt=0.01)
    modes = flow.modes(initial_vorticity(2, 48))
    kx, ky = _waves(48)
    enstrophy, rate = [], []
    for _ in range(201):
        w = flow.field(modes)
        spectrum = np.abs(np.fft.fft2(w) / 48**2) ** 2
        enstrophy.append(0.5 * spectrum.sum(axis=(1, 2)))
        rate.append((f * w).mean(axis=(1, 2)) - nu * (spectrum * (kx**2 + ky**2)).sum(axis=(1, 2)))
        modes = flow.advance(modes, 1)
    budget = scipy.integrate.simpson(np.array(rate), dx=0.01, axis=0)
    np.testing.assert_allclose(enstrophy[-1] - enstrophy[0], budget, rtol=1e-6)


def test_order_four() -> None:
    w0 = 3 * initial_vorticity(2, 64, seed=2)
    ends = []
    for steps in (20, 40, 80, 240):
        flow = VorticityFlow(forcing(64), viscosity=1e-4, dt=1 / steps)
        ends.append(flow.field(flow.advance(flow.modes(w0), steps)))
    errors = np.array([np.linalg.norm(end - ends[-1]) for end in ends[:-1]])
    assert np.all(np.abs(np.log2(errors[:-1] / errors[1:]) - 4) < 0.4), errors


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_longest_step(library: str) -> None:
    """Enstrophy, which nothing feeds, stays bounded below it for 400 steps, and explodes at three times as much."""
    w0: Any = 3 * initial_vorticity(2, 32, seed=4)
    force: Any = np.zeros((32, 32))
    if library == "torch":
        w0, force = torch.as_tensor(w0), torch.as_tensor(force)
    still = VorticityFlow(force, viscosity=0.0, dt=1.0)
    limit = still.longest_step(still.modes(w0))
    ends = []
    for dt in (0.5 * limit, 3 * limit):
        flow = VorticityFlow(force, viscosity=0.0, dt=dt)
        ends.append(np.asarray(flow.field(flow.advance(flow.modes(w0), 400))))
    assert np.sum(ends[0] ** 2) <= float((w0**2).sum())
    assert not np.all(np.isfinite(ends[1]))
    u, v = _velocity(np.asarray(w0))
    assert limit == pytest.approx(8**0.5 / (2 * np.pi * 10 * (np.abs(u) + np.abs(v)).max()), rel=0.05)
    assert still.longest_step(0 * still.modes(w0)) == np.inf


def test_the_state_is_not_changed() -> None:
    flow = VorticityFlow(forcing(16), viscosity=NU, dt=0.1)
    w = initial_vorticity(1, 16)
    modes = flow.modes(w)
    copies = w.copy(), modes.copy()
    flow.advance(modes, 2)
    flow.field(modes)
    flow.longest_step(modes)
    np.testing.assert_array_equal(w, copies[0])
    np.testing.assert_array_equal(modes, copies[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VorticityFlow(np.zeros((16, 8)), viscosity=0.0, dt=0.1), r"force has shape \(16, 8\)"),
        (lambda: VorticityFlow(np.zeros((4, 4)), viscosity=0.0, dt=0.1), "at least 8"),
        (lambda: VorticityFlow(np.zeros((8, 8), dtype=int), viscosity=0.0, dt=0.1), "dtype int64"),
        (lambda: VorticityFlow(np.zeros((8, 8)), viscosity=-1.0, dt=0.1), "viscosity = -1.0"),
        (lambda: VorticityFlow(np.zeros((8, 8)), viscosity=0.0, dt=0.0), "dt = 0.0"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
