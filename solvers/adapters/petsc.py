"""PETSc's Krylov methods and preconditioners behind this package's result, stopping rule and statuses."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.adapters.host import joined, like, to_numpy
from conjugo.solvers.adapters.petsc_objects import as_mat, load_petsc, make_ksp, parse_options
from conjugo.solvers.adapters.petsc_run import KSPRun
from conjugo.solvers.krylov.preconditioned import check_preconditioner
from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult
from conjugo.solvers.system import as_floating, check_system

_log = logging.getLogger(__name__)

DEFAULT = "-ksp_type cg -pc_type gamg"


class PetscSolver:
    """A KSP with its preconditioner, set up once and applied many times.

    As a preconditioner, `solver @ r` applies PETSc's PC.

    Parameters
    ----------
    A : matrix, operator or petsc4py Mat
        Sparse or dense matrices, and operators with `.tocsr()`, are assembled (CSR arrays of float64 and 32-bit indices
        are shared with PETSc, not copied); other operators become a matrix-free Mat. A Mat may be distributed: b and x
        are then Vecs, or arrays of the rows of this process. A declared `A.nullspace` is attached.
    options : str or mapping
        PETSc's own: "-ksp_type cg -pc_type gamg", or {"ksp_type": "cg", "pc_type": "gamg"}. They enter PETSc's database
        under a prefix of this solver's own and leave it after the set-up.
    M : operator, optional
        A preconditioner of this package, as a python PC in place of a PETSc one.
    matrix_free : bool
        Do not assemble A.

    Attributes
    ----------
    shape, linear, symmetric
        The facts of a preconditioner; symmetric is False for A that says so, and for a restricted Schwarz PC.
    ksp, mat
        PETSc's objects.
    unused_options : list of str
        Options that nothing read, often misspelt; also logged, and in the details of each result.
    setup_seconds : float
        Time of the set-up.

    Raises
    ------
    ImportError
        Where PETSc is not installed.
    ValueError
        For wrong shapes, or options that PETSc refuses.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.petsc import PetscSolver
    >>> solver = PetscSolver(2 * np.eye(50) - np.eye(50, k=1) - np.eye(50, k=-1), "-ksp_type cg -pc_type icc")
    >>> [solver.solve(b, rtol=1e-10).status.value for b in np.eye(50)[:2]]
    ['converged', 'converged']
    """

    linear = True

    def __init__(
        self,
        A: Any,
        options: str | Mapping[str, Any] = DEFAULT,
        *,
        M: LinearOperator | None = None,
        matrix_free: bool = False,
    ) -> None:
        self._petsc = petsc = load_petsc()
        started = time.perf_counter()
        self.A = A if isinstance(A, petsc.Mat) else as_operator(A)
        self.shape = tuple(A.getSize() if isinstance(A, petsc.Mat) else self.A.shape)
        if len(self.shape) != 2 or self.shape[0] != self.shape[1]:
            raise ValueError(f"A has shape {self.shape}: expected a square matrix or operator (n, n)")
        if M is not None and not isinstance(A, petsc.Mat):
            check_preconditioner(self.A, M)
        self.mat, self._keep = as_mat(petsc, self.A, matrix_free=matrix_free)
        own = None if M is None else as_operator(M)
        self.ksp, self.unused_options = make_ksp(petsc, self.mat, parse_options(options), own)
        if self.unused_options:
            _log.warning("PETSc did not read the options %s: check their spelling", ", ".join(self.unused_options))
        self.name = f"petsc({self.ksp.getType()}+{'M' if M is not None else self.ksp.getPC().getType()})"
        restricted = self.ksp.getPC().getType() in ("asm", "gasm")
        self.symmetric = bool(getattr(A, "symmetric", True)) and not restricted
        self.setup_seconds = time.perf_counter() - started

    def destroy(self) -> None:
        """Free PETSc's memory now; on several processes call it on all of them."""
        self.ksp.destroy()
        if self._keep is not None:
            self.mat.destroy()

    def __matmul__(self, r: Array) -> Array:
        values = to_numpy(r)
        x, y = self.mat.createVecs()
        columns = values.reshape(values.shape[0], -1).T
        done = []
        for column in columns:
            y.setArray(column)
            self.ksp.getPC().apply(y, x)
            done.append(x.getArray().copy())
        return like(np.stack(done, axis=1).reshape(values.shape), r)

    def solve(
        self,
        b: Any,
        x0: Any = None,
        *,
        rtol: float = 1e-5,
        atol: float = 0.0,
        maxiter: int | None = None,
        callback: Callback | None = None,
    ) -> SolveResult:
        """Solve A x = b.

        Parameters
        ----------
        b : (n,) or (n, k) array, or petsc4py Vec
            Right-hand sides; for a distributed A a Vec or the rows of this process.
        x0 : as b, optional
            First guess.
        rtol, atol : float
            Stop at ||b - A x||_2 <= max(rtol ||b||_2, atol), the true residual whatever norm the KSP watches.
        maxiter : int, optional
            Default 10 n.
        callback : callable, optional
            Called with x (the rows of this process) after every iteration; True or StopIteration stops the solve.

        Returns
        -------
        SolveResult
            x is what b is. `details` holds `setup_seconds`, `restarts` and `reason`, PETSc's name for how it ended.

        Raises
        ------
        ValueError
            For shapes that disagree, NaN in b or x0, or complex numbers in a real PETSc.
        """
        if isinstance(b, self._petsc.Vec):
            first = None if x0 is None else x0.getArray(readonly=True)
            result = self._one(b.getArray(readonly=True), first, rtol, atol, maxiter, callback)
            x = b.duplicate()
            x.setArray(result.x)
            return self._named(result, x)
        b, x0 = as_floating("b", b, self.A), as_floating("x0", x0, self.A)
        local = self.mat.getLocalSize()[0]
        check_system(_Local(local), b, x0)
        B, X0 = to_numpy(b), None if x0 is None else to_numpy(x0)
        if np.iscomplexobj(B) and not np.issubdtype(self._petsc.ScalarType, np.complexfloating):
            raise ValueError(
                f"b has dtype {B.dtype} but this PETSc is built for real numbers: use minres, cg or fgmres"
            )
        if B.ndim == 1:
            result = self._one(B, X0, rtol, atol, maxiter, callback)
            return self._named(result, like(result.x, b))
        columns = range(B.shape[1])
        first = [None if X0 is None else X0[:, i] for i in columns]
        results = [self._one(B[:, i], first[i], rtol, atol, maxiter, callback) for i in columns]
        result = joined(results)
        return self._named(result, like(result.x, b))

    def _named(self, result: SolveResult, x: Any) -> SolveResult:
        details = {**result.details, "setup_seconds": self.setup_seconds}
        if self.unused_options:
            details["unused_options"] = self.unused_options
        return SolveResult(x, result.status, result.residuals, result.seconds, self.name, details)

    def _one(
        self,
        b: NDArray[Any],
        x0: NDArray[Any] | None,
        rtol: float,
        atol: float,
        maxiter: int | None,
        callback: Callback | None,
    ) -> SolveResult:
        limit = 10 * self.shape[0] if maxiter is None else maxiter
        run = KSPRun(self.ksp, self.mat, b, x0, (rtol, atol), limit, callback)
        return run.finish()


class _Local:
    """The shape of what this process owns, for the checks."""

    def __init__(self, rows: int) -> None:
        self.shape = (rows, rows)

    def __matmul__(self, x: Array) -> Array:
        raise TypeError("only the shape of a local part is known: multiply by the distributed Mat")


def petsc(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | None = None,
    options: str | Mapping[str, Any] = DEFAULT,
    callback: Callback | None = None,
    matrix_free: bool = False,
) -> SolveResult:
    """Solve A x = b by PETSc's KSP with any options.

    Parameters
    ----------
    A, options, M, matrix_free
        As in `PetscSolver`, which keeps the set-up for many right-hand sides.
    b, x0, rtol, atol, maxiter, callback
        As in `PetscSolver.solve`.

    Returns
    -------
    SolveResult
        `details["setup_seconds"]` is PETSc's set-up, not part of `seconds`.

    Raises
    ------
    ImportError
        Where PETSc is not installed.
    ValueError
        For wrong input, or options that PETSc refuses.

    References
    ----------
    Balay et al. (2025), "PETSc/TAO users manual", ANL-21/39, chapter 2.4.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.adapters.petsc import petsc
    >>> A = 2 * np.eye(50) - np.eye(50, k=1) - np.eye(50, k=-1)
    >>> result = petsc(A, np.ones(50), rtol=1e-10, options="-ksp_type cg -pc_type icc")
    >>> result.method, result.status
    ('petsc(cg+icc)', <Status.CONVERGED: 'converged'>)
    """
    solver = PetscSolver(A, options, M=M, matrix_free=matrix_free)
    try:
        return solver.solve(b, x0, rtol=rtol, atol=atol, maxiter=maxiter, callback=callback)
    finally:
        solver.destroy()
