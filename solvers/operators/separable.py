"""Operators that are a sum over axes: constant coefficients, any boundary condition, any spacing per axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.stencil import Stencil


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One axis: row j of the tridiagonal T reads lower[j] x[j-1] + diag[j] x[j] + upper[j] x[j+1].

    Parameters
    ----------
    lower, diag, upper : (n,) float64
        Entries of T (in units of the coefficient over length squared). On a periodic axis lower[0] couples
        to x[n-1] and upper[n-1] to x[0]; elsewhere both are zero.
    weight : (n,) float64
        Relative control volume of each node: 1 inside, 1/2 at a vertex-centred Neumann end. diag(weight) T is symmetric
        where the operator is.
    periodic : bool
        Whether the axis closes on itself.
    """

    lower: NDArray[np.float64]
    diag: NDArray[np.float64]
    upper: NDArray[np.float64]
    weight: NDArray[np.float64]
    periodic: bool = False

    def __post_init__(self) -> None:
        n = len(self.diag)
        for name in ("lower", "diag", "upper", "weight"):
            values = np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            if values.shape != (n,) or not np.all(np.isfinite(values)):
                raise ValueError(f"{name} has shape {values.shape}: expected ({n},) finite numbers, one a node")
            object.__setattr__(self, name, values)
        if not self.periodic and (self.lower[0] != 0 or self.upper[-1] != 0):
            raise ValueError("lower[0] and upper[-1] must be 0 on an axis that is not periodic")
        if not np.all(self.weight > 0):
            raise ValueError(f"weight has minimum {self.weight.min()}: expected positive control volumes")

    def __len__(self) -> int:
        return len(self.diag)

    def tocsr(self) -> sp.csr_array:
        """Assemble T (without the weights)."""
        n = len(self)
        j = np.arange(n)
        rows = np.concatenate([j, j, j])
        cols = np.concatenate([(j - 1) % n, j, (j + 1) % n])
        values = np.concatenate([self.lower, self.diag, self.upper])
        kept = values != 0
        return sp.csr_array((values[kept], (rows[kept], cols[kept])), shape=(n, n))


class SeparableStencil(Stencil):
    """A = W (T_0 x I x I + I x T_1 x I + ... + shift I) on a structured grid, W the product of the axes' weights.

    Parameters
    ----------
    axes : sequence of Axis
        One a dimension, slowest first (C order).
    shift : float
        Multiple of the identity: positive for a reaction term, negative for Helmholtz.
    nullspace : (n, k) array, optional
        Orthonormal columns that A maps to zero; declared by who builds the operator.
    dtype : dtype
        float64 or float32.

    Notes
    -----
    Three coefficients a node and axis describe a constant-coefficient Laplacian with Dirichlet, Neumann or periodic
    ends, cell- or vertex-centred, any spacing; no array over the grid is stored.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
    >>> one = Axis(lower=np.array([0.0, -1.0]), diag=np.full(2, 2.0), upper=np.array([-1.0, 0.0]), weight=np.ones(2))
    >>> A = SeparableStencil((one, one))
    >>> A @ np.ones(4)
    array([2., 2., 2., 2.])
    """

    _kernels_home = "conjugo.solvers.kernels.separable"

    def __init__(
        self,
        axes: tuple[Axis, ...] | list[Axis],
        shift: float = 0.0,
        *,
        nullspace: NDArray[np.float64] | None = None,
        dtype: np.dtype[np.floating] | type = np.float64,
    ) -> None:
        if not 1 <= len(axes) <= 3:
            raise ValueError(f"{len(axes)} axes: expected 1, 2 or 3")
        self.axes = tuple(axes)
        self.shift = float(shift)
        self.grid_shape = tuple(len(axis) for axis in axes)
        self.nullspace = nullspace
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"dtype = {self.dtype}: expected float32 or float64")
        self._fixed = self._packed()

    def _packed(self) -> tuple[Any, ...]:
        """Per-axis coefficients as the kernels take them: planes, rows and the contiguous axis, and its uniformity."""
        absent = np.array([[0.0], [0.0], [0.0], [1.0]])
        *outer, last = [np.stack([a.lower, a.diag, a.upper, a.weight]) for a in self.axes]
        planes, rows = [*outer, absent, absent][:2]
        inside = last[:, 1:-1]
        uniform = bool(np.all(inside == inside[:, :1]))
        planes = planes + self.shift * np.array([[0.0], [1.0], [0.0], [0.0]])
        return (*(np.ascontiguousarray(c, dtype=self.dtype) for c in (planes, rows, last)), uniform)

    def _coefficients(self) -> tuple[Any, ...]:
        return self._fixed

    @property
    def nbytes(self) -> int:
        """Bytes that the operator keeps."""
        return sum(a.lower.nbytes + a.diag.nbytes + a.upper.nbytes + a.weight.nbytes for a in self.axes)

    @property
    def symmetric(self) -> bool:
        """Whether A equals its transpose (to rounding)."""

        def one(axis: Axis) -> bool:
            forward, back = axis.weight * axis.upper, np.roll(axis.weight * axis.lower, -1)
            return bool(np.allclose(forward, back, rtol=1e-13, atol=0.0))

        return all(one(axis) for axis in self.axes)

    def weights(self) -> NDArray[np.float64]:
        """Product of the axes' weights at every node, shaped like the grid."""
        return reduce(np.multiply.outer, [axis.weight for axis in self.axes])

    def diagonal(self) -> NDArray[np.floating]:
        """Diagonal of A, (n,)."""
        total = reduce(np.add.outer, [axis.tocsr().diagonal() for axis in self.axes]) + self.shift
        return np.ascontiguousarray((total * self.weights()).ravel(), dtype=self.dtype)

    def tocsr(self) -> sp.csr_array:
        """Assemble A."""
        total: sp.csr_array | None = None
        for axis in self.axes:  # kronsum(a, b) = I x a + b x I
            total = axis.tocsr() if total is None else sp.csr_array(sp.kronsum(axis.tocsr(), total))
        n = self.shape[0]
        A = sp.diags_array(self.weights().ravel()) @ (total + self.shift * sp.eye_array(n))
        return sp.csr_array(A, dtype=self.dtype)

    def astype(self, dtype: np.dtype[np.floating] | type) -> SeparableStencil:
        """Return the same operator in another precision."""
        return SeparableStencil(self.axes, self.shift, nullspace=self.nullspace, dtype=dtype)

    @property
    def T(self) -> SeparableStencil:  # noqa: N802
        """Transpose."""
        axes = []
        for a in self.axes:
            scaled_up, scaled_low = a.weight * a.upper, a.weight * a.lower
            lower, upper = np.roll(scaled_up, 1) / a.weight, np.roll(scaled_low, -1) / a.weight
            axes.append(Axis(lower, a.diag, upper, a.weight, a.periodic))
        return SeparableStencil(axes, self.shift, nullspace=None, dtype=self.dtype)

    def _sliced(self, x: Array) -> Array:
        xp = array_namespace(x)

        def along(name: str, axis: int) -> Array:
            """Coefficients of one axis, shaped to multiply x."""
            values = self._moved(f"{name} {axis}", getattr(self.axes[axis], name), x)
            return values.reshape(tuple(-1 if a == axis else 1 for a in range(x.ndim)))

        y = self.shift * x
        for axis, a in enumerate(self.axes):
            y += along("diag", axis) * x
            if np.any(a.lower) or np.any(a.upper):
                y += along("lower", axis) * xp.roll(x, 1, axis=axis)
                y += along("upper", axis) * xp.roll(x, -1, axis=axis)
        for axis, a in enumerate(self.axes):
            if np.any(a.weight != 1):
                y *= along("weight", axis)
        return y
