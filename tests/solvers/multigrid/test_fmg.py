"""Full multigrid reaches the discretisation's accuracy, of second order, on grids of any size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.solvers.multigrid.grids import line, stencil

from conjugo.solvers.direct.fast_poisson import FastPoisson
from conjugo.solvers.multigrid.fmg import full_multigrid
from conjugo.solvers.operators.separable import SeparableStencil

type Vector = NDArray[np.float64]


def manufactured(shape: tuple[int, ...], kind: str) -> tuple[SeparableStencil, Vector, Vector]:
    """Operator, right-hand side and exact solution of -laplace u = f."""
    if kind == "wall":
        places = [np.arange(1, n + 1) / (n + 1) for n in shape]
        A = stencil(*[line(n) for n in shape])
        factors = [(np.sin(np.pi * x) * np.exp(x), None) for x in places]
        curved = [np.exp(x) * ((1 - np.pi**2) * np.sin(np.pi * x) + 2 * np.pi * np.cos(np.pi * x)) for x in places]
    else:
        ends, shifted = ("nn", 0.5) if kind == "mirror" else ("p", 0.0)
        places = [(np.arange(n) + shifted) / n for n in shape]
        A = stencil(*[line(n, ends, "cell", 1 / n) for n in shape])
        factors = [(np.cos(2 * np.pi * x), None) for x in places]
        curved = [-4 * np.pi**2 * np.cos(2 * np.pi * x) for x in places]
    f = np.zeros(shape)
    exact = np.ones(shape)
    for k in range(len(shape)):
        term = -np.ones(shape)
        for j in range(len(shape)):
            form = [-1 if i == j else 1 for i in range(len(shape))]
            term = term * (curved[j] if j == k else factors[j][0]).reshape(form)
        form = [-1 if i == k else 1 for i in range(len(shape))]
        exact = exact * factors[k][0].reshape(form)
        f += term
    f -= f.mean() if A.nullspace is not None else 0.0
    return A, f.ravel(), exact.ravel()


@pytest.mark.parametrize("shape", [(63, 63), (64, 64), (100, 50), (31, 31, 31), (32, 32, 32), (24, 20, 31)])
@pytest.mark.parametrize("kind", ["wall", "mirror", "periodic"])
def test_error_is_at_most_a_tenth_above_the_discretisation_error(shape: tuple[int, ...], kind: str) -> None:
    if kind == "periodic":
        shape = tuple(n + n % 2 for n in shape)
    A, b, exact = manufactured(shape, kind)
    error = np.linalg.norm(full_multigrid(A, b).check().x - exact)
    assert error <= 1.1 * np.linalg.norm(FastPoisson(A) @ b - exact)


def test_second_order_on_three_grids() -> None:
    errors = []
    for n in (31, 63, 127):
        A, b, exact = manufactured((n, n), "wall")
        errors.append(np.sqrt(np.mean((full_multigrid(A, b, cycles=2).x - exact) ** 2)))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 2.0, atol=0.1)


def test_more_cycles_and_float64_reduce_the_residual() -> None:
    A, b, _ = manufactured((64, 48), "wall")
    one = full_multigrid(A, b)
    many = full_multigrid(A, b, cycles=5, precision="float64")
    assert one.iterations == 2
    assert many.residuals[-1] < 1e-3 * one.residuals[-1]
    assert one.residuals[-1] == pytest.approx(np.linalg.norm(b - A.tocsr() @ one.x), rel=1e-6)
    assert full_multigrid(A, b, cycles=30, rtol=1e-8).check().iterations < 20


def test_bad_input() -> None:
    A, b, _ = manufactured((8, 8), "wall")
    with pytest.raises(ValueError, match="SeparableStencil"):
        full_multigrid(A.tocsr(), b)
    with pytest.raises(ValueError, match="cycles = 0"):
        full_multigrid(A, b, cycles=0)
    with pytest.raises(ValueError, match="one after another"):
        full_multigrid(A, np.stack([b, b], axis=1))
