"""One right-hand side through a KSP: corrections until the true residual meets the tolerance."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.adapters.petsc_objects import load_petsc, status_of
from conjugo.solvers.monitor import REPLACEMENTS, Callback
from conjugo.solvers.result import SolveResult, Status

_STOPPED = -3  # any negative reason ends KSPSolve; the run remembers why


class KSPRun:
    """One right-hand side: solve for corrections until the true residual meets the tolerance."""

    def __init__(
        self,
        ksp: Any,
        mat: Any,
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
        self.petsc, self.ksp, self.mat = load_petsc(), ksp, mat
        self.dtype, self.maxiter, self.callback = b.dtype, maxiter, callback
        self.x, self.b = self.mat.createVecs()
        self.r, self.d = self.b.duplicate(), self.x.duplicate()
        self.b.setArray(b)
        self.x.set(0.0)
        if x0 is not None and self.b.norm() > 0:
            self.x.setArray(x0)
        self.tolerance = max(rtol * self.b.norm(), atol)
        self.window = max(50, min(mat.getSize()[0], 10_000))
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
        self.ksp.setConvergenceTest(None)  # which held this object
        for vector in (self.x, self.b, self.r, self.d):
            vector.destroy()
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
