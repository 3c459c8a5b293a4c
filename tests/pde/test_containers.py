"""FieldPairs and Trajectories: slices, strides, windows and splits against plain indexing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.pde import FieldPairs, Grid, Trajectories

GRID = Grid((9, 5), (0.125, 0.25), (0.0, 0.0), lengths=(1.0, 1.0))


def _pairs() -> FieldPairs:
    values = np.arange(6 * 45, dtype=float).reshape(6, 9, 5)
    return FieldPairs(values, np.stack([values, -values], axis=1), GRID, np.stack([values, values], axis=1), "counts")


def test_a_stride_keeps_the_walls_and_their_coordinates() -> None:
    pairs = _pairs().stride(4)
    assert pairs.shape == (3, 2)
    np.testing.assert_array_equal(pairs.a, _pairs().a[:, ::4, ::4])
    np.testing.assert_array_equal(pairs.u, _pairs().u[:, :, ::4, ::4])
    assert pairs.grid is not None
    for kept, all_nodes in zip(pairs.grid.coordinates(), GRID.coordinates(), strict=True):
        np.testing.assert_allclose(kept, all_nodes[::4])
    assert pairs.grid.lengths == GRID.lengths
    assert pairs.coordinates.shape == (6, 2, 3, 2)


def test_parts_are_consecutive_views() -> None:
    pairs = _pairs()
    first, second = pairs.split(3, 2)
    assert (len(first), len(second)) == (3, 2)
    np.testing.assert_array_equal(second.a, pairs.a[3:5])
    assert np.shares_memory(second.u, pairs.u)
    np.testing.assert_array_equal(pairs[[4, 1]].a, pairs.a[[4, 1]])
    assert pairs[2:].name == "counts"


@pytest.mark.parametrize("torch_", [False, True])
def test_windows_are_the_states_in_order(torch_: bool) -> None:
    u = np.arange(2 * 7 * 3, dtype=float).reshape(2, 7, 3)
    made = Trajectories(torch.as_tensor(u) if torch_ else u, 0.5 * np.arange(7))
    expected = [u[i, s : s + 4] for i in range(2) for s in (0, 3)]
    np.testing.assert_array_equal(np.asarray(made.windows(4, every=3)), expected)
    assert made.dt == 0.5
    assert [len(part) for part in made.split(1, 1)] == [1, 1]
    np.testing.assert_array_equal(np.asarray(made[1:].u), u[1:])


def test_mistakes_are_named() -> None:
    pairs = _pairs()
    with pytest.raises(ValueError, match="a has 5, u has 6, coordinates has 6 samples"):
        FieldPairs(pairs.a[:5], pairs.u, GRID, pairs.coordinates)
    with pytest.raises(ValueError, match=r"u has shape \(6, 2, 9, 4\): expected \(samples, \[channels,\] 9, 5\)"):
        FieldPairs(pairs.a, pairs.u[..., 1:], GRID)
    with pytest.raises(ValueError, match="at most 6, the samples there are"):
        pairs.split(5, 2)
    with pytest.raises(ValueError, match="k = 0"):
        pairs.stride(0)
    with pytest.raises(ValueError, match=r"one sample is \[2:3\]"):
        pairs[2]  # type: ignore[index]
    u = np.zeros((1, 3, 2))
    with pytest.raises(ValueError, match=r"t \(2,\)"):
        Trajectories(u, np.arange(2.0))
    with pytest.raises(ValueError, match="t does not increase"):
        Trajectories(u, np.array([0.0, 2.0, 1.0]))
    with pytest.raises(ValueError, match="expected one step for all"):
        _ = Trajectories(u, np.array([0.0, 1.0, 3.0])).dt
    with pytest.raises(ValueError, match="expected 1 to 3 states"):
        Trajectories(u, np.arange(3.0)).windows(4)
