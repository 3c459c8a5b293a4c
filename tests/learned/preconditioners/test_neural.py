"""NeuralPreconditioner: libraries, blocks, padding, precision, fallback, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.dcdm import DirectionNet, DirectionNetConfig
from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
from conjugo.learned.preconditioners.neural import NeuralPreconditioner
from conjugo.pde import poisson, pressure
from conjugo.solvers import Status, cg, chebyshev_preconditioner, fcg
from conjugo.solvers.operators.variable import VariableStencil


@pytest.fixture
def net() -> MultilevelNet:
    torch.manual_seed(0)
    return MultilevelNet(MultilevelNetConfig(dimension=2))


class Nothing(nn.Module):
    """Always NaN."""

    def forward(self, residual: Tensor, geometry: Tensor | None = None) -> Tensor:
        return residual * torch.nan


def test_numpy_and_torch_agree_and_come_back_as_they_went(net: MultilevelNet) -> None:
    problem = pressure("porous", (24, 24))
    M = NeuralPreconditioner(net, problem)
    z = M @ problem.b
    assert isinstance(z, np.ndarray)
    assert z.dtype == np.float64
    for dtype in (torch.float64, torch.float32):
        back = M @ torch.as_tensor(problem.b, dtype=dtype)
        assert back.dtype == dtype
        np.testing.assert_allclose(back.numpy(), z, rtol=1e-4, atol=1e-5 * np.abs(z).max())


def test_a_block_is_its_columns(net: MultilevelNet) -> None:
    problem = poisson((24, 24), bc="neumann", centring="cell")
    M = NeuralPreconditioner(net, problem)
    B = np.random.default_rng(0).standard_normal((problem.n, 3)) * [1.0, 1e-6, 1e6]
    Z = M @ B
    for j in range(3):
        np.testing.assert_allclose(Z[:, j], M @ B[:, j], rtol=1e-4, atol=1e-5 * np.abs(Z[:, j]).max())


def test_many_right_hand_sides_at_once(net: MultilevelNet) -> None:
    problem = poisson((32, 32))
    B = np.random.default_rng(1).standard_normal((problem.n, 4))
    B[:, 2] = 0.0
    result = fcg(problem.A, B, M=NeuralPreconditioner(net, problem), window=2, rtol=1e-8).check()
    assert np.all(np.linalg.norm(B - problem.A @ result.x, axis=0) <= 1e-8 * np.linalg.norm(B, axis=0) + 1e-300)
    assert result.iterations < cg(problem.A, B, rtol=1e-8).iterations / 2


@pytest.mark.parametrize("shape", [(15, 17), (31, 31), (9, 50)])
def test_any_grid_is_padded_and_cropped(net: MultilevelNet, shape: tuple[int, int]) -> None:
    problem = poisson(shape, lengths=[n + 1.0 for n in shape])
    M = NeuralPreconditioner(net, problem)
    assert (M @ problem.b).shape == (problem.n,)
    assert fcg(problem.A, problem.b, M=M, window=2, rtol=1e-8).check().iterations < 40


def test_zero_stays_zero_and_the_input_is_not_changed(net: MultilevelNet) -> None:
    problem = poisson((16, 16))
    M = NeuralPreconditioner(net, problem)
    b = problem.b.copy()
    M @ b
    np.testing.assert_array_equal(b, problem.b)
    assert not (M @ np.zeros(problem.n)).any()
    assert M.rejected == 0


def test_bfloat16_still_converges_to_double_accuracy(net: MultilevelNet) -> None:
    problem = poisson((32, 32))
    low, full = (NeuralPreconditioner(net, problem, precision=name) for name in ("bfloat16", "float32"))
    a, b = (fcg(problem.A, problem.b, M=M, window=2, rtol=1e-10).check().iterations for M in (low, full))
    assert a <= 2 * b


def test_a_nan_network_falls_back_to_a_classical_direction() -> None:
    problem = poisson((31, 31))
    cycle = chebyshev_preconditioner(problem.A)
    M = NeuralPreconditioner(Nothing(), problem, fallback=cycle)
    result = fcg(problem.A, problem.b, M=M, window=2, rtol=1e-8).check()
    assert M.rejected == M.applications == result.iterations
    assert result.iterations <= cg(problem.A, problem.b, M=cycle, rtol=1e-8).iterations + 1


def test_only_the_useless_columns_of_a_block_fall_back() -> None:
    problem = poisson((8, 8))

    class Picky(nn.Module):
        def forward(self, residual: Tensor, geometry: Tensor | None = None) -> Tensor:
            out = 2 * residual
            out[1] = torch.nan
            return out

    B = np.random.default_rng(2).standard_normal((64, 3))
    Z = NeuralPreconditioner(Picky(), problem) @ B
    np.testing.assert_allclose(Z, B * [2.0, 1.0, 2.0], rtol=1e-6)


def test_cg_refuses_it_and_names_fcg(net: MultilevelNet) -> None:
    problem = poisson((16, 16))
    with pytest.raises(ValueError, match="use fcg"):
        cg(problem.A, problem.b, M=NeuralPreconditioner(net, problem))


def test_the_model_is_left_alone(net: MultilevelNet) -> None:
    net.train()
    NeuralPreconditioner(net, poisson((16, 16)), precision="bfloat16")
    assert net.training
    assert all(p.dtype == torch.float32 and p.requires_grad for p in net.parameters())


def test_indefinite_operator_ends_as_such(net: MultilevelNet) -> None:
    problem = poisson((32, 32), shift=-300.0)
    result = fcg(problem.A, problem.b, M=NeuralPreconditioner(net, problem), window=2, rtol=1e-8)
    assert result.status is Status.INDEFINITE


def test_bad_input_is_named(net: MultilevelNet) -> None:
    problem = poisson((16, 16))
    with pytest.raises(ValueError, match=r"the grid \(7, 40\) has a side below 8, which the network cannot coarsen"):
        NeuralPreconditioner(net, poisson((7, 40)))
    with pytest.raises(ValueError, match="has 3 axes but the network's dimension is 2"):
        NeuralPreconditioner(net, poisson((8, 8, 8)))
    with pytest.raises(ValueError, match="has 2 axes but the network's dimension is 3"):
        NeuralPreconditioner(DirectionNet(DirectionNetConfig(dimension=3)), problem)
    with pytest.raises(ValueError, match="ndarray has no grid_shape"):
        NeuralPreconditioner(net, np.eye(4))
    with pytest.raises(ValueError, match="pass the problem before compress"):
        NeuralPreconditioner(net, poisson((16, 16), mask="disc").compress())
    empty = VariableStencil(np.ones((8, 8)), [np.zeros((8, 8))] * 2, active=np.zeros((8, 8), dtype=bool))
    with pytest.raises(ValueError, match="the mask keeps none of the 64 unknowns"):
        NeuralPreconditioner(net, empty)
    with pytest.raises(ValueError, match="precision = 'half'"):
        NeuralPreconditioner(net, problem, precision="half")  # type: ignore[arg-type]
    M = NeuralPreconditioner(net, problem)
    with pytest.raises(ValueError, match=r"r has shape \(16, 16, 1\)"):
        M @ problem.b.reshape(16, 16, 1)
    with pytest.raises(ValueError, match="expected a real floating type"):
        M @ problem.b.astype(complex)


def test_a_device_that_is_not_there(net: MultilevelNet) -> None:
    there = torch.cuda.device_count()
    with pytest.raises(ValueError, match=f"'cuda:{there}' is not there: this machine has {there} CUDA devices"):
        NeuralPreconditioner(net, poisson((16, 16)), device=f"cuda:{there}")
    with pytest.raises(ValueError, match="expected 'cpu', 'cuda' or 'cuda:N'"):
        NeuralPreconditioner(net, poisson((16, 16)), device="nowhere")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_cuda_graph_gives_what_the_cpu_gives(net: MultilevelNet, precision: str) -> None:
    problem = poisson((64, 64), bc="neumann", centring="cell")
    b = torch.as_tensor(problem.b, device="cuda")
    on_cpu = NeuralPreconditioner(net, problem) @ problem.b
    recorded = NeuralPreconditioner(net, problem, device="cuda", precision=precision)  # type: ignore[arg-type]
    for _ in range(3):
        z = recorded @ b
        assert z.device == b.device
        tolerance = (1e-3 if precision == "float32" else 0.1) * np.abs(on_cpu).max()
        np.testing.assert_allclose(z.cpu().numpy(), on_cpu, atol=tolerance)
    assert fcg(problem.A, b, M=recorded, window=2, rtol=1e-8).converged
