"""Scanners: exact adjoints, data by hand-written formulas, noise of the stated level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("deepinv")

from conjugo.learned.diffusion.imaging.coils import birdcage
from conjugo.learned.diffusion.imaging.masks import column_mask
from conjugo.learned.diffusion.imaging.physics import DeepinvMeasurement, mri, noisy_data, tomography
from conjugo.learned.operators.batches import seeded
from conjugo.pde.inverse.operator import adjoint_mismatch, check_measurement

SCANNERS: dict[str, Any] = {
    "uniform": lambda: mri(16, coils=3),
    "gaussian": lambda: mri(16, pattern="gaussian1d", seed=2),
    "tomography": lambda: tomography(16, views=5),
}


@pytest.mark.parametrize("name", SCANNERS)
def test_adjoints_are_exact(name: str) -> None:
    A = SCANNERS[name]()
    assert adjoint_mismatch(A) < 1e-12
    assert adjoint_mismatch(A, like=torch.zeros(1, dtype=torch.float64)) < 1e-12
    assert adjoint_mismatch(A, like=torch.zeros(1)) < 1e-6
    check_measurement(A)


@pytest.mark.parametrize("name", SCANNERS)
def test_libraries_and_precisions_agree(name: str) -> None:
    A = SCANNERS[name]()
    x = np.random.default_rng(0).standard_normal((A.shape[1], 3))
    y = A @ x
    assert isinstance(y, np.ndarray)
    assert y.dtype == np.float64
    assert np.array_equal((A @ torch.as_tensor(x)).numpy(), y)
    single = A @ torch.as_tensor(x, dtype=torch.float32)
    assert single.dtype == torch.float32
    assert np.allclose(single.numpy(), y, atol=2e-6 * np.abs(y).max())
    assert np.array_equal(A @ x[:, 1], y[:, 1]) or np.allclose(A @ x[:, 1], y[:, 1], atol=1e-13)


def test_kspace_is_the_centred_fourier_transform_of_each_coil() -> None:
    A, n = mri(16, coils=3, seed=5), 16
    x = np.random.default_rng(1).standard_normal((2, n, n))
    image = (x[0] + 1j * x[1]) * birdcage(3, n)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    columns = column_mask(n, seed=5)
    expected = kspace[:, :, columns]
    assert A.shape == (2 * 3 * n * 4, 2 * n * n)
    assert np.allclose(A @ x.ravel(), np.stack([expected.real, expected.imag]).ravel(), atol=1e-12)


def test_a_scan_without_gaps_is_an_isometry() -> None:
    A = mri(16, coils=5, acceleration=1.0)
    x = np.random.default_rng(2).standard_normal(A.shape[1])
    assert np.allclose(A.H @ (A @ x), x, atol=1e-12)


def test_a_disc_has_the_projections_of_a_disc() -> None:
    n, views, r = 64, 6, 20.0
    at = (np.arange(4 * n) + 0.5) / 4 - n / 2
    disc = (at[:, None] ** 2 + at**2 < r**2).reshape(n, 4, n, 4).mean(axis=(1, 3))
    A = tomography(n, views=views)
    projections = (A @ disc.ravel()).reshape(A.data_shape[1:]) * float(A.physics.operator_norm)
    s = np.arange(A.data_shape[1]) - (A.data_shape[1] - 1) / 2
    chord = 2 * np.sqrt(np.maximum(r**2 - s**2, 0))
    assert np.abs(projections - chord[:, None]).mean() < 0.02 * chord.max()
    assert np.allclose(projections.sum(axis=0), disc.sum(), rtol=0.01)  # every view sees the whole mass


def test_tomography_has_norm_one() -> None:
    A = tomography(24, views=8)
    x = np.random.default_rng(3).standard_normal(A.shape[1])
    for _ in range(60):
        x = A.H @ (A @ (x / np.linalg.norm(x)))
    assert np.linalg.norm(x) == pytest.approx(1, abs=2e-3)


def test_noise_has_its_level_and_a_stream_an_image() -> None:
    A = mri(32)
    images = torch.rand(3, 2, 32, 32, generator=seeded(0))
    clean, noisy = noisy_data(A, images, 0.0), noisy_data(A, images, 0.05, seed=4)
    assert float((noisy - clean).std()) == pytest.approx(0.05, rel=0.03)  # 6144 draws: 0.9 %
    alone = noisy_data(A, images[2:], 0.05, seed=4, first=2)
    assert torch.allclose(alone[0], noisy[2], atol=1e-6)
    with pytest.raises(ValueError, match=r"sigma = -1: expected a finite"):
        noisy_data(A, images, -1)


def test_wrong_scanners_are_refused() -> None:
    with pytest.raises(ValueError, match="views = 0"):
        tomography(16, views=0)
    with pytest.raises(ValueError, match=r"kept has shape \(3,\): expected \(2, 4, 16, 16\)"):
        DeepinvMeasurement(mri(16).physics, (2, 16, 16), kept=torch.ones(3, dtype=torch.bool))
