"""Conjugate gradients with a subspace solved exactly: deflation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from conjugo.solvers.krylov.columns import live, mask, on_host, positive, quotient, real_inner
from conjugo.solvers.krylov.preconditioned import check_fixed_symmetric, check_preconditioner, preconditioner
from conjugo.solvers.monitor import Callback, Monitor, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult, Status

LEAK = 1e-3
"""Share of one step's gain that rounding in the subspace may hold before it is solved for again."""

type Observer = Callable[[Array, Array, Array, Array], None]


class Deflation:
    """A subspace and its image under A, ready to be solved exactly: set up once, used in every solve with this A.

    Parameters
    ----------
    A : operator
        Hermitian positive definite, (n, n). Set-up costs one product with the m columns of W.
    W : (n, m) array
        A basis; its columns need not be orthogonal. Dependent ones are dropped.
    AW : (n, m) array, optional
        A @ W where it is known already.

    Attributes
    ----------
    W, AW
        The basis combined so that W^H A W = I, (n, m'), and its image.
    failure : tuple or None
        A status and its reason where W^H A W is not finite or has a negative eigenvalue.
    setup_seconds, nbytes
        Cost of the set-up, and what is kept.

    Raises
    ------
    ValueError
        If W does not have n rows or is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.deflated import Deflation, deflated_cg
    >>> A = np.diag([1e-6, 1e-5, 1.0, 1.0])
    >>> deflation = Deflation(A, np.eye(4)[:, :2])
    >>> [deflated_cg(A, b, W=deflation).iterations for b in np.eye(4)]
    [0, 0, 1, 1]
    """

    def __init__(self, A: LinearOperator, W: Array, AW: Array | None = None) -> None:
        started = time.perf_counter()
        operator = as_operator(A)
        if W.ndim != 2 or W.shape[0] != operator.shape[0]:
            n = operator.shape[0]
            raise ValueError(f"W has shape {tuple(W.shape)}: expected ({n}, m), one basis vector a column")
        xp = array_namespace(W)
        if not bool(xp.all(xp.isfinite(W))):
            raise ValueError("W holds NaN or infinity: expected finite basis vectors")
        self.A = A
        length = np.sqrt(on_host(real_inner(W, W)))
        scale = xp.asarray(1 / np.where(length > 0, length, 1.0), dtype=W.dtype, device=device(W))
        AW = (operator @ W if AW is None else AW) * scale
        W = W * scale
        gram = on_host(_adjoint(W) @ AW)
        self.failure: tuple[Status, str] | None = None
        if not np.all(np.isfinite(gram)):
            self.failure = Status.NONFINITE, "W^H A W holds NaN or infinity; check A"
            gram = np.zeros_like(gram)
        values, vectors = np.linalg.eigh((gram + gram.conj().T) / 2)
        floor = 100 * float(xp.finfo(W.dtype).eps) * len(values) * np.max(np.abs(values), initial=0.0)
        if np.any(values < -floor):
            self.failure = (
                Status.INDEFINITE,
                "W^H A W has a negative eigenvalue: A is not positive definite; use minres",
            )
        kept = values > floor
        scaled = xp.asarray(vectors[:, kept] / np.sqrt(values[kept]), dtype=W.dtype, device=device(W))
        self.W, self.AW = W @ scaled, AW @ scaled
        self.setup_seconds = time.perf_counter() - started

    @property
    def nbytes(self) -> int:
        """Bytes of W and A W."""
        itemsize = int(array_namespace(self.W).finfo(self.W.dtype).bits) // 8
        factor = 2 if array_namespace(self.W).isdtype(self.W.dtype, "complex floating") else 1
        return 2 * int(np.prod(self.W.shape)) * itemsize * factor

    def correct(self, x: Array, r: Array, above: Any = -1.0) -> tuple[Array, Array]:
        """Make W^H r = 0 by an exact solve in the subspace, if the error's energy then falls by more than `above`."""
        share = _adjoint(self.W) @ r
        if not np.any(to_host(real_inner(share, share)) > above):
            return x, r
        return x + self.W @ share, r - self.AW @ share

    def project(self, z: Array) -> Array:
        """Make z A-orthogonal to the subspace: z - W (A W)^H z."""
        return z - self.W @ (_adjoint(self.AW) @ z)


def _adjoint(W: Array) -> Array:
    return array_namespace(W).conj(W).T if array_namespace(W).isdtype(W.dtype, "complex floating") else W.T


def deflated_cg(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
    W: Array | Deflation,
    observe: Observer | None = None,
) -> SolveResult:
    """Solve A x = b for a Hermitian positive definite A, with the span of W solved exactly.

    Parameters
    ----------
    A : operator
        Hermitian positive definite, (n, n).
    b : (n,) or (n, k) array
        One right-hand side or a block; NumPy or torch, real or complex. A block's converged columns are frozen.
    x0 : array, optional
        First guess, shaped like b; zero if None. It is corrected in the span of W at once (init-CG).
    rtol, atol : float
        Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol), the true residual.
    maxiter : int, optional
        Default 10 n.
    M : operator, optional
        Hermitian positive definite approximation of the inverse of A.
    callback : callable, optional
        Called with x after every iteration; True or StopIteration stops the solve.
    W : (n, m) array or Deflation
        The subspace, best the eigenvectors of M A with the smallest eigenvalues: a basis, or one set up
        earlier for this A.
    observe : callable, optional
        Called with (p, A p, z, alpha) in every iteration, with None when the residual is replaced; recycling collects
        directions by it.

    Returns
    -------
    SolveResult
        `details` holds the size of the subspace and, where W was a basis, the set-up seconds (part of `seconds`).

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b, x0 or W, or an M that says it is not linear or not symmetric.

    Notes
    -----
    With W^H A W = I and W^H r_0 = 0 the directions stay A-orthogonal to W::

        p = z - W (A W)^H z + beta p,   z = M r

    so the iteration sees only the eigenvalues outside the subspace: the effective condition number is
    lambda_max / lambda_{m+1} where W holds the first m eigenvectors. W^H r is zero but for rounding, which no direction
    removes and on which the iteration would diverge in the end: where it counts, it is solved for again.

    References
    ----------
    Nicolaides (1987), "Deflation of conjugate gradients with applications to boundary value problems", SIAM J. Numer.
    Anal. 24(2).
    Saad, Yeung, Erhel and Guyomarc'h (2000), "A deflated version of the conjugate gradient algorithm",
    SIAM J. Sci. Comput. 21(5), Algorithm 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.deflated import deflated_cg
    >>> A = np.diag([1e-6, 1.0, 1.0, 1.0])
    >>> deflated_cg(A, np.ones(4), W=np.eye(4)[:, :1], rtol=1e-10).iterations
    1
    """
    check_preconditioner(A, M)
    check_fixed_symmetric(M, "deflated_cg", "fcg")
    monitor = Monitor("deflated_cg", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    A, b = monitor.A, monitor.b
    deflation = W if isinstance(W, Deflation) else Deflation(A, monitor.xp.asarray(W, dtype=b.dtype, device=device(b)))
    precondition = preconditioner(monitor, M)
    x, r = deflation.correct(monitor.x, monitor.r)
    p = rho = gain = None
    with monitor, np.errstate(invalid="ignore", over="ignore"):  # the scalars are checked
        while monitor.proceed(x, r):
            if deflation.failure is not None:
                monitor.fail(*deflation.failure)
                break
            if monitor.replaced:
                (x, r), p = deflation.correct(x, monitor.r), None
                if observe is not None:
                    observe(None, None, None, None)
            elif gain is not None:
                last = to_host(gain)
                x, r = deflation.correct(x, r, np.where(last > 0, LEAK * last, np.inf))
            open_ = live(monitor)
            wanted = mask(open_, b)
            z = precondition(r)
            rho, previous = real_inner(r, z), rho
            if not positive(monitor, to_host(rho), open_, "r^H M r", "M"):
                break
            fresh = deflation.project(z)
            p = fresh if p is None else fresh + quotient(rho, previous, wanted) * p
            q = A @ p
            curvature = real_inner(p, q)
            if not positive(monitor, to_host(curvature), open_):
                break
            alpha = quotient(rho, curvature, wanted)
            gain = alpha * rho  # by which the energy of the error falls in this step
            if observe is not None:
                observe(p, q, z, alpha)
            x = x + alpha * p
            r = r - alpha * q
    setup = {} if deflation is W else {"setup_seconds": deflation.setup_seconds}
    return monitor.result(x, deflated=int(deflation.W.shape[1]), **setup)
