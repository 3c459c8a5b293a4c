"""The order in which a cycle visits its levels, as a list of passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

type Cycle = Literal["V", "W", "F"]

DESCEND, ASCEND, SOLVE, DEFECT, ADD, SMOOTH_DOWN, SMOOTH_UP, RESTRICT, INTERPOLATE = range(9)
"""Fused pre-smoothing and restriction; fused prolongation and post-smoothing; the coarsest solve; b <- b - A z with z
set aside; z <- z + what was set aside; the unfused forms of the first two; restriction of b and cubic interpolation of
z between a level and the next coarser one."""

_ONCE = 64
"""Levels with fewer unknowns are visited once: a V cycle is nearly exact there, and 2^levels visits would cost."""


def schedule(sizes: Sequence[int], fused: Sequence[bool], cycle: Cycle) -> NDArray[np.int64]:
    """Rows of (operation, level) for one cycle from a zero guess.

    Parameters
    ----------
    sizes : sequence of int
        Unknowns per level, finest first.
    fused : sequence of bool
        Whether a level smooths in the fused passes.
    cycle : {"V", "W", "F"}
        A W cycle corrects every coarse problem by two W cycles; an F cycle by an F and a V cycle.

    Examples
    --------
    >>> from conjugo.solvers.multigrid.schedule import schedule
    >>> schedule([9, 1], [True, True], "V").tolist()
    [[0, 0], [2, 1], [1, 0]]
    """
    last = len(sizes) - 1

    def visit(level: int, kind: Cycle) -> list[tuple[int, int]]:
        if level == last:
            return [(SOLVE, level)]
        below = visit(level + 1, kind)
        if kind != "V" and level + 1 < last and sizes[level + 1] >= _ONCE:
            again = visit(level + 1, "W" if kind == "W" else "V")
            below = [*below, (DEFECT, level + 1), *again, (ADD, level + 1)]
        down, up = (DESCEND, ASCEND) if fused[level] else (SMOOTH_DOWN, SMOOTH_UP)
        return [(down, level), *below, (up, level)]

    return np.array(visit(0, cycle), dtype=np.int64)


def ascent(v_cycle: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """Full multigrid up to the finest level's first guess, from the schedule of a V cycle.

    The right-hand side is restricted to all levels; then, from the coarsest to the second finest, the guess
    interpolated from below is corrected by one V cycle; at last it is interpolated to the finest level.
    """
    down = [(RESTRICT, level) for level in range(levels - 1)]
    up: list[tuple[int, int]] = [(SOLVE, levels - 1)]
    for level in range(levels - 2, 0, -1):
        cycle = [(int(op), int(at)) for op, at in v_cycle if at >= level]
        up += [(INTERPOLATE, level), (DEFECT, level), *cycle, (ADD, level)]
    return np.array([*down, *up, *([(INTERPOLATE, 0)] if levels > 1 else [])], dtype=np.int64)
