"""Conjugate gradients for a sequence of systems: each solve leaves a subspace that speeds up the next."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.krylov.columns import on_host
from conjugo.solvers.krylov.deflated import Deflation, deflated_cg
from conjugo.solvers.krylov.preconditioned import check_preconditioner
from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.system import as_floating, check_system


class RecyclingCG:
    """Solve A_t x_t = b_t, t = 1, 2, ..., for Hermitian positive definite matrices that are equal or change slowly.

    Parameters
    ----------
    k : int
        Size of the subspace that is kept from one solve to the next.
    window : int, optional
        Directions collected between two compressions; default 2 k.

    Attributes
    ----------
    W : (n, k) array or None
        Approximate eigenvectors of M A with the smallest eigenvalues; assign None to forget them, or a basis of your
        own. After a change of A in place assign `solver.W = solver.W.copy()`, so that A W is made anew.

    Raises
    ------
    ValueError
        If k or window is below 1.

    Notes
    -----
    While CG runs, its directions p_j with A p_j and M A p_j = (z_j - z_{j+1}) / alpha_j are collected; when the
    window is full, S = [W, P] is compressed to the harmonic Ritz vectors S y of the smallest theta in::

        (A S)^H M (A S) y = theta S^H A S y

    The next solve deflates with them: its first guess is exact in their span, and its iteration does not see them. It
    costs an iteration 6 k n flops for the deflation and about 20 k n for the collection (with the default window), at
    most 3 (k + window) n numbers, one product of its A with k vectors if A is another object than before, and one of
    M with k vectors: worth it where a product with A or M costs more, or the small eigenvalues are few and very small.

    References
    ----------
    Saad, Yeung, Erhel and Guyomarc'h (2000), "A deflated version of the conjugate gradient algorithm",
    SIAM J. Sci. Comput. 21(5), section 5.
    Stathopoulos and Orginos (2010), "Computing and deflating eigenvalues while solving multiple right-hand side
    linear systems", SIAM J. Sci. Comput. 32(1): a window that is compressed and refilled.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.recycling import RecyclingCG
    >>> A = np.diag(np.r_[1e-4, 1e-3, np.linspace(1, 10, 98)])
    >>> solver = RecyclingCG(k=4)
    >>> first, second = (solver.solve(A, np.ones(100), rtol=1e-8).iterations for _ in range(2))
    >>> second < first
    True
    """

    def __init__(self, k: int = 8, *, window: int | None = None) -> None:
        if k < 1:
            raise ValueError(f"k = {k}: expected at least 1 vector to keep, such as 8")
        if window is not None and window < 1:
            raise ValueError(f"window = {window}: expected at least 1 direction, or None for 2 k")
        self.k, self.window = int(k), 2 * int(k) if window is None else int(window)
        self.W: Array | None = None
        self._deflation: Deflation | None = None

    @property
    def nbytes(self) -> int:
        """Bytes kept between solves."""
        return 0 if self._deflation is None else self._deflation.nbytes

    def solve(
        self,
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
        """Solve one system of the sequence; parameters and result are those of `cg`.

        Parameters
        ----------
        A, b, x0, rtol, atol, maxiter, M, callback
            As in `deflated_cg`. Directions are collected from the first column of a block.

        Returns
        -------
        SolveResult
            `details["deflated"]` is the size of the subspace used, `details["setup_seconds"]` what it cost.

        Raises
        ------
        ValueError
            For wrong input, as `deflated_cg`.
        """
        operator, M = as_operator(A), None if M is None else as_operator(M)
        b = as_floating("b", b, operator)
        x0 = as_floating("x0", x0, operator)
        check_system(operator, b, x0)
        check_preconditioner(operator, M)
        started = time.perf_counter()
        deflation = self._subspace(A, b)
        harvest = _Harvest(deflation, M, self.k, self.window)
        setup = time.perf_counter() - started
        result = deflated_cg(
            operator, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, M=M, callback=callback, W=deflation, observe=harvest
        )
        found = harvest.compressed(self.k)
        if found is not None:
            self._deflation = Deflation(A, *found)
            self.W = self._deflation.W
        return replace(result, method="recycling_cg", details={**result.details, "setup_seconds": setup})

    def _subspace(self, A: LinearOperator, b: Array) -> Deflation:
        """What the last solve left, for this A."""
        xp = array_namespace(b)
        W = self.W
        if W is None or W.shape[0] != b.shape[0]:
            return Deflation(A, xp.zeros((b.shape[0], 0), dtype=b.dtype, device=device(b)))
        kept = self._deflation
        same = kept is not None and kept.A is A and kept.W.dtype == b.dtype and array_namespace(kept.W) is xp
        if kept is not None and same and W is kept.W:
            return kept
        return Deflation(A, xp.asarray(W, dtype=b.dtype, device=device(b)))


class _Harvest:
    """Collect directions in rows of S, A S and M A S, and compress them to the lowest harmonic Ritz vectors."""

    def __init__(self, deflation: Deflation, M: LinearOperator | None, k: int, window: int) -> None:
        W, AW = deflation.W, deflation.AW
        self.xp = xp = array_namespace(W)
        self.keep, self.size = k, int(W.shape[1])
        shape = (max(k, self.size) + window, W.shape[0])
        empty = [xp.zeros(shape, dtype=W.dtype, device=device(W)) for _ in range(2 if M is None else 3)]
        self.S, self.AS, self.MAS = empty[0], empty[1], empty[-1]
        self.plain = M is None
        if self.size:
            self.S[: self.size], self.AS[: self.size] = W.T, AW.T
            if M is not None:
                self.MAS[: self.size] = (M @ AW).T
        self.pending: tuple[Array, Array, Array, float] | None = None

    def __call__(self, p: Array | None, q: Array | None, z: Array | None, alpha: Array | None) -> None:
        """Take one iteration's direction; M A p is known only when the next z is."""
        if p is None or q is None or z is None or alpha is None:
            self.pending = None
            return
        if p.ndim == 2:
            p, q, z, alpha = p[:, 0], q[:, 0], z[:, 0], alpha[0]
        if self.pending is not None:
            self._add(*self.pending, z)
        step = float(on_host(alpha).real)
        self.pending = (p, q, z, step) if step > 0 else None

    def _add(self, p: Array, q: Array, z: Array, step: float, z_next: Array) -> None:
        if self.size == self.S.shape[0]:
            self._compress(self.keep)
        scale = float(on_host(self.xp.vecdot(p, q)).real) ** -0.5  # so that p^H A p = 1
        self.S[self.size], self.AS[self.size] = p * scale, q * scale
        if not self.plain:
            self.MAS[self.size] = (z - z_next) * (scale / step)
        self.size += 1

    def _compress(self, k: int) -> None:
        """Replace the rows by combinations y that make theta smallest."""
        rows = slice(0, self.size)
        S, AS, MAS = self.S[rows], self.AS[rows], self.MAS[rows]
        conj = self.xp.conj if self.xp.isdtype(S.dtype, "complex floating") else (lambda v: v)
        energy, square = _hermitian(on_host(conj(S) @ AS.T)), _hermitian(on_host(conj(AS) @ MAS.T))
        if not (np.all(np.isfinite(energy)) and np.all(np.isfinite(square))):
            self.size = 0  # A or M returned NaN: nothing of this is worth keeping
            return
        floor = 10 * self.size * float(self.xp.finfo(S.dtype).eps)
        values, vectors = np.linalg.eigh(energy)
        whiten = vectors[:, values > floor * values[-1]] / np.sqrt(values[values > floor * values[-1]])
        _, ritz = np.linalg.eigh(_hermitian(whiten.conj().T @ square @ whiten))
        Y = self.xp.asarray((whiten @ ritz[:, :k]).T, dtype=S.dtype, device=device(S))
        self.size = int(Y.shape[0])
        S, AS, MAS = Y @ S, Y @ AS, MAS if self.plain else Y @ MAS
        self.S[: self.size], self.AS[: self.size] = S, AS
        if not self.plain:
            self.MAS[: self.size] = MAS

    def compressed(self, k: int) -> tuple[Array, Array] | None:
        """The k lowest vectors and their images as columns, or None where nothing was collected."""
        if self.size:
            self._compress(k)
        if self.size == 0:
            return None
        asarray = self.xp.asarray
        return asarray(self.S[: self.size].T, copy=True), asarray(self.AS[: self.size].T, copy=True)


def _hermitian(matrix: NDArray[Any]) -> NDArray[Any]:
    return np.asarray((matrix + matrix.conj().T) / 2)
