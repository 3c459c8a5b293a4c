"""What a Krylov loop does with M."""

from __future__ import annotations

from collections.abc import Callable

from conjugo.solvers.monitor import Monitor
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator, is_linear, is_symmetric

type Precondition = Callable[[Array], Array]


def check_preconditioner(A: LinearOperator, M: LinearOperator | None) -> None:
    """Reject an M of another size before the first product.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if M is None:
        return
    shape, expected = (getattr(as_operator(operator), "shape", None) for operator in (M, A))
    if shape is not None and expected is not None and tuple(shape) != tuple(expected):
        raise ValueError(f"M has shape {tuple(shape)} but A has {tuple(expected)}: M must act on residuals of A")


def check_fixed_symmetric(M: LinearOperator | None, method: str, instead: str) -> None:
    """Reject an M that says it is non-linear or unsymmetric.

    Raises
    ------
    ValueError
        Naming what it declares and the method that takes it.
    """
    for fact, holds in (("linear", is_linear(M)), ("symmetric", is_symmetric(M))):
        if M is not None and not holds:
            kind = type(M).__name__
            raise ValueError(f"M is a {kind} with {fact} = False but {method} needs a fixed SPD M: use {instead}")


def preconditioner(monitor: Monitor, M: LinearOperator | None) -> Precondition:
    """Return r -> M r, projected off the null space where A declares one."""
    if M is None:
        return monitor.project
    M = as_operator(M)
    return lambda r: monitor.project(M @ r)
