"""The Krylov data step against dense solves and hand-written conjugate gradients, sample by sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.diffusion.data_step import StepError
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.pde.inverse.sensors import Sensors
from conjugo.solvers.result import Status

M, N, B = 7, 24, 3


def system(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A dense A, images (B, 4, 6) and data (B, M), float64."""
    rng = np.random.default_rng(seed)
    A, x_hat, y = rng.standard_normal((M, N)), rng.standard_normal((B, 4, 6)), rng.standard_normal((B, M))
    return torch.as_tensor(A), torch.as_tensor(x_hat), torch.as_tensor(y)


def by_hand(H: NDArray[Any], b: NDArray[Any], x: NDArray[Any], iterations: int) -> NDArray[Any]:
    """Textbook conjugate gradients for one right-hand side, started at x; Hermitian products."""
    r = b - H @ x
    p, rho = r.copy(), np.vdot(r, r).real
    for _ in range(iterations):
        q = H @ p
        alpha = rho / np.vdot(p, q).real
        x, r = x + alpha * p, r - alpha * q
        rho, before = np.vdot(r, r).real, rho
        p = r + rho / before * p
    return x


@pytest.mark.parametrize("iterations", [1, 2, 5])
@pytest.mark.parametrize("noiseless", [False, True])
def test_the_iterates_are_those_of_cg_started_at_the_denoised_image(iterations: int, noiseless: bool) -> None:
    """One hand-written solve a sample: the batch is not mixed."""
    A, x_hat, y = system()
    step = KrylovStep(A, gamma=0.7, iterations=iterations, noiseless=noiseless)
    found = step(x_hat, y, 1.0).reshape(B, N).numpy()
    dense = A.numpy()
    for i in range(B):
        start = x_hat[i].numpy().ravel()
        H = dense.T @ dense if noiseless else np.eye(N) + 0.7 * dense.T @ dense
        b = dense.T @ y[i].numpy() if noiseless else start + 0.7 * dense.T @ y[i].numpy()
        assert np.allclose(found[i], by_hand(H, b, start, iterations), atol=1e-11)


def test_many_iterations_solve_the_system() -> None:
    A, x_hat, y = system()
    found = KrylovStep(A, gamma=3.0, iterations=50)(x_hat, y, 1.0).reshape(B, N)
    exact = torch.linalg.solve(torch.eye(N) + 3 * A.T @ A, (x_hat.reshape(B, N) + 3 * y @ A).T).T
    assert torch.allclose(found, exact, atol=1e-11)


def test_noiseless_and_solved_out_it_is_ddnm() -> None:
    """x_hat + A^+ (y - A x_hat): the null-space step."""
    A, x_hat, y = system()
    x = x_hat.reshape(B, N)
    found = KrylovStep(A, iterations=100, noiseless=True)(x_hat, y, 1.0).reshape(B, N)
    assert torch.allclose(found, x + (y - x @ A.T) @ torch.linalg.pinv(A).T, atol=1e-10)


def test_increments_lie_in_the_range_of_the_adjoint() -> None:
    A, x_hat, y = system()
    for noiseless in (False, True):
        d = (KrylovStep(A, gamma=5.0, iterations=3, noiseless=noiseless)(x_hat, y, 1.0) - x_hat).reshape(B, N)
        outside = d - d @ (torch.linalg.pinv(A) @ A).T
        assert float(outside.norm() / d.norm()) < 1e-13


def test_increments_lie_in_the_krylov_space() -> None:
    A, x_hat, y = system()
    d = (KrylovStep(A, gamma=5.0, iterations=3)(x_hat, y, 1.0) - x_hat).reshape(B, N).numpy()
    H = (A.T @ A).numpy()
    for i in range(B):
        r = A.T.numpy() @ (y[i].numpy() - A.numpy() @ x_hat[i].numpy().ravel())
        space, _ = np.linalg.qr(np.stack([r, H @ r, H @ H @ r], axis=1))
        assert np.linalg.norm(d[i] - space @ (space.T @ d[i])) < 1e-12 * np.linalg.norm(d[i])


@pytest.mark.parametrize("noiseless", [False, True])
def test_a_mask_needs_one_iteration(noiseless: bool) -> None:
    """A^H A is idempotent there: the Krylov space has one dimension, and no preconditioner can help."""
    A = Sensors.random((6, 5), 8, seed=3)
    rng = np.random.default_rng(1)
    x_hat, y = torch.as_tensor(rng.standard_normal((B, 6, 5))), torch.as_tensor(rng.standard_normal((B, 8)))
    once, often = (KrylovStep(A, gamma=4.0, iterations=k, noiseless=noiseless)(x_hat, y, 1.0) for k in (1, 20))
    expected = x_hat.reshape(B, -1).clone()
    nodes = torch.as_tensor(A.nodes)
    expected[:, nodes] = y if noiseless else (expected[:, nodes] + 4 * y) / 5
    assert torch.allclose(once.reshape(B, -1), expected, atol=1e-14)
    assert torch.allclose(often, once, atol=1e-14)


def test_gamma_may_follow_the_noise_level() -> None:
    A, x_hat, y = system()
    seen: list[float] = []

    def gamma(sigma: float) -> float:
        seen.append(sigma)
        return sigma**2 / 0.25

    found = KrylovStep(A, gamma=gamma)(x_hat, y, 0.5)
    assert torch.equal(found, KrylovStep(A, gamma=1.0)(x_hat, y, 0.5))
    assert seen == [0.5]
    assert torch.equal(KrylovStep(A, gamma=0.0)(x_hat, y, 0.5), x_hat)


def test_a_preconditioner_changes_the_path_and_not_the_answer() -> None:
    A, x_hat, y = system()
    P = torch.diag(1 / (1 + (A**2).sum(0)))
    short, long = (KrylovStep(A, iterations=k, M=P)(x_hat, y, 1.0) for k in (3, 60))
    assert not torch.allclose(short, KrylovStep(A, iterations=3)(x_hat, y, 1.0), atol=1e-3)
    assert torch.allclose(long, KrylovStep(A, iterations=60)(x_hat, y, 1.0), atol=1e-10)


def test_products_are_counted() -> None:
    """r_0, and one product with each of A and A^H for every iteration."""
    A, x_hat, y = system()
    step = KrylovStep(A, iterations=5)
    step(x_hat, y, 1.0)
    assert (step.applications.forward, step.applications.adjoint) == (6 * B, 6 * B)
    assert step.applications.total == 12 * B
    assert step.applications.seconds > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_does_not_depend_on_its_batch(dtype: torch.dtype) -> None:
    A, x_hat, y = (v.to(dtype) for v in system())
    y[1] *= 1e6
    step = KrylovStep(A, iterations=5)
    together = step(x_hat, y, 1.0)
    for i in range(B):
        alone = step(x_hat[i : i + 1], y[i : i + 1], 1.0)[0]
        rounding = 50 * torch.finfo(dtype).eps * float(alone.abs().max())  # products of matrices sum in another order
        assert torch.allclose(together[i], alone, rtol=0.0, atol=rounding)


def test_data_that_agree_already_change_nothing() -> None:
    A, x_hat, y = system()
    y[0] = A @ x_hat[0].ravel()
    assert torch.allclose(KrylovStep(A, noiseless=True)(x_hat, y, 1.0)[0], x_hat[0], atol=1e-13)


def test_one_transfer_to_the_host_in_an_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scalars of the stopping test travel together; nothing else in the loop waits for the device."""
    A, x_hat, y = system()
    asked: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        method = getattr(Tensor, name)

        def noted(*args: Any, **options: Any) -> Any:
            asked.append(name)
            return method(*args, **options)

        return noted

    for name in ("cpu", "item", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, noting(name))
    counts = []
    for iterations in (2, 6):
        asked.clear()
        KrylovStep(A, iterations=iterations)(x_hat, y, 1.0)
        counts.append(Counter(asked))
    assert counts[1] - counts[0] == Counter(cpu=4)
    assert counts[0].total() == 2 + 4  # finite data (ours, and the solver's own look), ||b||, ||r_0||


def test_bad_input() -> None:
    A, x_hat, y = system()
    wrong: Any = np.ones(3)
    with pytest.raises(ValueError, match=r"A is torch\.complex128: expected real"):
        KrylovStep(A.to(torch.complex128))
    with pytest.raises(ValueError, match="A is a ndarray: expected a Measurement"):
        KrylovStep(wrong)
    with pytest.raises(ValueError, match="M is a Wild with linear = False"):
        KrylovStep(A, M=Wild())
    with pytest.raises(ValueError, match=r"M has shape \(7, 7\): expected \(24, 24\)"):
        KrylovStep(A, M=torch.eye(M))
    with pytest.raises(ValueError, match="iterations = 0: expected 1 or more"):
        KrylovStep(A, iterations=0)
    with pytest.raises(ValueError, match=r"gamma = -1\.0: expected a finite number"):
        KrylovStep(A, gamma=-1.0)
    with pytest.raises(ValueError, match=r"gamma\(0\.5\) = nan"):
        KrylovStep(A, gamma=lambda sigma: float("nan"))(x_hat, y, 0.5)


class Wild:
    """A preconditioner that is not linear."""

    linear, shape = False, (N, N)

    def __matmul__(self, x: Tensor) -> Tensor:
        return x**3


class WrongAdjoint:
    """A whose `H` is minus the adjoint."""

    def __init__(self, A: Tensor) -> None:
        self.A, self.shape, self.image_shape = A, tuple(A.shape), (A.shape[1],)

    @property
    def H(self) -> Tensor:  # noqa: N802
        return -self.A.T

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.A @ x


def test_what_breaks_down_is_said() -> None:
    A, x_hat, y = system()
    bad: Any = WrongAdjoint(A)
    with pytest.raises(StepError, match="not positive definite") as caught:
        KrylovStep(bad)(x_hat, y, 1.0)
    assert caught.value.status is Status.INDEFINITE
    with pytest.raises(StepError, match="NaN or infinite") as caught:
        KrylovStep(A * torch.inf)(x_hat, y, 1.0)
    assert caught.value.status is Status.NONFINITE
