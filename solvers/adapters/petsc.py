"""PETSc's Krylov methods and preconditioners behind this package's result, stopping rule and statuses."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj
from numpy.typing import NDArray

from conjugo.solvers.adapters.host import floating, joined, like, to_numpy
from conjugo.solvers.adapters.petsc_objects import as_mat, load_petsc, make_ksp, parse_options, status_of
from conjugo.solvers.krylov.preconditioned import check_preconditioner
from conjugo.solvers.monitor import REPLACEMENTS, Callback, check_system
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult, Status

DEFAULT = "-ksp_type cg -pc_type gamg"
_STOPPED = -3  # any negative reason ends KSPSolve; the run remembers why


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
    setup_seconds : float
        Time of the set-up.

    Raises
    ------
    ImportError
        Where PETSc is not installed.
    ValueError
        For wrong shapes, or options that PETSc refuses.
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
        self.ksp = make_ksp(petsc, self.mat, parse_options(options), None if M is None else as_operator(M))
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
        if not is_array_api_obj(b) or not isinstance(self.A, self._petsc.Mat):
            b = floating(b)
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
        run = _Run(self, b, x0, (rtol, atol), 10 * self.shape[0] if maxiter is None else maxiter, callback)
        return run.finish()


class _Local:
    """The shape of what this process owns, for the checks."""

    def __init__(self, rows: int) -> None:
        self.shape = (rows, rows)

    def __matmul__(self, x: Array) -> Array:
        raise NotImplementedError


class _Run:
    """One right-hand side: solve for corrections until the true residual meets the tolerance."""

    def __init__(
        self,
        solver: PetscSolver,
        b: NDArray[Any],
        x0: NDArray[Any] | None,
        tolerances: tuple[float, float],
        maxiter: int,
        callback: Callback | None,
    ) -> None:
        self.started = time.perf_counter()
        rtol, atol = tolerances
        if not (np.isfinite(rtol) and np.isfinite(atol) and rtol >= 0 and atol >= 0):
            raise ValueError(f"rtol = {rtol}, atol = {atol}: expected finite numbers >= 0, such as rtol=1e-8")
        if maxiter < 0:
            raise ValueError(f"maxiter = {maxiter}: expected a number >= 0, or None for ten times the rows of A")
        self.petsc, self.ksp, self.mat = solver._petsc, solver.ksp, solver.mat
        self.dtype, self.maxiter, self.callback = b.dtype, maxiter, callback
        self.x, self.b = self.mat.createVecs()
        self.r, self.d = self.b.duplicate(), self.x.duplicate()
        self.b.setArray(b)
        self.x.set(0.0)
        if x0 is not None and self.b.norm() > 0:
            self.x.setArray(x0)
        self.tolerance = max(rtol * self.b.norm(), atol)
        self.window = max(50, min(solver.shape[0], 10_000))
        self.history = [self._residual()]
        self.best, self.best_at = self.history[0], 0
        self.status: Status | None = None
        self.details: dict[str, Any] = {"restarts": 0}
        self._check_consistency()

    def _check_consistency(self) -> None:
        """End at once where b has a component in the attached null space that no x can reach."""
        space = self.mat.getNullSpace()
        if not space:
            return
        part = self.b.copy()
        space.remove(part)
        part.aypx(-1.0, self.b)
        if part.norm() > max(self.tolerance, 1e-14 * self.b.norm()):
            self.status = Status.STAGNATED
            share = part.norm() / self.b.norm()
            self.details["note"] = (
                f"the system is inconsistent: A is singular and the part of b in its null space is {share:.1e} ||b||; "
                "project it out with N = A.nullspace; b = b - N @ (N.T @ b)"
            )

    def _residual(self) -> float:
        self.mat.mult(self.x, self.r)
        self.r.aypx(-1.0, self.b)
        return float(self.r.norm())

    def _test(self, ksp: Any, iteration: int, rnorm: float) -> int | None:
        """PETSc's convergence test; Ctrl-C reaches Python here and keeps what was reached."""
        try:
            return self._decide_now(ksp, iteration, rnorm)
        except KeyboardInterrupt:
            self.status, self.details["note"] = Status.STOPPED, "interrupted; x holds the last iterate"
            return _STOPPED

    def _decide_now(self, ksp: Any, iteration: int, rnorm: float) -> int | None:
        """Record the norm, then decide."""
        if iteration == 0:
            return self._petsc_rule(rnorm)
        self.history.append(float(rnorm))
        if rnorm < 0.99 * self.best:
            self.best, self.best_at = rnorm, len(self.history)
        if self.callback is not None and self._asked_to_stop(ksp):
            self.status = Status.STOPPED
            return _STOPPED
        if len(self.history) - self.best_at > self.window:
            note = f"no residual fell by 1 % in {self.window} iterations; change the preconditioner"
            self.status, self.details["note"] = Status.STAGNATED, note
            return _STOPPED
        return self._petsc_rule(rnorm)

    def _petsc_rule(self, rnorm: float) -> int | None:
        reasons = self.petsc.KSP.ConvergedReason
        if not np.isfinite(rnorm):
            return int(reasons.DIVERGED_NANORINF)
        return int(reasons.CONVERGED_ATOL) if rnorm <= self.goal else None

    def _asked_to_stop(self, ksp: Any) -> bool:
        now = self.x.getArray() + ksp.buildSolution().getArray(readonly=True)
        try:
            return self.callback is not None and self.callback(now.astype(self.dtype, copy=False)) is True
        except StopIteration:
            return True

    def _correct(self) -> int:
        """One KSP solve for the correction; returns PETSc's reason."""
        before = len(self.history)
        self.ksp.setTolerances(rtol=1e-300, atol=self.goal, max_it=self.maxiter - before + 1)
        self.ksp.setConvergenceTest(self._test)
        self.ksp.solve(self.r, self.d)
        if np.issubdtype(self.dtype, np.float32):  # what is returned is what is measured
            self.x.setArray((self.x.getArray() + self.d.getArray()).astype(np.float32))
        else:
            self.x.axpy(1.0, self.d)
        missing = before + self.ksp.getIterationNumber() - len(self.history)
        self.history += [self.history[-1]] * missing  # direct solves test nothing
        true = self._residual()
        if len(self.history) > before:
            self.history[-1] = true
        return int(self.ksp.getConvergedReason())

    def finish(self) -> SolveResult:
        """Run to the end."""
        self.goal = self.tolerance
        reason = 0
        if self.status is None and self.history[-1] > self.tolerance and self.maxiter > 0:
            for start in range(REPLACEMENTS + 1):
                self.details["restarts"] = start
                reason = self._correct()
                true = self.history[-1]
                if self.status is not None or reason < 0 or true <= self.tolerance or self._used() >= self.maxiter:
                    break
                self.goal = min(self.goal, 0.1 * self.goal * self.tolerance / true)
        self._decide(reason)
        residuals = np.asarray(self.history)
        x = self.x.getArray().astype(self.dtype)
        seconds = time.perf_counter() - self.started
        return SolveResult(x, self.status or Status.BREAKDOWN, residuals, seconds, "petsc", self.details)

    def _used(self) -> int:
        return len(self.history) - 1

    def _decide(self, reason: int) -> None:
        name, petsc_name = status_of(self.petsc, reason)
        if reason:
            self.details["reason"] = petsc_name
        if self.history[-1] <= self.tolerance:
            self.status = Status.CONVERGED
            self.details.pop("note", None)
        elif self.status is not None:
            return
        elif not np.isfinite(self.history[-1]):
            self.status = Status.NONFINITE
        elif self._used() >= self.maxiter or name == "MAX_ITERATIONS":
            self.status = Status.MAX_ITERATIONS
        elif reason < 0:
            self.status = Status[name]
            self.details["note"] = f"PETSc ended with {petsc_name}; try another -ksp_type or -pc_type"
        else:
            self.status = Status.STAGNATED
            note = f"PETSc stopped above the tolerance of the true residual in each of {REPLACEMENTS} restarts"
            self.details["note"] = f"{note}; loosen rtol or use float64"


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
