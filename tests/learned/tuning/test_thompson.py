"""Thompson sampling: the surrogate against dense Bayes, and priors that are right, wrong, and become wrong."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from tests.learned.tuning.tables import ARMS, replay, sor_table

from conjugo.learned.tuning import Family, SORPrior, ThompsonSampling
from conjugo.learned.tuning.surrogate import NOISE, OFFSET, Surrogate, cosine_basis
from conjugo.pde.evolution.shifted import HIGH, LOW

VALUES = -np.log(2.0 - ARMS)


def test_the_surrogate_is_dense_bayesian_regression() -> None:
    """Mean, factor and noise after 200 rounds of updates against one solve with all data."""
    rng = np.random.default_rng(0)
    places = np.linspace(0, 1, 7)[:, None]
    model = Surrogate(places, 1, 24, 0.8)
    frequencies, variances = cosine_basis(2, 24)
    rows, ys = [], []
    for _ in range(200):
        arm, context = int(rng.integers(7)), rng.random(1)
        y = 3 + np.sin(4 * places[arm, 0]) * context[0] + 0.1 * rng.normal()
        model.fresh = False
        model.look(context)
        model.learn(arm, y)
        rows.append(np.cos(np.pi * frequencies * np.array([places[arm, 0], context[0]])).prod(axis=1))
        ys.append(y)
    X, y = np.array(rows), np.array(ys)
    prior = variances * 0.8**2
    prior[0] += OFFSET**2
    precision = np.diag(NOISE**2 / prior) + X.T @ X
    mean = np.linalg.solve(precision, X.T @ y)
    np.testing.assert_allclose(model.factor.T @ model.factor, precision, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.mean, mean, rtol=1e-6, atol=1e-8)
    squares = 2 * NOISE**2 + y @ y - mean @ precision @ mean
    np.testing.assert_allclose(model.noise, [202.0, squares], rtol=1e-6)
    context = np.array([0.3])
    features = np.cos(np.pi * frequencies * np.stack([places[:, 0], np.full(7, 0.3)], axis=1)[:, None, :]).prod(axis=2)
    model.fresh = False
    model.look(context)
    np.testing.assert_allclose(model.predict(), features @ mean, rtol=1e-6)


def test_draws_have_the_posterior_covariance() -> None:
    rng = np.random.default_rng(1)
    model = Surrogate(np.linspace(0, 1, 4)[:, None], 0, 6, 1.0)
    model.look(np.empty(0))
    for _ in range(30):
        arm = int(rng.integers(2))
        model.learn(arm, float(arm + 0.2 * rng.normal()))
    draws = np.empty((20_000, 4))
    for draw in draws:
        model.sample(rng.standard_normal(model.size), np.zeros(4))
        draw[:] = model._values
    covariance = model._table @ np.linalg.inv(model.factor.T @ model.factor) @ model._table.T
    covariance *= model.noise[1] / model.noise[0]
    np.testing.assert_allclose(np.cov(draws.T), covariance, rtol=0.06, atol=2e-3)
    np.testing.assert_allclose(draws.mean(axis=0), model.predict(), atol=0.03)


@pytest.mark.parametrize("dimension", [0, 1, 2, 3, 4])
def test_the_basis_is_bounded_and_sums_to_one(dimension: int) -> None:
    frequencies, variances = cosine_basis(dimension, 64)
    assert frequencies.shape == (len(variances), dimension)
    assert len(variances) <= 64
    assert variances.sum() == pytest.approx(1.0)
    assert np.all(frequencies[0] == 0)


def _prior(factor: float = 1.0) -> SORPrior:
    family = Family("shift", 4.0)
    family.observe(0.0, factor * 0.1620281055 / 4)
    return SORPrior(ARMS, family)


@pytest.mark.parametrize("variance", ["high", "low"])
def test_a_wrong_prior_is_dropped_and_costs_little(variance: str, caplog: pytest.LogCaptureFixture) -> None:
    """Against the learner without prior: at most 4 % more, with lambda off by three or the arms the wrong way round."""
    contexts, _, table = sor_table(variance)
    plain = np.mean([replay(ThompsonSampling(VALUES, LOW, HIGH, seed=s), table, contexts).mean() for s in range(2)])
    right = _prior()
    wrong: list[Any] = [_prior(3.0), lambda c: np.asarray(right(c))[::-1].copy()]
    for prior in wrong:
        with caplog.at_level(logging.WARNING):
            learners = [ThompsonSampling(VALUES, LOW, HIGH, prior=prior, seed=s) for s in range(2)]
            costs = [replay(learner, table, contexts).mean() for learner in learners]
        assert not any(learner.trusts_prior for learner in learners)
        assert np.mean(costs) < 1.04 * plain
    assert len([r for r in caplog.records if "the prior predicts worse than none" in r.getMessage()]) == 4


def test_a_prior_that_becomes_wrong_is_dropped() -> None:
    contexts, _, table = sor_table("low")
    right, calls = _prior(), [0]

    def prior(context: Any) -> Any:
        calls[0] += 1
        costs = right(context)
        return costs if costs is None or calls[0] <= 1500 else costs[::-1].copy()

    learner = ThompsonSampling(VALUES, LOW, HIGH, prior=prior)
    replay(learner, table[:1500], contexts[:1500])
    assert learner.trusts_prior
    replay(learner, table[1500:], contexts[1500:])
    assert not learner.trusts_prior


def test_a_prior_that_knows_nothing_yet_is_waited_for() -> None:
    contexts, _, table = sor_table("low")
    prior = SORPrior(ARMS, Family("shift", 4.0))
    learner = ThompsonSampling(VALUES, LOW, HIGH, prior=prior)
    before = replay(learner, table[:30], contexts[:30])
    prior.observe(0.0, [1.0, 0.9206], 1.0)
    after = replay(learner, table[30:330], contexts[30:330])
    assert after.mean() < 0.8 * before.mean()
    assert after.mean() < 1.1 * table[30:330].min(axis=1).mean()


def test_groups_share_nothing_and_a_prior_may_know_one_of_them() -> None:
    """Two methods: one with a parameter and a model, one without either, cheapest where the context is low."""
    omegas = ARMS[::2]
    model = SORPrior(omegas, Family("shift", 4.0))
    model.observe(0.0, [1.0, 0.9206], 1.0)
    contexts, _, table = sor_table("low")
    costs = np.column_stack([table[:, ::2], np.where(contexts < 0.0, 30, 90)])

    def prior(context: Any) -> Any:
        return np.append(np.asarray(model(context)), np.nan)

    learner = ThompsonSampling(np.append(-np.log(2 - omegas), 0.0), LOW, HIGH, groups=[0] * 10 + [1], prior=prior)
    total = replay(learner, costs[:2000], contexts[:2000])[500:].mean()
    assert total < 1.06 * costs[500:2000].min(axis=1).mean()
    assert learner.trusts_prior
    low, high = learner.predictions(-0.1), learner.predictions(0.2)
    assert low.argmin() == 10
    assert high.argmin() < 10


def test_zero_costs_are_costs() -> None:
    learner = ThompsonSampling([0.0, 1.0])
    for _ in range(5):
        learner.update(learner.choose(), 0.0)
    for _ in range(100):
        arm = learner.choose()
        learner.update(arm, 3.0 if arm == 0 else 0.0)
    assert learner.choose() == 1
