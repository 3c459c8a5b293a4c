"""Transport: exact where it can be, of the order promised, and bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conjugo.pde.evolution.advection import Paths
from conjugo.solvers.parallel import threads


def turned(n: int, scheme: Any) -> float:
    """Error after a quarter of a rigid rotation of a bump."""
    h = 1.0 / n
    centre = (np.arange(n) + 0.5) * h - 0.5
    edge = np.arange(n + 1) * h - 0.5
    velocity = [np.repeat(-centre[None, :], n + 1, 0), np.repeat(centre[:, None], n + 1, 1)]
    assert velocity[0].shape == (n + 1, n)
    assert len(edge) == n + 1
    x, y = np.meshgrid(centre, centre, indexing="ij")
    bump = np.exp(-80 * ((x - 0.2) ** 2 + y**2))
    steps = n // 2
    dt = 0.5 * np.pi / steps
    paths = Paths(velocity, (dt / h, dt / h), scheme=scheme)
    for _ in range(steps):
        bump = paths.carry(bump)
    # dx/dt = -y, dy/dt = x: a quarter turn takes (0.2, 0) to (0, 0.2)
    return float(np.sqrt(np.mean((bump - np.exp(-80 * (x**2 + (y - 0.2) ** 2))) ** 2)))


def test_a_rigid_rotation_converges_with_the_order_of_the_scheme() -> None:
    coarse, fine = turned(64, "maccormack"), turned(128, "maccormack")
    assert np.log2(coarse / fine) > 1.7
    plain, finer = turned(64, "semi-lagrangian"), turned(128, "semi-lagrangian")
    assert 0.6 < np.log2(plain / finer) < 1.4
    assert coarse < 0.3 * plain


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
@pytest.mark.parametrize("scheme", ["maccormack", "semi-lagrangian"])
def test_whole_cells_of_a_uniform_wind_are_a_shift(axis: int, scheme: Any) -> None:
    shape, shift = (5, 6, 7), (1, -2, 3)
    rng = np.random.default_rng(0)
    wind = [np.full([n + (b == a) for b, n in enumerate(shape)], float(shift[a])) for a in range(3)]
    cells = rng.random(shape)
    moved = np.roll(cells, shift, (0, 1, 2))
    if axis >= 0:  # the first face again at the end
        cells, moved = (np.concatenate([f, np.take(f, [0], axis)], axis) for f in (cells, moved))
    got = Paths(wind, (1.0, 1.0, 1.0), axis=axis, periodic=(True,) * 3, scheme=scheme).carry(cells)
    np.testing.assert_allclose(got, moved, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["maccormack", "semi-lagrangian"]), st.booleans())
def test_no_value_leaves_the_range_of_the_old_ones(seed: int, scheme: Any, periodic: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(3, 8, rng.integers(2, 4)))
    wind = [3 * rng.standard_normal([n + (b == a) for b, n in enumerate(shape)]) for a in range(len(shape))]
    field = rng.standard_normal(shape)
    steps = tuple(rng.random(len(shape)) + 0.1)
    got = Paths(wind, steps, periodic=(periodic,) * len(shape), scheme=scheme).carry(field)
    assert got.min() >= field.min() - 1e-12
    assert got.max() <= field.max() + 1e-12


def test_still_air_changes_nothing_and_the_input_stays() -> None:
    field = np.random.default_rng(0).random((4, 5))
    kept = field.copy()
    got = Paths([np.zeros((5, 5)), np.zeros((4, 6))], (1.0, 1.0)).carry(field)
    np.testing.assert_allclose(got, kept, atol=1e-15)
    assert np.array_equal(field, kept)
    assert not np.shares_memory(got, field)


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(0)
    wind = [rng.standard_normal(shape) for shape in ((10, 8, 7), (9, 9, 7), (9, 8, 8))]
    field = rng.random((9, 8, 7))
    alone = Paths(wind, (0.7, 0.7, 0.7)).carry(field)
    with threads(3):
        assert np.array_equal(Paths(wind, (0.7, 0.7, 0.7)).carry(field), alone)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"velocity\[1\] has shape \(4, 5\): expected \(4, 6\)"):
        Paths([np.zeros((5, 5)), np.zeros((4, 5))], (1.0, 1.0))
    with pytest.raises(ValueError, match="expected 2 or 3 of each"):
        Paths([np.zeros(5)], (1.0,))
    with pytest.raises(ValueError, match=r"field has shape \(5, 4\): expected \(4, 5\)"):
        Paths([np.zeros((5, 5)), np.zeros((4, 6))], (1.0, 1.0)).carry(np.zeros((5, 4)))
    with pytest.raises(ValueError, match="expected one of maccormack"):
        Paths([np.zeros((5, 5)), np.zeros((4, 6))], (1.0, 1.0), scheme="eno")  # type: ignore[arg-type]
