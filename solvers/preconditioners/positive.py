"""What the triangular preconditioners ask of a matrix before they start."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.stationary.rows import diagonal_of, has_symmetric_entries


def positive_diagonal(A: LinearOperator, name: str) -> tuple[NDArray[np.float64], np.dtype[Any]]:
    """Diagonal of a symmetric A in float64, and the precision of the preconditioner.

    Parameters
    ----------
    A : stencil, sparse array or dense array
        The matrix.
    name : str
        Who asks, for the messages.

    Raises
    ------
    ValueError
        If A is not symmetric, a diagonal entry is not positive, or A is not real.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.positive import positive_diagonal
    >>> positive_diagonal(np.diag([1.0, 2.0]), "doc")
    (array([1., 2.]), dtype('float64'))
    """
    diagonal = diagonal_of(A, name)
    dtype = np.dtype(np.float32) if diagonal.dtype == np.float32 else np.dtype(np.float64)
    if np.iscomplexobj(diagonal):
        raise ValueError(f"A has dtype {diagonal.dtype}: {name} expects real entries; use jacobi")
    if not has_symmetric_entries(A, name):
        raise ValueError(f"A is not symmetric: {name} expects A = A^T; use gmres with an incomplete LU instead")
    smallest = int(np.argmin(diagonal))
    if not diagonal[smallest] > 0:
        raise ValueError(
            f"the diagonal of A is {diagonal[smallest]} in row {smallest}: {name} expects a positive definite A; "
            "use minres without it, or gmres"
        )
    return diagonal.astype(np.float64), dtype
