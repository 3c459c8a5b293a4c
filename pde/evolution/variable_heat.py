"""The same heat equation in a medium that jumps: no fast direct solver, no closed form for the best parameter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.evolution.heat import DT, HeatSequence
from conjugo.pde.poisson.assemble import poisson
from conjugo.pde.poisson.coefficients import COEFFICIENTS
from conjugo.solvers.operators.variable import VariableStencil


class VariableHeatSequence(HeatSequence):
    """Time steps of u_t = kappa(t) div(k grad u) + f on the unit square, u = 0 on the walls.

    Parameters
    ----------
    nx : int
        Intervals per side; n = (nx - 1)^2 unknowns.
    steps : int
        Number of time steps of 0.001.
    coefficient : str or grid-shaped array
        k > 0: a name in `pde.poisson.COEFFICIENTS` or values at the unknowns.
    contrast : float, optional
        max k / min k of a named coefficient.
    seed : int
        Of a random coefficient.
    start : float
        Time of the first step.

    Raises
    ------
    ValueError
        For bad arguments, and by `advance` for a state of another size or with NaN.
    RuntimeError
        If the next system is asked for before `advance` has taken the last one's solution.

    Notes
    -----
    As `HeatSequence`, with finite volumes and harmonic means of k on the faces in place of L.

    Examples
    --------
    >>> from conjugo.pde.evolution import VariableHeatSequence
    >>> from conjugo.solvers import cg
    >>> heat = VariableHeatSequence(16, steps=2, contrast=100.0)
    >>> for A, b, kappa in heat:
    ...     heat.advance(cg(A, b, heat.u, rtol=1e-8).x)
    >>> type(A).__name__, heat.step
    ('VariableStencil', 2)
    """

    def __init__(
        self,
        nx: int = 50,
        *,
        steps: int = 5000,
        coefficient: str | NDArray[np.float64] = "inclusions",
        contrast: float | None = None,
        seed: int = 0,
        start: float = 0.0,
    ) -> None:
        if isinstance(coefficient, str):
            if coefficient not in COEFFICIENTS or coefficient == "constant":
                names = ", ".join(name for name in COEFFICIENTS if name != "constant")
                raise ValueError(f"coefficient = {coefficient!r}: expected one of {names}, or an array; "
                                 "HeatSequence has the constant one")  # fmt: skip
            contrast = 100.0 if contrast is None else contrast
        elif np.ndim(coefficient) == 0:
            raise ValueError(f"coefficient = {coefficient}: expected values at the unknowns, or use HeatSequence")
        super().__init__(nx, steps=steps, start=start)
        problem = poisson(
            self.grid.shape, coefficient=coefficient, contrast=contrast, seed=seed, rhs=np.zeros(self.grid.shape)
        )
        self._medium: VariableStencil = problem.A

    def operator(self, kappa: float) -> VariableStencil:  # type: ignore[override]
        """Return A = I + (kappa dt / 2) K, K the five-point operator of -div(k grad).

        Parameters
        ----------
        kappa : float
            Diffusivity, at least 0.

        Returns
        -------
        VariableStencil
            On (nx - 1) x (nx - 1) unknowns.
        """
        s = 0.5 * kappa * DT
        return VariableStencil(1.0 + s * self._medium.diag, [s * coupling for coupling in self._medium.upper])
