"""judge: the definition, on random systems."""

from __future__ import annotations

import numpy as np

from conjugo.learned.operators.guess_test import judge


def test_judge_agrees_with_the_definition_on_random_systems() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        root = rng.standard_normal((6, 6))
        A, b, x = root @ root.T + 0.1 * np.eye(6), rng.standard_normal(6), rng.standard_normal(6)
        guess = judge(A, b, x, None)
        alpha = b @ x / (x @ A @ x)
        lower = [np.linalg.norm(b - A @ y) < np.linalg.norm(b) and y @ A @ y / 2 - b @ y < 0 for y in (x, alpha * x)]
        wanted = "accepted" if lower[0] else "scaled" if lower[1] else "refused"
        assert guess.outcome == wanted
