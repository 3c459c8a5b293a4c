"""OperatorPreconditioner and ResidualOperator: against plain formulas, exact operators, and plain relaxation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from conjugo.learned.operators.guess_test import relaxation
from conjugo.learned.operators.operator_preconditioner import OperatorPreconditioner
from conjugo.learned.operators.residual_operator import ResidualOperator, ResidualOperatorConfig, sines
from conjugo.learned.operators.residual_training import DarcyErrors, KrylovResiduals, face_laplacian, operator_loss
from conjugo.learned.preconditioners.residual_loss import line_search
from conjugo.learned.training import FitConfig, fit, load_model, save_model
from conjugo.pde import LinearProblem, poisson
from conjugo.pde.darcy import darcy_coefficients, darcy_problem
from conjugo.solvers import cg, fcg, fgmres, splu


def darcy(index: int = 0, size: int = 25) -> LinearProblem:
    return darcy_problem(darcy_coefficients(1, size, seed=7, first=index)[0])


@pytest.fixture
def net() -> ResidualOperator:
    torch.manual_seed(0)
    return ResidualOperator(ResidualOperatorConfig(channels=3, modes=8, hidden=4))


class Exact(nn.Module):
    """Answers A^-1 r, from the residual channel."""

    def __init__(self, problem: LinearProblem, factor: float = 1.0) -> None:
        super().__init__()
        self.inverse = torch.as_tensor(factor * np.linalg.inv(problem.A.tocsr().toarray()).T.copy())

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, 1:].flatten(1) @ self.inverse).reshape(x[:, 1:].shape)


class Says(nn.Module):
    """Always the same number, everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, 1:], self.value)


@pytest.mark.parametrize("factor", [1.0, -7.0])
def test_an_exact_operator_ends_the_solve_at_once_whatever_its_scale(factor: float) -> None:
    problem = darcy()
    M = OperatorPreconditioner(Exact(problem, factor), problem, precision="float64")
    assert fcg(problem.A, problem.b, M=M, rtol=1e-8).check().iterations == 1


def test_an_application_is_the_formula(net: ResidualOperator) -> None:
    problem = darcy()
    M = OperatorPreconditioner(net, problem, sweeps=3, precision="float64")
    S = relaxation(problem.A, 3)
    assert S is not None
    r = np.random.default_rng(0).standard_normal(problem.n)
    z = S.operator @ r
    left = r - problem.A @ z
    diagonal = problem.A.diagonal()
    channels = np.stack([np.log(diagonal) - np.log(diagonal).mean(), left / np.sqrt(np.mean(left**2))])
    with torch.no_grad():
        w = net.double()(torch.as_tensor(channels.reshape(1, 2, 23, 23))).numpy().ravel()
    alpha = w @ left / (w @ (problem.A @ w))
    z = z + alpha * w
    z = z + S.operator @ (r - problem.A @ z)
    np.testing.assert_allclose(M @ r, z, rtol=1e-5, atol=1e-7 * np.abs(z).max())


def test_no_operator_adds_energy() -> None:
    problem = darcy()
    exact = splu(problem.A) @ problem.b
    for value in (1.0, -1.0, 1e6, np.nan):
        M = OperatorPreconditioner(Says(value), problem)
        e = exact - M @ problem.b
        assert e @ (problem.A @ e) < exact @ (problem.A @ exact)
        assert M.rejected == int(np.isnan(value))


def test_the_operator_is_symmetric_positive_and_a_fast_poisson_solve_to_begin_with(net: ResidualOperator) -> None:
    a = torch.as_tensor(np.log(darcy_coefficients(1, 14, seed=1)[0][1:-1, 1:-1]), dtype=torch.float32)[None, None]
    gates = net.gates(a).detach()
    with torch.no_grad():
        matrix = net.respond(torch.eye(144).reshape(144, 1, 12, 12), gates).reshape(144, 144)
    torch.testing.assert_close(matrix, matrix.T, atol=1e-5, rtol=1e-4)
    assert float(torch.linalg.eigvalsh(matrix.double()).min()) > -1e-5
    plain = ResidualOperator(ResidualOperatorConfig(channels=1, modes=12, hidden=1))
    nn.init.zeros_(plain.gate.weight)
    S = sines(12, 12, torch.zeros((), dtype=torch.float64))
    k = torch.arange(1, 13, dtype=torch.float64) ** 2
    mode = S[:, 2:3] @ S[:, 4:5].T
    x = torch.stack([torch.zeros(12, 12), mode.float()])[None]
    with torch.no_grad():
        torch.testing.assert_close(plain(x)[0, 0], (2 / (k[2] + k[4]) * mode).float(), atol=1e-6, rtol=1e-5)


def test_face_laplacian_is_the_assembled_matrix_and_its_relaxation_the_solvers() -> None:
    a = darcy_coefficients(2, 21, seed=3)
    A = face_laplacian(a)
    u = torch.randn(2, 1, 19, 19, generator=torch.Generator().manual_seed(0))
    for i in range(2):
        problem = darcy_problem(a[i])
        scale = 4 / problem.A.diagonal().mean()
        wanted = scale * (problem.A @ u[i].double().numpy().ravel())
        np.testing.assert_allclose((A @ u)[i].numpy().ravel(), wanted, rtol=1e-4, atol=1e-4)
        diagonal = np.log(problem.A.diagonal())
        np.testing.assert_allclose(A.seen()[i].numpy().ravel(), diagonal - diagonal.mean(), atol=1e-4)
    e = u - A.relax(A @ u, 6)
    before, after = ((v * (A @ v)).sum() for v in (u, e))
    assert float(after) < 0.1 * float(before)  # white noise is rough


def test_loss_is_the_energy_left_by_one_exact_step(net: ResidualOperator) -> None:
    batch = DarcyErrors(size=17, batch=3, seed=2)(0)
    A = face_laplacian(darcy_coefficients(3, 17, seed=2))
    e = batch["e"] - A.relax(batch["f"], 4)
    r = A @ e
    size = r.square().mean((2, 3), keepdim=True).sqrt()
    with torch.no_grad():
        w = net(torch.cat([A.seen(), r / size], dim=1))
        left = e - line_search(w, A @ w, r) * w
        wanted = ((left * (A @ left)).sum((1, 2, 3)) / (e * r).sum((1, 2, 3))).mean()
        torch.testing.assert_close(operator_loss(4)(net, batch), wanted, atol=1e-4, rtol=1e-3)


def test_replayed_residuals_belong_to_their_errors_and_resume(net: ResidualOperator) -> None:
    batches = KrylovResiduals(DarcyErrors(size=17, batch=4), net, sweeps=2, steps=4)
    fresh = DarcyErrors(size=17, batch=4)
    first = batches(0)
    for name, values in fresh(0).items():
        torch.testing.assert_close(first[name], values)
    later = batches(1)
    A = batches.operator(later)
    torch.testing.assert_close(later["f"], A @ later["e"], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(later["f"].square().mean((1, 2, 3)), torch.ones(4), atol=1e-4, rtol=1e-4)
    kept = batches.state_dict()
    other = KrylovResiduals(DarcyErrors(size=17, batch=4), net, sweeps=2, steps=4)
    other.load_state_dict(kept)
    again = other(2)
    for name, values in batches(2).items():
        assert torch.equal(again[name], values)


@pytest.mark.slow
def test_training_saves_iterations_on_problems_and_sizes_that_it_has_not_seen() -> None:
    torch.manual_seed(0)
    net = ResidualOperator(ResidualOperatorConfig(channels=4, modes=8, hidden=8))
    problems = [darcy(0), darcy(1), darcy(2, size=33)]

    def iterations() -> int:
        return sum(fcg(p.A, p.b, M=OperatorPreconditioner(net, p), rtol=1e-8).check().iterations for p in problems)

    before = iterations()
    sweeps = 0
    for p in problems:
        S = relaxation(p.A, 8)
        assert S is not None
        sweeps += cg(p.A, p.b, M=S.operator, rtol=1e-8).iterations
    batches = KrylovResiduals(DarcyErrors(size=25, batch=4, seed=1), net, sweeps=4, steps=8)
    history = fit(
        net, operator_loss(4), batches, config=FitConfig(steps=60, learning_rate=5e-3, warmup=5), progress=False
    )
    assert history.losses[-10:].mean() < 0.8 * history.losses[:10].mean()
    assert iterations() < 0.8 * before
    assert iterations() < 0.8 * sweeps


@pytest.mark.slow
def test_one_batch_is_learnt() -> None:
    torch.manual_seed(0)
    net = ResidualOperator(ResidualOperatorConfig(channels=4, modes=8, hidden=8))
    batch = DarcyErrors(size=17, batch=2)(0)
    config = FitConfig(steps=100, learning_rate=2e-2)
    history = fit(net, operator_loss(4), lambda step: batch, config=config, progress=False)
    assert history.losses[-1] < 0.5 * history.losses[0]


def test_saved_and_loaded_with_the_same_bits(net: ResidualOperator, tmp_path: Any) -> None:
    back = load_model(save_model(net, tmp_path / "net.safetensors"))
    x = torch.randn(2, 2, 15, 15)
    with torch.no_grad():
        assert torch.equal(back(x), net(x))
    assert back.config == net.config


def test_numpy_torch_blocks_and_zero_columns(net: ResidualOperator) -> None:
    problem = darcy()
    M = OperatorPreconditioner(net, problem)
    B = np.random.default_rng(1).standard_normal((problem.n, 3)) * [1.0, 1e-5, 0.0]
    Z = M @ B
    for j in range(3):
        np.testing.assert_allclose(Z[:, j], M @ B[:, j], rtol=1e-4, atol=1e-5 * np.abs(Z[:, j]).max())
    np.testing.assert_allclose((M @ torch.as_tensor(B)).numpy(), Z, rtol=1e-6, atol=1e-9 * np.abs(Z).max())
    result = fcg(problem.A, B, M=M, rtol=1e-8).check()
    assert np.linalg.norm(B - problem.A @ result.x) <= 1.1e-8 * np.linalg.norm(B)


def test_unsymmetric_systems_go_to_fgmres_without_sweeps(net: ResidualOperator) -> None:
    problem = darcy()
    n = problem.n
    A = sp.csr_array(problem.A.tocsr() + sp.diags_array([np.full(n - 1, 50.0)], offsets=[1]))
    A.symmetric = False
    stated = LinearProblem(A, problem.b, grid=problem.grid)
    with pytest.raises(ValueError, match="csr_array is not symmetric: pass relax=, or sweeps=0"):
        OperatorPreconditioner(net, stated)
    M = OperatorPreconditioner(Exact(stated, factor=5.0), stated, sweeps=0, precision="float64")
    assert fgmres(A, problem.b, M=M, rtol=1e-8).check().iterations == 1


def test_models_of_two_channels_without_gates_are_taken_as_they_are() -> None:
    problem = darcy()

    class Echo(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1] == 2
            return x[:, 1:] * torch.exp(-x[:, :1])

    M = OperatorPreconditioner(Echo(), problem)
    assert fcg(problem.A, problem.b, M=M, rtol=1e-8).check().iterations < cg(problem.A, problem.b, rtol=1e-8).iterations


def test_bad_input_is_named(net: ResidualOperator) -> None:
    problem = darcy()
    M = OperatorPreconditioner(net, problem)
    assert (M.linear, M.symmetric, M.shape) == (False, False, (problem.n, problem.n))
    with pytest.raises(ValueError, match="use fcg"):
        cg(problem.A, problem.b, M=M)
    with pytest.raises(ValueError, match="sweeps = -1"):
        OperatorPreconditioner(net, problem, sweeps=-1)
    with pytest.raises(ValueError, match="expects it positive"):
        OperatorPreconditioner(net, poisson((9, 9), shift=-1e4))
    with pytest.raises(ValueError, match="modes = 0"):
        ResidualOperatorConfig(modes=0)
    with pytest.raises(ValueError, match=r"x has shape \(1, 1, 9, 9\): expected \(batch, 2, n, m\)"):
        net(torch.ones(1, 1, 9, 9))
