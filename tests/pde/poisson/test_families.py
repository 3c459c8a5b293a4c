"""Families of random problems: fresh for every seed, solvable, symmetric positive, and what their names say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from conjugo.pde.grid import Grid
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.families import FAMILIES, MEDIA, medium, rotated_constant
from conjugo.pde.poisson.masks import Cell, slabs
from conjugo.pde.poisson.packings import fibres, packed_balls
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil


@pytest.mark.parametrize("shape", [(11, 14), (7, 6, 8)])
@pytest.mark.parametrize("name", FAMILIES)
def test_symmetric_positive_and_compatible(name: str, shape: tuple[int, ...]) -> None:
    problem = FAMILIES[name](shape, 3)
    assert isinstance(problem.A, CompactStencil if name.startswith("rotated") else VariableStencil)
    A = problem.A.tocsr().toarray()
    np.testing.assert_array_equal(A, A.T)
    values = scipy.linalg.eigvalsh(A)
    singular = 0 if problem.nullspace is None else problem.nullspace.shape[1]
    assert np.sum(values < 1e-13 * values[-1]) == singular
    assert values[0] > -1e-13 * values[-1]
    if problem.nullspace is not None:
        assert np.abs(problem.nullspace.T @ problem.b).max() < 1e-10 * np.linalg.norm(problem.b)
    assert np.linalg.norm(problem.b) > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seed_repeats_and_another_differs(name: str) -> None:
    one, same, other = (FAMILIES[name]((20, 17), seed) for seed in (5, 5, 1_000_005))
    np.testing.assert_array_equal(one.A.tocsr().toarray(), same.A.tocsr().toarray())
    np.testing.assert_array_equal(one.b, same.b)
    assert not np.array_equal(one.b, other.b)
    if name != "box":
        assert abs(one.A.tocsr() - other.A.tocsr()).max() > 0


@pytest.mark.parametrize("name", MEDIA)
def test_contrast_is_what_was_asked_for(name: str) -> None:
    grid, _ = make_grid((64, 64), centring="cell")
    k = MEDIA[name](grid, np.random.default_rng(0), 1e5)
    assert k.max() / k.min() == pytest.approx(1e5)
    assert medium(MEDIA[name], (16, 16), 0, contrast=1.0).n == 256
    assert rotated_constant((8, 8), 0, ratio=1.0).n == 64


def test_packed_balls_stand_a_gap_apart() -> None:
    grid = Grid((90, 80), (1.0, 1.0), (0.5, 0.5))
    inside = packed_balls(grid, diameter=6.0, gap=2.0, jitter=0.0, seed=4)
    rows = inside.any(axis=1).astype(int)
    starts = np.flatnonzero(np.diff(rows) == 1)
    assert set(np.diff(starts)) == {8}  # the pitch, in cells
    with pytest.raises(ValueError, match="positive diameter"):
        packed_balls(grid, diameter=-1.0)


def test_fibres_fill_their_share() -> None:
    for shape in ((150, 160), (40, 44, 48)):
        grid = Grid(shape, (1.0,) * len(shape), (0.5,) * len(shape))
        share = fibres(grid, width=2.5, length=20.0, density=0.2, seed=1).mean()
        assert 0.08 < share < 0.25
    with pytest.raises(ValueError, match="width"):
        fibres(grid, width=0.0)


def test_slabs_are_thin_and_leave_a_way_through() -> None:
    cells = slabs((60, 50), pitch=10.0, opening=3.0, seed=2)
    solid = cells == Cell.SOLID
    walls = [np.flatnonzero(solid.sum(axis=a) == solid.shape[a] - 3) for a in (0, 1)]
    assert sum(len(w) for w in walls) >= 4
    assert not slabs((60,)).any()
    with pytest.raises(ValueError, match="pitch"):
        slabs((60, 60), pitch=1.0)
