"""Multigrid with a second coarse space of local vectors: for crowded media, noise and narrow gaps."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.krylov.cg import cg
from conjugo.solvers.monitor import Callback
from conjugo.solvers.multigrid.local_space import LocalSpace
from conjugo.solvers.multigrid.multigrid import Multigrid
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.result import SolveResult


class EnrichedMultigrid:
    """A V-cycle of black-box multigrid between two exact corrections in a space of local low-energy vectors.

    Parameters
    ----------
    A : VariableStencil or CompactStencil
        Symmetric, positive (semi-)definite.
    cycle : {"V", "W"}
        Cycle of `Multigrid`.
    precision : {"float32", "float64"}
        Of the cycle; the local corrections are in float64.
    **options
        Passed on to `LocalSpace`: block, vectors, threshold, degree, propose, seed.

    Attributes
    ----------
    space : LocalSpace
        The local vectors.
    linear, symmetric : bool
        True: M is for plain `cg`.
    setup_seconds : float
        Set-up of both.

    Notes
    -----
    With C = Q (Q^T A Q)^-1 Q^T and the cycle B, M = C + (I - C A) B (I - A C). Symmetric and positive definite for
    every Q, because B is: what is proposed for Q can only cost iterations. `solve` is the same iteration at half the
    price: from a start with Q^T r = 0, which CG then keeps, M r = B r + C (r - A B r).

    References
    ----------
    J. Mandel, "Balancing domain decomposition", Comm. Numer. Methods Engrg. 9 (1993); J. Tang, R. Nabben, C. Vuik,
    Y. Erlangga, "Comparison of two-level preconditioners", J. Sci. Comput. 39 (2009), P_BNN and P_A-DEF2.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.krylov.cg import cg
    >>> from conjugo.solvers.multigrid.enriched import EnrichedMultigrid
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> k = -np.where(np.arange(100) % 10 == 9, 1e-6, 1.0)
    >>> k[-1] = 0.0
    >>> A = VariableStencil(1e-6 - k - np.roll(k, 1), [k])
    >>> cg(A, np.ones(100), M=EnrichedMultigrid(A), rtol=1e-8).converged
    True
    """

    linear = True
    symmetric = True

    def __init__(
        self,
        A: VariableStencil | CompactStencil,
        *,
        cycle: Any = "V",
        precision: Any = "float32",
        **options: Any,
    ) -> None:
        started = time.perf_counter()
        self._A = A if A.dtype == np.float64 else A.astype(np.float64)
        self.space = LocalSpace(self._A, **options)
        self.multigrid = Multigrid(self._A, cycle=cycle, symmetric=True, precision=precision)
        self.setup_seconds = time.perf_counter() - started

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._A.shape

    @property
    def nbytes(self) -> int:
        """Bytes kept between applications."""
        return self.multigrid.nbytes + self.space.nbytes

    def __repr__(self) -> str:
        return f"EnrichedMultigrid({self.multigrid!r}, {self.space.size} local vectors)"

    def __matmul__(self, r: Array) -> Array:
        """Apply M to (n,) or (n, k)."""
        if not isinstance(r, np.ndarray):
            xp = array_namespace(r)
            host = np.asarray(r.detach().cpu() if hasattr(r, "detach") else r)
            return xp.asarray(self @ host, device=device(r))
        if self.space.size == 0:
            return self.multigrid @ r
        if r.dtype.kind == "c":
            out = np.empty_like(r)
            out.real, out.imag = self @ r.real, self @ r.imag
            return out
        wide = r.astype(np.float64, copy=False)
        return self._balanced(wide).astype(r.dtype, copy=False)

    def solve(
        self,
        b: Array,
        x0: Array | None = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callback | None = None,
    ) -> SolveResult:
        """Solve A x = b by conjugate gradients, one local correction an iteration.

        Parameters
        ----------
        b : (n,) or (n, k) ndarray
            Right-hand sides.
        x0 : array like b, optional
            First guess.
        rtol, atol, maxiter, callback
            As for `cg`: stop at ||b - A x||_2 <= max(rtol ||b||_2, atol).

        Returns
        -------
        SolveResult
            `details` holds `setup_seconds`, `bytes` and the number of local `vectors`.

        Raises
        ------
        ValueError
            As `cg`.
        """
        options: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
        if not isinstance(b, np.ndarray) or b.dtype.kind == "c" or b.shape[:1] != self.shape[:1]:
            return cg(self._A, b, x0, M=self, **options)  # which says what is wrong, or goes the long way
        started = time.perf_counter()
        start = np.zeros(b.shape) if x0 is None else np.array(x0, dtype=np.float64)
        if self.space.size and np.isfinite(b).all() and start.shape == b.shape and np.isfinite(start).all():
            start += self.space.correct(b - self._A @ start)
        result = cg(self._A, b, start.astype(b.dtype, copy=False), M=_Deflated(self), **options)
        facts = {"setup_seconds": self.setup_seconds, "bytes": self.nbytes, "vectors": self.space.size}
        seconds = time.perf_counter() - started
        return replace(result, seconds=seconds, method="enriched multigrid", details={**result.details, **facts})

    def deflated(self, r: NDArray[Any]) -> NDArray[Any]:
        """B r + C (r - A B r), equal to M r where Q^T r = 0."""
        wide = r.astype(np.float64, copy=False)
        z = np.array(self.multigrid @ wide, dtype=np.float64)
        if self.space.size:
            z += self.space.correct(wide - self._A @ z)
        N = self._A.nullspace
        if N is not None:
            z -= N @ (N.T @ z)
        return z.astype(r.dtype, copy=False)

    def _balanced(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """C r + (I - C A) B (r - A C r)."""
        z = self.space.correct(r)
        y = np.asarray(self.multigrid @ (r - self._A @ z), dtype=np.float64)
        z += y
        z -= self.space.correct(np.asarray(self._A @ y))
        N = self._A.nullspace
        if N is not None:
            z -= N @ (N.T @ z)
        return z


class _Deflated:
    """B + C (I - A B): equal to the balanced M wherever Q^T r = 0."""

    linear = True
    symmetric = True

    def __init__(self, M: EnrichedMultigrid) -> None:
        self._M = M
        self.shape = M.shape

    def __matmul__(self, r: Array) -> Array:
        return self._M.deflated(r)
