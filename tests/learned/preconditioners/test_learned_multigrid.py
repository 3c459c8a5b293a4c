"""The learned V-cycle: symmetric and positive for any weights, and equal to the cycle that was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.learned.preconditioners.nets import PROBLEMS, problem, random_net

from conjugo.learned.preconditioners.differentiable_cycle import DifferentiableCycle
from conjugo.learned.preconditioners.learned_multigrid import LearnedMultigrid
from conjugo.learned.preconditioners.stencil_net import StencilNet, StencilNetConfig
from conjugo.learned.preconditioners.stencil_problems import Stencil
from conjugo.learned.preconditioners.worst_modes import singular_components
from conjugo.learned.training.models import save_model
from conjugo.pde import poisson
from conjugo.solvers import Multigrid, cg, fcg
from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy, assemble, deal, finest
from conjugo.solvers.multigrid.coarsest import DENSE
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil


def dimension(A: Stencil) -> int:
    return len(A.grid_shape)


def range_of(A: Stencil) -> NDArray[np.float64]:
    """Projector on the complement of the null space, which holds constants on components."""
    parts = singular_components(assemble(*finest(A)))
    Q = np.eye(A.diag.size)
    for part in range(1, int(parts.max()) + 1):
        Q -= np.outer(parts == part, parts == part) / (parts == part).sum()
    return Q


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_preconditioner_is_symmetric_and_contracts_for_any_weights(name: str) -> None:
    A = problem(name)
    M = LearnedMultigrid(A, random_net(dimension(A), scale=3.0), precision="float64")
    Q = range_of(A)
    dense = Q @ (M @ Q)
    assert abs(dense - dense.T).max() <= 1e-12 * abs(dense).max()
    # sqrt(A) M sqrt(A) has the eigenvalues of M A
    values, vectors = np.linalg.eigh((A @ np.eye(A.diag.size) + (A @ np.eye(A.diag.size)).T) / 2)
    root = vectors * np.sqrt(values.clip(0.0)) @ vectors.T
    spectrum = np.linalg.eigvalsh(root @ dense @ root)
    null = round(A.diag.size - np.trace(Q))
    assert spectrum[-1] <= 1 + 1e-9
    assert spectrum[null] > 1e-9
    assert abs(spectrum[:null]).max(initial=0.0) < 1e-9


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_untrained_network_is_the_classical_cycle(name: str, precision: str) -> None:
    A = problem(name)
    net = StencilNet(StencilNetConfig(dimension=dimension(A), width=4))
    b = A @ np.random.default_rng(0).standard_normal(A.diag.size)
    learned = LearnedMultigrid(A, net, precision=precision)  # type: ignore[arg-type]
    classical = Multigrid(A, cycle="V", symmetric=True, precision=precision)  # type: ignore[arg-type]
    np.testing.assert_array_equal(learned @ b, classical @ b)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_cycle_is_the_one_that_was_trained(name: str) -> None:
    A = problem(name)
    net = random_net(dimension(A))
    grid, rows = finest(A)
    b = range_of(A) @ np.random.default_rng(0).standard_normal(A.diag.size)
    a = torch.from_numpy(deal(grid, rows))[None]
    with torch.no_grad():
        cycle = DifferentiableCycle(a, A.grid_shape, isinstance(A, CompactStencil), net, coarsest=DENSE)
        trained = cycle(torch.from_numpy(b)[None, None])[0, 0].numpy()
    z = LearnedMultigrid(A, net, precision="float64") @ b
    Q = range_of(A)
    assert abs(Q @ (z - trained)).max() <= 1e-12 * abs(z).max()
    assert abs(z - Multigrid(A, cycle="V", symmetric=True, precision="float64") @ b).max() > 1e-3 * abs(z).max()


@pytest.mark.parametrize("name", ["2-D", "3-D compact"])
def test_cg_and_fcg_take_the_same_iterates(name: str) -> None:
    A = problem(name)
    M = LearnedMultigrid(A, random_net(dimension(A), scale=0.3), precision="float64")
    b = A @ np.random.default_rng(0).standard_normal(A.diag.size)
    plain, flexible = (solve(A, b, M=M, rtol=1e-8) for solve in (cg, fcg))
    assert plain.converged
    assert plain.iterations == flexible.iterations
    assert np.linalg.norm(plain.x - flexible.x) <= 1e-6 * np.linalg.norm(plain.x)


def test_it_solves_and_tells_what_it_costs() -> None:
    A = problem("2-D")
    M = LearnedMultigrid(A, random_net(2, scale=0.1), precision="float64")
    x = np.random.default_rng(0).standard_normal(A.diag.size)
    assert M.solve(A @ x, rtol=1e-6, maxiter=500).converged
    assert M.shape == (x.size, x.size)
    assert M.linear
    assert M.symmetric
    assert 0 < M.network_seconds < M.setup_seconds
    assert M.nbytes > Multigrid(A, cycle="V", symmetric=True, precision="float64").nbytes
    assert "learned" in repr(M)


def test_relaxation_factors_are_levels_attribute_omega() -> None:
    A = problem("2-D")
    learned = LearnedMultigrid(A, random_net(2), precision="float64")._hierarchy
    classical = Multigrid(A, symmetric=True)._hierarchy
    assert isinstance(learned, BlackBoxHierarchy)
    assert isinstance(classical, BlackBoxHierarchy)
    for level in learned.levels:
        assert level.omega is not None
        assert level.omega.shape == level.dinv.shape
        assert (level.omega[level.grid.colours[-1]] == 1).all()
        assert level.omega.min() > 0
        assert level.omega.max() < 2
    assert all(level.omega is None for level in classical.levels)


def test_a_level_that_lost_an_axis_stays_classical() -> None:
    A = poisson((3, 400), coefficient="inclusions", contrast=100.0).A
    hierarchy = LearnedMultigrid(A, random_net(2), precision="float64")._hierarchy
    assert isinstance(hierarchy, BlackBoxHierarchy)
    assert all((level.omega is None) == (level.grid.dimensions == 1) for level in hierarchy.levels)


def test_weights_are_found_by_path(tmp_path: Path) -> None:
    A, net = problem("2-D"), random_net(2).float()
    path = save_model(net, tmp_path / "net.safetensors")
    b = np.ones(A.diag.size)
    np.testing.assert_array_equal(LearnedMultigrid(A, str(path)) @ b, LearnedMultigrid(A, net) @ b)


def test_bad_input() -> None:
    A = problem("2-D")
    with pytest.raises(ValueError, match=r"SeparableStencil: Multigrid\(A\)"):
        LearnedMultigrid(poisson((9, 9)).A, random_net(2))
    with pytest.raises(ValueError, match="expected a VariableStencil or a CompactStencil"):
        LearnedMultigrid(np.eye(3), random_net(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"network is for 3-D grids but A has the grid \(27, 30\)"):
        LearnedMultigrid(A, random_net(3))
    with pytest.raises(ValueError, match="is a Linear: expected a StencilNet"):
        LearnedMultigrid(A, torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ships no weights 'nothing'"):
        LearnedMultigrid(A, "nothing")
    with pytest.raises(FileNotFoundError):
        LearnedMultigrid(A, Path("missing.safetensors"))
    with pytest.raises(ValueError, match="not symmetric; expected 'V' or 'W'"):
        LearnedMultigrid(A, random_net(2), cycle="F")
    with pytest.raises(ValueError, match="weigh with symmetric = False"):
        BlackBoxHierarchy(A, weigh=lambda grid, a, p: (p, None))
    wind = VariableStencil(np.full((9, 9), 4.0), [np.full((9, 9), -1.0)] * 2, [np.full((9, 9), -2.0)] * 2)
    with pytest.raises(ValueError, match="`lower` couplings"):
        LearnedMultigrid(wind, random_net(2))


def test_damaged_weights_are_refused() -> None:
    net = random_net(2)
    with torch.no_grad():
        net.write.bias.fill_(np.nan)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="NaN or infinity"):
        LearnedMultigrid(problem("2-D"), net)
