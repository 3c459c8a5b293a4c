"""Iterations of SSOR-CG for every arm on every time step of the heat equation, all from the same state."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.learned.tuning.tables import ARMS

from conjugo.pde.evolution import HeatSequence
from conjugo.solvers import cg
from conjugo.solvers.direct.fast_poisson import FastPoisson
from conjugo.solvers.krylov.split_cg import ssor_cg

RTOL = 1e-8


@cache
def heat_table(nx: int, steps: int = 5000, omegas: tuple[float, ...] = tuple(ARMS)) -> tuple[Any, Any]:
    """Contexts (steps,) and iterations (steps, arms), from states that a direct solver brings forward."""
    heat = HeatSequence(nx, steps=steps)
    contexts, table = np.empty(steps), np.empty((steps, len(omegas)), dtype=np.int64)
    for t, (A, b, context) in enumerate(heat):
        contexts[t] = context
        table[t] = [ssor_cg(A, b, heat.u, omega=omega, rtol=RTOL).iterations for omega in omegas]
        heat.advance(FastPoisson(A) @ b)
    return contexts, table


@cache
def cg_counts(nx: int, steps: int = 5000) -> NDArray[np.int64]:
    """Iterations of CG alone, (steps,)."""
    heat = HeatSequence(nx, steps=steps)
    counts = np.empty(steps, dtype=np.int64)
    for t, (A, b, _) in enumerate(heat):
        counts[t] = cg(A, b, heat.u, rtol=RTOL).iterations
        heat.advance(FastPoisson(A) @ b)
    return counts
