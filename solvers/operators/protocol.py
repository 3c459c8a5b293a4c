"""What an operator is: anything with `.shape` and `@`. No base class."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

type Array = Any
"""A NumPy array or a torch tensor: whatever the right-hand side is."""


@runtime_checkable
class LinearOperator(Protocol):
    """A matrix, or anything that acts as one.

    SciPy sparse arrays, SciPy `LinearOperator`s, the stencils of this package, torch tensors and
    networks all qualify. A preconditioner `M` is one too: it approximates the inverse of `A`, so that
    `z = M @ r`. It may carry two facts that solvers read, `linear` and `symmetric` (True if absent).
    An operator may carry `nullspace`, an (n, k) array with orthonormal columns that it maps to zero.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""

    def __matmul__(self, x: Array, /) -> Array:
        """Apply to a vector (n,) or a block (n, k)."""


def is_linear(M: object) -> bool:
    """Say whether `M` declares itself linear (the default)."""
    return bool(getattr(M, "linear", True))


def is_symmetric(M: object) -> bool:
    """Say whether `M` declares itself symmetric (the default)."""
    return bool(getattr(M, "symmetric", True))


def as_operator(A: Any) -> LinearOperator:
    """Return A as something whose `@` maps vectors to vectors quickly; most operators pass unchanged.

    Parameters
    ----------
    A : operator, matrix or nested list
        `np.matrix` and lists become arrays, sparse matrices whose format has no fast product become CSR, and an
        object that has only `matvec` becomes a SciPy `LinearOperator`.

    Examples
    --------
    >>> from conjugo.solvers.operators.protocol import as_operator
    >>> as_operator([[2, 0], [0, 1]]) @ [1, 1]
    array([2, 1])
    """
    if isinstance(A, (np.matrix, list, tuple)):
        return np.asarray(A)
    if sp.issparse(A) and A.format in ("coo", "dok", "lil"):
        return A.tocsr()  # type: ignore[no-any-return]
    if not hasattr(A, "__matmul__") and hasattr(A, "matvec"):
        return spla.aslinearoperator(A)  # type: ignore[no-any-return]
    return A  # type: ignore[no-any-return]
