"""Refinement studies: solve on a sequence of grids with another library's direct solver, and measure the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import bicgstab, cg, splu

from conjugo.pde import LinearProblem


def box(cells: Sequence[int], bc: Sequence[Any], centring: str) -> tuple[int, ...]:
    """Unknowns an axis of a box with so many mesh widths: what makes the width halve exactly."""

    def unknowns(n: int, ends: Any) -> int:
        low, high = (ends, ends) if isinstance(ends, str) else ends
        if centring == "cell" or low == "periodic":
            return n
        return n - 1 + (low == "neumann") + (high == "neumann")

    return tuple(unknowns(n, ends) for n, ends in zip(cells, bc, strict=True))


def solve(problem: LinearProblem) -> Any:
    """Solve by SuperLU, or by SciPy's CG or BiCGStab where the system is singular or too big for a direct solver."""
    small = problem.compress()
    if problem.nullspace is None and small.n < 3000:
        x = splu(sp.csc_array(small.A)).solve(small.b)
    else:
        method = cg if problem.A.symmetric else bicgstab
        x, info = method(small.A, small.b, rtol=1e-9, maxiter=5000, M=sp.diags_array(1 / small.A.diagonal()))
        assert info == 0
    return problem.expand(x)


def rms_error(problem: LinearProblem) -> float:
    """Root mean square of the error: the h-weighted norm without the half volumes at Neumann ends."""
    assert problem.grid is not None
    return problem.error(solve(problem)) / float(np.sqrt(problem.n * problem.grid.cell_volume))


def last_order(errors: Sequence[float]) -> float:
    """log2 of the last two errors' ratio, mesh widths halved."""
    return float(np.log2(errors[-2] / errors[-1]))
