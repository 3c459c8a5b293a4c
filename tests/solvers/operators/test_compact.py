"""CompactStencil against a matrix assembled node by node, and black-box multigrid on it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from conjugo.pde.poisson.rotated import rotated
from conjugo.solvers import Multigrid, cg, check_symmetric, threads
from conjugo.solvers.multigrid.parity import directions
from conjugo.solvers.operators.compact import CompactStencil

CASES = [((7,), (True,)), ((6, 9), (False, False)), ((5, 4), (True, False)), ((4, 5, 6), (False, True, True)),
         ((3, 1, 5), (False, False, False)), ((2, 2, 2), (False, False, False))]  # fmt: skip


def random_stencil(shape: tuple[int, ...], periodic: tuple[bool, ...], dtype: Any = np.float64) -> tuple[Any, Any]:
    """A stencil with random couplings, and the same matrix filled in entry by entry."""
    rng = np.random.default_rng(len(shape) + sum(shape))
    n = int(np.prod(shape))
    matrix, couplings = np.zeros((n, n)), []
    for way in directions(len(shape), True):
        c = np.zeros(shape)
        for node in product(*map(range, shape)):
            there = [i + d for i, d in zip(node, way, strict=True)]
            if all(0 <= i < m or close for i, m, close in zip(there, shape, periodic, strict=True)):
                c[node] = rng.standard_normal()
                row, column = (
                    np.ravel_multi_index([i % m for i, m in zip(place, shape, strict=True)], shape)
                    for place in (node, there)
                )
                matrix[row, column] += c[node]
                matrix[column, row] += c[node]
        couplings.append(c)
    diag = 30 + rng.random(shape)
    A = CompactStencil(diag.astype(dtype), couplings)
    return A, matrix + np.diag(diag.ravel())


@pytest.mark.parametrize(("shape", "periodic"), CASES)
def test_every_pass_equals_the_matrix(shape: tuple[int, ...], periodic: tuple[bool, ...]) -> None:
    A, dense = random_stencil(shape, periodic)
    rng = np.random.default_rng(0)
    x, b, z = rng.standard_normal((3, A.shape[0]))
    out = np.empty_like(x)
    assert A.periodic == periodic
    np.testing.assert_allclose(A.tocsr().toarray(), dense, atol=1e-14)
    np.testing.assert_allclose(A.diagonal(), np.diag(dense))
    np.testing.assert_allclose(A @ x, dense @ x, atol=1e-12)
    np.testing.assert_allclose(A @ np.stack([x, b], axis=1), dense @ np.stack([x, b], axis=1), atol=1e-12)
    assert A.residual(b, x, out) == pytest.approx(np.sum((b - dense @ x) ** 2))
    np.testing.assert_allclose(out, b - dense @ x, atol=1e-12)
    y = x.copy()
    A.correct(y, z, b, out)
    np.testing.assert_allclose(y, x + z)
    np.testing.assert_allclose(out, b - dense @ y, atol=1e-12)
    p = z.copy()
    assert A.direction(b, p, 0.5) == pytest.approx((b + 0.5 * z) @ dense @ (b + 0.5 * z))
    y, r = x.copy(), b.copy()
    assert A.update(y, r, p, 0.25) == pytest.approx(np.sum(r**2))
    np.testing.assert_allclose(r, b - 0.25 * dense @ p, atol=1e-12)


@pytest.mark.parametrize(("shape", "periodic"), [((6, 9), (False, False)), ((4, 5, 6), (False, True, True))])
def test_torch_and_single_precision(shape: tuple[int, ...], periodic: tuple[bool, ...]) -> None:
    torch = pytest.importorskip("torch")
    A, dense = random_stencil(shape, periodic)
    x = np.random.default_rng(1).standard_normal((A.shape[0], 2))
    np.testing.assert_allclose((A @ torch.tensor(x)).numpy(), dense @ x, atol=1e-12)
    low = A.astype(np.float32) @ x[:, 0].astype(np.float32)
    assert low.dtype == np.float32
    np.testing.assert_allclose(low, dense @ x[:, 0], rtol=0, atol=1e-4)  # 30 |x| float32 roundings


def test_threads_change_nothing() -> None:
    A = rotated((400, 300), ratio=10.0).A
    b, z, x = np.random.default_rng(2).standard_normal((3, A.shape[0]))
    found = []
    for count in (1, 2):
        with threads(count):
            y, p, out = x.copy(), z.copy(), np.empty_like(x)
            A.correct(y, z, b, out)
            A.direction(b, p, 0.5)
            found.append((y, out, p, A @ x))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("shape", [(63, 50), (15, 17, 12), (40, 1, 30)])
def test_black_box_multigrid_takes_it(shape: tuple[int, ...]) -> None:
    problem = rotated((40, 30), ratio=3.0) if 1 in shape else rotated(shape, ratio=3.0, tilt=0.3)
    A = problem.A
    if 1 in shape:  # the same couplings on a slab one node thick
        zero = np.zeros(shape)
        planar = dict(zip(A.directions, A.couplings, strict=True))
        A = CompactStencil(
            A.diag.reshape(shape),
            [zero if n[1] else planar[n[0], n[2]].reshape(shape) for n in directions(3, True)],
        )
    M = Multigrid(A, symmetric=True)
    report = check_symmetric(A, M)
    assert report.asymmetry_of_M is not None
    assert report.asymmetry_of_M < 1e-5
    assert report.quotient_of_M is not None
    assert report.quotient_of_M > 0
    result = cg(A, problem.b, M=M, rtol=1e-8)
    assert result.converged
    assert result.iterations <= 14


def test_bad_input_is_refused() -> None:
    one = np.ones((3, 3))
    with pytest.raises(ValueError, match="4, one for each direction"):
        CompactStencil(one, [one])
    with pytest.raises(ValueError, match=r"\(1, -1\) has shape"):
        CompactStencil(one, [one, one[:2], one, one])
    with pytest.raises(ValueError, match="float32 or float64"):
        CompactStencil(np.ones(3, dtype=int), [np.ones(3)])
    with pytest.raises(ValueError, match="active has shape"):
        CompactStencil(one, [one] * 4, active=np.ones((2, 3), dtype=bool))
    with pytest.raises(ValueError, match="couples to itself"):
        CompactStencil(np.ones((1, 3)), [np.ones((1, 3))] * 4)
    with pytest.raises(ValueError, match="4 dimensions"):
        CompactStencil(np.ones((2, 2, 2, 2)), [])
