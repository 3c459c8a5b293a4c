"""Systems whose Koopman operator is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.trajectories import Trajectories

A, B, C = 0.9, 0.5, 0.7
"""Of the quadratic map below: its eigenvalues are A and B, and all their products."""


def follow(step: NDArray[np.float64], x0: NDArray[np.float64], steps: int, dt: float = 1.0) -> Trajectories:
    """Trajectories of x' = x step."""
    u = np.stack([x0 @ np.linalg.matrix_power(step, k) for k in range(steps + 1)], axis=1)
    return Trajectories(u, dt * np.arange(steps + 1.0))


def quadratic(count: int, steps: int, *, seed: int = 0, dt: float = 0.5) -> Trajectories:
    """x' = A x, y' = B y + (A^2 - B) C x^2: eigenfunctions x, y - C x^2 and their products."""
    x = np.random.default_rng(seed).uniform(-1, 1, (count, 2))
    states = [x]
    for _ in range(steps):
        x = np.stack([A * x[:, 0], B * x[:, 1] + (A**2 - B) * C * x[:, 0] ** 2], axis=1)
        states.append(x)
    return Trajectories(np.stack(states, axis=1), dt * np.arange(steps + 1.0))
