"""Local low-energy vectors: against dense eigenvectors of every block, and the projection that they make."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.linalg as sl
from numpy.typing import NDArray

from conjugo.pde.poisson.families import FAMILIES, MEDIA, medium
from conjugo.solvers.multigrid import local_space
from conjugo.solvers.multigrid.blocks import Blocks
from conjugo.solvers.multigrid.local_space import LocalSpace, low_vectors, random_proposal
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil

type Values = NDArray[np.float64]


def problem(name: str, shape: tuple[int, ...], seed: int = 500_000) -> Any:
    """The operator of a family's problem."""
    return FAMILIES[name](shape, seed).A


def local_pencil(blocks: Blocks, b: int) -> tuple[Values, Values]:
    """L and the diagonal of D of a block."""
    L = np.zeros((blocks.m, blocks.m))
    for w, offset in enumerate(blocks.offsets):
        for i in np.flatnonzero(blocks.c[b, w]):
            j, c = i + offset, min(blocks.c[b, w, i], 0.0)
            L[[i, j, i, j], [i, j, j, i]] += [-c, -c, c, c]
    return L, blocks.d[b]


@pytest.mark.parametrize(("degree", "clear"), [(60, 0.5), (200, 0.8)])
@pytest.mark.parametrize(
    ("name", "shape"),
    [("noise-1e4", (26, 24)), ("slabs", (24, 26)), ("packed-1e6", (10, 8, 9)), ("solids", (24, 24)),
     ("rotated-field", (16, 24))],
)  # fmt: skip
def test_the_span_holds_every_eigenvector_below_the_threshold(
    name: str, shape: tuple[int, ...], degree: int, clear: float
) -> None:
    A, threshold = problem(name, shape), 0.1
    blocks = Blocks(A, {2: 8, 3: 4}[len(shape)])
    Q = low_vectors(blocks, random_proposal(blocks, 24, 0), threshold, degree)
    D = A.diag.ravel()
    kept = 0
    for b, nodes in enumerate(blocks.nodes):
        L, d = local_pencil(blocks, b)
        real = np.flatnonzero(d > 0)
        if real.size == 0:
            continue
        mu, U = sl.eigh(L[np.ix_(real, real)], np.diag(d[real]))
        low, sure = mu < threshold, mu < clear * threshold
        if not 1 < sure.sum() <= low.sum() <= 16:
            continue
        rows = nodes[real]
        V = Q[rows].toarray()
        V = V[:, np.abs(V).any(axis=0)]
        assert sure.sum() <= V.shape[1] <= low.sum()
        np.testing.assert_allclose(V.T @ (D[rows, None] * V), np.eye(V.shape[1]), atol=1e-9)
        missed = U[:, sure] - V @ (V.T @ (D[rows, None] * U[:, sure]))
        assert np.sqrt((missed**2 * D[rows, None]).sum(axis=0)).max() < 1e-6
        kept += V.shape[1]
    assert kept <= Q.shape[1]
    assert kept > 0 or Q.shape[1] == 0


def test_a_block_with_one_low_vector_is_left_alone() -> None:
    k = -np.ones((16, 16))
    rows, columns = k.copy(), k.copy()
    rows[-1], columns[:, -1] = 0.0, 0.0
    A = VariableStencil(0.1 - rows - np.roll(rows, 1, 0) - columns - np.roll(columns, 1, 1), [rows, columns])
    space = LocalSpace(A, threshold=0.03)
    assert space.size == 0
    assert space.nbytes < 10_000
    assert not space.correct(np.ones(256)).any()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("noise-1e4", (40, 33)), ("packed-1e6", (12, 12, 12)), ("slabs", (48, 48)), ("rotated", (24, 24))],
)
def test_the_correction_is_a_projection(name: str, shape: tuple[int, ...]) -> None:
    A = problem(name, shape)
    space = LocalSpace(A)
    R = np.random.default_rng(0).standard_normal((A.shape[0], 3))
    R = R if A.nullspace is None else R - A.nullspace @ (A.nullspace.T @ R)
    Z = space.correct(R)
    again = space.correct(np.ascontiguousarray(A @ Z))
    if A.nullspace is not None:  # along which E is shifted
        Z, again = (v - A.nullspace @ (A.nullspace.T @ v) for v in (Z, again))
    np.testing.assert_allclose(again, Z, atol=1e-6 * np.abs(Z).max())
    left = space.Q.T @ (R - A @ Z)
    assert np.abs(left).max() < 1e-6 * np.abs(space.Q.T @ R).max()
    np.testing.assert_allclose(space.correct(R[:, 1].copy()), space.correct(R)[:, 1], rtol=1e-9)


def test_a_good_proposal_needs_no_filter() -> None:
    A = problem("noise-1e4", (32, 32))

    def exact(blocks: Blocks, vectors: int, /) -> Values:
        x = np.empty((*blocks.d.shape, vectors))
        for b in range(len(x)):
            L, d = local_pencil(blocks, b)
            root = 1 / np.sqrt(d)
            x[b] = np.linalg.eigh(root[:, None] * L * root)[1][:, :vectors]
        return x

    best, filtered = LocalSpace(A, degree=0, propose=exact), LocalSpace(A)
    assert abs(best.size - filtered.size) <= 0.1 * best.size
    r = np.random.default_rng(0).standard_normal(A.shape[0])
    gain = [float(r @ space.correct(r)) for space in (best, filtered)]
    assert gain[1] == pytest.approx(gain[0], rel=0.05)


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1.0, 1e12])
def test_scales_do_not_matter(scale: float) -> None:
    A = problem("noise-1e4", (32, 32))
    B = VariableStencil(scale * A.diag, [scale * u for u in A.upper], nullspace=A.nullspace)
    one, other = LocalSpace(A), LocalSpace(B)
    r = np.random.default_rng(0).standard_normal(A.shape[0])
    assert one.size == other.size
    z = one.correct(r)
    np.testing.assert_allclose(other.correct(r) * scale, z, atol=1e-7 * np.abs(z).max())


def garbage(kind: str, blocks: Blocks, vectors: int, /) -> Values:
    """Proposals that no good network would make."""
    rng = np.random.default_rng(1)
    shape = (*blocks.d.shape, vectors)
    if kind == "zero":
        return np.zeros(shape)
    if kind == "duplicates":
        return np.repeat(rng.standard_normal((*blocks.d.shape, 1)), vectors, axis=2)
    if kind == "rank 2":
        return np.asarray(rng.standard_normal((*blocks.d.shape, 2)) @ rng.standard_normal((2, vectors)))
    if kind == "tiny and huge":
        return np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-300, 300, (1, 1, vectors)))
    if kind == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    return np.asfortranarray(rng.standard_normal(shape)) if kind == "fortran" else rng.standard_normal(shape)


GARBAGE = ["random", "zero", "duplicates", "rank 2", "tiny and huge", "float32", "fortran"]


@pytest.mark.parametrize("degree", [0, 1, 20])
@pytest.mark.parametrize("kind", GARBAGE)
def test_any_finite_proposal_gives_independent_vectors(kind: str, degree: int) -> None:
    A = problem("noise-1e4", (20, 20))
    Q = LocalSpace(A, propose=partial(garbage, kind), degree=degree, threshold=0.9).Q.toarray()
    assert np.isfinite(Q).all()
    gram = Q.T @ (A.diag.ravel()[:, None] * Q)
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)
    if kind in ("zero", "duplicates"):
        assert len(gram) == 0


def test_a_proposal_is_not_written_to() -> None:
    A = problem("noise-1e4", (16, 16))
    blocks = Blocks(A, 8)
    x = np.random.default_rng(0).standard_normal((*blocks.d.shape, 4))
    before = x.copy()
    LocalSpace(A, propose=lambda *_: x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_proposal_of_nan_is_refused(bad: float) -> None:
    def propose(blocks: Blocks, vectors: int, /) -> Values:
        x = np.ones((*blocks.d.shape, vectors))
        x[1, 2, 3] = bad
        return x

    with pytest.raises(ValueError, match="propose gave NaN or infinite values"):
        LocalSpace(problem("noise-1e4", (16, 16)), propose=propose)


def test_a_proposal_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"propose gave an array of shape \(4, 64\): expected \(4, 64, vectors\)"):
        LocalSpace(problem("noise-1e4", (16, 16)), propose=lambda blocks, vectors: np.ones(blocks.d.shape))


@pytest.mark.parametrize(
    "options", [{"threshold": 0.0}, {"threshold": 1.0}, {"vectors": 0}, {"degree": -1}]
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected 0 < threshold < 1, at least 1 vector"):
        LocalSpace(problem("noise-1e4", (16, 16)), **options)


def test_too_many_vectors_are_refused_with_a_remedy_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    A = problem("noise-1e4", (32, 32))
    monkeypatch.setitem(local_space.LARGEST, 2, 50)
    with pytest.raises(ValueError, match=r"more than the 50 that are factorised in 2-D: take vectors=3, a smaller"):
        LocalSpace(A)
    assert 0 < LocalSpace(A, vectors=3).size <= 50
    monkeypatch.setitem(local_space.LARGEST, 2, 20)
    with pytest.raises(ValueError, match=r"take a larger block, a smaller threshold.*M=Multigrid\(A"):
        LocalSpace(A)


@pytest.mark.parametrize("shape", [(8,), (16,), (8, 8), (5, 3), (4, 4, 4), (2, 3, 1)])
def test_one_block_is_enough(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    upper, diag = [], np.full(shape, 1e-9)
    for axis in range(len(shape)):
        c = -np.where(rng.random(shape) < 0.5, 1.0, 1e-6)
        np.moveaxis(c, axis, 0)[-1] = 0.0
        upper.append(c)
        diag = diag - c - np.roll(c, 1, axis)
    A = VariableStencil(diag, upper)
    space = LocalSpace(A)
    assert len(space.blocks.d) == 1
    assert np.isfinite(space.correct(np.ones(A.shape[0]))).all()


def test_compact_stencils_and_a_line_are_taken() -> None:
    A = problem("rotated", (20, 20))
    assert isinstance(A, CompactStencil)
    assert LocalSpace(A).size > 0
    line = medium(MEDIA["noise"], (24, 24), 3, contrast=1e6).A
    k = line.upper[1].ravel()[:100].copy()
    k[-1] = 0.0
    assert LocalSpace(VariableStencil(1e-3 - k - np.roll(k, 1), [k])).Q.shape[0] == 100
