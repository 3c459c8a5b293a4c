"""Cost tables of the paper's problems, and learners that walk through them: a run costs no solve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.pde.evolution import HeatSequence, ShiftedLaplacians
from conjugo.solvers.direct.fast_poisson import FastPoisson
from conjugo.solvers.krylov.split_cg import small_cg, ssor_cg

ARMS = np.linspace(1.0, 1.95, 20)
"""Relaxation factors."""

CAP = 10_000
"""Most iterations of SOR."""

type Floats = NDArray[np.float64]


@njit(cache=True, fastmath=True)
def _sor_counts(b: Any, shifts: Any, omegas: Any, side: int, rtol: float) -> Any:
    """Iterations of SOR from zero for some systems side by side: b is (n, lanes), shifts and omegas (lanes,).

    With d the correction, the residual after a sweep is (1 / omega - 1) D d less the couplings to later unknowns.
    """
    lanes = b.shape[1]
    r, d = b.copy(), np.zeros((b.shape[0] + side + 1, lanes))
    counts, target, norms = np.zeros(lanes, dtype=np.int64), np.zeros(lanes), np.empty(lanes)
    for i in range(b.shape[0]):
        target += b[i] ** 2
    target *= rtol**2
    over, back = omegas / (4.0 + shifts), (1.0 / omegas - 1.0) * (4.0 + shifts)
    for k in range(1, CAP + 1):
        for row in range(side * side):
            above, left = 1.0 * (row >= side), 1.0 * (row % side > 0)
            up, before = max(row - side, 0), max(row - 1, 0)
            for lane in range(lanes):
                d[row, lane] = over[lane] * (r[row, lane] + above * d[up, lane] + left * d[before, lane])
        norms[:] = 0.0
        for row in range(side * side):
            below, right = 1.0 * (row < side * (side - 1)), 1.0 * (row % side < side - 1)
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


def sor_counts(b: Floats, shifts: Floats, omegas: Floats, lanes: int = 32) -> NDArray[np.int64]:
    """Iterations to 1e-8 of the systems (A + shifts[i] I) x = b[i] with the factors omegas[i]; b is (systems, n)."""
    side = round(b.shape[1] ** 0.5)
    order = np.lexsort((shifts, omegas))  # alike beside alike
    counts = np.empty(len(shifts), dtype=np.int64)
    for start in range(0, len(order), lanes):
        part = order[start : start + lanes]
        counts[part] = _sor_counts(np.ascontiguousarray(b[part].T), shifts[part], omegas[part], side, 1e-8)
    return counts


def sor_table(variance: Any, steps: int, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Shifts (steps,), right-hand sides (steps, n) and iterations of SOR (steps, arms)."""
    sequence = ShiftedLaplacians(10, variance, steps=steps, seed=seed)
    b = np.stack(list(sequence.right_hand_sides()))
    columns = [
        sor_counts(b, sequence.shifts, np.full(steps, omega))
        for omega in tqdm(ARMS, desc=f"sor {variance}", unit="arm", leave=False, disable=None)
    ]
    return sequence.shifts, b, np.stack(columns, axis=1).astype(float)


def heat_table(nx: int, steps: int, *, start: float = 0.0, stop: Any = None) -> tuple[Floats, Floats, Floats]:
    """kappa (steps,), iterations of SSOR-CG (steps, arms) and of CG (steps,), from states of a direct solver."""
    heat = HeatSequence(nx, steps=steps, start=start)
    contexts, rows, plain = [], [], []
    with tqdm(heat, desc=f"heat n = {heat.n}", unit="step", leave=False, disable=None) as bar:
        for A, b, context in bar:
            contexts.append(context)
            rows.append([ssor_cg(A, b, heat.u, omega=omega, rtol=1e-8).iterations for omega in ARMS])
            plain.append(small_cg(A, b, heat.u, rtol=1e-8).iterations)
            heat.advance(FastPoisson(A) @ b)
            if stop is not None and stop.happened:
                break
    return np.array(contexts), np.array(rows, dtype=float), np.array(plain, dtype=float)


def replay(learner: Any, costs: Floats, contexts: Floats | None = None) -> tuple[Floats, NDArray[np.int64]]:
    """Let a learner walk through a table; return the cost and the arm of every step."""
    rows = costs.tolist()
    places: Sequence[float | None] = [None] * len(rows) if contexts is None else contexts.tolist()
    spent, arms = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
    for t, (row, context) in enumerate(zip(rows, places, strict=True)):
        arm = learner.choose(context)
        spent[t], arms[t] = row[arm], arm
        learner.update(arm, row[arm], context)
    return spent, arms


def trials(
    make: Callable[[int], Any], costs: Floats, contexts: Floats | None, seeds: int, first: int = 0
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Replay with seeds from `first` on; return all costs (seeds, steps), their mean, and the arms of the first."""
    runs = [replay(make(seed), costs, contexts) for seed in range(first, first + seeds)]
    spent = np.stack([run[0] for run in runs])
    return spent, spent.mean(axis=0), runs[0][1]
