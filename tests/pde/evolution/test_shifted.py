"""Shifted Laplacians: their spectrum, laws and right-hand sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats

from conjugo.pde.evolution import Sequence, ShiftedLaplacians
from conjugo.solvers import cg


def test_the_matrices_are_delsq_plus_the_shift() -> None:
    line = 2 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1)
    expected = np.kron(line, np.eye(6)) + np.kron(np.eye(6), line)
    sequence = ShiftedLaplacians(6, steps=4)
    assert isinstance(sequence, Sequence)
    assert len(sequence) == 4
    for (A, b, shift), same in zip(sequence, sequence.shifts, strict=True):
        assert shift == same
        np.testing.assert_array_equal(A.tocsr().toarray(), expected + shift * np.eye(36))
        x = cg(A, b, sequence.u, rtol=1e-12).check().x
        np.testing.assert_allclose((expected + shift * np.eye(36)) @ x, b, atol=1e-10)
        sequence.advance(x)


@pytest.mark.parametrize(("variance", "law"), [("high", (0.5, 1.5)), ("low", (2.0, 6.0))])
def test_the_laws_of_the_shifts(variance: Any, law: tuple[float, float]) -> None:
    shifts = ShiftedLaplacians(10, variance, steps=5000).shifts
    assert scipy.stats.kstest((shifts + 0.15) / 0.6, scipy.stats.beta(*law).cdf).pvalue > 0.01


def test_right_hand_sides_are_normal_within_the_ball() -> None:
    b = np.stack(list(ShiftedLaplacians(10, steps=2000).right_hand_sides()))
    norms = np.linalg.norm(b, axis=1)
    assert norms.max() <= 10
    half = scipy.stats.chi2(100).cdf(100.0)
    expected = scipy.stats.chi2(100).ppf(0.5 * half) ** 0.5
    assert np.median(norms) == pytest.approx(expected, rel=0.01)


def test_the_same_seed_gives_the_same_systems_and_another_does_not() -> None:
    first, again, other = (list(ShiftedLaplacians(5, steps=3, seed=s)) for s in (1, 1, 2))
    assert all(np.array_equal(x.b, y.b) and x.context == y.context for x, y in zip(first, again, strict=True))
    assert first[0].context != other[0].context
    assert not np.array_equal(first[0].b, other[0].b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 0}, "side = 0"),
        ({"side": 11}, "side = 11: .*expected at most 10"),
        ({"steps": 0}, "steps = 0"),
        ({"variance": "middle"}, "variance = 'middle'"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShiftedLaplacians(**arguments)


def test_the_largest_square_is_definite() -> None:
    A = ShiftedLaplacians(10, steps=1).operator(ShiftedLaplacians.low).tocsr().toarray()
    assert np.linalg.eigvalsh(A)[0] > 0
