"""Young's theory for the SSOR candidates of a tuned solver, with its unknown taken from the solves themselves."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log10
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.arms import Candidate
from conjugo.learned.tuning.learner import Context
from conjugo.learned.tuning.young import Family, least_from_cg, ssor_factor
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

    Raises
    ------
    ValueError
        For bad arguments.

    Notes
    -----
    iterations = log(2 R) / -log(1 - 2 / (1 + sqrt(kappa))) with kappa = (1 + mu (2 - omega)^2 / (4 omega)) / (2 - omega)
    and R the reduction of the residual that was asked for lately in this part of the context's range: a good first guess
    makes it small. Candidates with a parameter `omega` of `ssor_cg` are modelled, others are left to the data. mu comes
    from the coefficients of ordinary solves by `ssor_cg` and `small_cg`.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, section 2.4.

    Examples
    --------
    >>> from conjugo.learned.tuning import RelaxationModel, sweep
    >>> from conjugo.solvers import ssor_cg
    >>> model = RelaxationModel("scale")
    >>> model.bind(sweep("ssor", ssor_cg, omega=[1.0, 1.5]))
    >>> model(1.0) is None
    True
    """

    def __init__(self, kind: Literal["shift", "scale"], coefficient: Callable[[Any], float] | None = None) -> None:
        if kind not in ("shift", "scale"):
            raise ValueError(f"kind = {kind!r}: expected 'shift' for A + c I or 'scale' for I + c K")
        self.kind: Literal["shift", "scale"] = kind
        self.coefficient = coefficient or float
        self.family: Family | None = None
        self._arms = 0
        self._mine, self._omegas, self._out = np.empty(0, dtype=int), np.empty(0), np.empty(0)
        self._seen, self._made_from = 0, (0.0, 0.0)
        self._reductions: dict[int, float] = {}

    def bind(self, candidates: list[Candidate]) -> None:
        """Find the candidates that the theory speaks about."""
        mine = [i for i, c in enumerate(candidates) if "omega" in c.parameters and "ssor" in c.method.__name__]
        if not mine:
            raise ValueError("no candidate is an ssor_cg with a parameter omega: leave the model out")
        self._mine, self._out = np.array(mine), np.full(len(candidates), np.nan)
        self._omegas = np.array([float(candidates[i].parameters["omega"]) for i in mine])

    def __call__(self, context: Context) -> NDArray[np.float64] | None:
        """Return expected iterations, NaN for candidates without a model; None while nothing is known."""
        c = self.coefficient(context)
        least = None if self.family is None else self.family.least(c)
        if least is None or not self._reductions:
            return None
        near = _part(c)
        part = near if near in self._reductions else min(self._reductions, key=lambda other: abs(other - near))
        rest = 2.0 - self._omegas
        root = np.sqrt((1.0 + rest**2 / (4.0 * self._omegas * least)) / rest)
        self._out[self._mine] = np.maximum(1.0, self._reductions[part] / np.log((root + 1.0) / (root - 1.0)))
        return self._out

    def factor(self, context: Context) -> float | None:
        """Return the best relaxation factor in theory; None while nothing is known."""
        least = None if self.family is None else self.family.least(self.coefficient(context))
        return None if least is None else ssor_factor(1.0 / least)

    def observe(self, context: Context, candidate: Candidate, A: Any, result: SolveResult) -> None:
        """Learn mu from a solve."""
        coefficients = result.details.get("coefficients")
        if coefficients is None or coefficients.shape[1] < 2 or not result.residuals[-1] > 0:
            return
        c = self.coefficient(context)
        reduction = log(2.0 * max(1.0, float(result.residuals[0] / result.residuals[-1])))
        part = _part(c)
        self._reductions[part] = 0.7 * self._reductions.get(part, reduction) + 0.3 * reduction
        self._seen += 1
        if (self._seen > ALWAYS and self._seen % 32) or coefficients.shape[1] < 4:
            return
        if self.family is None:
            diagonal = float(A.diagonal()[0])
            if self.kind == "scale" and not (c > 0 and diagonal > 1):
                return
            self._begin(diagonal, c)
        assert self.family is not None
        omega, (rhos, curvatures) = result.details.get("omega"), coefficients
        scale = 1.0 if omega is None else 2.0 - omega
        least = least_from_cg(rhos, scale * curvatures, 1.0 if omega else float(A.diagonal()[0]), omega)
        if least is not None:
            self.family.observe(c, least)

    def _begin(self, diagonal: float, c: float) -> None:
        """Make the family from the first system."""
        self._made_from = (diagonal, c)
        self.family = Family(self.kind, diagonal, c)

    def state(self) -> dict[str, Any]:
        """Return what was learned, fit for JSON."""
        family = None if self.family is None else self.family.state()
        reductions = [[part, value] for part, value in self._reductions.items()]
        return {"seen": self._seen, "made_from": list(self._made_from), "family": family, "reductions": reductions}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._seen = int(state["seen"])
        self._reductions = {int(part): float(value) for part, value in state["reductions"]}
        if state["family"] is not None:
            self._begin(*state["made_from"])
            assert self.family is not None
            self.family.restore(state["family"])


def _part(c: float) -> int:
    """Part of the range of c: four for each factor of ten."""
    return round(4.0 * log10(max(abs(c), 1e-6)))
