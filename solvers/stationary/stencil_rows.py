"""A stencil seen as rows, ready for the compiled sweeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.kernels import sweeps
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.parallel import get_threads, run_rows

PARALLEL_SIZE = 100_000
"""Unknowns below which threads cost more than they save."""


class StencilRows:
    """Sweeps over a stencil; the vectors are flat, contiguous and of the given precision.

    Parameters
    ----------
    A : SeparableStencil or VariableStencil
        A variable stencil's arrays are used in place where the precision agrees.
    dtype : dtype
        float32 or float64, as the vectors.

    Attributes
    ----------
    coloured : bool
        Whether red and black nodes are never neighbours of their own colour: False where a periodic axis is odd.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> from conjugo.solvers.stationary.stencil_rows import StencilRows
    >>> rows = StencilRows(VariableStencil(np.array([2.0, 2.0]), [np.array([-1.0, 0.0])]), np.dtype(float))
    >>> rows.residual_square(np.ones(2), np.zeros(2))
    2.0
    """

    def __init__(self, A: SeparableStencil | VariableStencil, dtype: np.dtype[Any]) -> None:
        self.dtype = np.dtype(dtype)
        self.layout = _separable(A, self.dtype) if isinstance(A, SeparableStencil) else _variable(A, self.dtype)
        self.rows_shape = (self.layout.n0 * self.layout.n1, A.grid_shape[-1])
        periodic = periodic_axes(A)
        wrapped = [n for n, wraps in zip(A.grid_shape, periodic, strict=True) if wraps]
        slow = [wraps for n, wraps in zip(A.grid_shape[:-1], periodic, strict=False) if n > 1]
        self._in_order = not slow or not slow[0]  # else the first rows are coupled to the last ones
        self.coloured = all(n % 2 == 0 for n in wrapped)

    @property
    def nbytes(self) -> int:
        """Bytes of the tables (a variable stencil's own arrays included)."""
        arrays = {id(part): part.nbytes for part in self.layout if isinstance(part, np.ndarray)}
        return sum(arrays.values())

    def sweep(self, x: NDArray[Any], b: NDArray[Any], omega: float, backward: bool = False) -> None:
        """Relax every unknown in order, or in the opposite order."""
        sweeps.lexicographic(
            x.reshape(self.rows_shape), b.reshape(self.rows_shape), self.layout, self._work(), omega, backward
        )

    def relax_colours(self, x: NDArray[Any], b: NDArray[Any], omega: float) -> float:
        """Relax the red unknowns, then the black ones; return ||b - A x||^2 afterwards.

        The neighbours of the black unknowns do not change after them, so their residuals shrink by exactly
        1 - omega; only the red ones must be evaluated again. One thread does all in one pass over memory.
        """
        if self._parts() == 1 and self._in_order:
            X, B = x.reshape(self.rows_shape), b.reshape(self.rows_shape)
            return float(sweeps.both_colours(X, B, self.layout, self._work(), omega))
        self._half(x, b, omega, 0)
        black = self._half(x, b, omega, 1)
        return (1 - omega) ** 2 * black + self._half(x, b, 0.0, 0)

    def _half(self, x: NDArray[Any], b: NDArray[Any], omega: float, colour: int) -> float:
        X, B = x.reshape(self.rows_shape), b.reshape(self.rows_shape)

        def work(lo: int, hi: int) -> float:
            return sweeps.one_colour(X, B, self.layout, self._work(), omega, colour, lo, hi)

        return run_rows(work, self.rows_shape[0], self._parts())

    def residual_square(self, x: NDArray[Any], b: NDArray[Any]) -> float:
        """||b - A x||^2, accumulated in float64; no vector is stored."""
        X, B = x.reshape(self.rows_shape), b.reshape(self.rows_shape)

        def work(lo: int, hi: int) -> float:
            return sweeps.residual_square(X, B, self.layout, self._work(), lo, hi)

        return run_rows(work, self.rows_shape[0], self._parts())

    def solve_factors(self, z: NDArray[Any], pivots: NDArray[Any]) -> None:
        """z = (P + U)^-1 P (P + L)^-1 z in place; `pivots` holds W / P."""
        sweeps.solve_factors(z.reshape(self.rows_shape), pivots.reshape(self.rows_shape), self.layout, self._work())

    def _work(self) -> NDArray[Any]:
        return np.empty((3, self.rows_shape[1]), self.dtype)  # one for each thread

    def _parts(self) -> int:
        return get_threads() if math.prod(self.rows_shape) >= PARALLEL_SIZE else 1


def periodic_axes(A: SeparableStencil | VariableStencil) -> tuple[bool, ...]:
    """Say for each axis whether it closes on itself.

    Parameters
    ----------
    A : SeparableStencil or VariableStencil
        The stencil.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> from conjugo.solvers.stationary.stencil_rows import periodic_axes
    >>> periodic_axes(VariableStencil(np.full(3, 2.0), [-np.ones(3)]))
    (True,)
    """
    if isinstance(A, SeparableStencil):
        return tuple(axis.periodic for axis in A.axes)
    wraps = [np.take(upper, -1, axis).any() for axis, upper in enumerate(A.upper)]
    if A.lower is not None:
        wraps = [w or np.take(low, 0, axis).any() for axis, (w, low) in enumerate(zip(wraps, A.lower, strict=True))]
    return tuple(bool(w) for w in wraps)


def _separable(A: SeparableStencil, dtype: np.dtype[Any]) -> sweeps.Layout:
    """Tables of one row; what depends on the slower axes sits in the scalars of the rows."""
    fast = A.axes[-1]
    n0, n1 = (1, 1, *A.grid_shape[:-1])[-2:]
    row = np.zeros((n0, n1, 7))
    row[..., 5:] = 1.0
    row[..., 4] = A.shift
    for place, axis in enumerate(reversed(A.axes[:-1])):  # the middle axis first, then the slowest
        along = (None, slice(None)) if place == 0 else (slice(None), None)
        low = 2 - 2 * place
        row[..., low] = axis.lower[along]
        row[..., low + 1] = axis.upper[along]
        row[..., 4] += axis.diag[along]
        row[..., 5] *= axis.weight[along]
    row[..., 6] = 1 / row[..., 5]

    def table(values: NDArray[np.float64]) -> NDArray[Any]:
        return np.array(values[None, :], dtype=dtype)

    weight, inverse_weight = table(fast.weight)[0], table(1 / fast.weight)[0]
    ones = table(np.ones(len(fast)))
    lower, upper, diagonal = table(fast.lower), table(fast.upper), table(fast.diag)
    rows = np.ascontiguousarray(row.reshape(-1, 7), dtype=dtype)
    return sweeps.Layout(n0, n1, rows, ones, ones, ones, ones, lower, upper, diagonal, weight, inverse_weight, 0, 0)


def _variable(A: VariableStencil, dtype: np.dtype[Any]) -> sweeps.Layout:
    """Tables that are the stencil's own arrays."""
    m = A.grid_shape[-1]
    n0, n1 = (1, 1, *A.grid_shape[:-1])[-2:]

    def table(values: NDArray[Any]) -> NDArray[Any]:
        return np.require(values.reshape(-1, m), dtype, ["C", "W"])

    upper = [table(u) for u in A.upper]
    lower = upper if A.lower is None else [table(low) for low in A.lower]
    missing = 3 - len(upper)
    U0, U1, U2 = [upper[-1]] * missing + upper  # tables of missing axes are never read
    L0, L1, L2 = [lower[-1]] * missing + lower
    row = np.broadcast_to(np.array([1, 1, 1, 1, 0, 1, 1], dtype), (n0 * n1, 7)).copy()
    ones = np.ones(m, dtype)
    symmetric = int(A.lower is None)
    return sweeps.Layout(n0, n1, row, L0, U0, L1, U1, L2, U2, table(A.diag), ones, ones, 1, symmetric)
