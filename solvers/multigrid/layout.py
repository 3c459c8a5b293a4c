"""How a tensor hierarchy's levels lie in flat arrays, for kernels that see integers and coefficients only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.multigrid.transfers import Transfer, cubic_weights
from conjugo.solvers.operators.separable import Axis

type Axes = tuple[Axis, Axis, Axis]
type Transfers = tuple[Transfer | None, Transfer | None, Transfer | None]

COLUMNS = 38
"""0-2 nodes, 3-5 coarse nodes, 6-8 first coarse node (-1: not coarsened), 9-11 periodic, 12 whether the last axis is
uniform inside, 13 its entries in natural order, 14 the coarsest solve, 15 smoother (0 red-black, 1 Chebyshev),
16-18 entries per axis (the last one's even nodes first), 19 scalars, 20-22 prolongations, 23-25 restrictions,
26-30 the level's b, z, half x, two more vectors, 31-32 whether the last axis' ends need entries of their own,
33 whether the middle axis is uniform inside, 34 one more vector, 35-37 cubic interpolation."""


def halves(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Even places first, then odd ones."""
    return np.concatenate([values[0::2], values[1::2]])


def uniform_inside(axis: Axis) -> bool:
    """Whether all nodes but the two ends have the same entries, the lower one equal to the upper one."""
    if len(axis) <= 2:
        return True
    middle = len(axis) // 2
    inside = slice(1, -1)
    same = [np.allclose(v[inside], axis.upper[middle], rtol=1e-9, atol=0.0) for v in (axis.lower, axis.upper)]
    return bool(all(same) and np.allclose(axis.diag[inside], axis.diag[middle], rtol=1e-9, atol=0.0))


def irregular_ends(axis: Axis) -> tuple[bool, bool]:
    """Whether the first and the last node differ from the others, a coupling to nothing aside."""
    n, middle = len(axis), len(axis) // 2
    if n <= 2:
        return True, True
    diag, coupling = axis.diag[middle], axis.upper[middle]
    ends = [(axis.diag[0], axis.upper[0]), (axis.diag[-1], axis.lower[-1])]
    if axis.periodic and not (np.isclose(axis.lower[0], coupling) and np.isclose(axis.upper[-1], coupling)):
        return True, True
    first, last = (not np.allclose(end, (diag, coupling), rtol=1e-9, atol=0.0) for end in ends)
    return first, last


class Layout:
    """Collects coefficients and reserves vectors; `table` says where they are."""

    def __init__(self, levels: int) -> None:
        self.table = np.zeros((levels, COLUMNS), dtype=np.int64)
        self.places = 0
        self._blocks: list[NDArray[np.float64]] = []
        self._length = 0

    def coefficients(self, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """All coefficients in one array."""
        return np.concatenate(self._blocks).astype(dtype)

    def put(self, *values: NDArray[np.float64]) -> int:
        """Append coefficients and return where they start."""
        start = self._length
        for block in values:
            flat = np.asarray(block, dtype=np.float64).ravel()
            self._blocks.append(flat)
            self._length += flat.size
        return start

    def reserve(self, size: int) -> int:
        """Reserve places for a vector, aligned to 64 bytes of float32."""
        start = self.places
        self.places += (size + 15) // 16 * 16
        return start

    def operator(self, level: int, axes: Axes, shift: float, damped: tuple[float, float]) -> None:
        """Write the entries of one level; `damped` is the interval of the spectrum that Chebyshev damps."""
        row = self.table[level]
        row[0:3] = [len(axis) for axis in axes]
        row[9:12] = [axis.periodic for axis in axes]
        last = axes[2]
        row[12], row[33] = uniform_inside(last), uniform_inside(axes[1])
        row[31:33] = irregular_ends(last) if row[12] else (False, False)
        row[13] = self.put(last.lower, last.diag, last.upper)
        for k, axis in enumerate(axes[:2]):
            row[16 + k] = self.put(axis.lower, axis.diag, axis.upper)
        row[18] = self.put(halves(last.lower), halves(last.diag), halves(last.upper))
        middle = len(last) // 2
        row[19] = self.put(np.array([last.lower[middle], last.diag[middle], shift, 1.0, 0.0, *damped, 0.5]))

    def transfer(self, level: int, transfers: Transfers) -> None:
        """Write the transfers between a level and the next one."""
        row = self.table[level]
        for k, transfer in enumerate(transfers):
            if transfer is None:
                row[3 + k], row[6 + k] = row[k], -1
                row[20 + k] = self.put(np.array([1.0, 0.0]))
                continue
            row[3 + k], row[6 + k] = len(transfer.centre), transfer.first
            row[23 + k] = self.put(transfer.lower, transfer.centre, transfer.upper)
            if k < 2:
                row[20 + k] = self.put(np.array([1.0, 0.0]), transfer.left, transfer.right)
            else:
                between = slice(1 - transfer.first, None, 2)
                row[22] = self.put(transfer.left[between], transfer.right[between])

    def cubic(self, level: int, axes: Axes, transfers: Transfers) -> None:
        """Write the weights of cubic interpolation from the next level."""
        for k, (axis, transfer) in enumerate(zip(axes, transfers, strict=True)):
            if transfer is not None:
                self.table[level, 35 + k] = self.put(cubic_weights(axis, transfer))

    def solve(self, level: int, axes: Axes, shift: float) -> None:
        """Write the eigenvectors of the coarsest operator and the inverses of its eigenvalues.

        Raises
        ------
        ValueError
            Where an eigenvalue is negative.
        """
        forward, back, values = [], [], np.full((1, 1, 1), shift)
        for k, axis in enumerate(axes):
            root = np.sqrt(axis.weight)
            T = axis.tocsr().toarray() * root[:, None] / root
            eigenvalues, Q = np.linalg.eigh((T + T.T) / 2)
            forward.append(Q.T * root)
            back.append(Q / root[:, None])
            values = values + eigenvalues.reshape([-1 if j == k else 1 for j in range(3)])
        zero = np.abs(values) <= 1e-11 * np.max(np.abs(values))
        if np.any(values[~zero] < 0):
            raise ValueError(
                f"shift = {shift}: the coarsest operator has the eigenvalue {values.min():.3g}; multigrid expects a "
                "positive (semi-)definite A: use minres, or fgmres with the multigrid of A without its negative shift"
            )
        inverse = np.zeros_like(values)
        inverse[~zero] = 1.0 / values[~zero]
        size = math.prod(len(axis) for axis in axes)
        self.table[level, 14] = self.put(*forward, *back, inverse, np.zeros(size))
