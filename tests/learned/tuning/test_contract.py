"""What every learner promises: refusals, saved states, overhead, bounded memory."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conjugo.learned.tuning import BinnedContexts, ChebCB, Family, Learner, SORPrior, ThompsonSampling, TsallisINF

ARMS = 20
OMEGAS = np.linspace(1.0, 1.95, ARMS)
VALUES = -np.log(2.0 - OMEGAS)


def _prior() -> SORPrior:
    family = Family("shift", 4.0)
    family.observe(0.0, 0.04)
    return SORPrior(OMEGAS, family)


MAKERS: dict[str, Callable[[int], Any]] = {
    "tsallis": lambda seed: TsallisINF(ARMS, seed=seed),
    "reduced": lambda seed: TsallisINF(ARMS, estimator="reduced_variance", seed=seed),
    "binned": lambda seed: BinnedContexts(lambda j: TsallisINF(ARMS, seed=100 * seed + j), 5, -0.15, 0.45),
    "chebcb": lambda seed: ChebCB(ARMS, 6, -0.15, 0.45, seed=seed),
    "thompson": lambda seed: ThompsonSampling(VALUES, -0.15, 0.45, seed=seed),
    "thompson with prior": lambda seed: ThompsonSampling(VALUES, -0.15, 0.45, prior=_prior(), seed=seed),
    "thompson without context": lambda seed: ThompsonSampling(VALUES, seed=seed),
    "thompson of two groups": lambda seed: ThompsonSampling(VALUES, -0.15, 0.45, groups=[0] * 8 + [1] * 12, seed=seed),
}
CONTEXTUAL = ["binned", "chebcb", "thompson", "thompson with prior", "thompson of two groups"]


def _cost(arm: int, context: float, t: int) -> float:
    return 20.0 + (arm - 12.0 + 10.0 * context) ** 2 + t % 3


def _run(learner: Any, start: int, stop: int) -> list[int]:
    arms = []
    for t in range(start, stop):
        context = 0.15 + 0.3 * math.sin(0.7 * t)
        arms.append(learner.choose(context))
        learner.update(arms[-1], _cost(arms[-1], context, t), context)
    return arms


@pytest.mark.parametrize("name", MAKERS)
def test_killed_and_resumed_is_identical(name: str) -> None:
    whole, first, second = (MAKERS[name](7) for _ in range(3))
    expected = _run(whole, 0, 400)
    assert _run(first, 0, 150) == expected[:150]
    saved = json.dumps(first.state())
    other = MAKERS[name](99)  # another seed: the generator's state is saved too
    for learner in (second, other):
        learner.restore(json.loads(saved))
        assert _run(learner, 150, 400) == expected[150:]
        assert json.dumps(learner.state()) == json.dumps(whole.state())


@pytest.mark.parametrize("name", MAKERS)
def test_it_is_a_learner_that_learns(name: str) -> None:
    learner = MAKERS[name](0)
    assert isinstance(learner, Learner)
    assert learner.arms == ARMS
    arms = _run(learner, 0, 2500)
    costs = [_cost(arm, 0.15 + 0.3 * math.sin(0.7 * t), t) for t, arm in enumerate(arms)]
    assert np.mean(costs[-500:]) < 0.8 * np.mean([[_cost(a, 0.15, t) for a in range(ARMS)] for t in range(30)])


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_seed_plays_the_same(name: str) -> None:
    assert _run(MAKERS[name](3), 0, 60) == _run(MAKERS[name](3), 0, 60)
    assert _run(MAKERS[name](3), 0, 60) != _run(MAKERS[name](4), 0, 60)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0])
def test_bad_costs_are_refused_and_change_nothing(name: str, cost: float) -> None:
    learner = MAKERS[name](0)
    _run(learner, 0, 5)
    before = json.dumps(learner.state())
    with pytest.raises(ValueError, match=r"cost = .*count a failed solve as its cap"):
        learner.update(0, cost, 0.1)
    assert json.dumps(learner.state()) == before


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("arm", [-1, ARMS, 1.5, True])
def test_bad_arms_are_refused(name: str, arm: Any) -> None:
    with pytest.raises(ValueError, match=rf"arm = {arm}: expected an index from 0 to 19"):
        MAKERS[name](0).update(arm, 1.0, 0.1)


@pytest.mark.parametrize("name", CONTEXTUAL)
@pytest.mark.parametrize("context", [None, math.nan, math.inf, [0.1, 0.2], np.zeros((1, 1))])
def test_bad_contexts_are_refused(name: str, context: Any) -> None:
    learner = MAKERS[name](0)
    with pytest.raises(ValueError, match="context"):
        learner.choose(context)
    with pytest.raises(ValueError, match="context"):
        learner.update(0, 1.0, context)


@pytest.mark.parametrize("name", CONTEXTUAL)
def test_a_context_outside_the_range_is_clipped_and_logged_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    outside, inside = MAKERS[name](0), MAKERS[name](0)
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            arm = outside.choose(7.0)
            assert arm == inside.choose(0.45)
            outside.update(arm, 5.0 + arm, 7.0)
            inside.update(arm, 5.0 + arm, 0.45)
    assert len([record for record in caplog.records if "outside the range" in record.getMessage()]) == 1


@pytest.mark.parametrize("name", MAKERS)
def test_a_state_of_another_learner_is_refused(name: str) -> None:
    other = TsallisINF(3) if name != "tsallis" else ChebCB(3, 2, 0.0, 1.0)
    with pytest.raises(ValueError, match="restore it into a learner made with the same arguments"):
        MAKERS[name](0).restore(other.state())


@pytest.mark.parametrize("name", MAKERS)
def test_extreme_costs_do_no_harm(name: str) -> None:
    learner = MAKERS[name](0)
    for t in range(200):
        arm = learner.choose(0.1)
        assert 0 <= arm < ARMS
        learner.update(arm, (0.0, 1e-300, 1e300, 1.0)[t % 4], 0.1)


@pytest.mark.parametrize("name", MAKERS)
def test_memory_does_not_grow(name: str) -> None:
    learner = MAKERS[name](0)
    sizes = []
    for stop in (50, 1000):
        _run(learner, 0, stop)
        sizes.append(sum(np.size(v) for v in _leaves(learner.state())))
    assert sizes[0] == sizes[1]


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in _leaves(branch)]
    return [tree] if not isinstance(tree, list) or not tree or not isinstance(tree[0], dict | list) else [
        leaf for branch in tree for leaf in _leaves(branch)
    ]  # fmt: skip


BAD_ARGUMENTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: TsallisINF(0), "arms = 0"),
    (lambda: TsallisINF(3, estimator="best"), "estimator = 'best'"),  # type: ignore[arg-type]
    (lambda: TsallisINF(3, least=-1.0), "least = -1.0"),
    (lambda: BinnedContexts(lambda j: TsallisINF(2), 0, 0.0, 1.0), "bins = 0"),
    (lambda: BinnedContexts(lambda j: TsallisINF(2 + j), 2, 0.0, 1.0), "as many in every bin"),
    (lambda: ChebCB(2, 0, 0.0, 1.0), "features = 0"),
    (lambda: ChebCB(2, 3, 1.0, 1.0), "low < high"),
    (lambda: ChebCB(2, 3, 0.0, math.inf), "finite numbers"),
    (lambda: ThompsonSampling([]), r"values has shape \(0,\)"),
    (lambda: ThompsonSampling([1.0, math.nan]), "finite numbers"),
    (lambda: ThompsonSampling([1.0, 2.0], 0.0), "both ends"),
    (lambda: ThompsonSampling([1.0, 2.0], groups=[0]), "groups has shape"),
    (lambda: ThompsonSampling([1.0, 2.0], size=0), "size = 0"),
    (lambda: ThompsonSampling([1.0, 2.0], prior=lambda c: np.ones(3)).choose(), r"expected \(2,\)"),
    (lambda: ThompsonSampling([1.0, 2.0], prior=lambda c: -np.ones(2)).choose(), "finite positive costs"),
]


@pytest.mark.parametrize(("make", "message"), BAD_ARGUMENTS)
def test_bad_arguments_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_contexts_of_two_numbers() -> None:
    learners: list[Learner] = [
        BinnedContexts(lambda j: TsallisINF(2, seed=j), (2, 3), [0.0, 0.0], [1.0, 1.0]),
        ThompsonSampling([0.0, 1.0], [0.0, 0.0], [1.0, 1.0]),
    ]
    rng = np.random.default_rng(0)
    for learner in learners:
        right = 0
        for t in range(1500):
            context = rng.random(2)
            best = int(context[0] > 0.5)
            arm = learner.choose(context)
            right += t >= 1000 and arm == best
            learner.update(arm, 10.0 if arm == best else 30.0, context)
        assert right > 400
    with pytest.raises(ValueError, match="expected 2 numbers"):
        learners[0].choose(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "limit"), [("tsallis", 5.0), ("reduced", 5.0)] + [(n, 20.0) for n in CONTEXTUAL[:4]])
def test_overhead(name: str, limit: float) -> None:
    """Microseconds of a round, as the least of many: another program on the machine is not the learner's."""
    learner = MAKERS[name](0)
    predicted = _prior()(0.1)
    assert predicted is not None
    costs, best = predicted.tolist(), math.inf  # the prior is right, and both surrogates are at work
    for _ in range(60):
        started = time.perf_counter()
        for _ in range(100):
            arm = learner.choose(0.1)
            learner.update(arm, costs[arm], 0.1)
        best = min(best, (time.perf_counter() - started) / 100)
    assert getattr(learner, "trusts_prior", False) == ("prior" in name)
    assert 1e6 * best < limit


def test_torch_stays_unimported() -> None:
    code = "import sys, conjugo.learned.tuning, conjugo.pde.evolution; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
