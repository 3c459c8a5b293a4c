"""The tables' models: every row can be built, and the symmetries are symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.cases.koopman_models import DUFFING, KURAMOTO_SIVASHINSKY, Persistence, Row, fitted, symmetric_copies
from conjugo.learned.dynamics import DMD, LinearModel, Sliced
from conjugo.pde.evolution import duffing, kuramoto_sivashinsky
from conjugo.pde.evolution.kuramoto_sivashinsky import evolve


@pytest.mark.parametrize("name", [*DUFFING, *KURAMOTO_SIVASHINSKY])
def test_every_row_builds_a_model(name: str) -> None:
    row = DUFFING.get(name) or KURAMOTO_SIVASHINSKY[name]
    model = row.build(0)
    assert isinstance(model, LinearModel | Sliced)
    assert not model.fitted


def test_rows_fit_and_persistence_persists() -> None:
    data = duffing(20, 3)
    assert isinstance(fitted(DUFFING["DMD"], data), DMD)
    forecast = fitted(Row(build=lambda seed: Persistence()), data).predict(data.u[:, 0], 2)
    np.testing.assert_array_equal(forecast[:, 2], data.u[:, 0])


def test_moved_solutions_are_solutions() -> None:
    data = kuramoto_sivashinsky(2, 2, discard=50.0, points=32, h=0.25)
    moved = symmetric_copies(data, 4, seed=3)
    assert moved.u.shape == (8, 3, 32)
    again = evolve(moved.u[:, 0], 2, h=0.25)
    np.testing.assert_allclose(again.u, moved.u, atol=1e-9)
    assert np.abs(moved.u[2:] - np.concatenate([data.u] * 3)).max() > 0.1
    with pytest.raises(ValueError, match="copies = 0"):
        symmetric_copies(data, 0)
