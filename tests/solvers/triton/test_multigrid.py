"""Multigrid-CG by fused kernels, run by Triton's interpreter where there is no CUDA device."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from conjugo.pde.poisson.assemble import poisson
from conjugo.solvers import cg
from conjugo.solvers.multigrid.transfers import coarsen
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.result import Status

torch = pytest.importorskip("torch")
if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

from conjugo.solvers.triton.language import tl  # noqa: E402
from conjugo.solvers.triton.multigrid import CudaMultigrid  # noqa: E402
from conjugo.solvers.triton.products import multiply, offers  # noqa: E402
from conjugo.solvers.triton.separable_level import restriction_table, three_axes  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and type(tl.sum).__name__ == "JITFunction":
    pytest.skip("triton was imported without its interpreter before these tests", allow_module_level=True)

MIXED: Any = [("dirichlet", "neumann"), "periodic", "neumann"]
CASES = [
    ((8, 6, 10), "neumann", "cell", 0.0),
    ((21, 20), "neumann", "vertex", 0.0),
    ((24, 31), "dirichlet", "cell", 3.0),
    ((7, 9, 8), "dirichlet", "vertex", 0.0),
    ((9, 8, 7), MIXED, "vertex", 0.0),
]
LONGER = [*CASES[:2], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[2:])]  # in the interpreter
LONGEST = [CASES[1], *(pytest.param(*case, marks=pytest.mark.slow) for case in (CASES[0], *CASES[2:]))]


def on_device(v: np.ndarray[Any, Any]) -> Any:
    """The tensor of a NumPy array."""
    return torch.as_tensor(v, device=DEVICE)


def dense(axes: tuple[Any, ...], name: str) -> np.ndarray[Any, Any]:
    """P or R of the full grid, from dense matrices of the axes."""
    out = np.ones((1, 1))
    for axis in axes:
        out = np.kron(out, getattr(coarsen(axis)[1], name)())
    return out


@pytest.mark.parametrize(("shape", "bc", "centring", "shift"), LONGER)
def test_kernels_equal_dense_algebra(shape: tuple[int, ...], bc: Any, centring: Any, shift: float) -> None:
    problem = poisson(shape, bc=bc, centring=centring, shift=shift, lengths=[float(n) for n in shape])
    A: Any = problem.A
    M = CudaMultigrid(A, device=DEVICE)
    level, rng = M.levels[0], np.random.default_rng(1)
    n = A.shape[0]
    T = (A.tocsr() / A.weights().ravel()[:, None]).toarray()
    b, x = rng.standard_normal(n), rng.standard_normal(n)
    D = np.diag(T)
    first, second = level.omegas

    def fill(t: Any, v: np.ndarray[Any, Any]) -> None:
        t.copy_(on_device(v).reshape(t.shape))

    def assert_close(got: Any, expected: np.ndarray[Any, Any]) -> None:
        got = got.cpu().numpy().ravel()
        assert np.linalg.norm(got - expected) < 3e-6 * np.linalg.norm(expected)

    fill(level.b, b)
    level.x.fill_(np.nan)
    level.smooth_zero()
    u = first * b / D
    assert_close(level.x, u + second * (b - T @ u) / D)
    fill(level.x, x)
    level.smooth(level.y, level.x, first, M._partial)
    y = x + first * (b - T @ x) / D
    assert_close(level.y, y)
    assert float(M._partial.sum()) == pytest.approx(float(y @ (A.weights().ravel() * b)), rel=1e-5, abs=1e-4)
    if len(M.levels) > 1:
        R, P = dense(A.axes, "restriction"), dense(A.axes, "prolongation")
        coarse = M.levels[1]
        coarse.b.fill_(np.nan)
        level.restrict(coarse.b)
        assert_close(coarse.b, R @ (b - T @ x))
        e = rng.standard_normal(R.shape[0])
        fill(coarse.x, e)
        level.prolong(coarse.x)
        assert_close(level.x, x + P @ e)


@pytest.mark.parametrize(("shape", "bc", "centring", "shift"), CASES)
def test_products_and_passes_are_those_of_the_operator(
    shape: tuple[int, ...], bc: Any, centring: Any, shift: float
) -> None:
    A: Any = poisson(shape, bc=bc, centring=centring, shift=shift, lengths=[float(n) for n in shape]).A
    M = CudaMultigrid(A, device=DEVICE)
    rng = np.random.default_rng(2)
    z, p = (rng.standard_normal(A.shape[0]).astype(np.float32) for _ in range(2))
    r, x = (rng.standard_normal(A.shape[0]) for _ in range(2))
    M.levels[0].x.copy_(on_device(z).reshape(M.levels[0].shape))
    M._p[0].copy_(on_device(p))
    M._x.copy_(on_device(x))
    M._r.copy_(on_device(r))
    M._scalars.copy_(torch.tensor([2.0, 0.7, 0.0, 0.0, 0.0, 0.5]))
    M.direction(M._p[1], M._p[0])
    M.add_up(2)
    new = z.astype(np.float64) + float(np.float32(0.7)) * p
    got = M._p[1].cpu().numpy().astype(np.float64)
    assert np.linalg.norm(got - new) < 1e-7 * np.linalg.norm(new)
    curvature = float(got @ (A @ got))
    assert float(M._scalars[2]) == pytest.approx(curvature, rel=1e-12)
    alpha = 2.0 / (0.5 * curvature)
    assert float(M._scalars[3]) == pytest.approx(alpha, rel=1e-12)
    M.update(M._p[1])
    M.add_up(4)
    rest = r - alpha * (A @ got)
    assert np.linalg.norm(M._x.cpu().numpy() - x - alpha * got) < 1e-13 * np.linalg.norm(x)
    assert np.linalg.norm(M._r.cpu().numpy() - rest) < 1e-13 * np.linalg.norm(rest)
    assert float(M._scalars[4]) == pytest.approx(float(rest @ rest), rel=1e-12)
    low = 0.5 * rest / A.weights().ravel()
    assert np.linalg.norm(M.levels[0].b.cpu().numpy().ravel() - low) < 1e-6 * np.linalg.norm(low)


@pytest.mark.parametrize(("shape", "bc", "centring", "shift"), LONGEST)
def test_preconditioner_is_symmetric_and_positive(shape: tuple[int, ...], bc: Any, centring: Any, shift: float) -> None:
    A: Any = poisson(shape, bc=bc, centring=centring, shift=shift).A
    M = CudaMultigrid(A, device=DEVICE)
    rng = np.random.default_rng(3)
    u, v = (on_device(rng.standard_normal(A.shape[0])) for _ in range(2))
    Mu, Mv = M @ u, M @ v
    assert float(v @ Mu) == pytest.approx(float(u @ Mv), rel=1e-4, abs=1e-5 * float(u @ Mu))
    assert float(u @ Mu) > 0
    assert torch.equal(M @ torch.stack([u, v], 1), torch.stack([Mu, Mv], 1))


@pytest.mark.parametrize(("shape", "bc", "centring", "shift"), LONGEST)
def test_solve_ends_on_the_true_residual_and_equals_the_generic_loop(
    shape: tuple[int, ...], bc: Any, centring: Any, shift: float
) -> None:
    problem = poisson(shape, bc=bc, centring=centring, shift=shift)
    A: Any = problem.A
    M = CudaMultigrid(A, device=DEVICE)
    b = on_device(problem.b)
    result = M.solve(b, rtol=1e-7)
    assert result.status is Status.CONVERGED
    true = np.linalg.norm(problem.b - A @ result.x.cpu().numpy())
    assert true <= 1e-7 * np.linalg.norm(problem.b)
    assert result.residuals[-1] == pytest.approx(true, rel=1e-3)
    assert result.iterations <= 11
    generic = cg(A, b, M=M, maxiter=2)
    np.testing.assert_allclose(result.residuals[:3], generic.residuals, rtol=1e-3)
    again = M.solve(b, x0=result.x, rtol=1e-6)
    assert again.iterations == 0


def test_scale_of_b_does_not_matter() -> None:
    problem = poisson((15, 15))
    M = CudaMultigrid(problem.A, device=DEVICE)
    plain = M.solve(on_device(problem.b), rtol=1e-8)
    for factor in (1e-60, 1e60):
        scaled = M.solve(on_device(problem.b * factor), rtol=1e-8)
        np.testing.assert_allclose(scaled.residuals, plain.residuals * factor, rtol=0.05)
    zero = M.solve(on_device(problem.b * 0))
    assert zero.converged
    assert not zero.x.any()


@pytest.mark.parametrize(
    "options", [{}, {"bc": "periodic"}, {"coefficient": "inclusions"}, {"coefficient": "smooth", "bc": MIXED}]
)
@pytest.mark.parametrize("shape", [(9, 10, 11), (12, 14)])
def test_fused_products_equal_the_compiled_ones(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    A: Any = poisson(shape, **({**options, "bc": "neumann"} if len(shape) == 2 else options)).A
    x = np.random.default_rng(4).standard_normal((A.shape[0], 2))
    expected = np.asarray(A @ x)
    for dtype, bound in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        moved = torch.as_tensor(x, dtype=dtype, device=DEVICE)
        assert offers(A, moved)
        got = multiply(A, moved, {})
        assert got.dtype == dtype
        assert np.linalg.norm(got.cpu().numpy() - expected) < bound * np.linalg.norm(expected)
    assert not offers(A, torch.zeros(3, dtype=torch.complex128))


def test_restriction_table_is_r_times_t() -> None:
    axes = three_axes(poisson((9, 12), bc=[("neumann", "dirichlet"), "periodic"]).A.axes)
    for axis in (axes[0], axes[2]):
        transfer = coarsen(axis)[1]
        product = transfer.restriction() @ axis.tocsr().toarray()
        table, n = restriction_table(axis, transfer), len(axis)
        built = np.zeros_like(product)
        for J in range(len(transfer.centre)):
            for d in range(-2, 3):
                built[J, (2 * J + transfer.first + d) % n] += table[7 + d, J]
        np.testing.assert_allclose(built, product, atol=1e-12 * abs(product).max())


def test_wrong_input_is_refused() -> None:
    problem = poisson((7, 7))
    M = CudaMultigrid(problem.A, device=DEVICE)
    with pytest.raises(ValueError, match="expected one float64 vector"):
        M.solve(on_device(problem.b.astype(np.float32)))
    with pytest.raises(ValueError, match=r"r has shape \(3,\)"):
        M @ torch.zeros(3, device=DEVICE)
    with pytest.raises(ValueError, match="expected a real tensor"):
        M.solve(problem.b)
    with pytest.raises(ValueError, match="see CudaBlackBox"):
        CudaMultigrid(poisson((7, 7), coefficient="smooth").A, device=DEVICE)
    assert isinstance(problem.A, SeparableStencil)
    if DEVICE == "cpu":
        with pytest.raises(ValueError, match="no CUDA device is there"):
            CudaMultigrid(problem.A)
