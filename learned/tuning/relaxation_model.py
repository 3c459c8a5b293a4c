"""Young's theory for the SSOR candidates of a tuned solver, with its unknown taken from the solves themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.arms import Candidate
from conjugo.learned.tuning.learner import Context
from conjugo.learned.tuning.young import Family, SSORPrior, least_from_cg
from conjugo.solvers.result import SolveResult

FARTHER = 4.0
"""Growth of I + c K beyond the last look at which the model asks for another."""


class RelaxationModel:
    """Predicts the iterations of CG with SSOR from mu = lambda_max(D A^-1).

    Parameters
    ----------
    kind : {"shift", "scale"}
        How A depends on the context: A_0 + c I, or I + c K, with a constant diagonal.
    coefficient : callable, optional
        Turns a context into c; by default the context is c.
    rtol : float
        Relative tolerance of the solves.

    Raises
    ------
    ValueError
        For bad arguments.

    Notes
    -----
    Candidates with a parameter `omega` of `ssor_cg` are modelled, others are left to the data. mu comes from the
    coefficients of solves by `small_cg`: those that happen, and a few that the model asks for (one where A is shifted,
    one for each fourfold growth of c K where it is scaled), whose cost counts like any other.

    Examples
    --------
    >>> from conjugo.learned.tuning import RelaxationModel, sweep
    >>> from conjugo.solvers import ssor_cg
    >>> model = RelaxationModel("scale")
    >>> model.bind(sweep("ssor", ssor_cg, omega=[1.0, 1.5]))
    >>> model(1.0) is None
    True
    """

    def __init__(
        self,
        kind: Literal["shift", "scale"],
        coefficient: Callable[[Any], float] | None = None,
        *,
        rtol: float = 1e-8,
    ) -> None:
        if kind not in ("shift", "scale"):
            raise ValueError(f"kind = {kind!r}: expected 'shift' for A + c I or 'scale' for I + c K")
        self.kind: Literal["shift", "scale"] = kind
        self.coefficient, self.rtol = coefficient or _number, rtol
        self._mine, self._omegas, self._out = np.empty(0, dtype=int), np.empty(0), np.empty(0)
        self._prior: SSORPrior | None = None
        self._made_from, self._looked = (0.0, 0.0), 0.0

    def bind(self, candidates: list[Candidate]) -> None:
        """Find the candidates that the theory speaks about."""
        mine = [i for i, c in enumerate(candidates) if "omega" in c.parameters and "ssor" in c.method.__name__]
        if not mine:
            raise ValueError("no candidate is an ssor_cg with a parameter omega: leave the model out")
        self._mine, self._out = np.array(mine), np.full(len(candidates), np.nan)
        self._omegas = np.array([float(candidates[i].parameters["omega"]) for i in mine])
        family = Family("shift", 4.0)  # a rehearsal: compiled code is loaded before anything is timed
        family.observe(0.0, 0.1)
        SSORPrior(self._omegas, family)(0.0)
        least_from_cg([1.0, 1.0], [2.0, 3.0])

    def __call__(self, context: Context) -> NDArray[np.float64] | None:
        """Return expected iterations, NaN for candidates without a model; None while nothing is known."""
        costs = None if self._prior is None else self._prior(self.coefficient(context))
        if costs is None:
            return None
        self._out[self._mine] = costs
        return self._out

    def factor(self, context: Context) -> float | None:
        """Return the best relaxation factor in theory; None while nothing is known."""
        return None if self._prior is None else self._prior.factor(self.coefficient(context))

    def wants_look(self, context: Context, A: Any) -> bool:
        """Whether a solve by plain conjugate gradients would tell something new."""
        c = self.coefficient(context)
        if self.kind == "shift":
            return self._prior is None
        if self._prior is None:
            return c > 0 and float(A.diagonal()[0]) > 2.0
        return c > FARTHER * self._looked

    def observe(self, context: Context, A: Any, result: SolveResult) -> None:
        """Learn mu from a solve by plain conjugate gradients; others are passed over."""
        coefficients = result.details.get("coefficients")
        if coefficients is None or "omega" in result.details or "relaxation" in result.details:
            return
        c = self.coefficient(context)
        if coefficients.shape[1] < 4 or (self._prior is not None and c <= 1.5 * self._looked):
            return
        diagonal = float(A.diagonal()[0])
        if self.kind == "scale" and not (c > 0 and diagonal > 1.5):
            return
        if self._prior is None:
            self._begin(diagonal, c)
        assert self._prior is not None
        self._looked = max(c, self._looked)
        self._prior.observe(c, least_from_cg(coefficients[0], coefficients[1], diagonal))

    def _begin(self, diagonal: float, c: float) -> None:
        """Make the family from the first system."""
        self._made_from = (diagonal, c)
        self._prior = SSORPrior(self._omegas, Family(self.kind, diagonal, c), rtol=self.rtol)

    def state(self) -> dict[str, Any]:
        """Return what was learned, fit for JSON."""
        prior = None if self._prior is None else self._prior.state()
        return {"made_from": list(self._made_from), "looked": self._looked, "prior": prior}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._looked = float(state["looked"])
        if state["prior"] is not None:
            self._begin(*state["made_from"])
            assert self._prior is not None
            self._prior.restore(state["prior"])


def _number(context: Any) -> float:
    """The context as one number."""
    return float(context)
