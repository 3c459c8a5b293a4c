"""Cost tables: iterations of every arm on every system, so that a learner's run is a walk through a table."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from conjugo.pde.evolution import ShiftedLaplacians

ARMS = np.linspace(1.0, 1.95, 20)
CAP = 10_000


@njit(cache=True, fastmath=True)
def _sor_counts(b: Any, shifts: Any, omegas: Any, side: int, rtol: float) -> Any:
    """Iterations of SOR from zero for some systems side by side: b is (n, lanes), shifts and omegas (lanes,)."""
    lanes = b.shape[1]
    r, d = b.copy(), np.zeros((b.shape[0] + side + 1, lanes))
    counts = np.zeros(lanes, dtype=np.int64)
    target = np.zeros(lanes)
    for i in range(b.shape[0]):
        target += b[i] ** 2
    target *= rtol**2
    omega_over, back = omegas / (4.0 + shifts), (1.0 / omegas - 1.0) * (4.0 + shifts)
    norms = np.empty(lanes)
    for k in range(1, CAP + 1):
        for i in range(side):
            for j in range(side):
                row = i * side + j
                above, left = 1.0 * (i > 0), 1.0 * (j > 0)
                up, before = max(row - side, 0), max(row - 1, 0)
                for lane in range(lanes):
                    d[row, lane] = omega_over[lane] * (r[row, lane] + above * d[up, lane] + left * d[before, lane])
        norms[:] = 0.0
        for i in range(side):
            for j in range(side):
                row = i * side + j
                below, right = 1.0 * (i < side - 1), 1.0 * (j < side - 1)
                for lane in range(lanes):
                    value = back[lane] * d[row, lane] + below * d[row + side, lane] + right * d[row + 1, lane]
                    r[row, lane] = value
                    norms[lane] += value * value
        left_over = 0
        for lane in range(lanes):
            if counts[lane] == 0:
                if norms[lane] <= target[lane]:
                    counts[lane] = k
                else:
                    left_over += 1
        if left_over == 0:
            break
    return np.where(counts == 0, CAP, counts)


def sor_counts(
    b: NDArray[np.float64], shifts: NDArray[np.float64], omegas: NDArray[np.float64], lanes: int = 32
) -> NDArray[np.int64]:
    """Iterations to 1e-8 of the systems (A + shifts[i] I) x = b[i] with the factors omegas[i]; b is (systems, n)."""
    side = round(b.shape[1] ** 0.5)
    order = np.lexsort((shifts, omegas))  # alike beside alike
    counts = np.empty(len(shifts), dtype=np.int64)
    for start in range(0, len(order), lanes):
        part = order[start : start + lanes]
        counts[part] = _sor_counts(np.ascontiguousarray(b[part].T), shifts[part], omegas[part], side, 1e-8)
    return counts


@cache
def sor_table(variance: str, steps: int = 5000, seed: int = 0) -> tuple[Any, Any, Any]:
    """Contexts (steps,), right-hand sides (steps, n) and iterations (steps, arms)."""
    sequence = ShiftedLaplacians(10, variance, steps=steps, seed=seed)  # type: ignore[arg-type]
    b = np.stack(list(sequence.right_hand_sides()))
    table = np.stack([sor_counts(b, sequence.shifts, np.full(steps, omega)) for omega in ARMS], axis=1)
    return sequence.shifts, b, table


def replay(learner: Any, table: Any, contexts: Any = None) -> NDArray[np.float64]:
    """Let a learner walk through a table; return the cost of every step."""
    costs = np.empty(len(table))
    rows = table.astype(float).tolist()
    places = [None] * len(rows) if contexts is None else np.asarray(contexts).tolist()
    for t, (row, context) in enumerate(zip(rows, places, strict=True)):
        arm = learner.choose(context)
        costs[t] = row[arm]
        learner.update(arm, row[arm], context)
    return costs
