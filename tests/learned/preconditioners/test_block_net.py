"""The learned local coarse basis: features, loss, proposals, and what they can and cannot do to a solve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conjugo.learned.preconditioners.block_net import BlockNet, BlockNetConfig, Proposer, block_features
from conjugo.learned.preconditioners.block_pool import (
    FLOOR,
    BlockPool,
    chebyshev_filter,
    excess_energy,
    local_matrices,
)
from conjugo.learned.training import FitConfig, fit, load_model, save_model
from conjugo.pde.poisson.families import CONTEST_SEEDS, MEDIA, medium
from conjugo.pde.poisson.rotated import rotated
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.multigrid.blocks import Blocks
from conjugo.solvers.multigrid.enriched import EnrichedMultigrid
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.variable import VariableStencil

SMALL = BlockNetConfig(block=4, vectors=4, width=32, degree=2)


def packed(n: int, seed: int = 0) -> VariableStencil:
    A = medium(MEDIA["packed"], (n, n), CONTEST_SEEDS + seed, contrast=1e5).A
    assert isinstance(A, VariableStencil)
    return A


def small_pool(**options: int) -> BlockPool:
    return BlockPool(SMALL, ("noise",), (32, 32), problems=3, batch=32, **options)


def test_features_do_not_change_when_the_operator_is_scaled() -> None:
    A = packed(32)
    scaled = VariableStencil(1e-7 * A.diag, [1e-7 * u for u in A.upper])
    np.testing.assert_allclose(block_features(Blocks(A, 8)), block_features(Blocks(scaled, 8)), atol=1e-6)


def test_local_matrices_are_those_of_the_assembled_operator() -> None:
    A = packed(20)
    blocks = Blocks(A, 8)
    S, root = local_matrices(blocks)
    inside = blocks.nodes[0]
    L = A.tocsr()[inside][:, inside].toarray()
    np.fill_diagonal(L, 0.0)
    np.fill_diagonal(L, -L.sum(axis=1))
    np.testing.assert_allclose(S[0], L * root[0][:, None] * root[0], atol=1e-13)


def test_the_filter_is_the_chebyshev_polynomial() -> None:
    mu = torch.linspace(0, 2, 9, dtype=torch.float64)
    out = chebyshev_filter(torch.diag(mu)[None], torch.ones(1, 9, 1, dtype=torch.float64), 5, 0.2)
    t = (mu - 1.1) / 0.9
    np.testing.assert_allclose(out[0, :, 0], np.polynomial.chebyshev.chebval(t.numpy(), [0, 0, 0, 0, 0, 1]), rtol=1e-11)


def test_the_loss_is_zero_for_the_eigenvectors_and_the_mean_log_of_the_ritz_values_otherwise() -> None:
    features, S, mu = small_pool()(0)

    class Fixed(BlockNet):
        offer: torch.Tensor

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.offer

    net = Fixed(BlockNetConfig(block=4, vectors=4, width=32, degree=0))
    values, vectors = torch.linalg.eigh(S)
    net.offer = vectors[:, :, :4]
    assert abs(float(excess_energy(net, (features, S, mu)))) < 1e-5
    net.offer = vectors[:, :, -4:]
    expected = (torch.log(values[:, -4:] + FLOOR) - torch.log(mu + FLOOR)).mean()
    assert float(excess_energy(net, (features, S, mu))) == pytest.approx(float(expected), rel=1e-5)


def test_training_lowers_the_loss_and_batches_follow_from_the_step() -> None:
    pool = small_pool()
    assert all(torch.equal(a, b) for a, b in zip(pool(3), small_pool()(3), strict=True))
    torch.manual_seed(0)
    net = BlockNet(SMALL)
    history = fit(net, excess_energy, pool, config=FitConfig(steps=150, learning_rate=1e-2), progress=False)
    assert np.mean(history.losses[-10:]) < 0.85 * np.mean(history.losses[:5])


@pytest.mark.parametrize("kind", ["random", "zero", "constant"])
def test_no_proposal_makes_the_answer_wrong(kind: str) -> None:
    A = packed(48)
    torch.manual_seed(1)
    net = BlockNet(BlockNetConfig(vectors=6, width=16, degree=0))
    if kind != "random":
        with torch.no_grad():
            net.write.weight.zero_()
            net.write.bias.fill_(0.0 if kind == "zero" else 1.0)
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    M = EnrichedMultigrid(A, propose=Proposer(net), vectors=6, degree=0)
    result = cg(A, b, M=M, rtol=1e-8, maxiter=400)
    assert result.converged
    assert np.linalg.norm(b - A @ result.x) <= 1.001e-8 * np.linalg.norm(b)


def test_a_model_comes_back_bit_equal(tmp_path: Path) -> None:
    net = BlockNet(SMALL)
    again = load_model(save_model(net, tmp_path / "net.safetensors"))
    assert isinstance(again, BlockNet)
    assert again.config == SMALL
    x = torch.randn(3, 4 * 16)
    assert torch.equal(net(x), again(x))


@pytest.mark.parametrize("name", ["packed", "noise"])
def test_the_shipped_network_saves_iterations_on_unseen_problems(name: str) -> None:
    from conjugo.learned.training import weights_path

    net = load_model(weights_path("basis2d"))
    assert isinstance(net, BlockNet)
    problem = medium(MEDIA[name], (112, 120), CONTEST_SEEDS + 5, contrast=1e4)
    assert isinstance(problem.A, VariableStencil)
    plain = cg(problem.A, problem.b, M=Multigrid(problem.A, symmetric=True), rtol=1e-6, maxiter=500)
    config = net.config
    vectors, threshold = config.vectors, config.threshold

    def count(degree: int, propose: Proposer | None) -> int:
        M = EnrichedMultigrid(problem.A, propose=propose, vectors=vectors, threshold=threshold, degree=degree)
        result = M.solve(problem.b, rtol=1e-6, maxiter=500)
        return result.iterations if result.converged else 500

    assert count(14, Proposer(net)) <= min(20, plain.iterations + 2)
    assert count(6, Proposer(net)) < count(6, None)


def test_bad_input_is_named() -> None:
    proposer = Proposer(BlockNet(SMALL))
    A = packed(24)
    with pytest.raises(ValueError, match="trained for 4 in 2-D"):
        proposer(Blocks(A, 8), 4)
    with pytest.raises(ValueError, match="vectors = 7: expected 4"):
        proposer(Blocks(A, 4), 7)
    compact = rotated((16, 16)).A
    with pytest.raises(ValueError, match="leave out propose"):
        proposer(Blocks(compact, 4), 4)
    with pytest.raises(ValueError, match="expected 2 or 3"):
        BlockNetConfig(dimension=1)
