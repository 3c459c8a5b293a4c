"""Volumes: the ADMM sweep against dense algebra and a dual solve of total variation, chunks, and whole runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.diffusion.dds import dds
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.learned.diffusion.slicewise import SliceWise
from conjugo.learned.diffusion.variation_step import VariationStep, adjoint_difference, difference
from conjugo.learned.diffusion.volume import SliceDenoiser, dds_volume
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.operator import adjoint_mismatch, check_measurement
from conjugo.pde.inverse.problem import field_spectrum
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import SourceToSensors
from conjugo.solvers.result import Status

SIZE = (4, 5)
NODES = [0, 3, 7, 8, 12, 13, 19]
A = SourceToSensors(SIZE, NODES)
DEPTH = 6


def circular(depth: int, n: int) -> NDArray[np.float64]:
    """D on volumes (depth, n), dense."""
    D = np.roll(np.eye(depth), 1, axis=1) - np.eye(depth)
    return np.asarray(np.kron(D, np.eye(n)), dtype=np.float64)


def test_each_slice_is_measured_and_the_adjoint_is_exact() -> None:
    volume = SliceWise(A, DEPTH, chunk=4)
    x = np.random.default_rng(0).standard_normal((DEPTH, 20))
    assert np.allclose((volume @ x.ravel()).reshape(DEPTH, -1), (A @ x.T).T, atol=1e-14)
    assert adjoint_mismatch(volume) < 1e-14
    assert adjoint_mismatch(volume, like=torch.zeros((), dtype=torch.float64)) < 1e-14
    check_measurement(volume)
    block = np.random.default_rng(1).standard_normal((DEPTH * 20, 3))
    assert np.allclose(volume @ block, np.stack([volume @ v for v in block.T], axis=1), atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_differences_are_circular_and_adjoint(depth: int) -> None:
    x = torch.randn(2, depth, 4, dtype=torch.float64)
    D = torch.as_tensor(circular(depth, 4))
    assert torch.allclose(difference(x).reshape(2, -1), x.reshape(2, -1) @ D.T, atol=1e-14)
    assert torch.allclose(adjoint_difference(x).reshape(2, -1), x.reshape(2, -1) @ D, atol=1e-14)


def test_sweeps_are_those_of_dense_admm_and_the_state_persists() -> None:
    rng = np.random.default_rng(2)
    n, rho, weight = DEPTH * 20, 3.0, 0.2
    y = rng.standard_normal(DEPTH * len(NODES))
    dense, D = SliceWise(A, DEPTH) @ np.eye(n), circular(DEPTH, 20)
    step = VariationStep(SliceWise(A, DEPTH), weight=weight, rho=rho, iterations=400)
    d, w = np.zeros(n), np.zeros(n)
    H = dense.T @ dense + rho * D.T @ D
    for _ in range(3):
        x_hat = rng.standard_normal(n)  # whatever the denoiser made
        x = x_hat + np.linalg.pinv(H, rcond=1e-12) @ (dense.T @ y + rho * D.T @ (d - w) - H @ x_hat)
        d = np.sign(D @ x + w) * np.maximum(np.abs(D @ x + w) - weight / rho, 0)
        w = w + D @ x - d
        found = step(torch.as_tensor(x_hat.reshape(1, DEPTH, *SIZE)), torch.as_tensor(y)[None], 1.0)
        assert np.allclose(found.numpy().ravel(), x, atol=1e-6)
    assert step.state is not None
    for mine, theirs in zip(step.state, (d, w), strict=True):
        assert np.allclose(mine.numpy().ravel(), theirs, atol=1e-6)
    step.reset()
    assert step.state is None


def test_sweeps_converge_to_total_variation() -> None:
    """A = I: min ||x - y||^2 / 2 + weight ||D x||_1 by projected gradients on its dual, an independent solve."""
    rng = np.random.default_rng(3)
    depth, weight = 12, 0.5
    y = np.repeat([0.0, 2.0, -1.0], 4) + 0.3 * rng.standard_normal(depth)
    D, u = circular(depth, 1), np.zeros(depth)
    for _ in range(4000):
        u = np.clip(u + 0.25 * D @ (y - D.T @ u), -weight, weight)
    step = VariationStep(SliceWise(Sensors((1,), [0]), depth), weight=weight, rho=2.0)
    x = torch.zeros(1, depth, 1, dtype=torch.float64)
    for _ in range(300):
        x = step(x, torch.as_tensor(y)[None], 1.0)
    assert np.allclose(x.numpy().ravel(), y - D.T @ u, atol=1e-6)


def test_one_slice_alone_is_the_noiseless_krylov_step() -> None:
    rng = np.random.default_rng(4)
    x_hat, y = (
        torch.as_tensor(rng.standard_normal((3, 1, *SIZE))),
        torch.as_tensor(rng.standard_normal((3, len(NODES)))),
    )
    found = VariationStep(SliceWise(A, 1), iterations=3)(x_hat, y, 1.0)
    expected = KrylovStep(A, iterations=3, noiseless=True)(x_hat, y, 1.0)
    assert torch.allclose(found, expected, atol=1e-10)


class Wide(Sensors):
    """Sensors that note how many images they see at a time."""

    widest = 0

    def measure(self, images: Any) -> Any:
        Wide.widest = max(Wide.widest, len(images))
        return super().measure(images)

    def scatter(self, data: Any) -> Any:
        Wide.widest = max(Wide.widest, len(data))
        return super().scatter(data)


BASIS = CosineBasis((12, 12))
denoiser = GaussianPrior(field_spectrum(BASIS, tau=5.0, zero_mean=False), BASIS)


def slices_with_jumps(depth: int = 24, seed: int = 0) -> NDArray[np.float64]:
    """Draws of the prior, each repeated over a third of the slices."""
    return np.repeat(denoiser.sample(3, seed).double().numpy(), depth // 3, axis=0)


def slice_data(depth: int = 24) -> tuple[Wide, Tensor]:
    masks = Wide.random((12, 12), 20, seed=1)
    return masks, (masks @ torch.as_tensor(slices_with_jumps(depth)).reshape(depth, -1).T).T  # type: ignore[return-value]


def test_neither_network_nor_operator_sees_more_than_a_chunk() -> None:
    masks, y = slice_data()
    sizes: list[int] = []

    def counting(x: Tensor, sigma: float) -> Tensor:
        sizes.append(len(x))
        return denoiser(x, sigma)

    Wide.widest = 0
    chunked = dds_volume(counting, masks, y, chunk=5, evaluations=6, seed=1, check=False)
    assert (max(sizes), Wide.widest, len(sizes)) == (5, 5, 6 * 5)
    whole = dds_volume(denoiser, masks, y, chunk=None, evaluations=6, seed=1)
    assert Wide.widest >= 24
    assert torch.allclose(chunked.x, whole.x, atol=1e-10)
    assert chunked.applications == whole.applications
    assert chunked.x.shape == (24, 12, 12)
    assert chunked.status is Status.CONVERGED


def test_total_variation_joins_what_the_slices_know() -> None:
    """Each slice has its own few sensors, and the truth jumps only twice along z."""
    truth = torch.as_tensor(slices_with_jumps())
    A = Sensors.random((24, 12, 12), 24 * 15, seed=0)
    y = A @ truth.reshape(-1) + 0.1 * torch.as_tensor(np.random.default_rng(5).standard_normal(24 * 15))
    joined = dds_volume(denoiser, A, y, weight=0.04, rho=1.0, evaluations=49, eta=0.5, seed=2).x
    step = KrylovStep(A, noiseless=True)
    alone = dds(SliceDenoiser(denoiser), step, y, shape=(24, 12, 12), evaluations=49, eta=0.5, seed=2).x[0]
    assert float((joined - truth).norm()) < 0.8 * float((alone - truth).norm())


def test_an_operator_of_the_whole_volume_and_a_channel() -> None:
    masks, y = slice_data(depth=6)
    by_slices = dds_volume(denoiser, masks, y, evaluations=4)
    whole = dds_volume(denoiser, SliceWise(masks, 6), y.reshape(-1), evaluations=4)
    assert torch.allclose(whole.x, by_slices.x, atol=1e-12)
    of_channels = GaussianPrior(denoiser.spectrum[None], BASIS)
    channel = dds_volume(of_channels, masks, y, shape=(1, 12, 12), evaluations=4)
    assert channel.x.shape == (6, 1, 12, 12)
    assert torch.allclose(channel.x[:, 0], by_slices.x, atol=1e-12)


def test_bad_input() -> None:
    masks, y = slice_data(depth=6)
    with pytest.raises(ValueError, match=r"y has shape \(6, 20\) and A 7 rows"):
        dds_volume(denoiser, A, y)
    with pytest.raises(ValueError, match="depth = 0, chunk = None"):
        SliceWise(A, 0)
    with pytest.raises(ValueError, match=r"weight = -1\.0, rho = 10\.0"):
        VariationStep(SliceWise(A, 2), weight=-1.0)
    with pytest.raises(ValueError, match="iterations = 0"):
        VariationStep(SliceWise(A, 2), iterations=0)
    with pytest.raises(ValueError, match=r"the denoiser gave \(6, 12\)"):
        dds_volume(lambda x, sigma: x[..., 0], masks, y)
    step = VariationStep(SliceWise(masks, 6))
    step(torch.zeros(1, 6, 12, 12, dtype=torch.float64), y.reshape(1, -1), 1.0)
    with pytest.raises(ValueError, match=r"reset\(\) starts a new run"):
        step(torch.zeros(2, 6, 12, 12, dtype=torch.float64), y.reshape(1, -1).expand(2, -1), 1.0)
