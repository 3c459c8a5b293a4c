"""The minimal residual method for Hermitian systems, indefinite and singular ones included."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.solvers.krylov.columns import live, mask, quotient, real_inner
from conjugo.solvers.krylov.preconditioned import (
    Precondition,
    check_fixed_symmetric,
    check_preconditioner,
    preconditioner,
)
from conjugo.solvers.monitor import Callback, Monitor, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult, Status


def minres(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
) -> SolveResult:
    """Solve A x = b for a Hermitian A, definite or not, singular or not.

    Parameters
    ----------
    A : operator
        Hermitian, (n, n).
    b : (n,) or (n, k) array
        One right-hand side or a block; NumPy or torch, real or complex. A block's converged columns are frozen.
    x0 : array, optional
        First guess, shaped like b; zero if None.
    rtol, atol : float
        Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol), the true residual whatever M is.
    maxiter : int, optional
        Default 10 n.
    M : operator, optional
        Hermitian positive definite approximation of the inverse of A, even where A is indefinite.
    callback : callable, optional
        Called with x after every iteration; True or StopIteration stops the solve.

    Returns
    -------
    SolveResult
        STAGNATED with a note where A is singular and b is not in its range: x is then a least-squares solution.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, or an M that says it is not linear or not symmetric.

    Notes
    -----
    Lanczos vectors v_j with M, and plane rotations (c, s), give the iterate with the smallest residual in the norm of
    M. The residual itself, which the stopping rule needs, follows at the price of one vector::

        r_k = s_k^2 r_{k-1} + eta_{k+1} c_k v_{k+1}

    References
    ----------
    Paige and Saunders (1975), "Solution of sparse indefinite systems of linear equations", SIAM J. Numer.
    Anal. 12(4), section 6.
    Elman, Silvester and Wathen (2014), "Finite Elements and Fast Iterative Solvers", 2nd ed., Algorithm 4.1.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.minres import minres
    >>> A = np.diag([3.0, -2.0, 1.0])
    >>> minres(A, np.ones(3), rtol=1e-12).x
    array([ 0.33333333, -0.5       ,  1.        ])
    """
    check_preconditioner(A, M)
    check_fixed_symmetric(M, "minres", "fgmres")
    monitor = Monitor("minres", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    A, b = monitor.A, monitor.b
    xp, x, r = monitor.xp, monitor.x, monitor.r
    precondition = preconditioner(monitor, M)
    lanczos: _Lanczos | None = None
    with monitor, np.errstate(invalid="ignore", over="ignore"):  # the scalars are checked
        while monitor.proceed(x, r):
            if monitor.replaced:
                r, lanczos = monitor.r, None
            if lanczos is None:
                lanczos = _Lanczos(r, precondition)
            lanczos.advance(A, precondition)
            open_ = live(monitor)
            failure = lanczos.failure(open_)
            if failure is not None:
                monitor.fail(*failure)
                break
            wanted = mask(open_, b)
            zero, one = xp.zeros_like(lanczos.eta), xp.ones_like(lanczos.eta)
            x += xp.where(wanted, lanczos.along_w, zero) * lanczos.w
            r = xp.where(wanted, lanczos.s**2, one) * r
            r += xp.where(wanted, lanczos.eta * lanczos.c, zero) * lanczos.v
    return monitor.result(x)


class _Lanczos:
    """The three-term recurrence and its plane rotations; every scalar has one entry a column."""

    def __init__(self, r: Array, precondition: Precondition) -> None:
        self.xp = array_namespace(r)
        z = precondition(r)
        self.first = self.square = real_inner(z, r)
        self.eta = self.xp.sqrt(self.xp.clip(self.square, 0.0))
        self.v, self.z = self._scaled(r, self.eta), self._scaled(z, self.eta)
        self.v_old = self.w = self.w_old = self.xp.zeros_like(r)
        zero, one = self.xp.zeros_like(self.eta), self.xp.ones_like(self.eta)
        self.beta = self.s = self.s_old = zero
        self.c = self.c_old = one
        self.pivot, self.scale, self.along_w, self.eta_before = one, zero, zero, self.eta
        self.lowest, self.eta_then = np.asarray(np.inf), to_host(self.eta)

    @staticmethod
    def _scaled(u: Array, by: Array) -> Array:
        return quotient(array_namespace(by).ones_like(by), by, by > 0) * u

    def advance(self, A: LinearOperator, precondition: Precondition) -> None:
        """Add one Lanczos vector, rotate, and make the next direction w."""
        xp = self.xp
        q = A @ self.z
        delta = real_inner(q, self.z)
        v = q - delta * self.v
        v -= self.beta * self.v_old
        z = precondition(v)
        self.square = real_inner(z, v)
        beta = xp.sqrt(xp.clip(self.square, 0.0))
        # Column j of the tridiagonal matrix, rotated by the last two rotations (Algorithm 4.1, alpha_0 to alpha_3).
        diagonal = self.c * delta - self.c_old * self.s * self.beta
        above = self.s * delta + self.c_old * self.c * self.beta
        corner = self.s_old * self.beta
        self.pivot = xp.sqrt(diagonal**2 + (self.c * beta) ** 2)
        length = xp.sqrt(diagonal**2 + beta**2)
        self.scale = xp.maximum(self.scale, xp.sqrt(self.beta**2 + delta**2 + beta**2))
        w = self.z - corner * self.w_old
        w -= above * self.w
        w *= quotient(xp.ones_like(length), length, length > 0)
        self.w, self.w_old = w, self.w
        self.c, self.c_old = quotient(diagonal, length, length > 0), self.c
        self.s, self.s_old = quotient(beta, length, length > 0), self.s
        self.eta_before = self.eta
        self.along_w, self.eta = self.c * self.eta, -self.s * self.eta
        same = z is v  # without M
        self.v, self.v_old = self._scaled(v, beta), self.v
        self.z, self.beta = self.v if same else self._scaled(z, beta), beta

    def failure(self, open_: NDArray[np.bool_]) -> tuple[Status, str] | None:
        """Why the recurrence cannot go on in an open column, if so."""
        eps = float(self.xp.finfo(self.v.dtype).eps)
        first, square, pivot, scale = (
            to_host(value)[open_] for value in (self.first, self.square, self.pivot, self.scale)
        )
        if not np.all(np.isfinite(first) & np.isfinite(square) & np.isfinite(pivot)):
            return Status.NONFINITE, "z^H v or v^H A v became NaN or infinite; check A and M"
        if np.any((first <= 0) | (square < -10 * eps * scale**2)):
            return Status.INDEFINITE, "r^H M r <= 0: M is not positive definite; use another M, or fgmres"
        if np.any(pivot <= 10 * eps * scale) or np.any(self._settled(eps)[open_]):
            note = "A is singular or nearly so and b is not in its range: x is a least-squares solution"
            return Status.STAGNATED, note
        return None

    def _settled(self, eps: float) -> NDArray[np.bool_]:
        """Columns where ||A r|| / (||A|| ||r||) has passed its smallest value and the residual did not move since."""
        pivot, scale, eta = (to_host(value) for value in (self.pivot, self.scale, self.eta_before))
        ratio = pivot / np.where(scale > 0, scale, 1.0)
        lower = ratio < self.lowest
        self.lowest, self.eta_then = np.where(lower, ratio, self.lowest), np.where(lower, eta, self.eta_then)
        still = np.abs(eta) > (1 - 1e4 * eps) * np.abs(self.eta_then)
        return np.asarray((self.lowest < eps**0.5) & (ratio > 10 * self.lowest) & still)
