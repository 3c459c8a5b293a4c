"""What each measurement measures: against the stencils of the package, exact solutions and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage

from conjugo.pde import helmholtz
from conjugo.pde.inverse.bases import CosineBasis, SineBasis
from conjugo.pde.inverse.blur import GaussianBlur, KernelBlur
from conjugo.pde.inverse.heat import BackwardHeat, informed_modes
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import Green, SourceToSensors
from conjugo.pde.inverse.spectral import SpectralOperator


def test_sensors_read_and_scatter() -> None:
    S = Sensors((3, 4), [11, 2])
    x = np.arange(12.0)
    assert (S @ x).tolist() == [11.0, 2.0]
    back = S.H @ np.array([5.0, 7.0])
    assert back.nonzero()[0].tolist() == [2, 11]
    assert back[[2, 11]].tolist() == [7.0, 5.0]
    assert np.allclose(S @ (S.H @ np.eye(2)), np.eye(2))


def test_random_sensors_are_distinct_and_follow_the_seed() -> None:
    nodes = Sensors.random((16, 16), 100, seed=3).nodes
    assert np.unique(nodes).size == 100
    assert np.array_equal(nodes, Sensors.random((16, 16), 100, seed=3).nodes)
    assert not np.array_equal(nodes, Sensors.random((16, 16), 100, seed=4).nodes)
    assert Sensors.random((2, 16, 16), 100, channels=[1], seed=3).nodes.min() >= 256


@pytest.mark.parametrize("k", [0.0, 1.0, 11.0])
def test_the_green_operator_solves_the_stencil(k: float) -> None:
    problem = helmholtz((12, 17), wavenumber=k, centring="cell", seed=2)
    u = Green((12, 17), k) @ problem.b
    assert np.linalg.norm(problem.A @ u - problem.b) < 1e-12 * np.linalg.norm(problem.b)


def test_the_green_operator_is_of_second_order() -> None:
    errors = []
    for n in (8, 16, 32):
        x = (np.arange(n) + 0.5) / n
        u = np.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x)).ravel()
        errors.append(np.abs(Green((n, n)) @ (5 * np.pi**2 * u) - u).max())
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 2) < 0.1)


def test_the_source_operator_is_sensors_after_green() -> None:
    A, x = SourceToSensors((9, 9), [3, 40], wavenumber=2.0), np.random.default_rng(0).standard_normal(81)
    assert np.array_equal(A @ x, (Green((9, 9), 2.0) @ x)[[3, 40]])


def test_heat_damps_the_exact_mode_by_the_exact_factor() -> None:
    x = (np.arange(24) + 0.5) / 24
    mode = np.outer(np.cos(np.pi * x), np.cos(3 * np.pi * x)).ravel()
    assert np.allclose(BackwardHeat((24, 24), 0.01) @ mode, np.exp(-0.1 * np.pi**2) * mode, atol=1e-13)
    assert np.allclose(BackwardHeat((24, 24), 0.0) @ mode, mode, atol=1e-13)
    twice = BackwardHeat((24, 24), 0.01) @ (BackwardHeat((24, 24), 0.02) @ mode)
    assert np.allclose(twice, BackwardHeat((24, 24), 0.03) @ mode, atol=1e-13)


def test_informed_modes_are_those_above_the_noise() -> None:
    assert informed_modes(np.array([2.0, 1.0, 0.5]), np.array([1.0, 4.0, 1.0]), 0.6) == 2


def test_the_gaussian_blur_is_scipys_with_reflection() -> None:
    """SciPy cuts the kernel after 8 widths and samples it: equal to the accuracy of the trapezoidal rule."""
    x = np.random.default_rng(0).standard_normal((20, 24))
    expected = scipy.ndimage.gaussian_filter(x, 1.5, mode="reflect", truncate=8.0)
    blurred = (GaussianBlur((20, 24), 1.5) @ x.ravel()).reshape(20, 24)
    assert np.abs(blurred - expected).max() < 2e-5


@pytest.mark.parametrize("shape", [(3, 3), (4, 5), (1, 2), (10, 12)])
def test_the_kernel_blur_is_scipys_periodic_convolution(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((10, 12)), rng.standard_normal(shape)
    blurred = (KernelBlur((10, 12), kernel) @ x.ravel()).reshape(10, 12)
    expected = np.zeros_like(x)
    for (i, j), weight in np.ndenumerate(kernel):
        expected += weight * np.roll(x, (i - shape[0] // 2, j - shape[1] // 2), axis=(0, 1))
    assert np.allclose(blurred, expected, atol=1e-12)


def test_bad_arguments_are_refused() -> None:
    resonance = float(np.sqrt(SineBasis((8, 8)).laplacian(exact=False)[0, 1]))
    for call, words in (
        (lambda: Green((8, 8), resonance), "expected no resonance"),
        (lambda: Green((8, 8), np.inf), "wavenumber = inf"),
        (lambda: SourceToSensors((8, 8), [1], G=Green((8, 9))), r"expected a square operator on images \(8, 8\)"),
        (lambda: BackwardHeat((8, 8), -1.0), "time = -1.0"),
        (lambda: GaussianBlur((8, 8), np.nan), "width = nan"),
        (lambda: KernelBlur((8, 8), np.ones((9, 2))), "as many axes as the image, at most"),
        (lambda: KernelBlur((8, 8), np.ones(3)), "as many axes"),
        (lambda: KernelBlur((8,), [np.nan]), "finite real numbers"),
        (lambda: Sensors((8, 8), [64]), "flat indices from 0 to 63"),
        (lambda: Sensors((8, 8), [1, 1]), "distinct"),
        (lambda: Sensors((8, 8), [0.5]), "integers"),
        (lambda: Sensors((2, 8, 8), [1], channels=[2]), "numbers of channels"),
        (lambda: Sensors.random((8, 8), 65), "expected 1 to 64 sensors"),
        (lambda: SpectralOperator(CosineBasis((4, 4)), np.ones(4)), r"expected \(4, 4\)"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
