"""Kernels against assembled matrices: every shape, end, precision and split into ranges."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as spla
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from conjugo.solvers.operators import stencil
from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.parallel import threads

SHAPES = [(1,), (2,), (9,), (1, 7), (7, 1), (2, 2), (6, 9), (1, 1, 1), (5, 1, 3), (2, 3, 4), (4, 5, 18)]
KINDS = ["even", "stretched", "symmetric", "general"]


def make_axis(n: int, periodic: bool, even: bool, rng: np.random.Generator) -> Axis:
    """Random coefficients along one axis, or a Laplacian with a Neumann end of half weight."""
    if even:
        lower, diag, upper, weight = -np.ones(n), 2.1 * np.ones(n), -np.ones(n), np.ones(n)
        if not periodic:
            weight[0], upper[0] = 0.5, -2.0
    else:
        lower, diag, upper = rng.standard_normal((3, n))
        weight = rng.random(n) + 0.5
    if not periodic:
        lower[0] = upper[-1] = 0.0
    return Axis(lower, diag, upper, weight, periodic)


def make(kind: str, shape: tuple[int, ...], periodic: tuple[bool, ...], dtype: Any, seed: int = 0) -> Any:
    """Return a stencil of one kind with random coefficients."""
    rng = np.random.default_rng(seed)
    if kind in ("even", "stretched"):
        axes = [make_axis(n, wraps, kind == "even", rng) for n, wraps in zip(shape, periodic, strict=True)]
        return SeparableStencil(axes, 0.3, dtype=dtype)
    upper, lower = [], []
    for axis, wraps in enumerate(periodic):
        u, low = rng.standard_normal((2, *shape)).astype(dtype)
        if not wraps:
            np.moveaxis(u, axis, 0)[-1] = 0
            np.moveaxis(low, axis, 0)[0] = 0
        upper.append(u)
        lower.append(low)
    diag = rng.standard_normal(shape).astype(dtype)
    return VariableStencil(diag, upper, None if kind == "symmetric" else lower)


def all_ends(shape: tuple[int, ...]) -> Iterator[tuple[bool, ...]]:
    """Every choice of periodic and closed axes."""
    return itertools.product((False, True), repeat=len(shape))


@pytest.fixture(params=[1, 2, 3], autouse=True)
def split(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run every test whole and split into two and three ranges, however small the grid."""
    monkeypatch.setattr(stencil, "SERIAL_BELOW", 1)
    with threads(request.param):
        yield


def close(actual: Any, expected: Any, A: Any, dtype: Any, size: float = 1.0) -> None:
    """Compare to rounding: some ten operations an entry, with entries and vectors of size one."""
    eps = float(np.finfo(dtype).eps)
    scale = (1.0 + float(np.max(np.abs(A).sum(axis=1)))) * size
    np.testing.assert_allclose(actual, expected, rtol=0, atol=40 * eps * scale)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_passes_equal_the_assembled_matrix(shape: tuple[int, ...], kind: str, dtype: type) -> None:
    rng = np.random.default_rng(1)
    for periodic in all_ends(shape):
        A = make(kind, shape, periodic, dtype)
        matrix = A.astype(np.float64).tocsr()
        n = matrix.shape[0]
        x, b, z, r, p = rng.standard_normal((5, n)).astype(dtype)
        close(A @ x, matrix @ x, matrix, dtype, 4)
        close(A.T @ x, matrix.T @ x, matrix.T, dtype, 20)
        np.testing.assert_allclose(A.diagonal(), matrix.diagonal(), rtol=1e-6)
        outputs: set[Any] = {np.dtype(dtype), np.dtype(np.float32)}
        for low in outputs:
            out = np.empty(n, low)
            expected = b - matrix @ x
            square = A.residual(b, x, out)
            close(out, expected, matrix, low, 4)
            close(square, expected @ expected, matrix, dtype, 50.0 + expected @ expected)
            x_, z_, r_ = x.copy(), z.astype(low), np.empty(n, low)
            square = A.correct(x_, z_, b, r_)
            expected = b - matrix @ (x.astype(float) + z_)
            np.testing.assert_allclose(x_, x + z_, rtol=1e-6, atol=1e-6)
            close(r_, expected, matrix, low, 8)
            close(square, expected @ expected, matrix, dtype, 50.0 + expected @ expected)
        p_ = p.copy()
        curvature = A.direction(r, p_, 0.25)
        expected = r + 0.25 * p.astype(float)
        close(p_, expected, matrix, dtype)
        close(curvature, expected @ (matrix @ expected), matrix, dtype, 50.0 + n)
        x_, r_ = x.copy(), r.copy()
        square = A.update(x_, r_, p, 0.75)
        expected = r - 0.75 * (matrix @ p)
        close(x_, x + 0.75 * p, matrix, dtype)
        close(r_, expected, matrix, dtype, 4)
        close(square, expected @ expected, matrix, dtype, 50.0 + expected @ expected)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_complex_and_integers(kind: str) -> None:
    A = make(kind, (5, 6), (False, True), np.float64)
    matrix = A.tocsr()
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 3))
    close(A @ X, matrix @ X, matrix, np.float64, 4)
    close(A @ np.asfortranarray(X), matrix @ X, matrix, np.float64, 4)
    close(A @ (X[:, 0] + 1j * X[:, 1]), matrix @ (X[:, 0] + 1j * X[:, 1]), matrix, np.float64, 4)
    close(A @ np.arange(30), matrix @ np.arange(30.0), matrix, np.float64, 100)
    close(A.astype(np.float32) @ X, A.astype(np.float32).astype(np.float64) @ X, matrix, np.float64, 4)
    assert (A.astype(np.float32) @ X).dtype == np.float64
    close(spla.aslinearoperator(A) @ X[:, 0], matrix @ X[:, 0], matrix, np.float64, 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(7,), (5, 1), (5, 6), (2, 3, 4)], ids=str)
def test_torch_products_keep_dtype(kind: str, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    for periodic in all_ends(shape):
        A = make(kind, shape, periodic, np.float64)
        matrix = A.tocsr()
        X = rng.standard_normal((matrix.shape[0], 2))
        close((A @ torch.tensor(X)).numpy(), matrix @ X, matrix, np.float64, 4)
        x = torch.tensor(X[:, 0], dtype=torch.float32)
        product = A @ x
        assert product.dtype == torch.float32
        assert product.shape == x.shape
        close(product.numpy(), matrix @ x.double().numpy(), matrix, np.float32, 4)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    wraps=st.integers(0, 7),
    seed=st.integers(0, 1000),
    factor=st.floats(-1e3, 1e3),
)
def test_adjoint_and_linearity(kind: str, shape: list[int], wraps: int, seed: int, factor: float) -> None:
    A = make(kind, tuple(shape), tuple(bool(wraps >> a & 1) for a in range(len(shape))), np.float64, seed)
    n = A.shape[0]
    x, y = np.random.default_rng(seed).standard_normal((2, n))
    scale = float(np.linalg.norm(A @ x) * np.linalg.norm(y) + np.linalg.norm(A.T @ y) * np.linalg.norm(x)) + 1e-300
    assert abs(y @ (A @ x) - x @ (A.T @ y)) <= 1e-12 * scale
    np.testing.assert_allclose(A @ (factor * x), factor * (A @ x), rtol=1e-10, atol=1e-10 * abs(factor))


def test_inputs_are_not_changed_and_may_be_read_only() -> None:
    A = make("even", (6, 7), (False, False), np.float64)
    x = np.linspace(0, 1, 42)
    x.setflags(write=False)
    out = np.empty(42)
    A.apply(x, out)
    np.testing.assert_allclose(out, A.tocsr() @ x, atol=1e-13)
    assert A.residual(x, x, out) == pytest.approx(float(np.sum((x - A.tocsr() @ x) ** 2)))


def wrong(A: Any) -> list[tuple[str, Any]]:
    n = A.shape[0]
    good = np.ones(n)
    return [
        ("expected a NumPy array", lambda: A.apply(np.ones(n + 1), good)),
        ("out has dtype float32", lambda: A.apply(good, np.ones(n, np.float32))),
        ("C-contiguous", lambda: A.apply(np.ones(2 * n)[::2], good)),
        ("r has dtype float64: expected float32", lambda: A.correct(good, np.ones(n, np.float32), good, np.ones(n))),
        (r"x has shape \(43,\)", lambda: A @ np.ones(n + 1)),
        ("expected", lambda: A @ np.ones((n, 1, 1))),
    ]


@pytest.mark.parametrize("case", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_arguments_are_named(kind: str, case: int) -> None:
    message, call = wrong(make(kind, (6, 7), (False, False), np.float64))[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_wrong_stencils_are_named() -> None:
    end: NDArray[np.float64] = np.ones(3)
    with pytest.raises(ValueError, match="not periodic"):
        Axis(end, end, end, end)
    with pytest.raises(ValueError, match="positive control volumes"):
        Axis(np.array([0.0, 1, 1]), end, np.array([1.0, 1, 0]), -end)
    with pytest.raises(ValueError, match="expected 1, 2 or 3"):
        SeparableStencil([])
    with pytest.raises(ValueError, match="expected float32 or float64"):
        SeparableStencil([make_axis(3, False, True, np.random.default_rng(0))], dtype=np.int64)
    with pytest.raises(ValueError, match="one for each of the 2 axes"):
        VariableStencil(np.ones((2, 2)), [np.zeros((2, 2))])
    with pytest.raises(ValueError, match="expected float32 or float64"):
        VariableStencil(np.ones(2, dtype=int), [np.zeros(2)])


def test_repr_names_grid_and_dtype() -> None:
    assert "6 x 7 grid, float64" in repr(make("even", (6, 7), (False, False), np.float64))
