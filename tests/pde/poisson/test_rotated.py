"""Rotated anisotropy: order of accuracy, definiteness, and the tensor that the angle means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.linalg

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.rotated import element_shape, rotated
from conjugo.solvers import Multigrid, cg


def _divergence(flux: Any, x: list[Any], step: float = 1e-4) -> Any:
    """Central differences of fourth order: errors of 1e-11 beside those of the grid."""
    total: Any = 0.0
    for axis in range(len(x)):
        for k, weight in ((1, 8.0), (2, -1.0)):
            for sign in (1, -1):
                moved = [s + sign * k * step * (a == axis) for a, s in enumerate(x)]
                total = total + sign * weight * flux(*moved)[axis] / (12 * step)
    return total


def _angle(x: Any, y: Any, *_: Any) -> Any:
    return 0.4 + 0.5 * np.sin(2 * x + y)


def _ratio(x: Any, y: Any, *_: Any) -> Any:
    return 20.0 * np.exp(np.cos(np.pi * x) * y)


def _error(n: int, d: int, bc: Any) -> float:
    """Root mean square error with u = prod sin^2(pi x), whose gradient vanishes on all walls."""
    shape = (n - 1,) * d if bc == "dirichlet" else (n + 1,) * d if bc == "neumann" else (n, n)
    grid, _ = make_grid(shape, bc=bc)

    def flux(*x: Any) -> list[Any]:
        s, c = [np.sin(np.pi * t) for t in x], [np.cos(np.pi * t) for t in x]
        square = [t**2 for t in s]
        slope = []
        for a in range(d):
            others: Any = 1.0
            for b in range(d):
                others = others * (square[b] if b != a else 2 * np.pi * s[a] * c[a])
            slope.append(others)
        theta, weak = _angle(*x), 1 / _ratio(*x)
        along = [np.cos(theta), np.sin(theta), 0.0][:d]
        if d == 3:
            along = [np.cos(0.3) * along[0], np.cos(0.3) * along[1], np.sin(0.3)]
        project = sum(t * g for t, g in zip(along, slope, strict=True))
        return [weak * g + (1 - weak) * t * project for t, g in zip(along, slope, strict=True)]

    f = -_divergence(flux, list(grid.mesh()))
    problem = rotated(shape, angle=_angle, ratio=_ratio, tilt=0.3, bc=bc, rhs=f)
    exact = np.prod([np.sin(np.pi * t) ** 2 for t in grid.mesh()], axis=0).ravel()
    result = cg(problem.A, problem.b, M=Multigrid(problem.A, symmetric=True), rtol=1e-9)
    assert result.converged
    error = result.x - exact
    return float(np.std(error) if problem.nullspace is not None else np.sqrt(np.mean(error**2)))


@pytest.mark.parametrize(("d", "bc", "cells"), [(2, "dirichlet", 64), (2, "neumann", 64), (3, "dirichlet", 16)])
def test_second_order_for_varying_angle_and_ratio(d: int, bc: Any, cells: int) -> None:
    errors = [_error(n, d, bc) for n in (cells, 2 * cells)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("ratio", [1.0, 1e3])
@pytest.mark.parametrize(
    ("shape", "bc"),
    [((9, 8), "dirichlet"), ((6, 8), ["periodic", "neumann"]), ((4, 5, 6), ["neumann", "periodic", "dirichlet"])],
)
def test_positive_definite_or_singular_by_constants_only(shape: tuple[int, ...], bc: Any, ratio: float) -> None:
    angle = np.random.default_rng(0).uniform(0, np.pi, element_shape(shape, bc))
    problem = rotated(shape, angle=angle, ratio=ratio, tilt=0.7, bc=bc)
    values = scipy.linalg.eigvalsh(problem.A.tocsr().toarray())
    if problem.nullspace is None:
        assert values[0] > 0
    else:
        assert abs(values[0]) < 1e-13 * values[-1] < values[1]
        assert np.abs(problem.A @ problem.nullspace).max() < 1e-13 * values[-1]


def test_a_quarter_turn_swaps_the_axes() -> None:
    one, other = rotated((7, 7), angle=0.3, ratio=50.0).A, rotated((7, 7), angle=np.pi / 2 - 0.3, ratio=50.0).A
    b = np.random.default_rng(1).standard_normal((7, 7))
    np.testing.assert_allclose((one @ b.ravel()).reshape(7, 7), (other @ b.T.ravel()).reshape(7, 7).T, atol=1e-9)


def test_right_hand_sides() -> None:
    problem = rotated((15, 12), rhs="discrete")
    result = cg(problem.A, problem.b, rtol=1e-12)
    assert problem.error(result.x) < 1e-9
    assert isinstance(problem.grid, Grid)
    assert rotated((8, 9), rhs="smooth").b.shape == (72,)
    assert not np.array_equal(rotated((8, 9), seed=1).b, rotated((8, 9), seed=2).b)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="two or three axes"):
        rotated((8,))
    with pytest.raises(ValueError, match="ratio has minimum"):
        rotated((8, 8), ratio=0.0)
    with pytest.raises(ValueError, match="angle has shape"):
        rotated((8, 8), angle=np.zeros((8, 8)))
    with pytest.raises(ValueError, match="rhs = 'exact'"):
        rotated((8, 8), rhs="exact")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NaN"):
        rotated((8, 8), ratio=np.nan)
