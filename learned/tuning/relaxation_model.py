"""Young's theory for the SSOR candidates of a tuned solver, with its unknown taken from the solves themselves."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.arms import Candidate
from conjugo.learned.tuning.learner import Context
from conjugo.learned.tuning.young import Family, SSORPrior, least_from_cg
from conjugo.solvers.result import SolveResult

ALWAYS = 24
"""Solves that are looked at; then only every 32nd."""


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
    Candidates with a parameter `omega` of the methods `ssor_cg` are modelled; others are left to the data. mu comes
    from the coefficients of ordinary solves by `ssor_cg` and `small_cg`.

    Examples
    --------
    >>> from conjugo.learned.tuning import RelaxationModel, sweep
    >>> from conjugo.solvers import ssor_cg
    >>> model = RelaxationModel("scale")
    >>> model.bind(sweep("ssor", ssor_cg, omega=[1.0, 1.5]))
    >>> model(1.0) is None
    True
    """

    def __init__(self, kind: Literal["shift", "scale"], coefficient: Any = None, *, rtol: float = 1e-8) -> None:
        if kind not in ("shift", "scale"):
            raise ValueError(f"kind = {kind!r}: expected 'shift' for A + c I or 'scale' for I + c K")
        self.kind: Literal["shift", "scale"] = kind
        self.coefficient = coefficient or (lambda context: float(context))
        self.rtol = rtol
        self._arms = 0
        self._mine = np.empty(0, dtype=int)
        self._prior: SSORPrior | None = None
        self._omegas: list[float] = []
        self._seen, self._made_from = 0, (0.0, 0.0)

    def bind(self, candidates: list[Candidate]) -> None:
        """Find the candidates that the theory speaks about."""
        mine = [i for i, c in enumerate(candidates) if "omega" in c.parameters and "ssor" in c.method.__name__]
        if not mine:
            raise ValueError("no candidate is an ssor_cg with a parameter omega: leave the model out")
        self._arms, self._mine = len(candidates), np.array(mine)
        self._omegas = [float(candidates[i].parameters["omega"]) for i in mine]
        self._out = np.full(self._arms, np.nan)

    def __call__(self, context: Context) -> NDArray[np.float64] | None:
        """Return expected iterations, NaN for candidates without a model; None while nothing is known."""
        if self._prior is None:
            return None
        costs = self._prior(self.coefficient(context))
        if costs is None:
            return None
        self._out[self._mine] = costs
        return self._out

    def factor(self, context: Context) -> float | None:
        """Return the best relaxation factor in theory; None while nothing is known."""
        return None if self._prior is None else self._prior.factor(self.coefficient(context))

    def observe(self, context: Context, candidate: Candidate, A: Any, result: SolveResult) -> None:
        """Learn mu from a solve."""
        coefficients = result.details.get("coefficients")
        if coefficients is None or coefficients.shape[1] < 4:
            return
        self._seen += 1
        if self._seen > ALWAYS and self._seen % 32:
            return
        omega = result.details.get("omega")
        c = self.coefficient(context)
        diagonal = float(A.diagonal()[0])
        if self._prior is None:
            if self.kind == "scale" and not (c > 0 and diagonal > 1):
                return
            self._begin(diagonal, c)
        rhos, curvatures = coefficients
        if omega is None:
            least = least_from_cg(rhos, curvatures, diagonal)
        else:
            least = least_from_cg(rhos, curvatures * (2.0 - omega), omega=omega)
        assert self._prior is not None
        self._prior.observe(c, least)

    def _begin(self, diagonal: float, c: float) -> None:
        """Make the family from the first system."""
        self._made_from = (diagonal, c)
        self._prior = SSORPrior(self._omegas, Family(self.kind, diagonal, c), rtol=self.rtol)

    def state(self) -> dict[str, Any]:
        """Return what was learned, fit for JSON."""
        prior = None if self._prior is None else self._prior.state()
        return {"seen": self._seen, "made_from": list(self._made_from), "prior": prior}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._seen = int(state["seen"])
        if state["prior"] is not None:
            self._begin(*state["made_from"])
            assert self._prior is not None
            self._prior.restore(state["prior"])
