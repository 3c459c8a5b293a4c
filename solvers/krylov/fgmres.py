"""Flexible GMRES: any matrix, any preconditioner."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.krylov.columns import live, on_host
from conjugo.solvers.krylov.preconditioned import Precondition, check_preconditioner, preconditioner
from conjugo.solvers.monitor import Callback, Monitor, norm
from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult, Status

CANCELLED = 0.25
"""A new vector shorter than this after Gram-Schmidt has lost digits and is orthogonalised once more."""

PATIENCE = 3
"""Restarts in a row without a fall of 1 % before the solve is called stagnated."""


def fgmres(
    A: LinearOperator,
    b: Array,
    x0: Array | None = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    callback: Callback | None = None,
    restart: int = 30,
) -> SolveResult:
    """Solve A x = b for any square A, with a right preconditioner that may change in every step.

    Parameters
    ----------
    A : operator
        Any square operator, (n, n).
    b : (n,) or (n, k) array
        One right-hand side or a block; NumPy or torch, real or complex. A block's converged columns are frozen.
    x0 : array, optional
        First guess, shaped like b; zero if None.
    rtol, atol : float
        Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol), the true residual.
    maxiter : int, optional
        Products with A, restarts not counted; default 10 n.
    M : operator, optional
        Approximates the inverse of A; it may be non-linear or change.
    callback : callable, optional
        Called with x after every iteration (x is formed for it); True or StopIteration stops the solve.
    restart : int
        Basis vectors kept before x is formed and the basis starts anew. Memory: 2 restart n numbers a right-hand
        side, half of it without M.

    Returns
    -------
    SolveResult
        The residuals are those of the least-squares problem inside a cycle and true ones at each restart.
        `details["rejected"]` counts the directions of M that were NaN or zero; v_j itself took their place.

    Raises
    ------
    ValueError
        For shapes that disagree, NaN in b or x0, or restart below 1.

    Notes
    -----
    A Z_m = V_{m+1} H_m with z_j = M v_j and orthonormal v_j (classical Gram-Schmidt, twice where the vector
    shrinks); x = x_0 + Z_m y minimises || beta e_1 - H_m y ||, which plane rotations update in every step.

    References
    ----------
    Saad (1993), "A flexible inner-outer preconditioned GMRES algorithm", SIAM J. Sci. Comput. 14(2), Algorithm 2.2.
    Giraud, Langou and Rozloznik (2005), "The loss of orthogonality in the Gram-Schmidt process", Comput. Math. Appl.
    50(7): twice is enough.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.fgmres import fgmres
    >>> A = np.array([[2.0, 1.0], [-1.0, 1.0]])
    >>> fgmres(A, np.array([3.0, 0.0]), rtol=1e-12).x
    array([1., 1.])
    """
    if restart < 1:
        raise ValueError(f"restart = {restart}: expected at least 1 basis vector, such as 30")
    check_preconditioner(A, M)
    monitor = Monitor("fgmres", A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    A, b = monitor.A, monitor.b
    precondition = preconditioner(monitor, M)
    plain = preconditioner(monitor, None)
    steps = max(1, min(restart, b.shape[0], monitor.maxiter))
    cycle = _Cycle(monitor.x, monitor.r, _bases(monitor.r, steps, keep=M is not None))
    idle = rejected = 0
    with monitor, np.errstate(invalid="ignore", over="ignore"):  # the Hessenberg matrix is checked
        going = monitor.proceed(cycle.x, cycle.r)
        while going:
            if not cycle.step(A, precondition, live(monitor), choosy=M is not None):
                rejected += 1
                if M is None or not cycle.step(A, plain, live(monitor), choosy=False):
                    monitor.fail(Status.NONFINITE, "A M v became NaN or infinite; check A and M")
                    break
            x, r, ended = cycle.x, None, cycle.ended
            if ended or callback is not None or np.all(cycle.rnorm <= monitor.tolerance):
                x = cycle.solution()
            if ended:
                r = b - A @ x
            going = monitor.proceed(x, r, rnorm=None if ended else cycle.rnorm, exact=ended)
            if going and (ended or monitor.replaced):
                old, cycle = cycle, cycle.renewed(x, monitor.r if monitor.replaced else r)
                fell = np.any((cycle.start < 0.99 * old.start) & (old.start > monitor.tolerance))
                idle = 0 if fell or monitor.replaced else idle + 1
                going = not _gave_up(monitor, idle, old.broken, restart)
    return monitor.result(cycle.solution(), restart=restart, **({"rejected": rejected} if rejected else {}))


def _gave_up(monitor: Monitor, idle: int, broken: bool, restart: int) -> bool:
    """End the solve where restarting does not help."""
    if idle and broken:
        monitor.fail(Status.BREAKDOWN, "A M v vanished before the residual did: A is singular, or M loses directions")
    elif idle >= PATIENCE:
        note = f"no residual fell by 1 % over {PATIENCE} restarts; raise restart = {restart} or use a stronger M"
        monitor.fail(Status.STAGNATED, note)
    return monitor.status is not None


def _rows(v: Array) -> Array:
    """(n,) -> (1, n); (n, k) -> (k, n)."""
    return v[None, :] if v.ndim == 1 else v.T


def _bases(r: Array, steps: int, *, keep: bool) -> tuple[Array, Array]:
    """Room for V (k, steps + 1, n) and Z; they are one where M is None."""
    xp, k = array_namespace(r), 1 if r.ndim == 1 else r.shape[1]
    V = xp.empty((k, steps + 1, r.shape[0]), dtype=r.dtype, device=device(r))
    return V, xp.empty((k, steps, r.shape[0]), dtype=r.dtype, device=device(r)) if keep else V


class _Cycle:
    """One Arnoldi cycle: bases (k, steps, n) where b lives, the small triangular systems on the host."""

    def __init__(self, x: Array, r: Array, bases: tuple[Array, Array]) -> None:
        self.x, self.r, self.size = x, r, 0
        self.V, self.Z = bases
        self.xp = xp = array_namespace(r)
        self.complex = xp.isdtype(r.dtype, "complex floating")
        self.start = np.atleast_1d(norm(r))
        k, steps = len(self.start), self.V.shape[1] - 1
        self.shape = np.shape(norm(r))
        self.alive = self.start > 0
        self.V[:, 0] = _rows(r) * self._on_device(1 / np.where(self.alive, self.start, 1.0))[:, None]
        kind = np.complex128 if self.complex else np.float64
        self.R, self.g = np.zeros((k, steps, steps), kind), np.zeros((k, steps), kind)
        self.tail = self.start.astype(kind)
        self.cosine, self.sine = np.zeros((k, steps)), np.zeros((k, steps), kind)

    def renewed(self, x: Array, r: Array) -> _Cycle:
        """The next cycle, in the memory of this one."""
        return _Cycle(x, r, (self.V, self.Z))

    @property
    def rnorm(self) -> NDArray[np.float64]:
        """Residual norm of the least-squares problem, shaped like the history's rows."""
        return np.abs(self.tail).reshape(self.shape)

    @property
    def broken(self) -> bool:
        """Whether no column can go on although its basis is not full."""
        return not np.any(self.alive)

    @property
    def ended(self) -> bool:
        """Whether x has to be formed and a new basis begun."""
        return self.size == self.g.shape[1] or self.broken

    def _on_device(self, host: NDArray[Any]) -> Array:
        return self.xp.asarray(host.astype(str(self.r.dtype).removeprefix("torch.")), device=device(self.r))

    def step(self, A: LinearOperator, precondition: Precondition, open_: NDArray[np.bool_], *, choosy: bool) -> bool:
        """Add a basis vector; False, with nothing changed, if A M v is not finite or, where choosy, zero."""
        j, xp = self.size, self.xp
        active = self.alive & np.atleast_1d(open_)
        v = self.V[:, j]
        z = precondition(v[0] if self.r.ndim == 1 else v.T)
        w = _rows(A @ z)
        if not np.all(active):  # frozen columns: nothing that M returns for them may spread
            wanted = xp.asarray(active, device=device(w))[:, None]
            w, z = xp.where(wanted, w, xp.zeros_like(w)), xp.where(wanted.T, z, xp.zeros_like(z))
        basis, length = self.V[:, : j + 1], np.atleast_1d(norm(w.T))
        column = np.zeros((len(active), j + 1), self.g.dtype)
        below = length
        for _ in range(2):
            share = self._shares(basis, w)
            w = w - (share @ basis[0] if len(active) == 1 else (share[:, None, :] @ basis)[:, 0])
            column += on_host(share)
            before, below = below, np.atleast_1d(norm(w.T))
            if not np.any(below < CANCELLED * before):
                break
        if not (np.all(np.isfinite(column)) and np.all(np.isfinite(below))):
            return False
        if choosy and np.any(active & (length == 0)):
            return False
        eps = float(xp.finfo(w.dtype).eps)
        noise = 2 * eps * length
        below = np.where(below > noise, below, 0.0)
        if self.Z is not self.V:
            self.Z[:, j] = _rows(z)
        self.V[:, j + 1] = w * self._on_device(np.where(below > 0, 1 / np.where(below > 0, below, 1.0), 0.0))[:, None]
        self._rotate(column, below, active, noise)
        self.alive &= ~active | (below > 0)
        return True

    def _shares(self, basis: Array, w: Array) -> Array:
        """V^H w of each column, (k, j + 1)."""
        adjoint = self.xp.conj(w) if self.complex else w
        share = (basis[0] @ adjoint[0])[None] if len(w) == 1 else (basis @ adjoint[..., None])[..., 0]
        return self.xp.conj(share) if self.complex else share

    def _rotate(
        self, column: NDArray[Any], below: NDArray[np.float64], active: NDArray[np.bool_], noise: NDArray[np.float64]
    ) -> None:
        """Apply the earlier rotations to a column of H, and make the one that removes `below`."""
        j = self.size
        for i in range(j):
            c, s = self.cosine[:, i], self.sine[:, i]
            upper, lower = column[:, i].copy(), column[:, i + 1].copy()
            column[:, i], column[:, i + 1] = c * upper + s * lower, c * lower - np.conj(s) * upper
        last = column[:, j]
        size = np.abs(last)
        length = np.hypot(size, below)
        solvable = active & (length > noise)
        phase = np.where(size > 0, last / np.where(size > 0, size, 1.0), 1.0)
        safe = np.where(solvable, length, 1.0)
        self.cosine[:, j] = np.where(solvable, size / safe, 1.0)
        self.sine[:, j] = np.where(solvable, phase * below / safe, 0.0)
        self.R[:, :j, j] = np.where(solvable[:, None], column[:, :j], 0.0)
        self.R[:, j, j] = np.where(solvable, phase * length, 1.0)
        self.g[:, j] = np.where(solvable, self.cosine[:, j] * self.tail, 0.0)
        self.tail = np.where(solvable, -np.conj(self.sine[:, j]) * self.tail, self.tail)
        self.size += 1

    def solution(self) -> Array:
        """x_0 + Z y."""
        j = self.size
        if j == 0:
            return self.x
        y = self._on_device(np.linalg.solve(self.R[:, :j, :j], self.g[:, :j, None])[..., 0])
        move = self.xp.stack([y[i] @ self.Z[i, :j] for i in range(len(self.start))])
        return self.x + (move[0] if self.r.ndim == 1 else move.T)
