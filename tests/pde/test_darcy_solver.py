"""Solutions of Darcy's equation against manufactured ones, a sparse direct solver, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from conjugo.pde import gaussian_field
from conjugo.pde.darcy import darcy_problem, darcy_solution, solve_darcy
from conjugo.pde.darcy.solver import _solve_blocks
from conjugo.pde.darcy.stencil import FACES, Faces
from conjugo.solvers.monitor import to_host
from conjugo.solvers.parallel import threads
from conjugo.solvers.result import ConvergenceError, Status


def _media(count: int, n: int) -> NDArray[np.float64]:
    """Twelve and three, in blobs a sixth of the side wide."""
    return np.stack(
        [np.where(gaussian_field((n, n), correlation_length=n / 6, seed=s) >= 0, 12.0, 3.0) for s in range(count)]
    )


@pytest.mark.parametrize("faces", FACES)
def test_order_two_for_a_smooth_coefficient(faces: Faces) -> None:
    errors = []
    for n in (17, 33, 65, 129):
        x, y = np.meshgrid(*[np.linspace(0, 1, n)] * 2, indexing="ij")
        a = 2 + np.sin(2 * x + y)
        u = np.sin(np.pi * x) * np.sin(2 * np.pi * y)
        ux, uy = (
            np.pi * np.cos(np.pi * x) * np.sin(2 * np.pi * y),
            2 * np.pi * np.sin(np.pi * x) * np.cos(2 * np.pi * y),
        )
        f = 5 * np.pi**2 * a * u - np.cos(2 * x + y) * (2 * ux + uy)
        errors.append(float(np.sqrt(np.mean((solve_darcy(a, faces=faces, f=f, rtol=1e-10) - u) ** 2))))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert abs(orders[-1] - 2) < 0.02, (errors, orders)


@pytest.mark.parametrize("faces", FACES)
def test_equal_to_a_sparse_direct_solve(faces: Faces) -> None:
    a = _media(3, 61)
    u = solve_darcy(a, faces=faces, rtol=1e-10)
    for one, computed in zip(a, u, strict=True):
        problem = darcy_problem(one, faces=faces)
        exact = splu(sp.csc_array(problem.A.tocsr())).solve(problem.b).reshape(59, 59)
        assert np.linalg.norm(computed[1:-1, 1:-1] - exact) < 1e-9 * np.linalg.norm(exact)
    assert not np.any(u[:, [0, -1]])
    assert not np.any(u[:, :, [0, -1]])


def test_iterations_do_not_grow_with_the_grid() -> None:
    counts = [darcy_solution(_media(2, n)).iterations.max() for n in (31, 61, 121)]
    assert max(counts) <= 28, counts  # kappa <= 4
    assert max(counts) - min(counts) <= 4, counts


def test_threads_and_chunks_change_no_bit() -> None:
    a = _media(5, 41)
    alone = solve_darcy(a)
    with threads(2):
        np.testing.assert_array_equal(solve_darcy(a), alone)
    np.testing.assert_array_equal(solve_darcy(a[3:]), alone[3:])
    np.testing.assert_array_equal(solve_darcy(a[4]), alone[4])


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_blocks_give_the_same(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a = _media(5, 41)
    a[2] = 1.0  # converges at once, and is then left alone
    monkeypatch.setattr("conjugo.pde.darcy.solver.BLOCK", 3 * 41**2)
    f = np.broadcast_to(np.linspace(1, 2, 41), a.shape)
    move = torch.as_tensor if library == "torch" else np.asarray
    u, ends = _solve_blocks(move(a), move(f.copy()), "geometric", 1e-10, 100)
    solution = darcy_solution(a, faces="geometric", f=f, rtol=1e-10)
    np.testing.assert_allclose(to_host(u), solution.u, atol=1e-9 * np.abs(solution.u).max())
    assert all(end.status is Status.CONVERGED and end.residual <= 1e-10 for end in ends)
    assert np.all(np.abs([end.iterations for end in ends] - solution.iterations) <= 1)


def test_torch_keeps_its_dtype_and_takes_no_gradient() -> None:
    a = _media(2, 33)
    u = solve_darcy(torch.tensor(a, dtype=torch.float32, requires_grad=True))
    assert u.dtype == torch.float32
    assert not u.requires_grad
    np.testing.assert_allclose(u.numpy(), solve_darcy(a), rtol=1e-6)


def test_the_residual_is_the_true_one() -> None:
    a = _media(2, 41)
    solution = darcy_solution(a, rtol=1e-4)
    for i in range(2):
        problem = darcy_problem(a[i])
        r = problem.b - problem.A @ solution.u[i, 1:-1, 1:-1].ravel()
        np.testing.assert_allclose(np.linalg.norm(r) / np.linalg.norm(problem.b), solution.residuals[i], rtol=1e-6)
    assert np.all(solution.residuals <= 1e-4)


def test_an_indefinite_system_goes_to_the_direct_solver() -> None:
    a = _media(2, 33)
    a[1, 8:12, 8:12] = -6.0
    solution = darcy_solution(a, faces="arithmetic").check()
    assert solution.direct.tolist() == [False, True]
    assert np.all(solution.residuals < 1e-8)


def test_mistakes_are_named() -> None:
    a = _media(1, 17)
    with pytest.raises(ConvergenceError, match=r"1 of 1 Darcy solves failed \(samples 0\).*max_iterations after 2"):
        solve_darcy(a, maxiter=2)
    with pytest.raises(ValueError, match="NaN or infinite"):
        solve_darcy(np.full((1, 9, 9), np.nan))
    with pytest.raises(ValueError, match=r"minimum -1\.0: harmonic means need positive"):
        solve_darcy(-np.ones((1, 9, 9)))
    with pytest.raises(ValueError, match=r"a has shape \(1, 9, 8\)"):
        solve_darcy(np.ones((9, 8)))
    with pytest.raises(ValueError, match="expected one of harmonic"):
        solve_darcy(a, faces="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"f has shape \(3,\)"):
        solve_darcy(a, f=np.ones(3))
    with pytest.raises(ValueError, match="f has values that are NaN"):
        solve_darcy(a, f=np.nan)
    with pytest.raises(ValueError, match="rtol = 0"):
        solve_darcy(a, rtol=0.0)
