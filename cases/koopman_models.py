"""The classical models of the Duffing and Kuramoto-Sivashinsky tables, by name: what cases/koopman_*.py run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.dynamics import (
    DMD,
    EDMD,
    ForecastEDMD,
    LinearModel,
    OnModes,
    OnWaves,
    Polynomials,
    Radial,
    Reduced,
    Sliced,
)
from conjugo.learned.dynamics.model import Diagnostics
from conjugo.learned.dynamics.peers import Kooplearn, PyDMD
from conjugo.learned.dynamics.snapshots import checked_states
from conjugo.pde.trajectories import Trajectories

SPIRAL = -0.25 + 1.3919410907075054j
"""Exponent of the Duffing equation's stable spirals, -1/4 + i sqrt(31)/4."""


@dataclass(frozen=True, kw_only=True)
class Row[M: LinearModel | Sliced]:
    """A row of a table: how its model is made, and how it forecasts."""

    build: Callable[[int], M]
    """build(seed) -> a model that is not fitted yet."""
    reencode: int | None = None
    """Steps between two returns to the state space; None: encoded once."""
    copies: int = 1
    """Times that the training data are taken, moved by random symmetries after the first (`symmetric_copies`)."""
    steps: int = 10
    """Steps of the Duffing equation's training trajectories."""
    needs: str = ""
    """A package that has to be installed."""


class Persistence(LinearModel):
    """Tomorrow as today: K is the identity."""

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn the size of a state."""
        u, dt = checked_states(trajectories)
        n = u.shape[2]
        x = u.reshape(-1, n)
        found = Diagnostics(n, n, 1.0, 0.0, u.shape[0] * (u.shape[1] - 1))
        return self._learned(np.eye(n), np.eye(n), x.T @ x / len(x), dt=dt, found=found)

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x


def thin_plate(seed: int) -> EDMD:
    """The 1,000 thin-plate splines of the Duffing table."""
    return EDMD(Radial(1000, "thin_plate", seed=seed))


def spread_thin_plate(seed: int) -> EDMD:
    """1,500 thin-plate splines about centres that cover the phase plane evenly."""
    return EDMD(Radial(1500, "thin_plate", choice="farthest", seed=seed))


def forecasts(seed: int) -> Reduced:
    """Sixteen dimensions of 50 steps' forecasts by polynomials of degree 9."""
    return Reduced(ForecastEDMD(EDMD(Polynomials(9)), 50), 16, horizon=50)


def gaussians(seed: int) -> EDMD:
    """The 303 observables that are reduced: Gaussians exp(-r^2), over-specified."""
    return EDMD(Radial(300, "gaussian", 0.5**0.5, seed=seed))


def radial_2000(seed: int) -> EDMD:
    """The 2,000 Gaussians of the Kuramoto-Sivashinsky table, of 24 proper orthogonal coefficients."""
    return EDMD(OnModes(24, Radial(2000, "gaussian", 0.7, relative=True, choice="farthest", seed=seed)), ridge=1e-9)


def on_slice(seed: int) -> Sliced:
    """2,000 Gaussians of 24 Fourier coefficients, on the slice of shifts and reflections."""
    gaussian = Radial(2000, "gaussian", 0.5, relative=True, choice="farthest", seed=seed)
    return Sliced(EDMD(OnWaves(24, gaussian), ridge=1e-12))


def ks_forecasts(seed: int) -> Reduced:
    """256 dimensions of 24 steps' forecasts by the Gaussians on the slice."""
    return Reduced(ForecastEDMD(on_slice(seed), 24), 256, horizon=25)


DUFFING: dict[str, Row[LinearModel]] = {
    "DMD": Row(build=lambda seed: DMD()),
    "PyDMD": Row(build=lambda seed: PyDMD(), needs="pydmd"),
    "EDMD Chebyshev deg 5": Row(build=lambda seed: EDMD(Polynomials(5))),
    "EDMD thin-plate 1,000": Row(build=thin_plate),
    "balanced 16 of thin-plate": Row(build=lambda seed: Reduced(thin_plate(seed), 16, horizon=40)),
    "EDMD thin-plate 1,500, spread": Row(build=spread_thin_plate, steps=50),
    "balanced 16 of it": Row(build=lambda seed: Reduced(spread_thin_plate(seed), 16, horizon=40), steps=50),
    "balanced 16 of forecasts by deg 9": Row(build=forecasts, steps=50),
    "EDMD Gaussian 303": Row(build=gaussians),
    "balanced 8 of Gaussian": Row(build=lambda seed: Reduced(gaussians(seed), 8)),
    "POD of features 8": Row(build=lambda seed: Reduced(gaussians(seed), 8, method="energy")),
    "leading eigenfunctions 8": Row(build=lambda seed: Reduced(gaussians(seed), 8, method="eigenfunctions")),
    "kooplearn Nystrom RRR 300": Row(
        build=lambda seed: Kooplearn(300, centres=1000, width=1.0, seed=seed), needs="kooplearn"
    ),
    "relifted EDMD deg 9": Row(build=lambda seed: EDMD(Polynomials(9)), reencode=1),
}
"""Rows of the Duffing table, each on `duffing(1000, row.steps)`."""

KURAMOTO_SIVASHINSKY: dict[str, Row[LinearModel | Sliced]] = {
    "persistence": Row(build=lambda seed: Persistence()),
    "DMD": Row(build=lambda seed: DMD()),
    "PyDMD rank 24": Row(build=lambda seed: PyDMD(24), needs="pydmd"),
    "EDMD POD16 quadratic": Row(build=lambda seed: EDMD(OnModes(16, Polynomials(2)))),
    "EDMD Gaussian 2,000": Row(build=radial_2000),
    "kooplearn Nystrom RRR 500": Row(
        build=lambda seed: Kooplearn(500, centres=2000, width=8.0, seed=seed), needs="kooplearn"
    ),
    "relifted Gaussian 2,000": Row(build=radial_2000, reencode=1),
    "relifted Gaussian 2,000, 6 x symmetry": Row(build=radial_2000, reencode=1, copies=6),
    "relifted Gaussian 2,000 on the slice": Row(build=on_slice, reencode=1),
    "balanced 256 of forecasts on the slice": Row(build=ks_forecasts),
    "balanced 256 of it, re-encoded every 20": Row(build=ks_forecasts, reencode=20),
}
"""Rows of the Kuramoto-Sivashinsky table, on `kuramoto_sivashinsky(20, 499)`."""


def fitted[M: LinearModel | Sliced](row: Row[M], trajectories: Trajectories, seed: int = 0) -> M:
    """Build and fit the model of a row.

    Parameters
    ----------
    row : Row
        A row of `DUFFING` or `KURAMOTO_SIVASHINSKY`.
    trajectories : Trajectories
        Training data.
    seed : int
        Of centres and symmetries.

    Returns
    -------
    LinearModel or Sliced
        Fitted; forecast with `predict(x0, steps, reencode=row.reencode)`.
    """
    model = row.build(seed)
    model.fit(symmetric_copies(trajectories, row.copies, seed=seed))
    return model


def symmetric_copies(trajectories: Trajectories, copies: int, *, seed: int = 0) -> Trajectories:
    """Repeat trajectories on a periodic interval, moved by random shifts and reflections u(x) -> -u(-x).

    Parameters
    ----------
    trajectories : Trajectories
        Of the Kuramoto-Sivashinsky equation: `u` (N, steps + 1, points).
    copies : int
        How many times; the first copy is as given.
    seed : int
        Of the shifts, in whole nodes, and reflections; each trajectory of each copy has its own.

    Returns
    -------
    Trajectories
        (copies N, steps + 1, points): solutions too, exactly, as the equation and its discretisation have these
        symmetries.

    Examples
    --------
    >>> import numpy as np
    >>> data = Trajectories(np.arange(8.0).reshape(1, 2, 4), np.arange(2.0))
    >>> symmetric_copies(data, 3).u.shape
    (3, 2, 4)
    """
    if copies < 1:
        raise ValueError(f"copies = {copies}: expected at least one")
    rng = np.random.default_rng(seed)
    u = np.asarray(trajectories.u)
    points = u.shape[-1]
    moved = [u]
    for _ in range(copies - 1):
        copy = u.copy()
        for trajectory in copy:
            if rng.random() < 0.5:
                trajectory[:] = -trajectory[:, -np.arange(points)]
            trajectory[:] = np.roll(trajectory, rng.integers(points), axis=1)
        moved.append(copy)
    return replace(trajectories, u=np.concatenate(moved))
