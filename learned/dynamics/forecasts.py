"""Krylov observables: what a non-linear model forecasts, as the dictionary of a linear one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.dynamics.edmd import EDMD
from conjugo.learned.dynamics.model import LinearModel
from conjugo.learned.dynamics.regression import RIDGE
from conjugo.learned.dynamics.slicing import Sliced
from conjugo.pde.trajectories import Trajectories


@dataclass(slots=True)
class Forecasts:
    """A constant and a fitted model's forecasts, from the state itself to `length` steps on: a dictionary.

    Parameters
    ----------
    model : LinearModel or Sliced
        The model that forecasts.
    length : int
        Steps, T.
    reencode : int, optional
        As in its `predict`; 1 is the relifted, non-linear model.

    Raises
    ------
    ValueError
        For a length less than 1.
    """

    model: LinearModel | Sliced
    length: int
    reencode: int | None = 1
    _n: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length = {self.length}: expected at least one step")

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Adapt to states (M, n)."""
        self._n = x.shape[1]
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, 1 + (T + 1) n)."""
        ahead = self.model._forecast(x, self.length, self.reencode)
        return np.hstack([np.ones((len(x), 1)), ahead.reshape(len(x), -1)])

    def decoder(self) -> NDArray[np.float64]:
        """C with x = psi(x) C."""
        return np.eye(1 + (self.length + 1) * self._n, self._n, -1)


class ForecastEDMD(EDMD):
    """Make a linear model of a non-linear one's forecasts.

    Parameters
    ----------
    model : LinearModel or Sliced
        The model that forecasts, best one that is accurate where relifted; `fit` fits it unless it is fitted already.
    length : int
        Steps, T: up to here the linear model's forecasts are the other's.
    reencode : int, optional
        As in that model's `predict`.
    ridge : float or {"gcv"}
        See `EDMD`.

    Raises
    ------
    ValueError
        As `EDMD`.

    Notes
    -----
    With f the model's step, psi(x) = [1, x, f(x), ..., f^T(x)]: the observables x o F^k span a Krylov subspace of the
    Koopman operator. All but the last block of K are shifts; the last closes the recurrence by least squares, as a
    companion matrix does. Encoding costs T steps of the other model, so what is gained is not speed but linear
    structure: one operator, its spectrum, eigenfunctions, and by `Reduced` few dimensions that keep the forecasts of T
    steps.

    References
    ----------
    .. [1] H. Arbabi, I. Mezic, Ergodic theory, dynamic mode decomposition, and computation of spectral properties of
       the Koopman operator, SIAM J. Appl. Dyn. Syst. 16 (2017), section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import EDMD, ForecastEDMD, Polynomials, Reduced
    >>> from conjugo.pde.evolution import duffing
    >>> train, test = duffing(100, 20, seed=0), duffing(20, 10, seed=1)
    >>> model = Reduced(ForecastEDMD(EDMD(Polynomials(7)), 10), 12, horizon=10).fit(train)
    >>> bool(np.abs(model.predict(test.u[:, 0], 10) - test.u).max() < 0.1)
    True
    """

    def __init__(
        self,
        model: LinearModel | Sliced,
        length: int,
        *,
        reencode: int | None = 1,
        ridge: float | Literal["gcv"] = RIDGE,
    ) -> None:
        super().__init__(Forecasts(model, length, reencode), ridge=ridge)
        self.model = model

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories; see `LinearModel.fit`."""
        if not self.model.fitted:
            self.model.fit(trajectories)
        return super().fit(trajectories)
