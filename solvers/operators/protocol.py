"""What an operator is: anything with `.shape` and `@`. No base class."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

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
