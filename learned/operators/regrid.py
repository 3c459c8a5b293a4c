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
    inset : float
        Distance of the model's outermost nodes from the walls, over the length of the axis: 0 where it was trained on
        nodes with the walls, 1 / (2 n) where on the centres of n cells.

    Raises
    ------
    ValueError
        For fields of another shape, a model's grid that is finer or has fewer than four nodes along an axis that is
        not its own, or an inset that is no part of a cell of the model or meets fields without walls.

    Notes
    -----
    Down: the nearest nodes of m equally spaced ones; every k-th where (n - 1) / (m - 1) = k, as the FNO protocol takes
    85 of 421. Coefficients that jump must not be averaged. Up: not-a-knot cubic splines, one matrix an axis. A grid
    that is the model's own is copied without interpolation. With an inset the answers lie that far inside; with `hold`
    the outermost ones give way to the zeros on the walls.

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
        self,
        grid: Grid,
        shape: Sequence[int],
        size: Sequence[int] | None = None,
        *,
        hold: bool = True,
        inset: float = 0.0,
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
        most = 0.5 / max(self.size)
        if not 0 <= inset <= most or (inset and not self._walled):
            raise ValueError(
                f"inset = {inset} for fields of shape {self.shape}: expected 0 to {most:.4g}, and fields with the walls"
            )
        self._hold = hold and self._walled
        self._kept: list[NDArray[np.intp]] = []
        self._splines: list[NDArray[np.float64] | None] = []
        for axis, (n, m) in enumerate(zip(self.shape, self.size, strict=True)):
            if n != m and not 4 <= m < n:
                raise ValueError(
                    f"size = {self.size}: expected 4 to {n} nodes along axis {axis}, as many as the fields have"
                )
            places = np.linspace(inset, 1 - inset, m)
            kept = np.round(places * (n - 1)).astype(np.intp)
            wanted = grid.coordinates()[axis]
            nodes = np.linspace(0.0, grid.lengths[axis], n) if self._walled else wanted
            at = places * grid.lengths[axis] if inset else nodes[kept]
            if inset and self._hold:
                at[0], at[-1] = nodes[0], nodes[-1]
            self._kept.append(kept)
            self._splines.append(None if n == m and not inset else _spline(at, wanted))

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
