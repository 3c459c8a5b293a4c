"""Other libraries behind our interface: the same pairs, the same answers. Slow: their imports take seconds."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.learned.dynamics import DMD, nrmse
from conjugo.learned.dynamics.peers import Kooplearn, PyDMD
from conjugo.pde.evolution import duffing

pytestmark = pytest.mark.slow


def test_pydmd_is_our_dmd() -> None:
    pytest.importorskip("pydmd", exc_type=ImportError)
    train, test = duffing(50, 8, seed=0), duffing(20, 8, seed=1)
    ours, theirs = DMD().fit(train), PyDMD().fit(train)
    np.testing.assert_allclose(theirs.eigenvalues, ours.eigenvalues, atol=1e-10)
    np.testing.assert_allclose(theirs.predict(test.u[:, 0], 8), ours.predict(test.u[:, 0], 8), atol=1e-9)


def test_kooplearn_sees_pairs_within_trajectories_only() -> None:
    """Its centres' successors are what the flow makes of them, and it forecasts new states."""
    pytest.importorskip("kooplearn", exc_type=ImportError)
    train, test = duffing(80, 6, seed=0), duffing(20, 6, seed=1)
    model = Kooplearn(40, centres=150, width=1.0).fit(train)
    x, y = train.u[:, :-1].reshape(-1, 2), train.u[:, 1:].reshape(-1, 2)
    flat = train.u.transpose(1, 0, 2).reshape(-1, 2)
    chosen = model.model.nys_centers_idxs_
    for state, successor in zip(flat[chosen], flat[chosen + 80], strict=True):
        place = int(np.argmin(np.sum((x - state) ** 2, axis=1)))
        np.testing.assert_array_equal(y[place], successor)
    forecast = model.predict(test.u[:, 0], 6)
    assert nrmse(forecast, test.u, 1) < 0.1
    assert nrmse(test.u[:, :1].repeat(7, axis=1), test.u, 1) > 0.2  # persistence
    assert model.predict(test.u[:, 0], 6, reencode=1).shape == forecast.shape
