"""What every first guess shares: the protocol, and the gate that no proposal worse than zero passes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, runtime_checkable

from array_api_compat import array_namespace

from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.system import check_system


class Verdict(NamedTuple):
    """What became of a proposal.

    Parameters
    ----------
    accepted : bool
        Whether it was returned; otherwise zero was.
    residual : float
        ||b - A x|| / ||b|| of the proposal, 1 without one.
    gain : float
        Share of the energy that it removes, x^T (b + r) / 2 over the norms: negative where zero is better; 0 without.
    extra : int
        How many of the extra vectors were used.
    """

    accepted: bool
    residual: float
    gain: float
    extra: int = 0


@runtime_checkable
class Guess(Protocol):
    """What proposes x0 for the next system of a sequence.

    Examples
    --------
    >>> from conjugo.solvers.guess import Fischer, Previous
    >>> isinstance(Fischer(3), Guess), isinstance(Previous(), Guess)
    (True, True)
    """

    def __call__(self, A: LinearOperator, b: Array) -> Array:
        """First guess for A x = b, shaped like b."""
        ...

    def update(self, A: LinearOperator, x: Array, b: Array) -> None:
        """Take the solution that was found for A x = b."""
        ...

    def reset(self) -> None:
        """Forget every solution."""
        ...


class Gated(ABC):
    """A proposal that is returned only where it is no worse than zero, in the residual and in the energy.

    Attributes
    ----------
    verdict : Verdict
        On the last proposal.

    Notes
    -----
    With r = b - A x the proposal must meet ||r|| <= ||b|| and E(x) = x^T A x / 2 - b^T x = -x^T (b + r) / 2 <= 0,
    which is E(0): one product with A. For symmetric positive definite A the second says that the energy norm of the
    error is no larger than that of zero, which is what the iterations of CG depend on. `gate=False` leaves the check
    out.
    """

    def __init__(self, gate: bool = True) -> None:
        self.gate = gate
        self.verdict = Verdict(False, 1.0, 0.0)

    def __call__(self, A: LinearOperator, b: Array) -> Array:
        """First guess for A x = b: the proposal, or zero.

        Parameters
        ----------
        A : (n, n) operator
            Symmetric (Hermitian) for the energy to mean anything.
        b : (n,) array
            Right-hand side, NumPy or torch.

        Returns
        -------
        (n,) array
            A new array.

        Raises
        ------
        ValueError
            If b is not a finite vector of A's size.
        """
        A = checked(A, b)
        proposal = self._propose(A, b)
        return self._decide(b, proposal, None if proposal is None or not self.gate else b - A @ proposal)

    @abstractmethod
    def _propose(self, A: LinearOperator, b: Array) -> Array | None:
        """Return a first guess, or None without a history."""

    def _decide(self, b: Array, x: Array | None, r: Array | None, extra: int = 0) -> Array:
        """Return x or zero, given x's residual r, and note the verdict."""
        if x is None:
            self.verdict = Verdict(False, 1.0, 0.0)
            return zero(b)
        if r is None:
            self.verdict = Verdict(True, math.nan, math.nan, extra)
            return x
        size, left = norm_of(b), norm_of(r)
        gain = dot(x, b + r) / 2
        accepted = left <= size and gain >= 0  # false for NaN
        scale = norm_of(x) * size
        self.verdict = Verdict(accepted, left / size if size else math.inf, gain / scale if scale else 0.0, extra)
        return x if accepted else zero(b)


def checked(A: LinearOperator, b: Array, name: str = "b") -> LinearOperator:
    """Return A as an operator for a vector b that suits it."""
    operator = as_operator(A)
    if getattr(b, "ndim", 0) != 1:
        raise ValueError(f"{name} has shape {getattr(b, 'shape', None)}: expected a vector (n,); keep a guess a column")
    try:
        check_system(operator, b, None)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return operator


def same_size(x: Array, other: Array) -> None:
    """Reject a vector of another problem."""
    if tuple(x.shape) != tuple(other.shape):
        raise ValueError(f"a vector of shape {tuple(x.shape)} meets solutions of shape {tuple(other.shape)}: call "
                         "reset() before another problem")  # fmt: skip


def zero(b: Array) -> Array:
    """Zero, as b."""
    return array_namespace(b).zeros_like(b)


def copied(x: Array) -> Array:
    """A copy, in x's library and on its device."""
    return array_namespace(x).asarray(x, copy=True)


def dot(x: Array, y: Array) -> float:
    """Inner product, on the host."""
    return float(array_namespace(x).vecdot(x, y))


def norm_of(x: Array) -> float:
    """Euclidean norm, on the host."""
    return math.sqrt(max(dot(x, x), 0.0))
