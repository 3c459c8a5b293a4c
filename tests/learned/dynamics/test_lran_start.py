"""A network starts as the classical model that it was given, to the rounding of float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conjugo.learned.dynamics import DMD, EDMD, LinearModel, Polynomials, Radial, Reduced
from conjugo.learned.dynamics.lran_model import LRANModel
from conjugo.learned.dynamics.lran_start import start
from conjugo.pde import Trajectories
from conjugo.pde.evolution.duffing import duffing


@pytest.fixture(scope="module")
def data() -> Trajectories:
    return duffing(60, 12)


def waves(count: int = 20) -> Trajectories:
    """Linear dynamics about a state that is not zero, seen through twelve numbers."""
    rng = np.random.default_rng(0)
    step = np.array([[0.9, 0.2, 0.0], [-0.2, 0.9, 0.0], [0.0, 0.0, 1.0]])
    x = [np.hstack([rng.standard_normal((count, 2)), np.ones((count, 1))])]
    for _ in range(9):
        x.append(x[-1] @ step)
    return Trajectories(np.stack(x, 1) @ rng.standard_normal((3, 12)), np.arange(10.0))


def assert_same_forecasts(model: LinearModel, data: Trajectories, *, stable: bool = False) -> LRANModel:
    network = start(model, data, encoder=(8,), decoder=(8,), stable=stable)
    mine = LRANModel().adopt(network, data)
    x = data.u[:, 0]
    for reencode in (None, 3):
        theirs = model.predict(x, 8, reencode=reencode)
        error = np.linalg.norm(mine.predict(x, 8, reencode=reencode) - theirs) / np.linalg.norm(theirs)
        assert error < 3e-5  # float32, eight products
    return mine


def test_starts_as_dmd() -> None:
    data = waves()
    mine = assert_same_forecasts(DMD(3).fit(data), data)
    assert np.allclose(np.sort_complex(mine.eigenvalues), np.sort_complex([0.9 + 0.2j, 0.9 - 0.2j, 1.0]), atol=1e-6)


@pytest.mark.parametrize("kind", ["thin_plate", "gaussian", "multiquadric"])
def test_starts_as_balanced_edmd(data: Trajectories, kind: str) -> None:
    radial = Radial(40, kind, 0.8)  # type: ignore[arg-type]
    model = Reduced(EDMD(radial), 6, horizon=8).fit(data)
    mine = assert_same_forecasts(model, data)
    assert np.allclose(mine.eigenvalues, model.eigenvalues, atol=1e-5)
    assert mine.modes.shape == (6, 2)


def test_starts_as_stable_blocks() -> None:
    rng = np.random.default_rng(1)
    step = np.array([[0.7, 0.3, 0.1], [-0.3, 0.7, 0.0], [0.0, 0.2, 0.5]])
    x: list[NDArray[np.float64]] = [rng.standard_normal((20, 3))]
    for _ in range(8):
        x.append(x[-1] @ step)
    data = Trajectories(np.stack(x, 1), np.arange(9.0))
    mine = assert_same_forecasts(DMD().fit(data), data, stable=True)
    assert np.count_nonzero(mine.K) == 5  # one pair, one real


def test_blocks_stay_inside_the_circle() -> None:
    data = waves()
    network = start(DMD(3).fit(data), data, encoder=(4,), decoder=(4,), stable=True)
    with torch.no_grad():
        for parameter in network.blocks.parameters():
            parameter.mul_(7.0).add_(2.0)
    assert bool((torch.linalg.eigvals(network.K).abs() <= 1).all())


def test_other_models_are_refused(data: Trajectories) -> None:
    for model in (EDMD(Polynomials(2)).fit(data), Reduced(EDMD(Polynomials(3)), 4, horizon=5).fit(data)):
        with pytest.raises(ValueError, match="cannot start as this"):
            start(model, data)
