"""Matrix-free stencils whose coefficients vary from node to node: variable media, masks, convection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.stencil import Stencil

type Couplings = Sequence[NDArray[np.floating]]


class VariableStencil(Stencil):
    """A three-, five- or seven-point operator with one diagonal and one coupling array per axis.

    Parameters
    ----------
    diag : grid-shaped array
        Diagonal entries A[i, i].
    upper : sequence of grid-shaped arrays
        `upper[a][i]` is the matrix entry A[i, i + e_a] (negative for a Laplacian). In the last plane along axis a
        it couples to the first plane (periodic) or is 0.
    lower : sequence of grid-shaped arrays, optional
        `lower[a][i]` is A[i, i - e_a], in the first plane the coupling to the last. None where A is symmetric.
    active : grid-shaped bool array, optional
        Nodes that are unknowns. An inactive node has the row of the identity: diagonal 1, no couplings either way.
    nullspace : (n, k) array, optional
        Orthonormal columns that A maps to zero.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> A = VariableStencil(np.array([2.0, 3.0]), [np.array([-1.0, 0.0])])
    >>> A @ np.ones(2)
    array([1., 2.])
    """

    _kernels_home = "conjugo.solvers.kernels.variable"

    def __init__(
        self,
        diag: NDArray[np.floating],
        upper: Couplings,
        lower: Couplings | None = None,
        *,
        active: NDArray[np.bool_] | None = None,
        nullspace: NDArray[np.float64] | None = None,
    ) -> None:
        if diag.ndim not in (1, 2, 3):
            raise ValueError(f"diag has {diag.ndim} dimensions: expected 1, 2 or 3")
        self.dtype = np.dtype(diag.dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"diag has dtype {self.dtype}: expected float32 or float64")
        self.diag = np.ascontiguousarray(diag)
        self.upper = self._checked("upper", upper)
        self.lower = None if lower is None else self._checked("lower", lower)
        if active is not None and active.shape != diag.shape:
            raise ValueError(f"active has shape {active.shape} but diag has {diag.shape}: they must agree")
        self.active = None if active is None else np.ascontiguousarray(active, dtype=np.bool_)
        self.grid_shape = tuple(diag.shape)
        self.nullspace = nullspace
        self._fixed = self._packed()
        self.periodic = tuple(bool(np.any(np.take(u, -1, axis))) for axis, u in enumerate(self.upper))

    def _checked(self, name: str, arrays: Couplings) -> tuple[NDArray[np.floating], ...]:
        if len(arrays) != self.diag.ndim:
            raise ValueError(f"{name} has {len(arrays)} arrays: expected one for each of the {self.diag.ndim} axes")
        for axis, array in enumerate(arrays):
            if array.shape != self.diag.shape:
                raise ValueError(f"{name}[{axis}] has shape {array.shape}: expected {self.diag.shape}, as diag")
        return tuple(np.ascontiguousarray(array, dtype=self.dtype) for array in arrays)

    def _packed(self) -> tuple[Any, ...]:
        """Diagonal and couplings as the kernels take them: planes, rows and the contiguous axis."""

        def three(arrays: tuple[NDArray[np.floating], ...]) -> list[NDArray[np.floating]]:
            *outer, last = (a.ravel() for a in arrays)
            return [*[*outer, last, last][:2], last]

        upper = three(self.upper)
        lower = upper if self.lower is None else three(self.lower)
        return (*self._planes, self.diag.ravel(), *upper, *lower, self.diag.ndim, self.lower is None)

    def _coefficients(self) -> tuple[Any, ...]:
        return self._fixed

    @property
    def symmetric(self) -> bool:
        """Whether A is stored as a symmetric operator."""
        return self.lower is None

    @property
    def nbytes(self) -> int:
        """Bytes that the operator keeps."""
        return int(self.diag.nbytes + sum(a.nbytes for a in self.upper + (self.lower or ())))

    def diagonal(self) -> NDArray[np.floating]:
        """Diagonal of A, (n,)."""
        total = self.diag
        for axis, wraps in enumerate(self.periodic):
            if wraps and self.grid_shape[axis] == 1:  # a node that is its own neighbour
                total = total + self.upper[axis] + (self.upper if self.lower is None else self.lower)[axis]
        return total.ravel()

    def tocsr(self) -> sp.csr_array:
        """Assemble A."""
        index = np.arange(self.shape[0]).reshape(self.grid_shape)
        rows, cols, values = [index.ravel()], [index.ravel()], [self.diag.ravel()]
        for axis in range(self.diag.ndim):
            after = np.roll(index, -1, axis)
            upper = self.upper[axis]
            back = np.roll(upper, 1, axis) if self.lower is None else self.lower[axis]
            for neighbour, coupling in ((after, upper), (np.roll(index, 1, axis), back)):
                kept = coupling.ravel() != 0
                rows.append(index.ravel()[kept])
                cols.append(neighbour.ravel()[kept])
                values.append(coupling.ravel()[kept])
        data = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
        return sp.csr_array(data, shape=self.shape)

    def astype(self, dtype: np.dtype[np.floating] | type) -> VariableStencil:
        """Return the same operator in another precision."""
        lower = None if self.lower is None else [a.astype(dtype) for a in self.lower]
        upper = [a.astype(dtype) for a in self.upper]
        return VariableStencil(self.diag.astype(dtype), upper, lower, active=self.active, nullspace=self.nullspace)

    @property
    def T(self) -> VariableStencil:  # noqa: N802
        """Transpose."""
        if self.lower is None:
            return self
        upper = [np.roll(a, -1, axis) for axis, a in enumerate(self.lower)]
        lower = [np.roll(a, 1, axis) for axis, a in enumerate(self.upper)]
        return VariableStencil(self.diag, upper, lower, active=self.active)

    def _sliced(self, x: Array) -> Array:
        xp = array_namespace(x)
        y = self._moved("diag", self.diag, x)[..., None] * x
        for axis, values in enumerate(self.upper):
            upper = self._moved(f"upper {axis}", values, x)[..., None]
            y += upper * xp.roll(x, -1, axis=axis)
            if self.lower is None:
                y += xp.roll(upper * x, 1, axis=axis)
            else:
                y += self._moved(f"lower {axis}", self.lower[axis], x)[..., None] * xp.roll(x, 1, axis=axis)
        return y
