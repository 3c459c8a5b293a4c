"""The Navier-Stokes data: statistics of the start, the time step's error, reproducible samples, libraries, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from conjugo.pde.evolution import VorticityFlow, navier_stokes
from conjugo.pde.evolution.navier_stokes import NODES, advance, forcing, initial_vorticity


def _relative(a: Any, b: Any) -> float:
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))


def _spectrum(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Variance of each mode asked for, 2 7^3 (4 pi^2 |k|^2 + 49)^-2.5, and |k|^2."""
    k = np.fft.fftfreq(size, 1 / size)
    square = k[:, None] ** 2 + k**2
    variance = 2 * 343 * (4 * np.pi**2 * square + 49) ** -2.5
    variance[0, 0] = 0.0
    return variance, square


def test_the_start_has_the_spectrum_asked_for() -> None:
    """Mean square of the modes, shell by shell, within five standard errors; and in all, .262^2."""
    size, count = 32, 1500
    variance, square = _spectrum(size)
    w = initial_vorticity(count, size, seed=11)
    power = np.abs(np.fft.fft2(w) / size**2) ** 2
    edges = [0.5, 1.5, 2.5, 4.5, 8.5, 16.5, 50.5, 256.5]
    for low, high in itertools.pairwise(edges):
        shell = (square > low) & (square < high)
        expected = variance[shell].sum()
        spread = np.sqrt(2 * (variance[shell] ** 2).sum() / count)  # a mode and its conjugate are one
        assert abs(power[:, shell].sum(axis=1).mean() - expected) < 5 * spread, (low, high)
    assert np.sqrt(variance.sum()) == pytest.approx(0.262, abs=1e-3)
    assert np.sqrt(_spectrum(256)[0].sum()) == pytest.approx(0.262, abs=1e-3)
    assert w.std() == pytest.approx(0.262, rel=0.02)
    np.testing.assert_allclose(w.mean(axis=(1, 2)), 0.0, atol=1e-15)


def test_the_start_is_that_of_the_code_of_2020() -> None:
    """Its recipe, written again here: independent real and imaginary parts, each of variance 1, then the real part."""
    size, rng = 24, np.random.default_rng(0)
    variance, _ = _spectrum(size)
    noise = rng.standard_normal((1000, size, size)) + 1j * rng.standard_normal((1000, size, size))
    old = np.fft.ifft2(size**2 * np.sqrt(variance) * noise).real
    new = initial_vorticity(1000, size)
    for shift in (0, 1, 3, 12):  # covariances
        pair = [(w * np.roll(w, shift, axis=1)).mean() for w in (old, new)]
        assert pair[0] == pytest.approx(pair[1], abs=0.06 * variance.sum())


def test_the_error_of_the_step() -> None:
    """dt = 1e-2 against 5e-3 below 1e-5, on 64^2 to time 3."""
    w = initial_vorticity(1, 64, seed=1)
    assert _relative(advance(w, 3.0, dt=1e-2), advance(w, 3.0, dt=5e-3)) < 1e-6


@pytest.mark.slow
def test_the_error_of_the_step_in_full() -> None:
    """dt = 1e-2 against 5e-3 below 1e-5: 256^2, time 10."""
    w = initial_vorticity(1, 256, seed=1)
    assert _relative(advance(w, 10.0, dt=1e-2), advance(w, 10.0, dt=5e-3)) < 1e-5


def test_single_precision() -> None:
    """Rounding stays below some 1e-5 at time 2: a thousandth of what learned models reach."""
    single, double = (navier_stokes(1, size=64, times=[1.0, 2.0], dtype=d) for d in ("float32", "float64"))
    assert single.u.dtype == np.float32
    assert _relative(single.u, double.u) < 5e-5


def test_resolution() -> None:
    """The same start on 32^2, 64^2 and 128^2, at time 1: finer is closer, and 64^2 is within 2 %."""
    w = initial_vorticity(1, 128, seed=3)
    fine = advance(w, 1.0, dt=0.02)[:, ::4, ::4]
    errors = [_relative(advance(_restrict(w, n), 1.0, dt=0.02)[:, :: n // 32, :: n // 32], fine) for n in (32, 64)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.02


def _restrict(w: np.ndarray, size: int) -> np.ndarray:
    k = np.fft.fftfreq(size, 1 / size).astype(int)
    return np.asarray((size / w.shape[-1]) ** 2 * np.fft.ifft2(np.fft.fft2(w)[:, k[:, None], k]).real)


def test_samples_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit on NumPy, with 1, 2 or 5 fields at a time."""
    whole = navier_stokes(5, size=32, keep=16, times=[1.0, 3.0], dt=0.05, seed=3)
    later = navier_stokes(2, size=32, keep=16, times=[1.0, 3.0], dt=0.05, seed=3, first=3)
    np.testing.assert_array_equal(whole.u[3:], later.u)
    for chunk in (1, 2):
        monkeypatch.setitem(NODES, True, chunk * 32**2)
        again = navier_stokes(5, size=32, keep=16, times=[1.0, 3.0], dt=0.05, seed=3)
        np.testing.assert_array_equal(whole.u, again.u)
    assert not np.array_equal(whole.u, navier_stokes(5, size=32, keep=16, times=[1.0, 3.0], dt=0.05, seed=4).u)


def test_snapshots() -> None:
    """Snapshots are what `advance` gives at their times, every other node; time 0 is the start, cut."""
    data = navier_stokes(2, size=32, keep=16, times=[0.0, 0.4, 1.0], dt=0.1, viscosity=1e-3, seed=5)
    w = initial_vorticity(2, 32, seed=5)
    for k, t in enumerate(data.t[1:], start=1):
        np.testing.assert_allclose(data.u[:, k], advance(w, t, dt=0.1, viscosity=1e-3)[:, ::2, ::2], atol=1e-13)
    modes = (
        np.fft.fft2(w)
        * (np.abs(np.fft.fftfreq(32, 1 / 32)) <= 10)
        * (np.abs(np.fft.fftfreq(32, 1 / 32)) <= 10)[:, None]
    )
    np.testing.assert_allclose(data.u[:, 0], np.fft.ifft2(modes).real[:, ::2, ::2], atol=1e-14)
    np.testing.assert_array_equal(data.t, [0.0, 0.4, 1.0])
    default = navier_stokes(1, size=16, keep=16, dt=0.1, progress=False)
    assert default.u.shape == (1, 20, 16, 16)
    assert default.dt == 1.0


def test_torch_computes_the_same() -> None:
    options: dict[str, Any] = {"size": 32, "keep": 16, "times": [1.0, 2.0], "dt": 0.05, "seed": 6}
    ours, theirs = navier_stokes(3, **options), navier_stokes(3, xp="torch", **options)
    assert isinstance(theirs.u, torch.Tensor)
    assert theirs.u.dtype == torch.float64
    np.testing.assert_allclose(theirs.u.numpy(), ours.u, atol=1e-12)
    w = initial_vorticity(2, 32)
    single = advance(torch.as_tensor(w).float(), 1.0, dt=0.05)
    assert single.dtype == torch.float32
    assert _relative(single, advance(w, 1.0, dt=0.05)) < 1e-5


def test_advance_takes_any_force_and_batch() -> None:
    w = initial_vorticity(6, 16).reshape(2, 3, 16, 16)
    f = np.random.default_rng(0).standard_normal((16, 16))
    f -= f.mean()
    together = advance(w, 0.3, force=f, viscosity=0.01, dt=0.05)
    assert together.shape == w.shape
    np.testing.assert_array_equal(together[1, 2], advance(w[1, 2], 0.3, force=f, viscosity=0.01, dt=0.05))
    still = advance(np.zeros((16, 16)), 1.0, force=0.0)
    np.testing.assert_array_equal(still, 0.0)
    np.testing.assert_array_equal(advance(w, 0.3), advance(w, 0.3, force=forcing(16)))
    np.testing.assert_allclose(advance(w, 0.3, dt=0.04), advance(w, 0.3, dt=0.3 / 8), atol=1e-15)  # what divides 0.3


def test_a_step_that_is_too_long() -> None:
    w = initial_vorticity(1, 32)
    assert not np.all(np.isfinite(advance(w, 600.0, dt=2.0)))
    with pytest.raises(FloatingPointError, match=r"dt = 2.0: take a shorter step"):
        navier_stokes(1, size=32, keep=16, times=[600.0], dt=2.0)
    with pytest.warns(RuntimeWarning, match=r"dt = 1.0 is longer than 0\.\d+, the limit of stability"):
        navier_stokes(1, size=32, keep=16, times=[2.0], dt=1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda() -> None:
    """The same trajectories, and a time loop that never waits for the device."""
    options: dict[str, Any] = {"size": 64, "keep": 32, "times": [1.0, 2.0], "dt": 0.02, "seed": 6}
    ours, theirs = navier_stokes(3, **options), navier_stokes(3, xp="torch", device="cuda", **options)
    assert theirs.u.device.type == "cuda"
    np.testing.assert_allclose(theirs.u.cpu().numpy(), ours.u, atol=1e-11)
    w = torch.as_tensor(initial_vorticity(2, 64)).cuda()
    f = torch.as_tensor(forcing(64)).cuda()
    flow = VorticityFlow(f, viscosity=1e-5, dt=0.01)
    modes = flow.advance(flow.modes(w), 1)  # plans of the transforms
    torch.cuda.set_sync_debug_mode("error")
    try:
        flow.advance(modes, 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: navier_stokes(0), "count = 0"),
        (lambda: navier_stokes(1, size=4), "size = 4"),
        (lambda: navier_stokes(1, size=32, keep=12), "keep = 12: expected a divisor of size = 32"),
        (lambda: navier_stokes(1, first=-1), "first = -1"),
        (lambda: navier_stokes(1, dt=0.0), "dt = 0.0"),
        (lambda: navier_stokes(1, dt=0.3), r"dt = 0.3 does not divide the times"),
        (lambda: navier_stokes(1, times=[2.0, 1.0]), "increasing times"),
        (lambda: navier_stokes(1, times=[]), "increasing times"),
        (lambda: navier_stokes(1, viscosity=-1.0), "viscosity = -1.0"),
        (lambda: navier_stokes(1, dtype="float16"), "dtype = 'float16'"),  # type: ignore[arg-type]
        (lambda: navier_stokes(1, device="cuda"), "pass xp='torch' too"),
        (lambda: advance(np.zeros((4, 16, 8)), 1.0), r"w has shape \(4, 16, 8\)"),
        (lambda: advance(np.zeros((16, 16), dtype=int), 1.0), "dtype int64"),
        (lambda: advance(np.zeros((16, 16)), 0.0), "time = 0.0"),
        (lambda: advance(np.zeros((16, 16)), 1.0, dt=-1.0), "dt = -1.0"),
        (lambda: advance(np.zeros((16, 16)), 1.0, force=np.zeros((8, 8))), "force has shape"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
