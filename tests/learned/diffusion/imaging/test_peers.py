"""deepinv's methods over a measurement of ours: exact where theory says so, in any units, every call counted."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("deepinv")

from torch import Tensor  # noqa: E402

from conjugo.learned.diffusion.imaging.counted import CountedProblem  # noqa: E402
from conjugo.learned.diffusion.imaging.peers import (  # noqa: E402
    Method,
    cg_sense,
    diffpir,
    dps,
    moment_matching,
    pigdm,
    total_variation,
)

SIDE, M, SIGMA = 6, 14, 0.1
N = SIDE * SIDE


class Dense:
    """A matrix as a measurement of images of one channel."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix, self.shape, self.image_shape = matrix, tuple(matrix.shape), (1, SIDE, SIDE)

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.matrix @ x

    @property
    def H(self) -> Dense:  # noqa: N802
        return Dense(self.matrix.T)


class Gaussian:
    """N(0, C): the exact denoiser and the exact posterior."""

    def __init__(self, covariance: Tensor) -> None:
        self.C = covariance.double()
        self.values, self.vectors = torch.linalg.eigh(self.C)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        gain = (self.vectors * (self.values / (self.values + sigma**2))) @ self.vectors.T
        denoised: Tensor = x.reshape(len(x), -1) @ gain.to(x)
        return denoised.reshape(x.shape)

    def posterior(self, matrix: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a = matrix.double()
        gain = self.C @ a.T @ torch.linalg.inv(a @ self.C @ a.T + SIGMA**2 * torch.eye(M).double())
        return gain @ y.double(), self.C - gain @ a @ self.C


@pytest.fixture(scope="module")
def problem() -> tuple[Dense, Gaussian, Gaussian, Tensor]:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(M, N, generator=generator) / math.sqrt(M)
    i = torch.arange(SIDE)
    near = torch.exp(-((i[:, None] - i) ** 2) / 6.0) + 0.05 * torch.eye(SIDE)
    smooth = torch.kron(near, near)
    y = matrix @ torch.randn(N, generator=generator) + SIGMA * torch.randn(M, generator=generator)
    return Dense(matrix), Gaussian(torch.eye(N)), Gaussian(smooth), y


def sampled(method: Method, y: Tensor, steps: int, count: int, **settings: Any) -> Tensor:
    return method.run(y.expand(count, M), steps=steps, seed=1, **settings).x.reshape(count, N).double()


@pytest.mark.parametrize("kind", ["white", "smooth"])
def test_samplers_find_the_posterior_where_their_covariance_is_exact(
    kind: str, problem: tuple[Dense, Gaussian, Gaussian, Tensor]
) -> None:
    """PiGDM supposes a white error, moment matching takes the denoiser's own: exact for a Gaussian."""
    A, white, smooth, y = problem
    prior = white if kind == "white" else smooth
    make = pigdm if kind == "white" else moment_matching
    count = 150
    x = sampled(make(A, prior, SIGMA), y, 50, count, weight=1.0, eta=1.0, iterations=M + 2)
    mean, covariance = prior.posterior(A.matrix, y)
    spread = covariance.diagonal().sum()
    assert ((x.mean(0) - mean) ** 2).sum() < 2.0 * spread / count + (0.03 * mean.norm()) ** 2
    assert 0.75 < float(x.var(0).sum() / spread) < 1.1  # 50 steps of the reverse process lose some variance


def test_the_scale_is_a_change_of_units(problem: tuple[Dense, Gaussian, Gaussian, Tensor]) -> None:
    """Images ten times as large, in units of ten: the same answer, ten times as large."""
    A, white, _, y = problem
    large = Gaussian(100.0 * white.C)
    one = sampled(pigdm(A, white, SIGMA), y, 9, 2, weight=1.0, eta=1.0, iterations=5)
    ten = sampled(pigdm(A, large, 10 * SIGMA, scale=10.0), 10 * y, 9, 2, weight=1.0, eta=1.0, iterations=5)
    torch.testing.assert_close(ten, 10 * one, rtol=1e-4, atol=1e-4)
    shifted = diffpir(A, lambda x, s: 0.5 + white(x - 0.5, s), SIGMA, low=-3.5, high=4.5)
    plain = diffpir(A, white, SIGMA, low=-4.0, high=4.0)
    moved = sampled(shifted, y + 0.5 * A.matrix.sum(1), 9, 2, weight=1.0, zeta=0.5)
    torch.testing.assert_close(moved, 0.5 + sampled(plain, y, 9, 2, weight=1.0, zeta=0.5), rtol=1e-3, atol=1e-3)


def test_calls_are_counted_and_seeds_decide(problem: tuple[Dense, Gaussian, Gaussian, Tensor]) -> None:
    A, white, _, y = problem
    rows = y.expand(2, M)
    found = dps(A, white, SIGMA).run(rows, steps=5, seed=0, guidance=("annealed", 1.0), eta=1.0)
    assert (found.evaluations, found.backward, found.applications) == (5, 5, 10)
    found = pigdm(A, white, SIGMA).run(rows, steps=5, seed=0, weight=1.0, eta=1.0, iterations=2)
    # a step: A of the denoised image, its residual's first product and two of CG by A A^H, and the adjoint
    assert (found.evaluations, found.backward, found.applications) == (5, 5, 5 * (1 + 2 * 3 + 1))
    found = moment_matching(A, white, SIGMA).run(rows, steps=5, seed=0, weight=1.0, eta=1.0, iterations=2)
    assert (found.evaluations, found.backward) == (5, 5 * 4)
    before = torch.random.get_rng_state()
    method = diffpir(A, white, SIGMA, low=-4.0, high=4.0)
    first = method.run(rows, steps=5, seed=0, weight=1.0, zeta=0.5)
    assert first.evaluations == 5
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.x, method.run(rows, steps=5, seed=0, weight=1.0, zeta=0.5).x)
    assert not torch.equal(first.x, method.run(rows, steps=5, seed=1, weight=1.0, zeta=0.5).x)


def test_cg_sense_is_the_regularised_least_squares_solution(
    problem: tuple[Dense, Gaussian, Gaussian, Tensor],
) -> None:
    A, _, _, y = problem
    found = cg_sense(A).run(torch.stack([y, -2 * y]), steps=N, seed=0, weight=0.1)
    a = A.matrix.double()
    exact = torch.linalg.solve(a.T @ a + 0.1 * torch.eye(N).double(), a.T @ y.double())
    torch.testing.assert_close(found.x[1].flatten().double(), -2 * exact, rtol=1e-3, atol=1e-4)


def test_total_variation_cannot_be_improved_nearby(problem: tuple[Dense, Gaussian, Gaussian, Tensor]) -> None:
    A, _, _, y = problem
    weight, norm = 0.05, float(torch.linalg.matrix_norm(A.matrix, 2) ** 2)
    x = total_variation(A, SIGMA, squared_norm=norm).run(y[None], steps=200, seed=0, weight=weight).x.double()

    def cost(image: Tensor) -> float:
        across = torch.nn.functional.pad(image.diff(dim=-1), (0, 1))
        down = torch.nn.functional.pad(image.diff(dim=-2), (0, 0, 0, 1))
        rough = torch.sqrt(across**2 + down**2).sum()
        return float(0.5 * ((A.matrix.double() @ image.flatten() - y) ** 2).sum() + weight * rough)

    best, generator = cost(x[0, 0]), torch.Generator().manual_seed(2)
    steps = 0.01 * torch.randn(50, SIDE, SIDE, generator=generator, dtype=torch.float64)
    assert best < min(cost(x[0, 0] + step) for step in steps)
    assert best < cost(torch.zeros(SIDE, SIDE).double())


def test_a_physics_of_ours_has_its_adjoint(problem: tuple[Dense, Gaussian, Gaussian, Tensor]) -> None:
    A = problem[0]
    view = CountedProblem(A, None, SIGMA, offset=-1.0, scale=2.0)
    u = torch.rand(3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(view.physics.A(u), u.reshape(3, N) @ A.matrix.T)
    mismatch = float(view.physics.adjointness_test(u[:1]))
    assert abs(mismatch) < 1e-4
    x = view.image(u)
    torch.testing.assert_close(view.data(x.reshape(3, N) @ A.matrix.T), view.physics.A(u), rtol=1e-4, atol=1e-5)
    assert float(view.physics.noise_model.sigma) == pytest.approx(SIGMA / 2.0)
    with pytest.raises(ValueError, match="no denoiser was given"):
        view.denoiser(u, 1.0)
