"""Windows: their curriculum, that they are pieces of the data, and that symmetries keep the dynamics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.dynamics.lran_windows import Curriculum, WindowBatches, flip, shift_and_reflect
from conjugo.pde.evolution.duffing import evolve as duffing_from
from conjugo.pde.evolution.kuramoto_sivashinsky import evolve as ks_from
from conjugo.pde.evolution.kuramoto_sivashinsky import kuramoto_sivashinsky


def test_curriculum_grows_and_ends_with_half_of_the_steps() -> None:
    curriculum = Curriculum.even((5, 10, 20), steps=1000)
    lengths = [curriculum(step) for step in range(1000)]
    assert lengths == sorted(lengths)
    assert (lengths.count(5), lengths.count(10), lengths.count(20)) == (250, 250, 500)
    assert Curriculum.even((7,), steps=3).starts == (0,)
    assert Curriculum.even((2, 3, 4), steps=3).starts == (0, 1, 2)


def test_windows_are_pieces_of_one_trajectory() -> None:
    states = torch.arange(3 * 20.0).reshape(3, 20, 1)
    batches = WindowBatches(states, batch=50, curriculum=Curriculum((4,), (0,)), codes=2 * states, seed=3)
    windows, codes = batches(7)
    assert torch.equal(codes, 2 * windows)
    assert bool((windows.diff(dim=1) == 1).all())
    assert torch.equal(windows[:, 0] // 20, windows[:, -1] // 20)
    assert torch.equal(batches(7)[0], windows)
    assert not torch.equal(batches(8)[0], windows)


def test_every_start_is_drawn() -> None:
    batches = WindowBatches(torch.arange(6.0).reshape(1, 6, 1), batch=200, curriculum=Curriculum((4,), (0,)))
    windows = batches(0)
    assert isinstance(windows, Tensor)
    assert sorted(set(windows[:, 0, 0].tolist())) == [0.0, 1.0, 2.0]


def test_shifted_and_reflected_windows_are_trajectories() -> None:
    data = kuramoto_sivashinsky(3, 4, points=32, discard=50.0)
    moved = shift_and_reflect(torch.as_tensor(data.u), np.random.default_rng(0)).numpy()
    assert not np.allclose(moved, data.u)
    assert np.allclose(ks_from(moved[:, 0], 4).u, moved, atol=1e-8)


def test_flipped_windows_are_trajectories() -> None:
    data = duffing_from(np.random.default_rng(0).uniform(-2, 2, (6, 2)), 5)
    moved = flip(torch.as_tensor(data.u), np.random.default_rng(1)).numpy()
    assert not np.allclose(moved, data.u)
    assert np.allclose(duffing_from(moved[:, 0], 5).u, moved, atol=1e-10)


def test_bad_windows_are_refused() -> None:
    states = torch.zeros(2, 5, 1)
    with pytest.raises(ValueError, match="shorten the curriculum"):
        WindowBatches(states, batch=2, curriculum=Curriculum((6,), (0,)))
    with pytest.raises(ValueError, match="finite"):
        WindowBatches(states / 0, batch=2, curriculum=Curriculum((3,), (0,)))
    with pytest.raises(ValueError, match="no symmetry drawn later"):
        WindowBatches(states, batch=2, curriculum=Curriculum((3,), (0,)), codes=states, symmetry="sign")
    with pytest.raises(ValueError, match="must increase"):
        Curriculum((3, 4), (0, 0))
    with pytest.raises(ValueError, match="at least 2 states"):
        Curriculum((1,), (0,))
