"""Conjugate gradients preconditioned by SSOR or by a factorisation without fill, at little more than the price of two
triangular solves an iteration."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.kernels import small_cg as small
from conjugo.solvers.kernels import split_csr, wavefront
from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.krylov.compiled import Core, Vector, run_compiled, suits, workspace
from conjugo.solvers.krylov.five_point import FivePoint, five_point
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.preconditioners.factors import strict_upper
from conjugo.solvers.preconditioners.incomplete import SHIFTS, SMALLEST_PIVOT, mic
from conjugo.solvers.preconditioners.positive import positive_diagonal
from conjugo.solvers.preconditioners.ssor import ssor
from conjugo.solvers.result import SolveResult
from conjugo.solvers.stationary.rows import check_omega, entries_of
from conjugo.solvers.system import as_floating


def ssor_cg(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    omega: float = 1.0,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> SolveResult:
    """Solve A x = b by conjugate gradients with symmetric over-relaxation, in one compiled loop.

    Parameters
    ----------
    A : (n, n) stencil, sparse array or dense array
        Symmetric positive definite. Five-point stencils in double precision, also as sparse arrays, are fastest.
    b : (n,) or (n, k) array
        Right-hand side.
    x0 : array, optional
        First guess; zero by default.
    omega : float
        Relaxation factor, 0 < omega < 2.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Default 10 n.

    Returns
    -------
    SolveResult
        The iterates of `cg` with `M = ssor(A, omega)`, to rounding. `details["setup_seconds"]` is part of `seconds`.

    Raises
    ------
    ValueError
        If omega is outside (0, 2), A is not as `ssor` expects it, or the shapes disagree.

    Notes
    -----
    With P = D / omega, E = P^{1/2} (I + L), L the scaled strict triangle, M = E E^T / (2 - omega), and

        E^{-1} A E^{-T} y = t + (I + L)^{-1} (y - (2 - omega) t),  t = (I + L)^{-T} y:

    a product with the preconditioned matrix is two triangular solves. y^T E^{-1} A E^{-T} y = t . (2 y - (2 - omega) t)
    is known after the first. The residual's norm takes half a product more. Systems in single precision, or with
    several right-hand sides, go through `cg`.

    References
    ----------
    S. C. Eisenstat, Efficient implementation of a class of preconditioned conjugate gradient methods, SIAM J. Sci.
    Stat. Comput. 2 (1981) 1-4.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers.krylov.split_cg import ssor_cg
    >>> problem = poisson((20, 20))
    >>> result = ssor_cg(problem.A, problem.b, omega=1.7, rtol=1e-8)
    >>> result.status.value, bool(result.iterations < 25)
    ('converged', True)
    """
    started = time.perf_counter()
    factor = check_omega(omega)
    A, b = as_operator(A), as_floating("b", b, A)
    if not suits(b) or getattr(A, "nullspace", None) is not None:
        return _by_cg("ssor cg", A, b, x0, ssor(A, factor), rtol=rtol, atol=atol, maxiter=maxiter)
    stencil = five_point(A)
    if stencil is not None and stencil.diag.min() > 0:
        core = _stencil_core(stencil, stencil.diag / factor, 2.0 - factor)
    elif np.dtype(getattr(A, "dtype", np.float64)) == np.float64:
        diagonal, _ = positive_diagonal(A, "ssor_cg")
        core = _csr_core(A, diagonal, factor)
    else:
        return _by_cg("ssor cg", A, b, x0, ssor(A, factor), rtol=rtol, atol=atol, maxiter=maxiter)
    details = {"omega": factor, "setup_seconds": time.perf_counter() - started}
    return run_compiled("ssor cg", A, b, x0, core, rtol=rtol, atol=atol, maxiter=maxiter, details=details,
                        started=started)  # fmt: skip


def mic_cg(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    relaxation: float = 0.97,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> SolveResult:
    """Solve A x = b by conjugate gradients with the modified incomplete factorisation, in one compiled loop.

    Parameters
    ----------
    A, b, x0, rtol, atol, maxiter
        As in `ssor_cg`; the compiled loop is for five-point stencils, others go through `cg`.
    relaxation : float
        Part of the dropped fill that goes to the diagonal, 0 to 1, as in `mic`.

    Returns
    -------
    SolveResult
        The iterates of `cg` with `M = mic(A, relaxation)`, to rounding.

    Raises
    ------
    ValueError
        If relaxation is outside [0, 1], A is not as `mic` expects it, or the shapes disagree.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers.krylov.split_cg import mic_cg
    >>> problem = poisson((20, 20))
    >>> mic_cg(problem.A, problem.b, rtol=1e-8).status.value
    'converged'
    """
    started = time.perf_counter()
    if not 0 <= relaxation <= 1:
        raise ValueError(f"relaxation = {relaxation}: expected 0 (ic0) to 1 (row sums kept), such as 0.97")
    A, b = as_operator(A), as_floating("b", b, A)
    stencil = five_point(A) if suits(b) else None
    found = None if stencil is None or not stencil.diag.min() > 0 else five_point_pivots(stencil, relaxation)
    if stencil is None or found is None:
        return _by_cg("mic cg", A, b, x0, mic(A, relaxation), rtol=rtol, atol=atol, maxiter=maxiter)
    core = _stencil_core(stencil, found, None)
    details = {"relaxation": float(relaxation), "setup_seconds": time.perf_counter() - started}
    return run_compiled("mic cg", A, b, x0, core, rtol=rtol, atol=atol, maxiter=maxiter, details=details,
                        started=started)  # fmt: skip


def small_cg(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> SolveResult:
    """Solve A x = b by conjugate gradients without a preconditioner, in one compiled loop where A allows it.

    Parameters
    ----------
    A, b, x0, rtol, atol, maxiter
        As in `ssor_cg`; the compiled loop is for five-point stencils, others go through `cg`.

    Returns
    -------
    SolveResult
        The iterates of `cg`, to rounding.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN, and bad tolerances.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers.krylov.split_cg import small_cg
    >>> problem = poisson((20, 20))
    >>> small_cg(problem.A, problem.b, rtol=1e-8).status.value
    'converged'
    """
    started = time.perf_counter()
    A, b = as_operator(A), as_floating("b", b, A)
    stencil = five_point(A) if suits(b) else None
    if stencil is None:
        return cg(A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter)
    n0, n1 = stencil.n0, stencil.n1
    D, E, N, X, R, p, q = workspace("cg", 7, (n0 + 2) * n1)
    inside = slice(n1, n1 + n0 * n1)
    D[inside], E[inside], N[inside] = stencil.diag, stencil.east, stencil.north

    def core(x: Vector, r: Vector, history: NDArray[np.float64], tolerance: float) -> int:
        X[inside], R[inside] = x, r
        p[inside] = 0.0
        q[inside] = 0.0
        code = int(small.small_cg(X, R, D, E, N, p, q, history, n0, n1, tolerance))
        x[:] = X[inside]
        return code

    return run_compiled("cg", A, b, x0, core, rtol=rtol, atol=atol, maxiter=maxiter, details={}, started=started)


def five_point_pivots(stencil: FivePoint, relaxation: float) -> NDArray[np.float64] | None:
    """Pivots of the modified incomplete factorisation, with the first of Manteuffel's shifts that works; None without.

    Parameters
    ----------
    stencil : FivePoint
        Positive diagonal.
    relaxation : float
        Part of the dropped fill that goes to the diagonal.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> from conjugo.solvers.krylov.five_point import five_point
    >>> from conjugo.solvers.krylov.split_cg import five_point_pivots
    >>> bool((five_point_pivots(five_point(poisson((8, 8)).A), 1.0) > 0).all())
    True
    """
    out = np.empty(stencil.diag.size)
    diag, east, north = (np.ascontiguousarray(part) for part in (stencil.diag, stencil.east, stencil.north))
    for shift in SHIFTS:
        if small.pivots(diag, east, north, out, relaxation, shift, SMALLEST_PIVOT, stencil.n0, stencil.n1) < 0:
            return out
    return None


def _stencil_core(stencil: FivePoint, pivots: Vector, constant: float | None) -> Core:
    """Prepare the loop over eight rows at a time; `constant` is 2 - D / P where that is one number."""
    n0, n1 = stencil.n0, stencil.n1
    size = wavefront.places(n0, n1)
    E, N, K, G, X, R, p, t, s = workspace(f"split {n0} {n1}", 9, size)
    (NB,) = workspace(f"edges {n0} {n1}", 1, -(-n0 // wavefront.LANES) * (n1 + wavefront.LANES - 1))
    root = np.sqrt(pivots)
    scale = 1.0 / root
    if constant is not None:
        K = np.array([constant])
    diag, east, north = (np.ascontiguousarray(part) for part in (stencil.diag, stencil.east, stencil.north))
    wavefront.prepare(diag, east, north, scale, E, N, NB, K, n0, n1)
    if constant is not None and stencil.constant:
        G = root[:1].copy()
    else:
        wavefront.pack(root, np.ones_like(root), G, n0, n1)

    def core(x: Vector, r: Vector, history: NDArray[np.float64], tolerance: float) -> int:
        X[:] = 0.0
        p[:] = 0.0
        wavefront.pack(r, scale, R, n0, n1)
        code = int(wavefront.split_cg(X, R, E, N, NB, K, G, p, t, s, history, n0, n1, tolerance))
        wavefront.unpack_add(X, scale, x, n0, n1)
        return code

    return core


def _csr_core(A: Any, diagonal: Vector, omega: float) -> Core:
    """Prepare the loop over a sparse matrix."""
    upper = strict_upper(sp.csr_array(entries_of(A, "ssor_cg")))
    root = np.sqrt(diagonal / omega)
    scale = 1.0 / root
    indptr, indices = upper.indptr.astype(np.int32), upper.indices.astype(np.int32)
    U = upper.data * np.repeat(scale, np.diff(indptr)) * scale[indices]
    K = np.full(len(root), 2.0 - omega)
    p, t, s = np.empty((3, len(root)))

    def core(x: Vector, r: Vector, history: NDArray[np.float64], tolerance: float) -> int:
        correction = np.zeros_like(x)
        code = int(split_csr.split_cg(correction, scale * r, indptr, indices, U, K, root, p, t, s, history, tolerance))
        x += scale * correction
        return code

    return core


def _by_cg(name: str, A: Any, b: Array, x0: Array | None, M: Any, **options: Any) -> SolveResult:
    """Run the generic loop and give its result this method's name."""
    result = cg(A, b, x0, M=M, **options)
    details = {**result.details, "setup_seconds": M.setup_seconds}
    return SolveResult(result.x, result.status, result.residuals, result.seconds + M.setup_seconds, name, details)
