"""The method as published, and each of its pitfalls: what naive code gets wrong, and that ours does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from conjugo.learned.preconditioners.dcdm import DirectionNet, DirectionNetConfig
from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
from conjugo.learned.preconditioners.neural import NeuralPreconditioner
from conjugo.pde import LinearProblem, poisson, pressure
from conjugo.solvers import Status, fcg

type Vector = NDArray[np.float64]


def multilevel(dimension: Any = 2) -> MultilevelNet:
    torch.manual_seed(0)
    return MultilevelNet(MultilevelNetConfig(dimension=dimension))


def published(dimension: Any = 2) -> DirectionNet:
    torch.manual_seed(0)
    return DirectionNet(DirectionNetConfig(dimension=dimension))


class Function(nn.Module):
    """A network without weights."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, residual: Tensor, geometry: Tensor | None = None) -> Tensor:
        result: Tensor = self.function(residual)
        return result


def pockets(n: int = 24) -> LinearProblem:
    """A box of fluid with two closed rooms in it: three connected components, each singular."""
    cells = np.zeros((n, n), dtype=int)
    for low, high in ((2, 8), (13, 21)):
        cells[low:high, low:high] = 1
        cells[low + 1 : high - 1, low + 1 : high - 1] = 0
    return pressure(cells)


def recurrence(A: Any, b: Vector, network: Any, steps: int) -> tuple[Vector, list[float]]:
    """Algorithm 1 of Kaneda et al. (2023) as their code has it, for k = 2."""
    x, r = np.zeros_like(b), b.copy()
    p1 = p0 = Ap1 = Ap0 = np.zeros_like(b)
    alpha1 = alpha0 = 1.0
    history = [float(np.linalg.norm(r))]
    for _ in range(steps):
        d = network(r / np.linalg.norm(r))
        d = d - p1 * (d @ Ap1) / alpha1 - p0 * (d @ Ap0) / alpha0  # both products with the raw d
        p0, Ap0, alpha0 = p1, Ap1, alpha1
        p1, Ap1 = d, A @ d
        alpha1 = d @ Ap1
        x = x + d * (d @ r) / alpha1
        r = b - A @ x
        history.append(float(np.linalg.norm(r)))
    return x, history


@pytest.mark.parametrize(
    ("net", "problem", "steps"),
    [
        (multilevel(), poisson((32, 32), bc="neumann", centring="cell"), 12),
        (multilevel(), pressure("porous", (32, 32)), 12),
        (published(), poisson((32, 32)), 4),  # not trained: later directions are useless, and rejected
        (multilevel(3), poisson((8, 8, 8)), 12),
    ],
    ids=["neumann", "porous", "published network", "3-D"],
)
def test_fcg_is_the_published_recurrence(net: nn.Module, problem: LinearProblem, steps: int) -> None:
    M = NeuralPreconditioner(net, problem, precision="float64")  # float32 would show the rounding of each r
    x, history = recurrence(problem.A, problem.b, lambda r: M @ r, steps)
    result = fcg(problem.A, problem.b, M=M, window=2, rtol=0.0, maxiter=steps)
    assert M.rejected == 0
    np.testing.assert_allclose(result.x, x, rtol=0, atol=1e-12 * np.abs(x).max())
    np.testing.assert_allclose(result.residuals[: steps + 1], history, rtol=0, atol=1e-12 * history[0])


def test_pitfall_1_float32_network_float64_answer() -> None:
    problem = poisson((128, 128), bc="neumann", centring="cell", rhs="smooth")
    result = fcg(problem.A, problem.b, M=NeuralPreconditioner(multilevel(), problem), window=2, rtol=1e-10).check()
    size = np.linalg.norm(problem.b)

    def residual(x: Vector) -> float:
        return float(np.linalg.norm(problem.b - problem.A @ x) / size)

    assert residual(result.x) <= 1e-10
    assert residual(result.x.astype(np.float32).astype(np.float64)) > 1e-6  # merely rounding x loses the answer


def test_pitfall_2_mean_removed_on_every_component() -> None:
    problem = pockets()
    assert problem.nullspace is not None
    assert problem.nullspace.shape[1] == 3
    M = NeuralPreconditioner(multilevel(), problem)
    z = M @ problem.b
    assert np.abs(problem.nullspace.T @ z).max() < 1e-12 * np.linalg.norm(z)
    bare = Function(lambda r: r + 1.0)
    naive = NeuralPreconditioner(bare, LinearProblem(_without_nullspace(problem.A), problem.b)) @ problem.b
    assert np.abs(problem.nullspace.T @ (naive - naive.mean())).max() > 1e-3 * np.linalg.norm(naive)
    result = fcg(problem.A, problem.b, M=M, window=2, rtol=1e-9).check()
    labels, count = scipy.ndimage.label(problem.A.active)
    means = [result.x.reshape(24, 24)[labels == i].mean() for i in range(1, count + 1)]
    assert np.abs(means).max() < 1e-12 * np.abs(result.x).max()


def _without_nullspace(A: Any) -> Any:
    from conjugo.solvers.operators.variable import VariableStencil

    return VariableStencil(A.diag, A.upper, active=A.active)


def test_pitfall_3_nothing_in_solid_cells() -> None:
    problem = pressure("porous", (32, 32))
    solid = ~problem.A.active.ravel()
    net = multilevel()
    M = NeuralPreconditioner(net, problem)
    geometry = M._domain.geometry()
    with torch.no_grad():
        bare = net(torch.as_tensor(problem.b.reshape(1, 1, 32, 32), dtype=torch.float32), geometry).numpy().ravel()
    assert np.abs(bare[solid]).max() > 1e-4 * np.abs(bare).max()  # the network itself leaks
    assert not (M @ problem.b)[solid].any()
    assert not fcg(problem.A, problem.b, M=M, window=2, rtol=1e-8).check().x[solid].any()


def test_pitfall_4_the_network_sees_the_same_scale_on_every_grid() -> None:
    seen: list[float] = []

    def watch(r: Tensor) -> Tensor:
        seen.append(float(r.square().mean().sqrt()))
        return r

    for n in (16, 64):
        problem = poisson((n, n))
        NeuralPreconditioner(Function(watch), problem) @ problem.b
    assert seen == pytest.approx([1.0, 1.0], rel=1e-6)
    problem, net = poisson((16, 16)), published()
    with torch.no_grad():
        r = torch.as_tensor(problem.b.reshape(1, 1, 16, 16), dtype=torch.float32)
        assert (net(1e-3 * r) - 1e-3 * net(r)).abs().max() > 0.1 * (1e-3 * net(r)).abs().max()  # biases
    M = NeuralPreconditioner(net, problem)
    for scale in (1e-12, 1e9):
        np.testing.assert_allclose(M @ (scale * problem.b), scale * (M @ problem.b), rtol=1e-4, atol=1e-5 * scale)


def test_pitfall_5_converged_means_the_true_residual() -> None:
    problem = poisson((32, 32), coefficient="channels", contrast=1e6)
    M = NeuralPreconditioner(Function(lambda r: r), problem)
    A, b = problem.A, problem.b
    x, r, p = np.zeros_like(b), b.copy(), np.zeros_like(b)
    rho = 1.0
    for _ in range(6000):  # plain conjugate gradients that trust their recurrence
        before, rho = rho, r @ r
        if rho <= 1e-24 * (b @ b):
            break
        p = r + (rho / before if p.any() else 0.0) * p
        q = A @ p
        alpha = rho / (p @ q)
        x += alpha * p
        r -= alpha * q
    true = np.linalg.norm(b - A @ x)
    assert np.linalg.norm(r) < 0.1 * true  # the recurrence lies
    result = fcg(A, b, M=M, window=2, rtol=1e-12, maxiter=6000)
    honest = np.linalg.norm(b - A @ result.x)
    assert result.residuals[-1] == pytest.approx(honest, rel=1e-6)
    assert result.converged == (honest <= 1e-12 * np.linalg.norm(b))


@pytest.mark.parametrize("useless", ["nan", "infinite", "zero", "orthogonal", "constant"])
def test_pitfall_6_useless_directions_fall_back_with_one_warning(
    useless: str, caplog: pytest.LogCaptureFixture
) -> None:
    problem = poisson((16, 16), bc="neumann", centring="cell")
    calls = iter(range(10_000))

    def network(r: Tensor) -> Tensor:
        if next(calls) < 2:
            return r
        turned = torch.stack([-r.flatten()[1::2], r.flatten()[::2]], dim=1).reshape(r.shape)
        return {"nan": r / 0 * 0, "infinite": r / 0, "zero": 0 * r, "constant": r * 0 + 1, "orthogonal": turned}[
            useless
        ]

    M = NeuralPreconditioner(Function(network), problem)
    with caplog.at_level("WARNING"):
        result = fcg(problem.A, problem.b, M=M, window=2, rtol=1e-9)
    assert result.status is Status.CONVERGED
    assert np.linalg.norm(problem.b - problem.A @ result.x) <= 1e-9 * np.linalg.norm(problem.b)
    assert M.rejected == M.applications - 2
    assert len(caplog.records) == 1
    assert "direction in application 3 is not finite or orthogonal" in caplog.text
