"""What every solver returns: the solution, how it ended, and the history of the true residual."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array


class Status(StrEnum):
    """How a solve ended."""

    CONVERGED = "converged"
    MAX_ITERATIONS = "max_iterations"
    STAGNATED = "stagnated"
    BREAKDOWN = "breakdown"
    INDEFINITE = "indefinite"
    NONFINITE = "nonfinite"
    STOPPED = "stopped"


_ADVICE = {
    Status.CONVERGED: "the true residual meets the tolerance",
    Status.MAX_ITERATIONS: "the iterations ran out; raise maxiter or use a stronger preconditioner M",
    Status.STAGNATED: "the residual stopped falling above the tolerance, which may lie below the attainable accuracy "
    "eps * ||A|| * ||x||; loosen rtol, use float64, or rescale the system",
    Status.BREAKDOWN: "a denominator vanished; check that A and M are symmetric, or use fgmres",
    Status.INDEFINITE: "A or M is not positive definite; use minres for a symmetric indefinite A, fgmres otherwise",
    Status.NONFINITE: "NaN or infinity appeared; check A, b and M, and whether float32 overflows",
    Status.STOPPED: "the callback or the user stopped the solve; x holds what was reached",
}


class ConvergenceError(RuntimeError):
    """Raised by `SolveResult.check` when a solve did not converge; `.result` holds the result."""

    def __init__(self, message: str, result: SolveResult) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True, eq=False)
class SolveResult:
    """The outcome of one solve. It also unpacks as SciPy's pair: `x, info = cg(A, b)`.

    Parameters
    ----------
    x : array
        The solution, shaped like b, in b's library, dtype and device.
    status : Status
        How the solve ended.
    residuals : ndarray
        ||b - A x_k||_2 on the host, (iterations + 1,) or (iterations + 1, k) for k right-hand sides.
        The last row is recomputed from x, never taken from a recurrence.
    seconds : float
        Wall-clock time of the solve alone; set-up is timed by the factory that did it.
    method : str
        Name of the method.
    details : dict
        Facts of this solve, for instance `{"omega": 1.7, "note": "why it ended so"}`.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers import cg
    >>> result = cg(np.diag([1.0, 2.0]), np.ones(2))
    >>> result.status, result.iterations
    (<Status.CONVERGED: 'converged'>, 2)
    >>> x, info = result.check()
    >>> info
    0
    """

    x: Array
    status: Status
    residuals: NDArray[np.float64]
    seconds: float
    method: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def iterations(self) -> int:
        """Number of iterations done."""
        return len(self.residuals) - 1

    @property
    def converged(self) -> bool:
        """Whether the true residual meets the tolerance."""
        return self.status is Status.CONVERGED

    @property
    def info(self) -> int:
        """SciPy's code: 0 converged, > 0 iterations without convergence, < 0 breakdown."""
        if self.converged:
            return 0
        if self.status in (Status.BREAKDOWN, Status.INDEFINITE, Status.NONFINITE):
            return -1
        return max(1, self.iterations)

    @property
    def message(self) -> str:
        """One sentence: what happened and what to try."""
        last = float(np.max(self.residuals[-1]))
        note = self.details.get("note")
        what = f"{self.method}: {self.status.value} after {self.iterations} iterations, ||b - A x|| = {last:.3e}"
        return f"{what}: {note or _ADVICE[self.status]}"

    def check(self) -> Self:
        """Return self if converged.

        Raises
        ------
        ConvergenceError
            With what happened and what to try.
        """
        if not self.converged:
            raise ConvergenceError(self.message, self)
        return self

    def __iter__(self) -> Iterator[Any]:
        yield self.x
        yield self.info
