"""Between the grid that a model works on and the unknowns of a problem: stride down, cubic splines up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.interpolate
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.solvers.operators.protocol import Array


class Regrid:
    """Take fields on the nodes of a problem down to a model's nodes, and its answers up to the unknowns.

    Parameters
    ----------
    grid : Grid
        Of the unknowns.
    shape : sequence of int
        Of the input fields: the unknowns' own, or two more an axis, which are the walls of the box.
    size : sequence of int, optional
        Nodes an axis of the model; default `shape`.
    hold : bool
        Set answers to zero on the walls, where the fields include them.

    Raises
    ------
    ValueError
        For fields of another shape, or a model's grid that is finer or has fewer than four nodes along an axis that
        is not its own.

    Notes
    -----
    Down: the nearest nodes of m equally spaced ones; every k-th where (n - 1) / (m - 1) = k, as the FNO protocol takes
    85 of 421. Coefficients that jump must not be averaged. Up: not-a-knot cubic splines, one matrix an axis. A grid
    that is the model's own is copied without interpolation.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> regrid = Regrid(poisson((19, 19)).grid, (21, 21), (11, 11))
    >>> regrid.down(np.arange(441.0).reshape(1, 21, 21))[0, 0, :3]
    array([0., 2., 4.])
    >>> regrid.up(np.ones((1, 11, 11))).shape
    (1, 19, 19)
    """

    def __init__(
        self, grid: Grid, shape: Sequence[int], size: Sequence[int] | None = None, *, hold: bool = True
    ) -> None:
        self.shape = tuple(shape)
        walled = tuple(n + 2 for n in grid.shape)
        if self.shape not in (grid.shape, walled):
            raise ValueError(
                f"the fields have shape {self.shape}: expected {walled}, the nodes with the walls of the box, or "
                f"{grid.shape}, the unknowns"
            )
        self.size = self.shape if size is None else tuple(size)
        if len(self.size) != len(self.shape):
            raise ValueError(f"size = {self.size}: expected {len(self.shape)} numbers of nodes, one an axis")
        self._walled = self.shape == walled
        self._hold = hold and self._walled
        self._kept: list[NDArray[np.intp]] = []
        self._splines: list[NDArray[np.float64] | None] = []
        for axis, (n, m) in enumerate(zip(self.shape, self.size, strict=True)):
            if n != m and not 4 <= m < n:
                raise ValueError(
                    f"size = {self.size}: expected 4 to {n} nodes along axis {axis}, as many as the fields have"
                )
            kept = np.round(np.linspace(0, n - 1, m)).astype(np.intp)
            wanted = grid.coordinates()[axis]
            nodes = np.linspace(0.0, grid.lengths[axis], n) if self._walled else wanted
            self._kept.append(kept)
            self._splines.append(None if n == m else _spline(nodes[kept], wanted))

    def down(self, fields: Array) -> Array:
        """Return fields (..., *shape) at the model's nodes, (..., *size)."""
        for axis, kept in enumerate(self._kept):
            if len(kept) != self.shape[axis]:
                xp = array_namespace(fields)
                index = xp.asarray(kept, device=device(fields))
                fields = xp.take(fields, index, axis=fields.ndim - len(self.shape) + axis)
        return fields

    def up(self, fields: Array) -> Array:
        """Return answers (batch, *size) at the unknowns, (batch, *grid.shape)."""
        xp = array_namespace(fields)
        if self._hold:
            fields = xp.asarray(fields, copy=True)
            for axis in range(1, fields.ndim):
                for edge in (0, -1):
                    fields[(slice(None),) * axis + (edge,)] = 0.0
        inner = slice(1, -1) if self._walled else slice(None)
        for axis, spline in enumerate(self._splines, start=1):
            if spline is None:
                fields = fields[(slice(None),) * axis + (inner,)]
            else:
                matrix = xp.asarray(spline, dtype=fields.dtype, device=device(fields))
                fields = xp.moveaxis(xp.tensordot(matrix, fields, axes=([1], [axis])), 0, axis)
        return fields


def _spline(nodes: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix (wanted, nodes) of the cubic spline through values at the nodes."""
    values: Any = scipy.interpolate.make_interp_spline(nodes, np.eye(len(nodes)), k=3)(wanted)
    return np.asarray(values, dtype=np.float64)
