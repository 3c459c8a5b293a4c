"""From an operator to its rows: who can be swept, and what a sweep needs."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil


class Rows(Protocol):
    """What the sweeps need of a matrix: `StencilRows` and `CSRRows` have it."""

    coloured: bool

    def sweep(self, x: NDArray[Any], b: NDArray[Any], omega: float, backward: bool = False) -> None:
        """Relax every unknown in order."""

    def relax_colours(self, x: NDArray[Any], b: NDArray[Any], omega: float) -> float:
        """Relax colour after colour and return the squared residual."""

    def residual_square(self, x: NDArray[Any], b: NDArray[Any]) -> float:
        """||b - A x||^2."""


def rows_of(A: LinearOperator, dtype: np.dtype[Any], method: str) -> Rows:
    """Prepare the rows of A for sweeps in the precision `dtype`.

    Parameters
    ----------
    A : stencil, sparse array or dense array
        Real, (n, n).
    dtype : dtype
        Precision of the vectors to be swept, float32 or float64.
    method : str
        Who asks, for the messages.

    Raises
    ------
    ValueError
        If A has no entries to sweep over, or a zero diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.rows import rows_of
    >>> x = np.zeros(2)
    >>> rows_of(np.array([[2.0, 0.0], [1.0, 1.0]]), x.dtype, "doc").sweep(x, np.ones(2), 1.0)
    >>> x
    array([0.5, 0.5])
    """
    diagonal_of(A, method)
    if isinstance(A, SeparableStencil | VariableStencil) and sweepable(A):
        from conjugo.solvers.stationary.stencil_rows import StencilRows

        return StencilRows(A, dtype)
    from conjugo.solvers.stationary.csr_rows import CSRRows

    return CSRRows(entries_of(A, method), dtype)


def sweepable(A: SeparableStencil | VariableStencil, shortest: int = 2) -> bool:
    """Whether every periodic axis has at least `shortest` nodes, so that the stencil's couplings are matrix entries.

    Parameters
    ----------
    A : SeparableStencil or VariableStencil
        The stencil.
    shortest : int
        2 for sweeps; 4 where no two neighbours may have a third in common.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> from conjugo.solvers.stationary.rows import sweepable
    >>> circle = VariableStencil(np.full(3, 2.0), [-np.ones(3)])
    >>> sweepable(circle), sweepable(circle, shortest=4)
    (True, False)
    """
    from conjugo.solvers.stationary.stencil_rows import periodic_axes

    return all(n >= shortest for n, wraps in zip(A.grid_shape, periodic_axes(A), strict=True) if wraps)


def entries_of(A: LinearOperator, method: str) -> sp.csr_array:
    """Return A as real compressed sparse rows, sorted and without duplicates; A itself is not changed.

    Parameters
    ----------
    A : stencil, sparse array or dense array
        The matrix.
    method : str
        Who asks, for the messages.

    Raises
    ------
    ValueError
        If A has only products, or complex entries.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.rows import entries_of
    >>> entries_of(np.eye(2), "doc").nnz
    2
    """
    if isinstance(A, SeparableStencil | VariableStencil | CompactStencil):
        matrix = A.tocsr()
    elif sp.issparse(A):
        matrix = sp.csr_array(A, copy=True)
    elif isinstance(A, np.ndarray):
        matrix = sp.csr_array(A)
    else:
        raise ValueError(
            f"{method} needs the entries of A, but {type(A).__name__} offers only products: "
            "pass a sparse or dense array or a stencil, or use cg or chebyshev, which need none"
        )
    if np.iscomplexobj(matrix.data):
        raise ValueError(f"A has dtype {matrix.dtype}: {method} expects real entries; use cg or gmres")
    matrix.sum_duplicates()
    return matrix


def diagonal_of(A: LinearOperator, method: str) -> NDArray[Any]:
    """Diagonal of A, (n,), checked.

    Parameters
    ----------
    A : operator
        A dense array, or anything with a method `diagonal`.
    method : str
        Who asks, for the messages.

    Raises
    ------
    ValueError
        If A does not know its diagonal, or an entry is zero or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.rows import diagonal_of
    >>> diagonal_of(np.diag([1.0, 2.0]), "doc")
    array([1., 2.])
    """
    if isinstance(A, np.ndarray):
        diagonal = np.array(np.diagonal(A))
    elif hasattr(A, "diagonal"):
        diagonal = A.diagonal()
        if hasattr(diagonal, "detach"):
            diagonal = diagonal.detach().cpu()
        diagonal = np.asarray(diagonal)
    else:
        raise ValueError(
            f"{method} needs the diagonal of A, but {type(A).__name__} offers only products: "
            "pass a sparse or dense array or a stencil, or give A a method diagonal()"
        )
    bad = np.flatnonzero((diagonal == 0) | ~np.isfinite(diagonal))
    if bad.size:
        row = int(bad[0])
        raise ValueError(
            f"the diagonal of A is {diagonal[row]} in row {row} ({bad.size} such rows): {method} divides by it; "
            "reorder the unknowns, or use minres or gmres"
        )
    return diagonal


def check_omega(omega: float) -> float:
    """Return omega as a float.

    Parameters
    ----------
    omega : float
        Relaxation factor.

    Raises
    ------
    ValueError
        If omega is outside (0, 2).

    Examples
    --------
    >>> from conjugo.solvers.stationary.rows import check_omega
    >>> check_omega(1)
    1.0
    """
    if not 0 < omega < 2:
        raise ValueError(f"omega = {omega}: expected 0 < omega < 2; over-relaxation diverges outside, try 1.0")
    return float(omega)


def has_symmetric_entries(A: LinearOperator, method: str) -> bool:
    """Whether A equals its transpose: as it declares itself, or as its entries say (to 1e-10 of the largest).

    Parameters
    ----------
    A : stencil, sparse array or dense array
        The matrix.
    method : str
        Who asks, for the messages.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.rows import has_symmetric_entries
    >>> has_symmetric_entries(np.array([[1.0, 2.0], [0.0, 1.0]]), "doc")
    False
    """
    declared = getattr(A, "symmetric", None)
    if declared is not None:
        return bool(declared)
    matrix = entries_of(A, method)
    gap = abs(matrix - matrix.T)
    return gap.nnz == 0 or float(gap.max()) <= 1e-10 * float(abs(matrix).max())
