"""A whole multigrid cycle in one compiled call: the interpreter of a schedule of passes.

Dispatching a kernel from Python costs some five microseconds, as much as a pass over 63 x 63 nodes takes.
"""

from __future__ import annotations

from numba import njit

from conjugo.solvers.kernels import tensor_cubic as cubic
from conjugo.solvers.kernels import tensor_plain as plain
from conjugo.solvers.kernels import tensor_rows as rows
from conjugo.solvers.kernels.spin import meet
from conjugo.solvers.kernels.tensor_rows import FAST
from conjugo.solvers.kernels.tensor_sweeps import ascend, descend

DESCEND, ASCEND, SOLVE, DEFECT, ADD, SMOOTH_DOWN, SMOOTH_UP, RESTRICT, INTERPOLATE = range(9)

SHARED = 4_000
"""Unknowns from which a level is shared by the members of a team."""


@njit(fastmath=FAST)
def _vector(store, finest, level, start, size):  # type: ignore[no-untyped-def]
    """A level's vector: the finest one is the caller's."""
    if level == 0:
        return finest
    return store[start : start + size]


@njit(
    [
        f"void(i8[:,::1],{t}[::1],{t}[::1],{t}[::1],{t}[::1],i8[:,::1],{t}[::1],i8,i8,i8,i8,i8[::1])"
        for t in ("f4", "f8")
    ],
    cache=True,
    nogil=True,
    fastmath=FAST,
    boundscheck=False,
)
def run_schedule(schedule, b0, z0, store, coef, table, work, symmetric, sweeps, rank, members, arrivals):  # type: ignore[no-untyped-def]
    """Carry out `schedule`, rows of (operation, level), as one of `members` that run it together.

    The fused passes of large levels are shared, each member has its own `work`; the rest is the first member's.
    """
    for s in range(schedule.shape[0]):
        op, level = schedule[s, 0], schedule[s, 1]
        g = table[level]
        size, coarse = g[0] * g[1] * g[2], g[3] * g[4] * g[5]
        shared = members > 1 and size >= SHARED and (op == DESCEND or op == ASCEND)
        if shared or rank == 0:
            b = _vector(store, b0, level, g[26], size)
            z = _vector(store, z0, level, g[27], size)
            half = store[g[28] :]
            planes = g[3] if op == DESCEND else g[0]
            lo, hi = (planes * rank // members, planes * (rank + 1) // members) if shared else (0, planes)
            t, r, d = store[g[29] : g[29] + size], store[g[30] : g[30] + size], store[g[34] : g[34] + size]
            if op == SOLVE:
                plain.solve_coarsest(z, b, t, coef, g)
            elif op == DEFECT:
                plain.residual(b, b, z, coef, g)
                t[:] = z
            elif op == ADD:
                rows.add(z, t)
            else:
                after = table[level + 1]
                bc, e = store[after[26] : after[26] + coarse], store[after[27] : after[27] + coarse]
                if op == DESCEND:
                    descend(b, half, bc, coef, g, work, lo, hi, 1 - symmetric)
                elif op == ASCEND:
                    ascend(b, half, e, z, coef, g, work, lo, hi, symmetric)
                elif op == SMOOTH_DOWN:
                    z[:] = 0
                    plain.smooth(z, b, d, r, sweeps, g[15], False, coef, g)
                    plain.residual(r, b, z, coef, g)
                    plain.restrict(bc, r, work, coef, g)
                elif op == RESTRICT:
                    plain.restrict(bc, b, work, coef, g)
                elif op == INTERPOLATE:
                    cubic.interpolate(z, e, work, coef, g)
                elif op == SMOOTH_UP:
                    plain.prolong_add(z, e, work, coef, g)
                    plain.smooth(z, b, d, r, sweeps, g[15], symmetric == 1, coef, g)
        if members > 1:
            meet(arrivals, rank, members)
