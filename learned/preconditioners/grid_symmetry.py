"""The symmetries of a grid: the same stencil with its axes exchanged and mirrored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.multigrid.parity import Direction, directions
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil


def turned(
    A: VariableStencil | CompactStencil, axes: Sequence[int], flips: Sequence[int]
) -> VariableStencil | CompactStencil:
    """Exchange the axes of a symmetric stencil, then mirror some of them.

    Parameters
    ----------
    A : VariableStencil or CompactStencil
        The operator; no axis periodic.
    axes : sequence of int
        As for `numpy.transpose`: the old axis that becomes axis 0, 1, ...
    flips : sequence of int
        New axes that are mirrored.

    Returns
    -------
    VariableStencil or CompactStencil
        P A P^T with the permutation P of the nodes. Its null space is not carried over.

    Raises
    ------
    ValueError
        If A is not symmetric or `axes` is no permutation.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.preconditioners.grid_symmetry import turned
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> A = VariableStencil(np.array([3.0, 4.0, 5.0]), [np.array([-1.0, -2.0, 0.0])])
    >>> B = turned(A, [0], [0])
    >>> B.diag, B.upper[0]
    (array([5., 4., 3.]), array([-2., -1.,  0.]))
    """
    if not A.symmetric or any(A.periodic):
        raise ValueError("A has `lower` couplings or a periodic axis: expected a symmetric stencil with ends")
    if sorted(axes) != list(range(A.diag.ndim)):
        raise ValueError(f"axes = {list(axes)}: expected a permutation of {list(range(A.diag.ndim))}")

    def moved[T: np.generic](x: NDArray[T]) -> NDArray[T]:
        return np.ascontiguousarray(np.flip(np.transpose(x, axes), tuple(flips)))

    compact = isinstance(A, CompactStencil)
    ways = directions(A.diag.ndim, compact)
    if not compact:
        ways = [tuple(int(a == axis) for a in range(A.diag.ndim)) for axis in range(A.diag.ndim)]
    old = A.couplings if isinstance(A, CompactStencil) else A.upper
    new: dict[Direction, NDArray[np.floating]] = {}
    for way, coupling in zip(ways, old, strict=True):
        there = tuple(-way[o] if n in flips else way[o] for n, o in enumerate(axes))
        if there in ways:
            new[there] = moved(coupling)
        else:  # the coupling belongs to its other end now
            back = tuple(-w for w in there)
            new[back] = np.ascontiguousarray(np.roll(moved(coupling), there, range(len(there))))
    active = None if A.active is None else moved(A.active)
    ordered = [new[way] for way in ways]
    if compact:
        return CompactStencil(moved(A.diag), ordered, active=active)
    return VariableStencil(moved(A.diag), ordered, active=active)
