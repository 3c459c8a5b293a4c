"""What only a CUDA device can show: graphs, sizes with many programs, tensors of other libraries' loops."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from conjugo.pde.poisson.assemble import poisson
from conjugo.solvers import cg
from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available() or find_spec("triton") is None, reason="no CUDA device, or no triton"
    ),
]


@pytest.mark.parametrize("shape", [(64, 63, 80), (127, 127, 127), (511, 600)])
@pytest.mark.parametrize(("bc", "centring"), [("dirichlet", "vertex"), ("neumann", "cell")])
def test_solve_meets_the_tolerance_again_and_again(shape: tuple[int, ...], bc: Any, centring: Any) -> None:
    from conjugo.solvers.triton.multigrid import CudaMultigrid

    problem = poisson(shape, bc=bc, centring=centring)
    M = CudaMultigrid(problem.A)
    for seed in range(3):  # plain launches, recording, replay
        u = np.random.default_rng(seed).standard_normal(problem.b.size)
        b = problem.A @ u
        result = M.solve(torch.as_tensor(b, device="cuda"), rtol=1e-10)
        assert result.converged
        assert np.linalg.norm(b - problem.A @ result.x.cpu().numpy()) <= 1e-10 * np.linalg.norm(b)
        assert result.iterations <= 16


@pytest.mark.parametrize("options", [{}, {"coefficient": "inclusions"}, {"bc": "periodic", "coefficient": "smooth"}])
def test_products_of_cuda_tensors_equal_the_compiled_ones(options: dict[str, Any]) -> None:
    A = poisson((33, 40, 38), **options).A
    x = np.random.default_rng(0).standard_normal((A.shape[0], 3))
    expected = np.asarray(A @ x)
    for dtype, bound in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        got = A @ torch.as_tensor(x, dtype=dtype, device="cuda")
        assert got.dtype == dtype
        assert np.linalg.norm(got.cpu().numpy() - expected) < bound * np.linalg.norm(expected)


@pytest.mark.parametrize(("shape", "cycle"), [((300, 257), "W"), ((40, 45, 37), "V")])
def test_black_box_equals_the_compiled_cycle_for_many_columns(shape: tuple[int, ...], cycle: str) -> None:
    from conjugo.solvers.triton.black_box import CudaBlackBox

    problem = poisson(shape, coefficient="inclusions", contrast=1e3)
    hierarchy = BlackBoxHierarchy(problem.A, cycle=cycle, symmetric=True)
    M = CudaBlackBox(hierarchy)
    r = np.random.default_rng(1).standard_normal((problem.b.size, 5))
    for _ in range(3):
        z = (M @ torch.as_tensor(r, device="cuda")).cpu().numpy()
        for column in range(5):
            expected = np.empty(len(r))
            hierarchy.cycle(np.ascontiguousarray(r[:, column]), expected)
            assert np.linalg.norm(z[:, column] - expected) < 2e-5 * np.linalg.norm(expected)
    result = cg(problem.A, torch.as_tensor(problem.b, device="cuda"), M=M, rtol=1e-8)
    assert result.converged
