"""What a Krylov loop does with M and with a declared null space of A."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from array_api_compat import array_namespace, device

from conjugo.solvers.monitor import Monitor, norm
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import Status

type Precondition = Callable[[Array], Array]


def check_preconditioner(A: LinearOperator, M: LinearOperator | None) -> None:
    """Reject an M of another size before the first product.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if M is not None and tuple(M.shape) != tuple(A.shape):
        raise ValueError(f"M has shape {tuple(M.shape)} but A has {tuple(A.shape)}: M must act on residuals of A")


def null_basis(A: LinearOperator, b: Array) -> Array | None:
    """Declared null space of A in b's library, dtype and device, or None."""
    basis = getattr(A, "nullspace", None)
    if basis is None:
        return None
    xp = array_namespace(b)
    return xp.asarray(basis, dtype=b.dtype, device=device(b))


def preconditioner(monitor: Monitor, M: LinearOperator | None) -> Precondition:
    """Return r -> M r, projected off the null space where A declares one.

    A right-hand side with a component along the null space has no solution: the monitor then says so before the
    first iteration.
    """
    basis = null_basis(monitor.A, monitor.b)
    if basis is None:
        return (lambda r: r) if M is None else (lambda r: M @ r)
    adjoint = array_namespace(basis).conj(basis).T
    component = np.asarray(norm(basis @ (adjoint @ monitor.b)))
    if np.any(component > monitor.tolerance):
        monitor.proceed(monitor.x, monitor.r)
        monitor.fail(
            Status.STAGNATED,
            f"b has a component of norm {float(component.max()):.2e} along the declared null space of A, so no x meets "
            "the tolerance; subtract it: b - A.nullspace @ (A.nullspace.T @ b)",
        )

    def project(r: Array) -> Array:
        z = r if M is None else M @ r
        return z - basis @ (adjoint @ z)

    return project
