"""A tuned solver that a dolfinx or PETSc loop uses where it had a KSP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from conjugo.learned.tuning.arms import Candidate
from conjugo.learned.tuning.learner import Context
from conjugo.learned.tuning.tuned_solver import TunedSolver
from conjugo.solvers.result import SolveResult


class TunedKSP:
    """Stands in for a `petsc4py.PETSc.KSP` in a time loop: only its making changes.

    Parameters
    ----------
    A : petsc4py.PETSc.Mat
        The matrix; its values may change in place from step to step.
    candidates : sequence of Candidate
        From `petsc_sweep`.
    rtol, atol : float
        Tolerances of the true residual.
    options
        As `TunedSolver`'s.

    Attributes
    ----------
    tuner : TunedSolver
        What chooses.
    context : float or sequence of float, optional
        Set it before a solve where the tuner has contexts.
    result : SolveResult
        Of the last solve.

    Examples
    --------
    In a loop that had `ksp = PETSc.KSP().create(comm)`, `ksp.setOperators(A)` and options::

        ksp = TunedKSP(A, petsc_sweep("gamg", "-ksp_type cg -pc_type gamg", pc_gamg_threshold=[-1, 0, 0.02, 0.05]))
        ...
        ksp.solve(b, x)
    """

    def __init__(
        self, A: Any, candidates: Sequence[Candidate], *, rtol: float = 1e-8, atol: float = 0.0, **options: Any
    ) -> None:
        self.A, self.rtol, self.atol = A, rtol, atol
        self.tuner = TunedSolver(candidates, **options)
        self.context: Context = None
        self.result: SolveResult | None = None
        self._from_x = False

    def setOperators(self, A: Any) -> None:  # noqa: N802 -- PETSc's name
        """Take another matrix."""
        self.A = A

    def setTolerances(self, rtol: float | None = None, atol: float | None = None) -> None:  # noqa: N802
        """Set the tolerances."""
        self.rtol = self.rtol if rtol is None else rtol
        self.atol = self.atol if atol is None else atol

    def setInitialGuessNonzero(self, flag: bool) -> None:  # noqa: N802
        """Say whether x holds a first guess."""
        self._from_x = bool(flag)

    def solve(self, b: Any, x: Any) -> None:
        """Solve A x = b.

        Parameters
        ----------
        b, x : petsc4py.PETSc.Vec
            Right-hand side, and where the solution goes.
        """
        guess = x if self._from_x else None
        self.result = self.tuner.solve(self.A, b, guess, context=self.context, rtol=self.rtol, atol=self.atol)
        self.result.x.copy(x)

    def getIterationNumber(self) -> int:  # noqa: N802
        """Iterations of the last solve."""
        return 0 if self.result is None else self.result.iterations

    def getConvergedReason(self) -> int:  # noqa: N802
        """2 where the last solve converged (PETSc's KSP_CONVERGED_RTOL), else -3."""
        return 2 if self.result is not None and self.result.converged else -3
