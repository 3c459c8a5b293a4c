"""Convergence rates of the tensor-product hierarchy against theory, for every size and boundary condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.solvers.multigrid.grids import line, noise, stencil, stretched

from conjugo.solvers.multigrid.geometric import TensorHierarchy
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.parallel import threads


def cycles(A: SeparableStencil, **options: Any) -> int:
    """Stationary iterations to 1e-8, the true residual checked with the assembled matrix."""
    b = noise(A)
    result = Multigrid(A, **options).solve(b, rtol=1e-8).check()
    assert np.linalg.norm(b - A.tocsr() @ result.x) <= 1.01e-8 * np.linalg.norm(b)
    return result.iterations


@pytest.mark.parametrize("n", [33, 63, 64, 100])
def test_iterations_in_two_dimensions_do_not_depend_on_size(n: int) -> None:
    assert abs(cycles(stencil(line(n), line(n))) - 8) <= 1


@pytest.mark.parametrize("n", [15, 16, 20, 31])
def test_iterations_in_three_dimensions_do_not_depend_on_size(n: int) -> None:
    assert abs(cycles(stencil(line(n), line(n), line(n))) - 10) <= 1


@pytest.mark.parametrize("n", [33, 64])
@pytest.mark.parametrize("kind", [("nn", "cell"), ("nn", "vertex"), ("dn", "vertex"), ("nd", "cell"), ("dd", "cell")])
def test_boundary_conditions(n: int, kind: tuple[str, str]) -> None:
    h = 1 / n
    axis = line(n, *kind, h)
    assert cycles(stencil(axis, axis)) <= 9
    assert cycles(stencil(line(n, h=h), axis)) <= 9
    assert cycles(stencil(line(9, h=1 / 10), line(n // 3, *kind, 1 / 10), line(n // 3, *kind, 1 / 10))) <= 11


@pytest.mark.parametrize("n", [32, 48])
def test_periodic_axes(n: int) -> None:
    h = 1 / n
    assert cycles(stencil(line(n, "p", h=h), line(n, "p", h=h))) <= 10
    assert cycles(stencil(line(n, "p", h=h), line(n, h=h))) <= 9


def test_odd_periodic_axis_takes_chebyshev_on_that_level() -> None:
    assert cycles(stencil(line(33, "p", h=1 / 33), line(32, h=1 / 33))) <= 13


@pytest.mark.parametrize("ratio", [3.0, 10.0, 1e2, 1e4])
def test_semi_coarsening_keeps_the_rate_under_anisotropy(ratio: float) -> None:
    weak, strong = line(40), line(40, h=1 / 41 / ratio**0.5)
    assert cycles(stencil(weak, strong)) <= 10
    assert cycles(stencil(strong, weak)) <= 10
    small, steep = line(16), line(16, h=1 / 17 / ratio**0.5)
    assert cycles(stencil(small, small, steep)) <= 12
    assert cycles(stencil(small, steep, small)) <= 12


def test_other_separable_operators() -> None:
    assert cycles(stencil(stretched(50), stretched(41))) <= 13  # cells of aspect ratio 1.5 in two corners
    assert cycles(stencil(stretched(16), stretched(17), stretched(20))) <= 16
    assert cycles(stencil(line(64), line(64), shift=1e4)) <= 7
    assert cycles(stencil(line(64), line(64), shift=-15.0)) <= 9
    assert cycles(stencil(line(1000))) <= 3
    assert cycles(stencil(line(2), line(2))) <= 2
    assert cycles(stencil(line(1), line(50))) <= 3


@pytest.mark.parametrize("cycle", ["W", "F"])
def test_w_and_f_cycles_are_no_worse_than_v(cycle: str) -> None:
    A, B = stencil(line(50), line(64)), stencil(line(20), line(20), line(20))
    assert cycles(A, cycle=cycle) <= cycles(A)
    assert cycles(B, cycle=cycle) <= cycles(B)
    assert cycles(A, cycle=cycle, smoother="chebyshev") <= cycles(A, smoother="chebyshev")


def test_chebyshev_and_more_sweeps() -> None:
    A, B = stencil(line(50), line(64)), stencil(line(20), line(20), line(20))
    for operator in (A, B):
        assert cycles(operator, smoother="chebyshev") <= 11
        assert cycles(operator, sweeps=2) < cycles(operator)


@pytest.mark.parametrize("options", [{}, {"cycle": "W"}, {"smoother": "chebyshev"}, {"sweeps": 2}])
def test_symmetric_cycle_is_symmetric_and_positive(options: dict[str, Any]) -> None:
    for A in (
        stencil(line(17, "nd"), line(20)),
        stencil(line(9), line(8, "p"), stretched(10)),
        stencil(line(16, "dn", "cell"), line(30)),
    ):
        M = Multigrid(A, symmetric=True, precision="float64", **options)
        dense = M @ np.eye(A.shape[0])
        np.testing.assert_allclose(dense, dense.T, atol=1e-12 * np.abs(dense).max())
        assert np.linalg.eigvalsh((dense + dense.T) / 2).min() > 0


def test_error_propagation_contracts_as_theory_says() -> None:
    """Local Fourier analysis of V(1, 1) with red-black points: 0.074 in 2-D for two grids (Trottenberg, table 4.6)."""
    A = stencil(line(31), line(31))
    M = Multigrid(A, precision="float64")
    E = np.eye(A.shape[0]) - M @ A.tocsr().toarray()
    assert 0.05 < np.abs(np.linalg.eigvals(E)).max() < 0.13


@pytest.mark.parametrize("shape", [(330, 331), (50, 48, 51)])
def test_threads_change_nothing_beyond_rounding(shape: tuple[int, ...]) -> None:
    A = stencil(*[line(n) for n in shape])
    hierarchy = TensorHierarchy(A)
    r = noise(A).astype(np.float32).reshape(shape)
    one, many = np.empty_like(r), np.empty_like(r)
    hierarchy.cycle(r, one)
    for number in (2, 3):
        with threads(number):
            hierarchy.cycle(r, many)
        np.testing.assert_allclose(many, one, atol=1e-6 * np.abs(one).max())  # float32 rounding


def test_indefinite_and_unsymmetric_operators_are_refused() -> None:
    with pytest.raises(ValueError, match="minres"):
        TensorHierarchy(stencil(line(40), line(40), shift=-60.0))
    with pytest.raises(ValueError, match="positive"):
        TensorHierarchy(stencil(line(8), line(8), shift=-1e4))
    with pytest.raises(ValueError, match="'V' or 'W'"):
        TensorHierarchy(stencil(line(8)), cycle="F", symmetric=True)
