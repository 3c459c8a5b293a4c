"""Darcy's equation on a square, for many coefficients: conjugate gradients preconditioned by a fast Poisson solver."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from array_api_compat import array_namespace, device
from numpy.typing import NDArray
from scipy.sparse.linalg import splu

from conjugo.pde.darcy.block import DarcyBlock, SineInverse
from conjugo.pde.darcy.stencil import Faces, check_coefficient, darcy_problem
from conjugo.pde.poisson.assemble import poisson
from conjugo.solvers.adapters.host import to_numpy
from conjugo.solvers.direct.fast_poisson import FastPoisson
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.monitor import to_host
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.parallel import get_threads, threads
from conjugo.solvers.result import ConvergenceError, SolveResult, Status

BLOCK = 2**24
"""Unknowns that are solved for at a time on a device; a block keeps some twenty arrays of that size."""

type Source = float | Array


@dataclass(frozen=True, slots=True, eq=False)
class DarcySolution:
    """Solutions of Darcy's equation, and how each solve ended.

    Parameters
    ----------
    u : (N, n, n) array
        Solutions on the nodes, zero on the walls; like the coefficient.
    residuals : (N,) float64
        True residuals ||b - A u||_2 / ||b||_2, recomputed from u.
    iterations : (N,) int
        Conjugate gradient steps.
    statuses : tuple of Status
        How each solve ended.
    direct : (N,) bool
        Where a sparse direct solver took over, because A was not positive definite.
    seconds : float
        Wall-clock time of them all.
    results : tuple of SolveResult
        Of those that failed.
    """

    u: Array
    residuals: NDArray[np.float64]
    iterations: NDArray[np.int64]
    statuses: tuple[Status, ...]
    direct: NDArray[np.bool_]
    seconds: float
    results: tuple[SolveResult, ...] = ()

    def check(self) -> Self:
        """Return self if every solve converged.

        Raises
        ------
        ConvergenceError
            Naming the samples that did not, with what happened to the first of them.
        """
        failed = [i for i, status in enumerate(self.statuses) if status is not Status.CONVERGED]
        if failed:
            where = ", ".join(map(str, failed[:8])) + (", ..." if len(failed) > 8 else "")
            message = f"{len(failed)} of {len(self.statuses)} Darcy solves failed (samples {where}): "
            raise ConvergenceError(message + self.results[0].message, self.results[0])
        return self


def solve_darcy(
    a: Array, *, faces: Faces = "harmonic", f: Source = 1.0, rtol: float = 1e-8, maxiter: int | None = None
) -> Array:
    """Solve -div(a grad u) = f on the unit square, u = 0 on its walls, for each of many coefficients.

    Parameters
    ----------
    a : (N, n, n) or (n, n) array
        Coefficients on the nodes, the walls included. NumPy or torch, on any device; no gradient is followed.
    faces : {"harmonic", "geometric", "arithmetic"}
        Mean of a at the faces between nodes.
    f : float or array
        Source: a number, or values on the nodes, (n, n) or (N, n, n).
    rtol : float
        Each sample stops when ||b - A u||_2 <= rtol ||b||_2, by its true residual.
    maxiter : int, optional
        Default 500.

    Returns
    -------
    array like a
        The solutions, zero on the walls. They are computed in float64 whatever the dtype of a.

    Raises
    ------
    ValueError
        If a is not square, not finite, or not positive where the mean needs it; if f does not fit.
    ConvergenceError
        If a solve did not converge; `darcy_solution` returns what was reached instead.

    Notes
    -----
    The preconditioner is the inverse of the five-point Laplacian: kappa(M A) <= max a / min a whatever n is, and
    conjugate gradients do not see a factor of M, so the mean coefficient is left out. NumPy arrays are solved one by
    one on `get_threads()` threads, with the stencil's fused passes and sine transforms along one axis, tridiagonal
    solves along the other; results do not depend on the number of threads. Arrays on a device are solved in blocks,
    with sine transforms along both axes; a sample that has converged is left alone. Torch tensors on the CPU go the
    NumPy way.

    References
    ----------
    P. Concus, G. H. Golub, Use of fast direct methods for the efficient numerical solution of nonseparable elliptic
    equations, SIAM J. Numer. Anal. 10 (1973), 1103-1120.

    Examples
    --------
    >>> u = solve_darcy(np.where(np.arange(33) < 16, 12.0, 3.0) * np.ones((2, 33, 33)))
    >>> u.shape, bool(np.all(u[0] == u[1])), bool(np.argmax(u[0, 16]) > 16)
    ((2, 33, 33), True, True)
    """
    return darcy_solution(a, faces=faces, f=f, rtol=rtol, maxiter=maxiter).check().u


def darcy_solution(
    a: Array, *, faces: Faces = "harmonic", f: Source = 1.0, rtol: float = 1e-8, maxiter: int | None = None
) -> DarcySolution:
    """Solve as `solve_darcy`, and say how each solve ended.

    Parameters
    ----------
    a, faces, f, rtol, maxiter
        As for `solve_darcy`.

    Returns
    -------
    DarcySolution
        With the true residuals; failures are statuses.

    Raises
    ------
    ValueError
        As `solve_darcy`.

    Notes
    -----
    Arithmetic means of a coefficient that is somewhere negative may give an indefinite A. Where conjugate gradients
    find that, SuperLU solves the system, and `direct` says so (NumPy arrays only).

    Examples
    --------
    >>> solution = darcy_solution(np.ones((1, 17, 17)))
    >>> solution.iterations, bool(solution.residuals[0] < 1e-8)
    (array([1]), True)
    """
    started = time.perf_counter()
    a = a.detach() if hasattr(a, "detach") else np.asarray(a)
    batch = a if a.ndim == 3 else a.reshape((1, *a.shape))
    check_coefficient(batch, faces)
    if not rtol > 0:
        raise ValueError(f"rtol = {rtol}: expected a positive number, such as 1e-8")
    maxiter = 500 if maxiter is None else maxiter
    xp, where = array_namespace(batch), device(batch)
    if str(where).startswith("cpu"):
        source = f if isinstance(f, float | int) else to_numpy(f)
        u, ends = _solve_each(to_numpy(batch), _source(np, source, batch), faces, rtol, maxiter)
    else:
        source = _source(xp, xp.asarray(f, dtype=xp.float64, device=where), batch)
        u, ends = _solve_blocks(xp.asarray(batch, dtype=xp.float64), source, faces, rtol, maxiter)
    dtype = batch.dtype if xp.isdtype(batch.dtype, "real floating") else xp.float64
    return DarcySolution(
        xp.asarray(u, dtype=dtype, device=where).reshape(tuple(a.shape)),
        np.array([end.residual for end in ends], dtype=np.float64),
        np.array([end.iterations for end in ends], dtype=np.int64),
        tuple(end.status for end in ends),
        np.array([end.direct for end in ends], dtype=np.bool_),
        time.perf_counter() - started,
        tuple(end.result for end in ends if end.status is not Status.CONVERGED),
    )


class _End(NamedTuple):
    """How one solve ended."""

    status: Status
    residual: float
    iterations: int
    direct: bool
    result: SolveResult


def _source(xp: Any, f: Source, a: Array) -> Array:
    """Values of f for every sample, without a copy."""
    shape = tuple(np.shape(f))
    if shape not in ((), tuple(a.shape[1:]), tuple(a.shape)):
        raise ValueError(f"f has shape {shape}: expected a number, {tuple(a.shape[1:])} or {tuple(a.shape)}, as a")
    values = xp.broadcast_to(xp.asarray(f), tuple(a.shape))
    if not bool(xp.all(xp.isfinite(values))):
        raise ValueError("f has values that are NaN or infinite: expected a finite source")
    return values


@lru_cache(maxsize=8)
def _inverse_laplacian(side: int) -> FastPoisson:
    return FastPoisson(poisson((side, side)).A, method="thomas")


def _solve_each(
    a: NDArray[Any], f: NDArray[Any], faces: Faces, rtol: float, maxiter: int
) -> tuple[NDArray[np.float64], list[_End]]:
    """Solve one by one, several at a time; each on one thread, so that nothing depends on their number."""
    u = np.zeros(a.shape)
    M = _inverse_laplacian(a.shape[-1] - 2)

    def solve(i: int) -> _End:
        problem = darcy_problem(a[i], faces=faces, f=f[i])
        result = cg(problem.A, problem.b, rtol=rtol, maxiter=maxiter, M=M)
        x, residual, status, direct = result.x, float(result.residuals[-1]), result.status, False
        if status is Status.INDEFINITE:
            x, direct = splu(sp.csc_array(problem.A.tocsr())).solve(problem.b), True
            residual = float(np.linalg.norm(problem.b - problem.A @ x))
            status = Status.CONVERGED if residual <= rtol * np.linalg.norm(problem.b) else status
        u[i, 1:-1, 1:-1] = x.reshape(problem.A.grid_shape)
        return _End(status, residual / (float(np.linalg.norm(problem.b)) or 1.0), result.iterations, direct, result)

    workers = min(get_threads(), len(a))
    if workers <= 1:
        return u, [solve(i) for i in range(len(a))]
    with threads(1), ThreadPoolExecutor(workers) as pool:
        return u, list(pool.map(solve, range(len(a))))


def _solve_blocks(a: Array, f: Array, faces: Faces, rtol: float, maxiter: int) -> tuple[Array, list[_End]]:
    """Solve block by block on a's device."""
    xp, n = array_namespace(a), a.shape[-1]
    u, ends = xp.zeros_like(a), list[_End]()
    M = SineInverse(n - 2, a)
    size = max(1, BLOCK // n**2)
    for low in range(0, len(a), size):
        block = slice(low, low + size)
        b = xp.asarray(f[block, 1:-1, 1:-1], dtype=a.dtype, copy=True).reshape((-1, (n - 2) ** 2)).T
        result = cg(DarcyBlock(a[block], faces), b, rtol=rtol, maxiter=maxiter, M=M)
        u[block, 1:-1, 1:-1] = result.x.T.reshape((-1, n - 2, n - 2))
        bnorm = to_host(xp.linalg.vector_norm(b, axis=0))
        relative = result.residuals / np.where(bnorm > 0, bnorm, 1.0)
        for history in relative.T:
            status = Status.CONVERGED if history[-1] <= rtol else result.status
            ends.append(_End(status, float(history[-1]), int(np.sum(history > rtol)), False, result))
    return u, ends
