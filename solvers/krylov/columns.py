"""The scalars of a Krylov loop, one a right-hand side: shape () for b (n,), (k,) for a block (n, k)."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.monitor import Monitor, by_columns, column_products, to_host
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.result import Status


def inner(u: Array, v: Array) -> Array:
    """u^H v of each column."""
    return column_products(u, v) if by_columns(u, v) else array_namespace(u).linalg.vecdot(u, v, axis=0)


def real_inner(u: Array, v: Array) -> Array:
    """Real part of u^H v of each column."""
    product = inner(u, v)
    xp = array_namespace(u)
    return xp.real(product) if xp.isdtype(u.dtype, "complex floating") else product


def quotient(a: Array, b: Array, where: Array) -> Array:
    """a / b in the columns `where`, 0 in the others, whatever stands there."""
    xp = array_namespace(b)
    return xp.where(where, a, xp.zeros_like(a)) / xp.where(where, b, xp.ones_like(b))


def live(monitor: Monitor) -> NDArray[np.bool_]:
    """Columns whose last residual is above the tolerance (on the host); the others are frozen."""
    return np.asarray(monitor.history[-1] > monitor.tolerance)


def mask(host: NDArray[np.bool_], b: Array) -> Array:
    """Copy a mask of columns to b's library and device."""
    return array_namespace(b).asarray(host, device=device(b))


def on_host(value: Array) -> NDArray[Any]:
    """Copy scalars, real or complex, to float64 or complex128 NumPy arrays."""
    xp = array_namespace(value)
    if xp.isdtype(value.dtype, "complex floating"):
        return np.asarray(to_host(xp.real(value)) + 1j * to_host(xp.imag(value)))
    return to_host(value)


def positive(
    monitor: Monitor, value: NDArray[np.float64], open_: NDArray[np.bool_], name: str = "p^H A p", matrix: str = "A"
) -> bool:
    """Say whether `value` > 0 in every open column; if not, end the solve with the reason."""
    values = value[open_]
    if not np.all(np.isfinite(values)):
        monitor.fail(Status.NONFINITE, f"{name} is NaN or infinite at iteration {monitor.iteration}; check A and M")
    elif not np.all(values > 0):
        where = f"{name} = {float(values.min()):.2e} at iteration {monitor.iteration}"
        remedy = "use minres for a Hermitian A, fgmres otherwise" if matrix == "A" else "use another M, or fgmres"
        monitor.fail(Status.INDEFINITE, f"{where}: {matrix} is not positive definite; {remedy}")
    return monitor.status is None
