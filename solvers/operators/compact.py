"""Matrix-free symmetric stencils over the whole box of 3^d nodes: finite elements, tensors that are not aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.solvers.multigrid.parity import directions
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.stencil import Stencil


class CompactStencil(Stencil):
    """A symmetric three-, nine- or 27-point operator with one coupling array for each direction of half the box.

    Parameters
    ----------
    diag : grid-shaped array
        Diagonal entries A[i, i]; float32 or float64, one to three axes.
    couplings : sequence of grid-shaped arrays
        `couplings[m][i]` is the matrix entry A[i, i + n] (and A[i + n, i]) with n = `directions(d, True)[m]`: in 2-D
        (0, 1), (1, -1), (1, 0), (1, 1), in 3-D thirteen. Where i + n lies beyond an end, it couples to the node at the
        other end (periodic) or is 0.
    active : grid-shaped bool array, optional
        Nodes that are unknowns. An inactive node has the row of the identity: diagonal 1, no couplings.
    nullspace : (n, k) array, optional
        Orthonormal columns that A maps to zero.

    Raises
    ------
    ValueError
        For shapes and precisions that do not fit, and for a node that couples to itself across an axis of one node.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.compact import CompactStencil
    >>> A = CompactStencil(np.array([2.0, 3.0]), [np.array([-1.0, 0.0])])
    >>> A @ np.ones(2)
    array([1., 2.])
    """

    _kernels_home = "conjugo.solvers.kernels.compact"
    symmetric = True

    def __init__(
        self,
        diag: NDArray[np.floating],
        couplings: Sequence[NDArray[np.floating]],
        *,
        active: NDArray[np.bool_] | None = None,
        nullspace: NDArray[np.float64] | None = None,
    ) -> None:
        if diag.ndim not in (1, 2, 3):
            raise ValueError(f"diag has {diag.ndim} dimensions: expected 1, 2 or 3")
        self.dtype = np.dtype(diag.dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"diag has dtype {self.dtype}: expected float32 or float64")
        self.directions = directions(diag.ndim, True)
        if len(couplings) != len(self.directions):
            raise ValueError(
                f"couplings has {len(couplings)} arrays: expected {len(self.directions)}, one for each direction of "
                f"directions({diag.ndim}, True)"
            )
        for way, array in zip(self.directions, couplings, strict=True):
            if array.shape != diag.shape:
                raise ValueError(f"the coupling towards {way} has shape {array.shape}: expected {diag.shape}, as diag")
        if active is not None and active.shape != diag.shape:
            raise ValueError(f"active has shape {active.shape} but diag has {diag.shape}: they must agree")
        self.active = None if active is None else np.ascontiguousarray(active, dtype=np.bool_)
        self.grid_shape = tuple(diag.shape)
        self.nullspace = nullspace
        self._values: NDArray[np.floating] = np.stack([np.asarray(v, dtype=self.dtype) for v in (diag, *couplings)])
        self.periodic = tuple(self._wraps(axis) for axis in range(diag.ndim))

    @property
    def diag(self) -> NDArray[np.floating]:
        """Diagonal, grid-shaped: a view."""
        return np.asarray(self._values[0])

    @property
    def couplings(self) -> tuple[NDArray[np.floating], ...]:
        """Couplings towards each of `directions`, grid-shaped: views."""
        return tuple(self._values[1:])

    def _wraps(self, axis: int) -> bool:
        """Whether a coupling leads across the ends of an axis."""
        over = [(c, n[axis]) for c, n in zip(self.couplings, self.directions, strict=True) if n[axis]]
        found = any(np.any(np.take(c, -1 if d > 0 else 0, axis)) for c, d in over)
        if found and self.grid_shape[axis] == 1:
            raise ValueError(f"axis {axis} has one node, which couples to itself: add such entries to diag")
        return found

    def _coefficients(self) -> tuple[Any, ...]:
        return (*self._planes, self._values.reshape(-1), len(self.grid_shape))

    @property
    def nbytes(self) -> int:
        """Bytes that the operator keeps."""
        return int(self._values.nbytes)

    def diagonal(self) -> NDArray[np.floating]:
        """Diagonal of A, (n,)."""
        return self.diag.ravel()

    def tocsr(self) -> sp.csr_array:
        """Assemble A."""
        index = np.arange(self.shape[0]).reshape(self.grid_shape)
        axes = tuple(range(index.ndim))
        rows, cols, values = [index.ravel()], [index.ravel()], [self.diag.ravel()]
        for way, coupling in zip(self.directions, self.couplings, strict=True):
            kept = coupling.ravel() != 0
            here = index.ravel()[kept]
            there = np.roll(index, [-d for d in way], axes).ravel()[kept]
            rows += [here, there]
            cols += [there, here]
            values += [coupling.ravel()[kept]] * 2
        data = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
        return sp.csr_array(data, shape=self.shape)

    def astype(self, dtype: np.dtype[np.floating] | type) -> Self:
        """Return the same operator in another precision."""
        diag, *couplings = self._values.astype(dtype)
        return type(self)(diag, couplings, active=self.active, nullspace=self.nullspace)

    @property
    def T(self) -> Self:  # noqa: N802
        """Transpose: itself."""
        return self

    def _sliced(self, x: Array) -> Array:
        xp = array_namespace(x)
        axes = tuple(range(len(self.grid_shape)))
        y = self._moved("diag", self.diag, x)[..., None] * x
        for way, values in zip(self.directions, self.couplings, strict=True):
            c = self._moved(f"coupling {way}", values, x)[..., None]
            y += c * xp.roll(x, tuple(-d for d in way), axis=axes)
            y += xp.roll(c * x, way, axis=axes)
        return y
