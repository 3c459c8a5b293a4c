"""Loss, data and training: each against a plain computation, and fewer iterations on problems not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.preconditioners.dcdm import DirectionNet, DirectionNetConfig
from conjugo.learned.preconditioners.domains import Domains
from conjugo.learned.preconditioners.geometry import Domain
from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian, box_laplacian, masked_laplacian
from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
from conjugo.learned.preconditioners.multiscale import MultiscaleBatches
from conjugo.learned.preconditioners.neural import NeuralPreconditioner
from conjugo.learned.preconditioners.replay import ReplayBatches
from conjugo.learned.preconditioners.residual_loss import Echo, energy_loss, residual_loss
from conjugo.learned.preconditioners.ritz import RitzBatches
from conjugo.learned.training.fit import FitConfig, fit
from conjugo.pde import poisson, pressure
from conjugo.pde.poisson.masks import tank
from conjugo.solvers import cg, fcg


class Fixed(torch.nn.Module):
    """Always the same direction."""

    def __init__(self, d: Tensor) -> None:
        super().__init__()
        self.d = d

    def forward(self, residual: Tensor, geometry: Tensor | None = None) -> Tensor:
        return self.d


@pytest.mark.parametrize(
    ("problem", "wall"),
    [
        (poisson((9, 7), lengths=[10.0, 8.0]), 1.0),
        (poisson((6, 5, 4), bc="neumann", centring="cell", lengths=[6.0, 5.0, 4.0]), 0.0),
        (poisson((8, 8), bc="dirichlet", centring="cell", lengths=8.0), 2.0),
    ],
)
def test_box_laplacian_is_the_assembled_matrix(problem: Any, wall: float) -> None:
    shape = problem.A.grid_shape
    A = box_laplacian(shape, wall=wall)
    u = np.random.default_rng(0).standard_normal(problem.n)
    ours = (A @ torch.as_tensor(u.reshape(1, 1, *shape))).numpy().ravel()
    np.testing.assert_allclose(ours, problem.A @ u, atol=1e-5 * np.abs(problem.A @ u).max())
    torch.testing.assert_close(A.geometry(), Domain.of(problem).geometry(), atol=1e-5, rtol=0)


def test_masked_laplacian_is_the_pressure_matrix() -> None:
    problem = pressure("tank", (16, 12), lengths=[16.0, 12.0])
    cells = tank((16, 12))
    active = torch.as_tensor(problem.A.active[None, None].astype(np.float32))
    air = torch.as_tensor((cells == 2)[None, None].astype(np.float32))
    A = masked_laplacian(active, air, torch.zeros(1, 4))
    u = np.random.default_rng(0).standard_normal(problem.n) * problem.A.active.ravel()
    ours = (A @ torch.as_tensor(u.reshape(1, 1, 16, 12))).numpy().ravel()
    np.testing.assert_allclose(ours, problem.A @ u, atol=1e-5 * np.abs(u).max() * 8)


def test_losses_against_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    A = Domains(solids=1.0).draw((12, 12), 3, generator)
    e, d = (torch.randn(3, 1, 12, 12, generator=generator) * A.active for _ in range(2))
    f = A @ e
    batch = {"f": f, "e": e, "active": A.active, "diag": A.diag}
    q = A @ d
    left, energies = [], []
    for k in range(3):
        alpha = (d[k] * f[k]).sum() / (d[k] * q[k]).sum()
        left.append((f[k] - alpha * q[k]).square().sum() / f[k].square().sum())
        error = e[k] - alpha * d[k]
        product = (A @ torch.stack([error] * 3))[k]
        energies.append((error * product).sum() / (e[k] * f[k]).sum())
    for scale in (1.0, -30.0):  # neither the scale nor the sign of the direction matters
        assert float(residual_loss(Fixed(scale * d), batch)) == pytest.approx(float(torch.stack(left).mean()), rel=1e-4)
        assert float(energy_loss(Fixed(scale * d), batch)) == pytest.approx(
            float(torch.stack(energies).mean()), rel=1e-4
        )
    assert float(residual_loss(Fixed(0 * d), batch)) == pytest.approx(1.0)
    assert float(energy_loss(Fixed(e), batch)) == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(ValueError, match="holds no errors e"):
        energy_loss(Echo(), {"f": f, "active": A.active, "diag": A.diag})


@pytest.mark.parametrize("ritz", [False, True])
def test_batches_depend_on_seed_and_step_alone(ritz: bool) -> None:
    def f(seed: int, step: int) -> Tensor:
        if ritz:
            return RitzBatches(A=box_laplacian((16, 16), wall=0.0), vectors=30, batch=3, seed=seed)(step)["f"]
        return MultiscaleBatches(shape=(16, 16), batch=3, seed=seed)(step)["f"]

    assert torch.equal(f(1, 5), f(1, 5))
    assert not torch.equal(f(1, 5), f(1, 6))
    assert not torch.equal(f(1, 5), f(2, 5))


@pytest.mark.parametrize("shape", [(16, 16), (8, 12, 8)])
def test_batches_hold_an_error_and_its_residual(shape: tuple[int, ...]) -> None:
    for batches in (
        MultiscaleBatches(shape=shape, batch=4),
        RitzBatches(A=box_laplacian(shape, wall=0.0), vectors=40, batch=4, kind="error"),
    ):
        batch = batches(0)
        A = GridLaplacian(batch["active"], batch["diag"])
        torch.testing.assert_close(A @ batch["e"], batch["f"], atol=2e-3, rtol=0)
        size = batch["f"].square().flatten(1).sum(1) / batch["active"].flatten(1).sum(1)
        torch.testing.assert_close(size, torch.ones(4))


def test_ritz_values_are_eigenvalues_and_low_waves_lead() -> None:
    A = box_laplacian((8, 8), wall=0.0)
    batches = RitzBatches(A=A, vectors=60, batch=400)
    dense = (A @ torch.eye(64).reshape(64, 1, 8, 8)).reshape(64, 64)
    exact = np.unique(np.round(np.linalg.eigvalsh(dense.numpy().astype(float)), 4))
    found = batches.basis.values.numpy()
    assert found.min() > 1e-8  # the constant has left
    assert max(np.abs(exact - value).min() for value in found) < 1e-3
    vectors, values = batches.basis.vectors @ batches.basis.rotation, batches.basis.values
    energy = (vectors.T @ batches(0)["f"].reshape(400, 64).T).square().mean(1)
    assert float(energy[: len(values) // 2].sum() / energy.sum()) > 0.85


def test_replay_follows_fcg() -> None:
    batches = ReplayBatches(MultiscaleBatches(shape=(16, 16), batch=1, domains=Domains(neumann=1.0, solids=0.0)),
                            Echo(), steps=6)  # fmt: skip
    seen = [batches(step)["f"].numpy().ravel().astype(float) for step in range(6)]
    problem = poisson((16, 16), bc="neumann", centring="cell", lengths=16.0)
    residuals: list[np.ndarray[Any, Any]] = []
    fcg(problem.A, seen[0], callback=lambda x: residuals.append(seen[0] - problem.A @ x), window=2, maxiter=5)
    for ours, theirs in zip(seen[1:], residuals, strict=False):
        np.testing.assert_allclose(ours, theirs * 16 / np.linalg.norm(theirs), atol=2e-3)


def test_replay_resumes_bit_equal() -> None:
    fresh = MultiscaleBatches(shape=(16, 16), batch=4)
    whole, first, second = (ReplayBatches(fresh, Echo(), steps=3) for _ in range(3))
    for step in range(4):
        whole(step)
        first(step)
    second.load_state_dict(first.state_dict())
    assert torch.equal(whole(4)["f"], second(4)["f"])


@pytest.mark.parametrize("kind", ["published", "multilevel"])
def test_overfits_one_batch(kind: str) -> None:
    torch.manual_seed(0)
    net: torch.nn.Module = (
        DirectionNet(DirectionNetConfig(dimension=2))
        if kind == "published"
        else MultilevelNet(MultilevelNetConfig(dimension=2, activation="relu"))
    )
    batch = MultiscaleBatches(shape=(8, 8), batch=2)(0)
    config = FitConfig(steps=150, learning_rate=3e-3)
    history = fit(net, residual_loss, lambda step: batch, config=config, progress=False)
    assert history.losses[-1] < 0.02


def test_training_reduces_iterations_on_unseen_problems() -> None:
    torch.manual_seed(0)
    net = MultilevelNet(MultilevelNetConfig(dimension=2))

    def iterations() -> int:
        total = 0
        for seed in range(100, 103):
            problem = poisson((32, 32), bc="neumann", centring="cell", seed=seed)
            M = NeuralPreconditioner(net, problem)
            total += fcg(problem.A, problem.b, M=M, window=2, rtol=1e-6).check().iterations
        return total

    before = iterations()
    batches = ReplayBatches(MultiscaleBatches(shape=(32, 32), batch=8), net, steps=12)
    fit(net, energy_loss, batches, config=FitConfig(steps=80, learning_rate=5e-4, warmup=10), progress=False)
    problem = poisson((32, 32), bc="neumann", centring="cell", seed=100)
    assert iterations() < 0.8 * before
    assert iterations() < 3 * cg(problem.A, problem.b, rtol=1e-6).iterations / 4


def test_bad_input_is_named() -> None:
    A = box_laplacian((4, 4), wall=0.0)
    with pytest.raises(ValueError, match="m = 100: expected from 2 to the 16 cells"):
        RitzBatches(A=A, vectors=100)(0)
    with pytest.raises(ValueError, match="A is of 2 domains"):
        RitzBatches(A=Domains().draw((4, 4), 2, torch.Generator()), vectors=4)(0)
    with pytest.raises(ValueError, match="steps = 0"):
        ReplayBatches(MultiscaleBatches(shape=(8, 8), batch=1), Echo(), steps=0)
    with pytest.raises(ValueError, match=r"solids = 2: expected a share"):
        Domains(solids=2)
