"""Mistakes of the code released with the paper, each with a test that it fails: on ours, and on a model of its own way.

The models are a few lines each, written from what the mistake is; they show that the test can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.diffusion.dds import dds
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.pde.inverse.operator import ImageOperator, adjoint_mismatch
from conjugo.pde.inverse.problem import sensor_problem

type Complex = NDArray[Any]

H, LINES, COILS = 8, (0, 1, 3, 4, 6), 3
RNG = np.random.default_rng(11)
MAPS: Complex = RNG.standard_normal((COILS, H, H)) + 1j * RNG.standard_normal((COILS, H, H))
MAPS /= np.sqrt((abs(MAPS) ** 2).sum(axis=0))


def k_space(x: Complex) -> Complex:
    """Multi-coil MRI of an image (H, H): some lines of the Fourier transform of the image seen by each coil."""
    return np.asarray(np.fft.fft2(MAPS * x, norm="ortho")[:, LINES, :].ravel())


def back(k: Complex) -> Complex:
    """The adjoint."""
    full = np.zeros((COILS, H, H), dtype=complex)
    full[:, LINES, :] = k.reshape(COILS, len(LINES), H)
    return np.asarray((MAPS.conj() * np.fft.ifft2(full, norm="ortho")).sum(axis=0))


class Coils(ImageOperator):
    """The same, real: images (2, H, H), data as pairs of real numbers."""

    def __init__(self) -> None:
        super().__init__((2, H, H), 2 * COILS * len(LINES) * H)

    def measure(self, images: Any) -> Any:
        return torch.stack([_pairs(k_space(_complex(image).reshape(H, H))) for image in images])

    def scatter(self, data: Any) -> Any:
        return torch.stack([_channels(back(_complex(row.reshape(-1, 2).T))) for row in data])


def _complex(channels: Tensor) -> Complex:
    return np.asarray(channels[0].numpy() + 1j * channels[1].numpy()).ravel()


def _pairs(v: Complex) -> Tensor:
    return torch.as_tensor(np.stack([v.real, v.imag], axis=1).ravel())


def _channels(v: Complex) -> Tensor:
    return torch.as_tensor(np.stack([v.real, v.imag]))


def dense() -> Complex:
    return np.stack([k_space(unit.reshape(H, H)) for unit in np.eye(H * H)], axis=1)


def problem() -> tuple[Complex, Complex, Tensor, Tensor]:
    """A denoised image and data, complex and as our real tensors."""
    rng = np.random.default_rng(12)
    x_hat = rng.standard_normal((H, H)) + 1j * rng.standard_normal((H, H))
    truth = rng.standard_normal((H, H)) + 1j * rng.standard_normal((H, H))
    y = k_space(truth)
    return x_hat, y, _channels(x_hat)[None], _pairs(y)[None]


def hermitian_cg(
    A: Complex, b: Complex, x: Complex, iterations: int, dot: Callable[[Any, Any], Any] = np.vdot
) -> Complex:
    r = b - A @ x
    p, rho = r, dot(r, r)
    for _ in range(iterations):
        q = A @ p
        alpha = rho / dot(p, q)
        x, r = x + alpha * p, r - alpha * q
        rho, before = dot(r, r), rho
        p = r + rho / before * p
    return x


def test_the_noisy_right_hand_side_is_complex_and_not_one_plus_i_times_it() -> None:
    """Released: a two-channel real x_hat plus a complex A^H y, which makes x_hat + gamma (1 + i) A^H y."""
    gamma = 0.9
    x_hat, y, images, data = problem()
    A = dense()
    system = np.eye(H * H) + gamma * A.conj().T @ A
    found = _complex(KrylovStep(Coils(), gamma=gamma, iterations=60)(images, data, 1.0)[0])
    right = np.linalg.solve(system, x_hat.ravel() + gamma * A.conj().T @ y)
    released = np.linalg.solve(system, x_hat.ravel() + gamma * (1 + 1j) * A.conj().T @ y)
    assert np.allclose(found, right, atol=1e-10)
    assert np.linalg.norm(released - right) > 0.1 * np.linalg.norm(right)


def test_the_noiseless_right_hand_side_is_not_empty() -> None:
    """Released: an empty tensor. Ours moves the image, towards data that are then met."""
    _, y, images, data = problem()
    found = KrylovStep(Coils(), iterations=60, noiseless=True)(images, data, 1.0)
    assert found.shape == images.shape
    assert np.linalg.norm(k_space(_complex(found[0]).reshape(H, H)) - y) < 1e-8 * np.linalg.norm(y)


@pytest.mark.parametrize("iterations", [1, 3, 5])
def test_conjugate_gradients_are_hermitian(iterations: int) -> None:
    """Released: unconjugated products u^T v. In our real channels <u, v> is the real part of u^H v."""
    gamma = 5.0
    x_hat, y, images, data = problem()
    A = dense()
    system, b = np.eye(H * H) + gamma * A.conj().T @ A, x_hat.ravel() + gamma * A.conj().T @ y
    found = _complex(KrylovStep(Coils(), gamma=gamma, iterations=iterations)(images, data, 1.0)[0])
    assert np.allclose(found, hermitian_cg(system, b, x_hat.ravel(), iterations), atol=1e-10)
    if iterations == 5:
        exact = np.linalg.solve(system, b)
        released = hermitian_cg(system, b, x_hat.ravel(), iterations, dot=lambda u, v: complex(u @ v))
        assert np.linalg.norm(released - exact) > 2 * np.linalg.norm(found - exact)


class Tomograph(ImageOperator):
    """A few rays through 6 x 6 cells; `filtered` puts a scaled, interpolated backprojection in the adjoint's place."""

    def __init__(self, *, filtered: bool = False) -> None:
        self.rays = torch.as_tensor(np.abs(np.random.default_rng(13).standard_normal((9, 36))))
        self.filtered = filtered
        super().__init__((6, 6), 9)

    def measure(self, images: Any) -> Any:
        return images.reshape(-1, 36) @ self.rays.T

    def scatter(self, data: Any) -> Any:
        images = (data @ self.rays).reshape(-1, 6, 6)
        return images * np.pi / 18 + 0.05 * images.roll(1, dims=1) if self.filtered else images


def test_a_backprojection_that_is_not_the_adjoint_is_refused() -> None:
    """Released: backprojection times pi / (2 views), whose product with the projection is not symmetric."""
    like = torch.zeros((), dtype=torch.float64)
    assert adjoint_mismatch(Tomograph(), like=like) < 1e-14
    y = torch.zeros(1, 9, dtype=torch.float64)
    with pytest.raises(ValueError, match="is not the adjoint"):
        dds(lambda x, sigma: x, KrylovStep(Tomograph(filtered=True)), y, shape=(6, 6))
    assert dds(lambda x, sigma: x * 0, KrylovStep(Tomograph()), y, shape=(6, 6)).evaluations == 19


def test_the_noise_of_the_data_enters_their_weight() -> None:
    """Released: sigma_y only picks a branch. With gamma_t = r_t^2 / sigma_y^2 the scalar step is the posterior mean."""
    variance, y = 0.8, 2.0
    for sigma_y in (0.1, 0.5, 2.0):

        def gamma(r: float, sigma_y: float = sigma_y) -> float:
            return r**2 / sigma_y**2

        step = KrylovStep(torch.eye(1, dtype=torch.float64), gamma=gamma, iterations=1)
        for r in (0.3, variance**0.5):
            x_hat, data = torch.full((1, 1), 1.0, dtype=torch.float64), torch.full((1, 1), y, dtype=torch.float64)
            expected = (1.0 / r**2 + y / sigma_y**2) / (1 / r**2 + 1 / sigma_y**2)
            assert float(step(x_hat, data, r)) == pytest.approx(expected, abs=1e-12)


def test_the_data_have_the_noise_that_they_claim() -> None:
    """Released: y gets none."""
    problem = sensor_problem(32, 100, sigma=0.3, count=20, seed=1)
    assert problem.truth is not None
    noise = problem.y - problem.A @ problem.truth
    assert noise.std() == pytest.approx(0.3, rel=4.5 / np.sqrt(2 * noise.size))


def test_inner_products_do_not_mix_the_batch() -> None:
    """Released: one step length for all images of a batch. A sample's answer is its own, beside a huge one too."""
    rng = np.random.default_rng(14)
    A, y = torch.as_tensor(rng.standard_normal((7, 24))), torch.as_tensor(rng.standard_normal((2, 7)))
    x_hat = torch.zeros(2, 24, dtype=torch.float64)
    y[1] *= 1e8
    H_, b = np.eye(24) + (A.T @ A).numpy(), (y @ A).numpy()
    found = KrylovStep(A, iterations=3)(x_hat, y, 1.0).numpy()
    for i in range(2):
        alone = hermitian_cg(H_, b[i], np.zeros(24), 3)
        assert np.allclose(found[i], alone, atol=1e-10 * np.abs(alone).max())
    both = np.kron(np.eye(2), H_)
    mixed = hermitian_cg(both, b.ravel(), np.zeros(48), 3).reshape(2, 24)
    assert np.linalg.norm(mixed[0] - found[0]) > 1e-2 * np.linalg.norm(found[0])
