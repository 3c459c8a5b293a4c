"""The ridge regression against dense formulas, and the choice of centres."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.learned.dynamics.centres import centres_of, squared_distances
from conjugo.learned.dynamics.measures import nrmse, wrong_basin
from conjugo.learned.dynamics.regression import Ridge, moments
from conjugo.learned.dynamics.snapshots import blocks

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 3))
PAIRS = np.stack([X, Y], axis=1)


def features(x: np.ndarray) -> np.ndarray:
    return np.hstack([x, x**2, x[:, :1]])  # the last is a copy: rank 6 of 7


def test_ridge_against_the_augmented_least_squares_problem() -> None:
    ridge = Ridge(moments(features, [PAIRS]))
    psi = features(X)
    rho = 1e-3 * ridge.unit * len(X)
    stacked = np.vstack([psi, np.sqrt(rho) * np.eye(7)])
    known = np.linalg.lstsq(stacked, np.vstack([Y, np.zeros((7, 3))]))[0]
    np.testing.assert_allclose(ridge.solve(ridge.found.Y, 1e-3), known, atol=1e-12)
    assert ridge.rank == 6
    np.testing.assert_allclose(ridge.solve(ridge.found.Y, 0.0), np.linalg.lstsq(psi, Y)[0], atol=1e-10)


def test_gcv_against_the_hat_matrix() -> None:
    ridge = Ridge(moments(features, [PAIRS]))
    psi = features(X)
    hat = psi @ np.linalg.solve(psi.T @ psi + 0.1 * ridge.unit * 40 * np.eye(7), psi.T)
    known = np.mean(np.sum((Y - hat @ Y) ** 2, axis=1)) / (1 - np.trace(hat) / 40) ** 2
    assert ridge.gcv(0.1) == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize("rows", [4, 7, 1000])
def test_moments_do_not_depend_on_the_blocks(rows: int) -> None:
    u = RNG.standard_normal((5, 12, 3))
    one, cut = moments(features, [u]), moments(features, blocks(u, rows))
    assert cut.samples == 55
    np.testing.assert_allclose(cut.A, one.A, atol=1e-13)
    np.testing.assert_allclose(cut.G, one.G, atol=1e-13)
    assert cut.square == pytest.approx(one.square)


@pytest.mark.parametrize("choice", ["kmeans", "random", "farthest"])
def test_centres_cover_clusters(choice: str) -> None:
    x = np.concatenate([RNG.normal(k, 0.01, (30, 2)) for k in range(4)])
    centres = centres_of(x, 4 if choice == "farthest" else 12, choice, seed=1)  # type: ignore[arg-type]
    assert np.sqrt(squared_distances(x, centres).min(axis=1)).max() < 0.2
    with pytest.raises(ValueError, match="different states"):
        centres_of(np.zeros((9, 2)), 2, choice)  # type: ignore[arg-type]


def test_distances_far_from_the_origin() -> None:
    x = RNG.standard_normal((6, 4)) + 1e6
    known = np.sum((x[:, None] - x) ** 2, axis=2)
    np.testing.assert_allclose(squared_distances(x, x), known, atol=1e-7)


def test_measures() -> None:
    truth = RNG.standard_normal((6, 4, 2))
    forecast = truth.copy()
    forecast[0, 2] = np.inf
    assert np.isinf(nrmse(forecast, truth, 2))
    assert nrmse(forecast, truth, 3) == 0
    assert nrmse(0 * truth, truth, 1) == pytest.approx(1.0)
    assert wrong_basin(-truth, truth) == 1.0
    with pytest.raises(ValueError, match="between 0 and 3"):
        nrmse(truth, truth, [1, 4])
    with pytest.raises(ValueError, match="expected"):
        nrmse(truth[:1], truth, 1)
