"""The exact steps against dense solves, pseudo-inverses and many iterations of the Krylov step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.diffusion import exact_step
from conjugo.learned.diffusion.exact_step import DiagonalStep, NullSpaceStep, SensorStep
from conjugo.learned.diffusion.krylov_step import KrylovStep
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import SourceToSensors

B, SHAPE = 3, (6, 8)
N = math.prod(SHAPE)


def images(m: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images (B, *SHAPE) and data (B, m)."""
    rng = np.random.default_rng(seed)
    return torch.as_tensor(rng.standard_normal((B, *SHAPE))), torch.as_tensor(rng.standard_normal((B, m)))


def dense(A: Any) -> Tensor:
    return torch.as_tensor(A @ np.eye(N))


OPERATORS: dict[str, Any] = {
    "sensors": Sensors.random(SHAPE, 9, seed=1),
    "source": SourceToSensors(SHAPE, Sensors.random(SHAPE, 9, seed=2).nodes),
    "dense": torch.as_tensor(np.random.default_rng(5).standard_normal((9, N))),
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1e4])
def test_the_sensor_step_solves_the_system(name: str, gamma: float) -> None:
    A = OPERATORS[name]
    x_hat, y = images(A.shape[0])
    found = SensorStep(A, gamma)(x_hat, y, 1.0).reshape(B, N)
    D = A if isinstance(A, Tensor) else dense(A)
    exact = torch.linalg.solve(torch.eye(N) + gamma * D.T @ D, (x_hat.reshape(B, N) + gamma * y @ D).T).T
    assert torch.allclose(found, exact, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1e3])
def test_the_diagonal_step_solves_the_system(gamma: float) -> None:
    A = BackwardHeat(SHAPE, 0.01)
    x_hat, y = images(N)
    D = dense(A)
    exact = torch.linalg.solve(torch.eye(N) + gamma * D.T @ D, (x_hat.reshape(B, N) + gamma * y @ D).T).T
    assert torch.allclose(DiagonalStep(A, gamma)(x_hat, y, 1.0).reshape(B, N), exact, atol=1e-9)


def test_the_krylov_step_comes_to_the_exact_ones() -> None:
    source, heat = OPERATORS["source"], BackwardHeat(SHAPE, 0.01)
    x_hat, y = images(9)
    many = KrylovStep(source, gamma=50.0, iterations=60)(x_hat, y, 1.0)
    assert torch.allclose(many, SensorStep(source, 50.0)(x_hat, y, 1.0), atol=1e-9)
    x_hat, y = images(N)
    many = KrylovStep(heat, gamma=50.0, iterations=60)(x_hat, y, 1.0)
    assert torch.allclose(many, DiagonalStep(heat, 50.0)(x_hat, y, 1.0), atol=1e-9)


@pytest.mark.parametrize("name", OPERATORS)
def test_ddnm_is_the_pseudo_inverse_and_the_limit_of_all(name: str) -> None:
    A = OPERATORS[name]
    x_hat, y = images(A.shape[0])
    D = A if isinstance(A, Tensor) else dense(A)
    x = x_hat.reshape(B, N)
    expected = x + (y - x @ D.T) @ torch.linalg.pinv(D).T
    found = NullSpaceStep(A)(x_hat, y, 1.0)
    size = float(expected.abs().max())
    assert torch.allclose(found.reshape(B, N), expected, atol=1e-9 * size)
    assert torch.allclose(SensorStep(A, math.inf)(x_hat, y, 1.0), found, atol=1e-9 * size)
    krylov = KrylovStep(A, iterations=100, noiseless=True)(x_hat, y, 1.0)
    assert torch.allclose(krylov, found, atol=1e-6 * size)
    assert torch.allclose((D @ found.reshape(B, N).T).T, y, atol=1e-8)  # the data are met


def test_ddnm_of_a_diagonal_operator_drops_what_it_cannot_see() -> None:
    A = BackwardHeat(SHAPE, 0.002)
    x_hat, y = images(N)
    D = dense(A)
    x = x_hat.reshape(B, N)
    for rcond in (1e-2, 1e-4):
        expected = x + (y - x @ D.T) @ torch.linalg.pinv(D, rtol=math.sqrt(rcond)).T
        assert torch.allclose(NullSpaceStep(A, rcond=rcond)(x_hat, y, 1.0).reshape(B, N), expected, atol=1e-8)
    unseen = NullSpaceStep(BackwardHeat(SHAPE, 10.0))(x_hat, y, 1.0) - x_hat
    assert torch.allclose(unseen, unseen.mean(dim=(1, 2), keepdim=True).expand_as(unseen), atol=1e-12)


def test_single_precision_and_channels() -> None:
    A = OPERATORS["source"]
    x_hat, y = images(9)
    step = SensorStep(A, 20.0)
    single = step(x_hat.float().reshape(B, 1, *SHAPE), y.float(), 1.0)
    assert single.dtype is torch.float32
    assert single.shape == (B, 1, *SHAPE)
    double = step(x_hat, y, 1.0)  # the factors of the set-up are kept in float64
    assert torch.allclose(double, SensorStep(A, 20.0)(x_hat, y, 1.0), atol=1e-14)
    assert torch.allclose(single.double().reshape(double.shape), double, atol=1e-5)
    heat = DiagonalStep(BackwardHeat(SHAPE, 0.01), 20.0)
    x_hat, y = images(N)
    assert torch.allclose(heat(x_hat.float()[:, None], y.float(), 1.0)[:, 0].double(), heat(x_hat, y, 1.0), atol=1e-5)


def test_costs_are_counted() -> None:
    step = SensorStep(OPERATORS["source"], 1.0)
    assert step.setup_applications == 18
    assert step.setup_seconds > 0
    x_hat, y = images(9)
    step(x_hat, y, 1.0)
    assert (step.applications.forward, step.applications.adjoint) == (B, B)
    heat = DiagonalStep(BackwardHeat(SHAPE, 0.01))
    heat(*images(N), 1.0)
    assert (heat.applications.forward, heat.applications.adjoint) == (B, B)
    assert heat.applications.seconds > 0


def test_gamma_follows_the_noise_level_and_the_noise_of_the_data() -> None:
    """gamma_t = r_t^2 / sigma_y^2 with sigma_y = 0.1: every step sees its own weight."""
    A = OPERATORS["sensors"]
    x_hat, y = images(9)
    step = SensorStep(A, lambda sigma_t: sigma_t**2 / (1 + sigma_t**2) / 0.1**2)
    for sigma_t, gamma in ((1.0, 50.0), (0.1, 1 / 1.01)):
        assert torch.allclose(step(x_hat, y, sigma_t), SensorStep(A, gamma)(x_hat, y, 1.0), atol=1e-12)


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"gamma = -1\.0"):
        SensorStep(OPERATORS["sensors"], -1.0)
    with pytest.raises(ValueError, match="A is a Sensors without `diagonal`: use SensorStep or KrylovStep"):
        DiagonalStep(OPERATORS["sensors"])
    with pytest.raises(ValueError, match="rcond = 2"):
        NullSpaceStep(OPERATORS["sensors"], rcond=2.0)
    with pytest.raises(ValueError, match="A A\\^H holds NaN"):
        SensorStep(torch.full((2, 3), torch.nan))
    monkeypatch.setattr(exact_step, "MOST_SENSORS", 8)
    with pytest.raises(ValueError, match="A has 9 rows: a dense A A\\^H takes at most 8; use KrylovStep"):
        SensorStep(OPERATORS["sensors"])
