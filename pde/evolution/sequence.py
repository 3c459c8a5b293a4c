"""What a sequence of linear systems offers to a loop that solves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class System(NamedTuple):
    """One linear system A x = b, and what is known of it before it is solved.

    Parameters
    ----------
    A : operator
        A stencil; `A.tocsr()` assembles it.
    b : (n,) float64
        Right-hand side.
    context : float
        A number on which the best parameter of a solver depends.

    Examples
    --------
    >>> from conjugo.pde.evolution import ShiftedLaplacians
    >>> A, b, context = next(iter(ShiftedLaplacians(4, steps=1)))
    >>> A.shape, b.shape
    ((16, 16), (16,))
    """

    A: Any
    b: NDArray[np.float64]
    context: float


@runtime_checkable
class Sequence(Protocol):
    """Systems one after another.

    Notes
    -----
    The loop is ``for A, b, context in sequence: x = solve(A, b, x0=sequence.u); sequence.advance(x)``. A time loop
    needs `advance` before its next system and says so with a RuntimeError; a sweep of independent systems does without.
    Iterating again starts over.

    Examples
    --------
    >>> from conjugo.pde.evolution import HeatSequence, Sequence
    >>> isinstance(HeatSequence(8, steps=2), Sequence)
    True
    """

    @property
    def u(self) -> NDArray[np.float64] | None:
        """State from which the next system is made, (n,), and the natural first guess; None where there is none."""
        ...

    def advance(self, u: NDArray[np.float64]) -> None:
        """Take the solution of the last system as the new state."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[System]: ...


def checked_count(name: str, value: int, least: int = 1) -> int:
    """Return a count, or say what is wrong with it.

    Examples
    --------
    >>> checked_count("steps", 5)
    5
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} = {value!r}: expected an integer of at least {least}")
    return int(value)


def checked_state(u: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return a new state as a flat array, or say what is wrong with it.

    Examples
    --------
    >>> checked_state([1, 2], 2)
    array([1., 2.])
    """
    values = np.array(u, dtype=np.float64).ravel()
    if values.shape != (n,) or not np.all(np.isfinite(values)):
        raise ValueError(f"u has shape {np.shape(u)}: expected {n} finite numbers, the solution of the last system")
    return values
