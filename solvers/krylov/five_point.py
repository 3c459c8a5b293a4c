"""Five-point stencils on a rectangle as three arrays, from whatever holds them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.operators.separable import Axis, SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil

type Vector = NDArray[np.float64]


class FivePoint(NamedTuple):
    """A symmetric matrix that couples node (i, j) of an (n0, n1) grid to (i, j + 1) and (i + 1, j).

    Parameters
    ----------
    n0, n1 : int
        Rows and columns of the grid; node (i, j) is unknown i n1 + j.
    diag, east, north : (n0 n1,) array
        Diagonal, and couplings to (i, j + 1), zero in the last column, and to (i + 1, j), zero in the last row.
    constant : bool
        Whether all diagonal entries are equal.
    """

    n0: int
    n1: int
    diag: Vector
    east: Vector
    north: Vector
    constant: bool


def five_point(A: Any) -> FivePoint | None:
    """Read A as a five-point stencil.

    Parameters
    ----------
    A : stencil or sparse array, float64
        A two-dimensional stencil without periodic axes, or a sparse array that holds one in the order of its rows.

    Returns
    -------
    FivePoint or None
        None where A is something else: of another precision or dimension, unsymmetric, or with a null space.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from conjugo.solvers.krylov.five_point import five_point
    >>> line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(4, 4))
    >>> stencil = five_point(sp.csr_array(sp.kronsum(line, line)))
    >>> stencil.n0, stencil.n1, stencil.constant
    (4, 4, True)
    """
    if getattr(A, "dtype", None) != np.float64 or getattr(A, "nullspace", None) is not None:
        return None
    if isinstance(A, SeparableStencil | VariableStencil):
        if len(A.grid_shape) != 2 or min(A.grid_shape) < 2:
            return None
        return _separable(A) if isinstance(A, SeparableStencil) else _variable(A)
    if sp.issparse(A) and A.format in ("csr", "csc") and A.shape[0] == A.shape[1]:
        return _sparse(A)
    return None


def _variable(A: VariableStencil) -> FivePoint | None:
    if any(A.periodic) or not A.symmetric:
        return None
    diag = np.asarray(A.diag.ravel(), dtype=np.float64)
    north, east = (np.asarray(coupling.ravel(), dtype=np.float64) for coupling in A.upper)
    n0, n1 = A.grid_shape
    return FivePoint(n0, n1, diag, east, north, bool(diag.min() == diag.max()))


def _mirrored(axis: Axis) -> bool:
    """Whether an axis is symmetric to the last bit: quicker to see than `A.symmetric`."""
    upper, lower, weight = axis.upper, axis.lower, axis.weight
    return bool((weight[:-1] * upper[:-1] == weight[1:] * lower[1:]).all())


def _separable(A: SeparableStencil) -> FivePoint | None:
    first, last = A.axes
    if first.periodic or last.periodic or not (all(_mirrored(axis) for axis in A.axes) or A.symmetric):
        return None
    n0, n1 = A.grid_shape
    diag = np.add.outer(first.diag, last.diag + A.shift)
    east, north = np.broadcast_to(last.upper, (n0, n1)), np.broadcast_to(first.upper[:, None], (n0, n1))
    if any(np.any(axis.weight != 1) for axis in A.axes):
        weight = A.weights()
        diag, east, north = weight * diag, weight * east, weight * north
    constant = bool(diag.min() == diag.max())
    return FivePoint(n0, n1, diag.ravel(), np.ravel(east), np.ravel(north), constant)


def _sparse(A: Any) -> FivePoint | None:
    """Read the diagonals 0, 1 and m of a matrix that has no others but -1 and -m."""
    n = A.shape[0]
    if A.nnz > 5 * n or not A.has_sorted_indices or not A.has_canonical_format:
        return None
    m = int(A.indices[A.indptr[1] - 1])  # the farthest neighbour of the first unknown
    if m < 2 or n % m or n // m < 2:
        return None
    offsets = A.indices - np.repeat(np.arange(n, dtype=A.indices.dtype), np.diff(A.indptr))
    parts = {k: offsets == k for k in (-m, -1, 0, 1, m)}
    if sum(int(np.count_nonzero(part)) for part in parts.values()) != A.nnz:
        return None
    diag, east, north = np.zeros(n), np.zeros(n), np.zeros(n)
    where = np.repeat(np.arange(n), np.diff(A.indptr))
    west, south = np.zeros(n), np.zeros(n)
    for k, values in ((0, diag), (1, east), (m, north), (-1, west), (-m, south)):
        values[where[parts[k]]] = A.data[parts[k]]
    scale = 1e-12 * float(np.abs(A.data).max(initial=0.0))
    if np.abs(east[:-1] - west[1:]).max() > scale or np.abs(north[:-m] - south[m:]).max() > scale:
        return None
    if np.any(east.reshape(-1, m)[:, -1]):
        return None
    return FivePoint(n // m, m, diag, east, north, bool(diag.min() == diag.max()))
