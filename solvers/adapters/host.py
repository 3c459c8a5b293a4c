"""Bring a system to where a foreign solver wants it: NumPy vectors, one column at a time, CSR matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from array_api_compat import array_namespace, device, is_torch_array
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.system import as_floating, check_system

_WORST_FIRST = (
    Status.NONFINITE,
    Status.BREAKDOWN,
    Status.INDEFINITE,
    Status.STAGNATED,
    Status.MAX_ITERATIONS,
    Status.STOPPED,
    Status.CONVERGED,
)


def to_numpy(v: Array) -> NDArray[Any]:
    """View or copy a vector or matrix of any library as a NumPy array."""
    return np.asarray(v.detach().cpu().resolve_conj() if is_torch_array(v) else v)


def like(v: NDArray[Any], b: Array) -> Array:
    """Copy a NumPy array to b's library, dtype and device."""
    return array_namespace(b).asarray(v, dtype=b.dtype, device=device(b))


def to_csr(A: Any) -> sp.csr_array:
    """Give the matrix of A as CSR, sorted and without duplicates: sparse, dense, or an operator with `.tocsr()`.

    The arrays of A are shared where they are in order; libraries that sort in place then find nothing to do.

    Raises
    ------
    ValueError
        If A is matrix-free.
    """
    if hasattr(A, "tocsr"):
        matrix = sp.csr_array(A.tocsr())
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        return matrix
    if is_torch_array(A):
        return sp.csr_array(to_numpy(A.to_dense()))
    if isinstance(A, np.ndarray):
        return sp.csr_array(A)
    raise ValueError(f"A is a {type(A).__name__} without entries: expected a sparse or dense matrix, or .tocsr()")


class HostOperator:
    """A (or M) as seen from NumPy vectors; counts its products."""

    def __init__(self, A: LinearOperator, b: Array) -> None:
        self.A, self._b, self.products = A, b, 0
        self.shape = tuple(A.shape)
        self.nullspace = getattr(A, "nullspace", None)
        self._foreign = is_torch_array(b)

    def __matmul__(self, x: NDArray[Any]) -> NDArray[Any]:
        self.products += 1
        return to_numpy(self.A @ like(x, self._b)) if self._foreign else np.asarray(self.A @ x)


type OneColumn = Callable[[HostOperator, NDArray[Any], NDArray[Any] | None, HostOperator | None, bool], SolveResult]


def by_columns(
    solve: OneColumn, A: LinearOperator, b: Array, x0: Array | None, M: LinearOperator | None
) -> SolveResult:
    """Solve for each column of b on the host and join the results in b's library.

    `solve(A, b, x0, M, skip)` gets one right-hand side; with `skip` it returns the first guess.
    """
    A = as_operator(A)
    b, x0 = as_floating("b", b, A), as_floating("x0", x0, A)
    check_system(A, b, x0)
    host_A, host_M = HostOperator(A, b), None if M is None else HostOperator(as_operator(M), b)
    B, X0 = to_numpy(b), None if x0 is None else to_numpy(x0)
    if B.ndim == 1:
        result = solve(host_A, B, X0, host_M, False)
        return replace(result, x=like(result.x, b), details={**result.details, "products": host_A.products})
    results: list[SolveResult] = []
    for i in range(B.shape[1]):
        skip = any(result.status is Status.STOPPED for result in results)
        first = None if X0 is None else np.ascontiguousarray(X0[:, i])
        result = solve(host_A, np.ascontiguousarray(B[:, i]), first, host_M, skip)
        results.append(replace(result, status=Status.STOPPED) if skip and not result.converged else result)
    result = joined(results)
    return replace(result, x=like(result.x, b), details={**result.details, "products": host_A.products})


def joined(results: list[SolveResult]) -> SolveResult:
    """One result for a block: histories padded with their last value, the worst status."""
    worst = min(results, key=lambda result: _WORST_FIRST.index(result.status))
    rows = max(len(result.residuals) for result in results)
    padded = [np.pad(result.residuals, (0, rows - len(result.residuals)), mode="edge") for result in results]
    return replace(
        worst,
        x=np.stack([result.x for result in results], axis=1),
        residuals=np.stack(padded, axis=1),
        seconds=sum(result.seconds for result in results),
    )
