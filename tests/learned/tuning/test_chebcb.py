"""ChebCB: its least squares against a dense solver, and its cost on shifted Laplacians (fact 9)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from tests.learned.tuning.tables import replay, sor_table

from conjugo.learned.tuning import BinnedContexts, ChebCB, TsallisINF
from conjugo.pde.evolution.shifted import HIGH, LOW


@pytest.mark.parametrize(("variance", "gain"), [("high", 35.7), ("low", 20.8)])
def test_cost_on_shifted_laplacians(variance: str, gain: float) -> None:
    """Fact 9: % below the best fixed arm, +-1.5 points."""
    contexts, _, table = sor_table(variance)
    runs = [replay(ChebCB(20, 6, LOW, HIGH, least=1.0, seed=s), table, contexts).mean() for s in range(5)]
    assert 100 * (1 - np.mean(runs) / table.mean(axis=0).min()) == pytest.approx(gain, abs=1.5)


@pytest.mark.parametrize(("variance", "mean"), [("high", 103.4), ("low", 64.3)])
def test_binned_contexts_on_shifted_laplacians(variance: str, mean: float) -> None:
    """The table of the authors: Tsallis-INF in five bins of [-0.15, 0.65], as the authors have them."""
    contexts, _, table = sor_table(variance)
    runs = []
    for s in range(4):

        def make(j: int, s: int = s) -> TsallisINF:
            return TsallisINF(20, least=1.0, seed=100 * s + j)

        learner = BinnedContexts(make, 5, LOW, 0.65)
        runs.append(replay(learner, table, contexts).mean())
    assert np.mean(runs) == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("steep", [False, True])
def test_coefficients_are_the_constrained_least_squares(steep: bool) -> None:
    """Gram sums give what a dense solver gives from all data; with steep costs constraints are active."""
    rng = np.random.default_rng(0)
    learner = ChebCB(1, 5, 0.0, 1.0)
    contexts = rng.random(300) if not steep else 0.3 + 0.4 * rng.random(300)
    costs = 50 + 40 * np.tanh((60 if steep else 3) * (contexts - 0.5)) + rng.normal(size=300)
    for context, cost in zip(contexts.tolist(), costs.tolist(), strict=True):
        assert learner.choose(context) == 0
        learner.update(0, cost, context)
    largest = costs.max()
    box = np.array([largest, *(2 * largest / j for j in range(1, 5))])
    features = np.polynomial.chebyshev.chebvander(2 * contexts - 1, 4)
    expected = lsq_linear(features, costs, (-box, box), tol=1e-14).x
    assert bool(np.any(np.abs(expected) > 0.999 * box)) == steep
    if not steep:
        np.testing.assert_allclose(learner._theta[0], expected, atol=1e-3)
    assert np.all(np.abs(learner._theta[0]) <= box * (1 + 1e-12))
    residual = np.sum((features @ learner._theta[0] - costs) ** 2)
    assert learner._misfit[0] == pytest.approx(residual, rel=1e-6)
    assert residual <= 1.01 * np.sum((features @ expected - costs) ** 2)  # coordinate descent stops in time


def test_probabilities_sum_to_one() -> None:
    learner = ChebCB(20, 6, 0.0, 1.0)
    rng = np.random.default_rng(1)
    for _ in range(2000):
        context = float(rng.random())
        arm = learner.choose(context)
        p = learner.probabilities
        assert abs(p.sum() - 1) < 1e-12
        assert p.min() > 0
        learner.update(arm, float(rng.exponential(1 + abs(arm - 20 * context))), context)
