"""The step that Jacobi and Chebyshev share: correct x and find the new residual."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conjugo.solvers.operators.protocol import Array, LinearOperator

type Correct = Callable[[Array, Array, Array], tuple[Array, Array, float | None]]
"""correct(x, z, r) returns x + z, b - A (x + z) and, where known, the norm of the latter; x and r are given up."""


def corrector(A: LinearOperator, b: Array) -> Correct:
    """Choose the fused pass of a stencil where it fits b, two products otherwise.

    Parameters
    ----------
    A : operator
        A stencil of b's precision has the fused pass `correct`.
    b : (n,) or (n, k) array
        Right-hand side.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.stationary.correction import corrector
    >>> corrector(np.eye(2), np.ones(2))(np.zeros(2), np.ones(2), np.ones(2))[1]
    array([0., 0.])
    """
    fused = getattr(A, "correct", None)
    if fused is not None and isinstance(b, np.ndarray) and b.ndim == 1 and b.dtype == getattr(A, "dtype", None):
        rhs = np.array(b)  # contiguous and writeable, as the compiled pass expects

        def in_place(x: Array, z: Array, r: Array) -> tuple[Array, Array, float | None]:
            return x, r, float(fused(x, z, rhs, r)) ** 0.5

        return in_place

    def general(x: Array, z: Array, r: Array) -> tuple[Array, Array, float | None]:
        x = x + z
        return x, b - A @ x, None

    return general
