"""Multigrid with local vectors: symmetric, positive, few iterations where multigrid needs many, honest at the end."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.solvers.multigrid.grids import line, stencil
from tests.solvers.multigrid.test_local_space import GARBAGE, garbage

from conjugo.pde.poisson.families import FAMILIES, MEDIA, medium
from conjugo.solvers import cg
from conjugo.solvers.multigrid.blocks import Blocks
from conjugo.solvers.multigrid.enriched import EnrichedMultigrid
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.result import Status

type Values = NDArray[np.float64]


def pockets(n: int = 24) -> VariableStencil:
    """Neumann everywhere, two closed pockets of random conductivity and a wall between them that is no unknown."""
    active = np.ones((n, n), dtype=np.bool_)
    active[:, n // 2] = False
    k = np.where(np.random.default_rng(0).random((n, n)) < 0.5, 1e4, 1.0) * active
    diag, upper = np.zeros((n, n)), []
    for axis in range(2):
        far = np.roll(k, -1, axis)
        face = np.divide(2 * k * far, k + far, out=np.zeros((n, n)), where=k + far > 0)
        np.moveaxis(face, axis, 0)[-1] = 0.0
        diag += face + np.roll(face, 1, axis)
        upper.append(-face)
    labels = np.where(np.arange(n) < n // 2, 0, 1) + np.zeros((n, 1), dtype=int)
    N = np.stack([(active & (labels == pocket)).ravel().astype(float) for pocket in range(2)], axis=1)
    diag[~active] = 1.0
    return VariableStencil(diag, upper, active=active, nullspace=N / np.linalg.norm(N, axis=0))


def right_hand_side(A: Any, columns: int | None = None, seed: int = 0) -> Values:
    """White noise in the range of A."""
    b = np.random.default_rng(seed).standard_normal(A.shape[0] if columns is None else (A.shape[0], columns))
    return b if A.nullspace is None else b - A.nullspace @ (A.nullspace.T @ b)


def matrix(M: Any, A: Any) -> Values:
    """M between the projectors on the range of A."""
    P = np.eye(A.shape[0])
    P = P if A.nullspace is None else P - A.nullspace @ A.nullspace.T
    return np.asarray(P @ (M @ P))


OPERATORS: dict[str, Any] = {
    "noise": lambda: FAMILIES["noise-1e4"]((17, 18), 1).A,
    "slabs": lambda: FAMILIES["slabs"]((24, 16), 1).A,
    "free-surface": lambda: FAMILIES["free-surface"]((18, 18), 1).A,
    "packed 3-D": lambda: FAMILIES["packed-1e6"]((8, 7, 6), 1).A,
    "rotated": lambda: FAMILIES["rotated"]((16, 16), 1).A,
    "pockets": lambda: pockets(18),
}


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("name", OPERATORS)
def test_symmetric_and_positive_whatever_is_proposed(name: str, kind: str) -> None:
    A = OPERATORS[name]()
    M = EnrichedMultigrid(A, precision="float64", propose=partial(garbage, kind), degree=1, threshold=0.9)
    Z = matrix(M, A)
    assert np.abs(Z - Z.T).max() < 1e-7 * np.abs(Z).max()
    values = np.linalg.eigvalsh((Z + Z.T) / 2)
    zeros = 0 if A.nullspace is None else A.nullspace.shape[1]
    assert values[zeros] > 1e-3 / A.diag.max()
    assert np.abs(values[:zeros]).max(initial=0.0) < 1e-8 * values[-1]


@pytest.mark.parametrize("name", OPERATORS)
def test_the_two_ways_agree_and_reach_the_true_residual(name: str) -> None:
    A = OPERATORS[name]()
    b, M = right_hand_side(A), EnrichedMultigrid(A)
    one, other = cg(A, b, M=M, rtol=1e-10), M.solve(b, rtol=1e-10)
    for result in (one, other):
        assert result.converged
        assert np.linalg.norm(b - A.tocsr() @ result.x) <= 1.001e-10 * np.linalg.norm(b)
    assert abs(one.iterations - other.iterations) <= 2
    np.testing.assert_allclose(other.x, one.x, atol=1e-5 * np.abs(one.x).max())


HARD = [
    ("noise-1e4", (128, 128), 500_000, 5),
    ("slabs", (128, 128), 500_001, 4),
    ("fibres-1e6", (192, 192), 500_007, 4),
    ("packed-1e6", (128, 128), 500_007, 4),
    ("noise-1e4", (24, 24, 24), 500_000, 2),
]


@pytest.mark.parametrize(("name", "shape", "seed", "times"), HARD)
def test_few_iterations_where_multigrid_needs_many(name: str, shape: tuple[int, ...], seed: int, times: int) -> None:
    problem = FAMILIES[name](shape, seed)
    M = EnrichedMultigrid(problem.A)
    result = M.solve(problem.b, rtol=1e-6)
    plain = cg(problem.A, problem.b, M=Multigrid(problem.A, symmetric=True), rtol=1e-6)
    assert result.converged
    assert result.iterations <= 20
    assert plain.iterations >= times * result.iterations
    assert result.details["vectors"] == M.space.size > 0
    assert result.details["bytes"] == M.nbytes > M.multigrid.nbytes


@pytest.mark.parametrize("contrast", [1e8, 1e10])
@pytest.mark.parametrize("name", ["noise", "packed", "fibres"])
def test_extreme_contrasts_to_what_rounding_allows(name: str, contrast: float) -> None:
    problem = medium(MEDIA[name], (64, 64), 500_001, contrast=contrast)
    result = EnrichedMultigrid(problem.A).solve(problem.b, rtol=1e-14 * contrast)
    assert result.converged
    assert result.iterations <= 25


def test_below_what_rounding_allows_it_says_so() -> None:
    problem = medium(MEDIA["packed"], (64, 64), 500_001, contrast=1e8)
    M = EnrichedMultigrid(problem.A)
    result = M.solve(problem.b, rtol=1e-12)
    assert result.status is Status.STAGNATED
    assert result.iterations + 1 == len(result.residuals)
    limited = M.solve(problem.b, rtol=1e-12, maxiter=5)
    assert limited.status is Status.MAX_ITERATIONS
    assert limited.iterations == 5


def test_a_block_of_right_hand_sides_and_a_first_guess() -> None:
    A = OPERATORS["noise"]()
    b, M = right_hand_side(A, 3), EnrichedMultigrid(A)
    result = M.solve(b, rtol=1e-9)
    assert result.converged
    np.testing.assert_allclose((M @ b)[:, 2], M @ b[:, 2].copy(), rtol=1e-5, atol=1e-7 * np.abs(M @ b).max())
    again = M.solve(b, result.x, rtol=1e-8)
    assert again.converged
    assert again.iterations == 0
    x0 = right_hand_side(A, seed=5)
    assert M.solve(b[:, 0], x0, rtol=1e-9).converged


def test_float32_integers_complex_and_zero() -> None:
    A = OPERATORS["noise"]()
    b, M = right_hand_side(A), EnrichedMultigrid(A)
    x = M.solve(b, rtol=1e-9).x
    scale = np.abs(x).max()
    single = M.solve(b.astype(np.float32), rtol=1e-5)
    assert single.converged
    np.testing.assert_allclose(single.x, x, atol=1e-3 * scale)
    assert (M @ b.astype(np.float32)).dtype == np.float32
    assert EnrichedMultigrid(A.astype(np.float32)).solve(b, rtol=1e-9).converged
    assert M.solve(np.arange(A.shape[0]), rtol=1e-8).converged
    twisted = M.solve(b * (1 + 2j), rtol=1e-9)
    assert twisted.converged
    np.testing.assert_allclose(twisted.x, x * (1 + 2j), atol=1e-6 * scale)
    nothing = M.solve(np.zeros(A.shape[0]))
    assert nothing.converged
    assert not nothing.x.any()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scales_do_not_matter(scale: float) -> None:
    A = OPERATORS["noise"]()
    b = right_hand_side(A)
    B = VariableStencil(scale * A.diag, [scale * u for u in A.upper], nullspace=A.nullspace)
    one, other = (EnrichedMultigrid(C).solve(b, rtol=1e-8) for C in (A, B))
    assert other.converged
    assert abs(other.iterations - one.iterations) <= 1


def test_a_singular_operator_that_does_not_say_so() -> None:
    A = pockets()
    b = right_hand_side(A)
    silent = VariableStencil(A.diag, A.upper, active=A.active)
    result = cg(silent, b, M=EnrichedMultigrid(silent), rtol=1e-6)
    assert np.linalg.norm(b - A.tocsr() @ result.x) <= 1e-5 * np.linalg.norm(b)


def test_without_vectors_it_is_multigrid() -> None:
    A = OPERATORS["noise"]()

    def nothing(blocks: Blocks, vectors: int, /) -> Values:
        return np.zeros((*blocks.d.shape, vectors))

    M, b = EnrichedMultigrid(A, propose=nothing), right_hand_side(A)
    np.testing.assert_array_equal(M @ b, Multigrid(A, cycle="V", symmetric=True) @ b)
    assert M.space.size == 0
    result = M.solve(b, rtol=1e-6)
    plain = cg(A, b, M=Multigrid(A, cycle="V", symmetric=True), rtol=1e-6)
    assert result.iterations == plain.iterations


def test_refusals_name_a_remedy() -> None:
    A = OPERATORS["noise"]()
    with pytest.raises(ValueError, match=r"SeparableStencil.*use Multigrid\(A\)"):
        EnrichedMultigrid(stencil(line(8), line(8)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"A is a csr_array.*ruge_stuben"):
        EnrichedMultigrid(A.tocsr())
    with pytest.raises(ValueError, match="not symmetric: use fgmres"):
        EnrichedMultigrid(VariableStencil(A.diag, A.upper, A.upper))
    with pytest.raises(ValueError, match="cycle = 'X'"):
        EnrichedMultigrid(A, cycle="X")
    with pytest.raises(ValueError, match="threshold = 2"):
        EnrichedMultigrid(A, threshold=2.0)
    M = EnrichedMultigrid(A)
    with pytest.raises(ValueError, match="shape"):
        M.solve(np.ones(5))
    with pytest.raises(ValueError, match=r"NaN|finite"):
        M.solve(np.full(A.shape[0], np.nan))
    assert "local vectors" in repr(M)
