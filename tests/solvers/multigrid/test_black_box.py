"""Black-box multigrid: Galerkin identity, constants, iterations over sizes, masks, contrasts and precisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.poisson import masks
from conjugo.pde.poisson.pressure import pressure
from conjugo.solvers import cg
from conjugo.solvers.kernels.black_box_cycle import merge, prolong
from conjugo.solvers.multigrid.black_box import BlackBoxHierarchy, assemble, coarser, deal, finest, flat_index
from conjugo.solvers.multigrid.coarsest import CoarsestSolve
from conjugo.solvers.multigrid.galerkin import galerkin, interpolation
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.multigrid.parity import Parity
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.parallel import threads

type Values = NDArray[np.float64]


def diffusion(k: Values, ends: str = "dirichlet", active: NDArray[np.bool_] | None = None) -> VariableStencil:
    """-div(k grad u) h^2 with harmonic faces; `ends` closes the box; faces of inactive cells carry no flux."""
    diag, upper = np.zeros(k.shape), []
    fluid = np.ones(k.shape) if active is None else active.astype(float)
    for axis in range(k.ndim):
        near, far = k * fluid, np.roll(k * fluid, -1, axis)
        face = np.divide(2 * near * far, near + far, out=np.zeros(k.shape), where=near + far > 0)
        d, f, c = np.moveaxis(diag, axis, 0), np.moveaxis(face, axis, 0), np.moveaxis(k * fluid, axis, 0)
        if ends != "periodic":
            f[-1] = 0.0
        d += f + np.roll(f, 1, axis=0)
        if ends == "dirichlet":
            d[0] += 2 * c[0]
            d[-1] += 2 * c[-1]
        upper.append(-face)
    diag[diag == 0] = 1.0
    return VariableStencil(diag, upper, active=active)


def random_medium(shape: tuple[int, ...], contrast: float, width: int = 4, seed: int = 0) -> Values:
    """Two phases in random blobs about `width` nodes wide."""
    g = np.random.default_rng(seed).standard_normal(shape)
    for axis in range(len(shape)):
        for _ in range(width):
            g = g + np.roll(g, 1, axis) + np.roll(g, -1, axis)
    return np.where(g > np.median(g), contrast, 1.0)


def flower(n: int) -> NDArray[np.bool_]:
    """A five-leaved flower with five holes."""
    y, x = (np.indices((n, n)) + 0.5) / n * 2 - 1
    inside = np.hypot(x, y) < 0.72 + 0.2 * np.cos(5 * np.arctan2(y, x))
    for turn in 2 * np.pi * np.arange(5) / 5:
        inside &= np.hypot(x - 0.45 * np.cos(turn), y - 0.45 * np.sin(turn)) > 0.1
    return np.asarray(inside, dtype=np.bool_)


class Cycle:
    """The preconditioner of a hierarchy."""

    linear = True

    def __init__(self, A: VariableStencil, **options: object) -> None:
        self.hierarchy = BlackBoxHierarchy(A, **options)  # type: ignore[arg-type]
        self.shape, self.symmetric = A.shape, self.hierarchy.symmetric

    def __matmul__(self, r: Values) -> Values:
        z = np.empty_like(r)
        self.hierarchy.cycle(r, z)
        return z


def stationary(A: VariableStencil, b: Values, M: Cycle, rtol: float = 1e-8) -> int:
    """Iterations of x += M (b - A x)."""
    x, C = np.zeros_like(b), A.tocsr()
    for iteration in range(1, 60):
        x += M @ (b - C @ x)
        if np.linalg.norm(b - C @ x) <= rtol * np.linalg.norm(b):
            return iteration
    return 60


def white(A: VariableStencil, seed: int = 1) -> Values:
    """Noise on the active nodes."""
    b = np.random.default_rng(seed).standard_normal(A.shape[0])
    return b if A.active is None else b * A.active.ravel()


def prolongation(grid: Parity, p: Values) -> sp.csr_array:
    """P as a sparse matrix, column by column through the kernel that the cycle uses."""
    n, coarse = math.prod(grid.shape), math.prod(grid.coarse)
    steps = tuple(math.prod(grid.shape[axis + 1 :]) for axis in range(grid.dimensions))
    natural = Parity(grid.shape, grid.periodic, steps, 0, compact=True).layout
    columns = np.zeros((n, coarse))
    inner = tuple(slice(1, m + 1) for m in grid.coarse)
    for j in range(coarse):
        unit = np.zeros(grid.padded)
        unit[inner] = np.eye(coarse)[j].reshape(grid.coarse)
        grid.wrap(unit)
        x, column = np.zeros((grid.parts, grid.size)), np.zeros(n)
        prolong(
            x, unit.ravel(), np.ascontiguousarray(p[2:-1]), grid.prolong_pairs(set(range(grid.parts))), -1, *grid.range
        )
        x[-1] += unit.ravel() * p[1]
        merge(column, x, natural)
        columns[:, j] = column
    return sp.csr_array(columns)


@pytest.mark.parametrize("shape", [(17,), (12, 13), (9, 2), (7, 8, 6)])
@pytest.mark.parametrize("ends", ["dirichlet", "periodic"])
def test_coarse_operators_are_galerkin_products(shape: tuple[int, ...], ends: str) -> None:
    """Three levels: the finest (along the axes) and the compact ones below it."""
    shape = tuple(n - n % 2 + 2 for n in shape) if ends == "periodic" else shape
    A = diffusion(np.exp(2 * np.random.default_rng(0).standard_normal(shape)), ends)
    grid, rows = finest(A)
    matrix = assemble(grid, [row[flat_index(grid)] for row in rows])
    assert abs(matrix - A.tocsr()).max() == 0
    for _ in range(3 if ends == "dirichlet" else 1):
        a = deal(grid, rows)
        p = interpolation(grid, a, 1e-14)
        P = prolongation(grid, p)
        grid, rows = coarser(grid, galerkin(grid, a, p))
        expected = P.T @ matrix @ P
        matrix = assemble(grid, [row[flat_index(grid)] for row in rows])
        assert abs(matrix - expected).max() <= 1e-13 * abs(expected).max()


@pytest.mark.parametrize("shape", [(40,), (20, 23), (12, 9, 11)])
@pytest.mark.parametrize("masked", [False, True])
def test_interpolation_keeps_constants_where_rows_sum_to_zero(shape: tuple[int, ...], masked: bool) -> None:
    """Neumann walls of any shape: every connected active node reads weights that sum to 1."""
    rng = np.random.default_rng(3)
    active = rng.random(shape) < 0.8 if masked else np.ones(shape, dtype=bool)
    A = diffusion(np.exp(3 * rng.standard_normal(shape)), "neumann", active)
    grid, rows = finest(A)
    a = deal(grid, rows)
    p = interpolation(grid, a, 1e-14)
    sums = prolongation(grid, p).sum(axis=1)
    connected = abs(A.tocsr()).sum(axis=1) > A.diagonal() * (1 + 1e-12)
    missed = connected & (np.abs(sums - 1) > 1e-9)
    assert missed.sum() == 0


@pytest.mark.parametrize("shape", [(31, 31), (32, 32), (50, 41), (15, 15, 15), (16, 18, 20), (200, 12)])
def test_iterations_do_not_depend_on_the_grid_size(shape: tuple[int, ...]) -> None:
    """8 +- 1 in 2-D, 10 +- 1 in 3-D, as for constant coefficients: sizes that are not 2^k - 1 lose nothing."""
    A = diffusion(np.ones(shape))
    most = 9 if len(shape) == 2 else 11
    assert stationary(A, white(A), Cycle(A)) <= most
    assert cg(A, white(A), rtol=1e-8, M=Cycle(A, symmetric=True)).iterations <= most


@pytest.mark.parametrize("n", [100, 127, 150])
@pytest.mark.parametrize("walls", ["dirichlet", "mixed"])
def test_irregular_domains_take_ten_iterations(n: int, walls: str) -> None:
    """A flower with holes: Dirichlet outside, or Neumann walls with some Dirichlet on one side."""
    active = flower(n)
    A = diffusion(np.ones((n, n)), "neumann", active)
    if walls == "dirichlet":
        A = VariableStencil(np.where(active, 4.0, 1.0), A.upper, active=active)
    else:
        A = VariableStencil(A.diag + 0.5 * (active & (np.indices((n, n))[0] < n // 4)), A.upper, active=active)
    x = cg(A, white(A), rtol=1e-8, M=Cycle(A, symmetric=True))
    assert x.converged
    assert x.iterations <= 10


@pytest.mark.parametrize(
    ("shape", "contrast", "most"), [((128, 128), 1e4, 20), ((100, 90), 1e6, 20), ((24, 25, 26), 1e4, 16)]
)
def test_high_contrast_converges(shape: tuple[int, ...], contrast: float, most: int) -> None:
    """Random two-phase media with blobs a few nodes wide; the float32 cycle needs what the float64 cycle needs."""
    A = diffusion(random_medium(shape, contrast))
    counts = [
        cg(A, white(A), rtol=1e-7, M=Cycle(A, cycle="W", symmetric=True, dtype=dtype)).iterations
        for dtype in (np.float32, np.float64)
    ]
    assert max(counts) <= most
    assert abs(counts[0] - counts[1]) <= 2


@pytest.mark.parametrize("cycle", ["V", "W", "F"])
@pytest.mark.parametrize("shape", [(40, 41), (10, 11, 12)])
def test_symmetric_cycle_is_symmetric_positive(cycle: str, shape: tuple[int, ...]) -> None:
    """u.T M v = v.T M u and u.T M u > 0 for random vectors; an F-cycle is not symmetric."""
    A = diffusion(random_medium(shape, 100.0))
    M = Cycle(A, cycle=cycle, symmetric=True, dtype=np.float64)
    rng = np.random.default_rng(5)
    assert M.symmetric == (cycle != "F")
    for _ in range(3):
        u, v = rng.standard_normal((2, A.shape[0]))
        left, right = u @ (M @ v), v @ (M @ u)
        assert u @ (M @ u) > 0
        if cycle != "F":
            assert abs(left - right) <= 1e-11 * np.linalg.norm(u) * np.linalg.norm(M @ v)


@pytest.mark.parametrize("ends", ["neumann", "periodic"])
@pytest.mark.parametrize("shape", [(48, 64), (16, 12, 20)])
def test_singular_problems(ends: str, shape: tuple[int, ...]) -> None:
    """Only the constants are in the null space; the coarsest solve copes and the residual falls."""
    A = diffusion(random_medium(shape, 100.0), ends)
    b = white(A)
    b -= b.mean()
    assert stationary(A, b, Cycle(A), rtol=1e-6) <= 14


def test_islands_are_singular_each_on_its_own() -> None:
    """Two Neumann basins that a wall separates."""
    active = np.ones((40, 40), dtype=bool)
    active[:, 19] = False
    A = diffusion(np.ones((40, 40)), "neumann", active)
    b = white(A).reshape(40, 40)
    for side in (slice(0, 19), slice(20, 40)):
        b[:, side] -= b[:, side].mean()
    assert stationary(A, b.ravel(), Cycle(A, dtype=np.float64), rtol=1e-6) <= 12


def test_one_dimension_is_solved_directly() -> None:
    """Interpolation is exact on a line, so one cycle is cyclic reduction."""
    A = diffusion(np.exp(np.random.default_rng(0).standard_normal(1000)))
    assert stationary(A, white(A), Cycle(A, dtype=np.float64)) <= 2


@pytest.mark.parametrize("shape", [(350, 330), (50, 48, 50)])
def test_threads_change_nothing(shape: tuple[int, ...]) -> None:
    """Colour by colour on two threads and the wavefront on one: the same numbers."""
    A = diffusion(random_medium(shape, 100.0))
    r = white(A).astype(np.float32)
    M = BlackBoxHierarchy(A)
    one, two = np.empty_like(r), np.empty_like(r)
    M.cycle(r, one)
    with threads(2):
        BlackBoxHierarchy(A).cycle(r, two)
    np.testing.assert_array_equal(one, two)


def test_multigrid_picks_this_hierarchy() -> None:
    """The public class solves a masked problem by defect correction with the float32 cycle."""
    active = flower(90)
    A = VariableStencil(
        np.where(active, 4.0, 1.0), diffusion(np.ones((90, 90)), "neumann", active).upper, active=active
    )
    result = Multigrid(A).solve(white(A), rtol=1e-8)
    assert result.converged
    assert result.iterations <= 10
    assert np.linalg.norm(white(A) - A.tocsr() @ result.x) <= 1e-8 * np.linalg.norm(white(A))


def test_memory_is_bounded() -> None:
    """The float32 cycle keeps at most 60 bytes an unknown in 2-D, 80 in 3-D (small grids have more ghosts)."""
    assert BlackBoxHierarchy(diffusion(np.ones((500, 500)))).nbytes / 500**2 < 60
    assert BlackBoxHierarchy(diffusion(np.ones((64, 64, 64)))).nbytes / 64**3 < 80


@pytest.mark.parametrize("size", [30, 400])
def test_coarsest_solve_inverts_on_the_range(size: int) -> None:
    """Dense and sparse: a regular chain, a singular chain and an empty row in one matrix."""
    chain = sp.diags_array([-np.ones(size - 1), np.full(size, 2.0), -np.ones(size - 1)], offsets=[-1, 0, 1]).tolil()
    closed = chain.copy()
    closed[0, 0] = closed[size - 1, size - 1] = 1.0
    A = sp.csr_array(sp.block_diag([chain, closed, sp.csr_array((1, 1))]))
    b = np.random.default_rng(0).standard_normal(2 * size + 1)
    b[size:-1] -= b[size:-1].mean()
    b[-1] = 0.0
    x = CoarsestSolve(A, 1e-14)(b)
    np.testing.assert_allclose(A @ x, b, atol=1e-9)
    assert abs(x[size:-1].sum()) < 1e-8


def test_refusals() -> None:
    """Each names the value and what to do instead."""
    A = diffusion(np.ones((8, 8)))
    skew = VariableStencil(A.diag, A.upper, A.upper)
    for options, matrix, message in (
        ({}, skew, "use gmres or bicgstab"),
        ({"cycle": "X"}, A, "expected 'V', 'W' or 'F'"),
        ({"smoother": "ilu"}, A, "offers 'red_black'"),
        ({"sweeps": 0}, A, "expected at least 1"),
        ({}, VariableStencil(-A.diag, A.upper), "needs positive entries"),
        ({}, diffusion(np.ones((9, 8)), "periodic"), "axis 0 is periodic with 9 nodes"),
        ({}, diffusion(np.ones((2, 20_002)), "periodic"), "needs an even number of at least 4"),
        ({}, diffusion(np.ones((6, 40_002)), "periodic"), "factors of two"),
    ):
        with pytest.raises(ValueError, match=message):
            BlackBoxHierarchy(matrix, **options)


@pytest.mark.parametrize("shape", [(100, 100), (131, 77)])
def test_closed_pockets_keep_a_float32_cycle_definite(shape: tuple[int, int]) -> None:
    """Pockets that shrink to one coarse node leave rounding on its diagonal, which must not be inverted."""
    counts = []
    for seed in (1, 13):
        rng = np.random.default_rng(500000 + seed)
        count, density = int(rng.integers(20, 200)), rng.uniform(0.5, 1.6)
        problem = pressure(masks.porous(shape, count=count, density=density, seed=500000 + seed), seed=seed)
        assert problem.nullspace is not None
        assert problem.nullspace.shape[1] > 10
        for precision in ("float32", "float64"):
            M = Multigrid(problem.A, symmetric=True, precision=precision)
            counts.append(cg(problem.A, problem.b, rtol=1e-8, M=M).check().iterations)
    assert abs(np.subtract(counts[::2], counts[1::2])).max() <= 1
