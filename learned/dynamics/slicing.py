"""Models on a slice: periodic fields moved by their symmetries to one representative before they are lifted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from conjugo.learned.dynamics.dictionaries import OnModes
from conjugo.learned.dynamics.edmd import EDMD
from conjugo.learned.dynamics.snapshots import checked_rows, checked_states
from conjugo.pde.trajectories import Trajectories

type Floats = NDArray[np.float64]
type Modes = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class Motion:
    """A shift of a periodic field and, after it, a reflection u(x) -> -u(-x) about half the interval.

    Parameters
    ----------
    angle : (N,) array
        Shifts to the right: the first Fourier mode is turned by -angle.
    flip : (N,) array of bool
        Whether the reflection follows.
    """

    angle: Floats
    flip: NDArray[np.bool_]

    def __call__(self, u: Floats) -> Floats:
        """Move fields (N, ..., points), sample by sample, by trigonometric interpolation."""
        return _transformed(u, lambda a: self._flipped(a * self._turn(a, -1)))

    def back(self, u: Floats) -> Floats:
        """Undo the motion."""
        return _transformed(u, lambda a: self._flipped(a) * self._turn(a, 1))

    def _turn(self, a: Modes, sign: int) -> Modes:
        turn: Modes = np.exp(1j * sign * np.multiply.outer(self.angle, np.arange(a.shape[-1])))
        return turn.reshape(len(a), *(1,) * (a.ndim - 2), -1)

    def _flipped(self, a: Modes) -> Modes:
        mirrored = -((-1.0) ** np.arange(a.shape[-1])) * a.conj()
        flipped: Modes = np.where(self.flip.reshape(-1, *(1,) * (a.ndim - 1)), mirrored, a)
        return flipped


def motion_to_slice(u: Floats) -> Motion:
    """Return the motion that brings fields to the slice.

    Parameters
    ----------
    u : (N, points) array
        Fields on a periodic interval.

    Returns
    -------
    Motion
        After it the first Fourier mode is real and positive, and the real part of the second one is not negative.

    References
    ----------
    .. [1] N. B. Budanur, P. Cvitanovic, R. L. Davidchack, E. Siminos, Reduction of SO(2) symmetry for spatially
       extended dynamical systems, Phys. Rev. Lett. 114 (2015), 084102: the first Fourier mode slice.

    Examples
    --------
    >>> import numpy as np
    >>> x = 2 * np.pi * np.arange(16) / 16
    >>> u = np.stack([np.cos(x) + np.cos(2 * x), np.cos(x - 1) + np.cos(2 * x - 2)])  # the second is shifted by 1
    >>> bool(np.allclose(motion_to_slice(u)(u), u[0]))
    True
    """
    a = scipy.fft.rfft(u)
    angle = np.angle(a[:, 1])
    return Motion(angle, (a[:, 2] * np.exp(-2j * angle)).real < 0)


def _transformed(u: Floats, change: Callable[[Modes], Modes]) -> Floats:
    return np.asarray(scipy.fft.irfft(change(scipy.fft.rfft(u)), u.shape[-1]), dtype=np.float64)


class OnWaves(OnModes):
    """A dictionary of the first Fourier coefficients, real and imaginary parts, of a field without a mean.

    Parameters
    ----------
    rank : int
        Number of coefficients, two for each wave number, so even.
    dictionary : Dictionary
        Of the coefficients.

    Notes
    -----
    Unlike proper orthogonal modes these span every shift of what they span, so a field that leaves the slice within
    a step is still seen.
    """

    def fit(self, x: Floats) -> Self:
        """Adapt the dictionary to the coefficients of fields (M, points)."""
        points = x.shape[1]
        if self.rank < 2 or self.rank % 2 or self.rank >= points:
            raise ValueError(f"rank = {self.rank}: expected an even number from 2 to {points - 1} on {points} points")
        phase = 2 * np.pi / points * np.outer(np.arange(points), np.arange(1, self.rank // 2 + 1))
        self._modes = np.sqrt(2 / points) * np.hstack([np.cos(phase), np.sin(phase)])
        self._mean = np.zeros(points)
        self.dictionary.fit(x @ self._modes)
        return self


class Sliced:
    """Step fields of a system with shift and reflection symmetry by a model that knows only the slice.

    Parameters
    ----------
    model : EDMD
        Fitted to pairs whose first field lies on the slice. Its dictionary has to span fields off it, as that of
        `OnWaves` does.

    Raises
    ------
    ValueError
        As the model.

    Notes
    -----
    With g(x) the motion to the slice and f the model's step, x(t + dt) = g(x)^{-1} f(g(x) x). The pairs for f are
    (g(x) x, g(x) y), both moved by the motion of the first, so f is the system's own step, smooth and restricted to
    the slice: nothing is singular where the first mode vanishes. The forecast has the symmetries exactly. One dimension
    less, and of the rest one half, has to be learned from as many data: no moved copies are needed.

    The step returns to the state space each time, so this is no linear model; `ForecastEDMD` makes one of it.

    Examples
    --------
    >>> from conjugo.learned.dynamics import EDMD, OnWaves, Radial, Sliced
    >>> from conjugo.pde.evolution import kuramoto_sivashinsky
    >>> train, test = kuramoto_sivashinsky(4, 100, discard=50.0), kuramoto_sivashinsky(2, 3, discard=50.0, first=9)
    >>> dictionary = OnWaves(24, Radial(100, relative=True, width=0.7, choice="farthest"))
    >>> model = Sliced(EDMD(dictionary, ridge=1e-9)).fit(train)
    >>> bool(abs(model.predict(test.u[:, 0], 1)[:, 1] - test.u[:, 1]).max() < 0.3)
    True
    """

    def __init__(self, model: EDMD) -> None:
        self.model = model

    @property
    def fitted(self) -> bool:
        """Whether `fit` was called."""
        return self.model.fitted

    @property
    def dt(self) -> float:
        """Time of one step."""
        return self.model.dt

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories of fields on a periodic interval.

        Parameters
        ----------
        trajectories : Trajectories
            `u` (N, steps + 1, points), of one length, evenly spaced in time.

        Returns
        -------
        Sliced
            This model, fitted.
        """
        u, dt = checked_states(trajectories)
        if u.shape[2] < 6:
            raise ValueError(f"fields of {u.shape[2]} points: expected at least 6")
        pairs = np.stack([u[:, :-1], u[:, 1:]], axis=2).reshape(-1, 2, u.shape[2])
        self.model.fit(Trajectories(motion_to_slice(pairs[:, 0])(pairs), np.array([0.0, dt])))
        self._step = self.model.K @ self.model.C
        return self

    def predict(self, x0: Floats, steps: int, *, reencode: int | None = 1) -> Floats:
        """Forecast from initial fields.

        Parameters
        ----------
        x0 : (N, points) array
            Initial fields.
        steps : int
            How far, in steps of dt.
        reencode : int
            1, the only choice: each step returns to the slice.

        Returns
        -------
        (N, steps + 1, points) array
            The first is x0.

        Raises
        ------
        ValueError
            For fields of another size, negative steps, another `reencode`, and a model that is not fitted.
        """
        x = checked_rows(x0, len(self.model.C[0]))
        if steps < 0 or reencode != 1:
            raise ValueError(f"steps = {steps}, reencode = {reencode}: expected steps >= 0, and reencode = 1, as each "
                             "step starts on the slice; ForecastEDMD makes a linear model")  # fmt: skip
        return self._forecast(x, steps, reencode)

    def _forecast(self, x: Floats, steps: int, reencode: int | None) -> Floats:
        """The forecast of checked rows."""
        forecast = np.empty((len(x), steps + 1, x.shape[1]))
        forecast[:, 0] = x
        with np.errstate(over="ignore", invalid="ignore"):
            for step in range(1, steps + 1):
                motion = motion_to_slice(forecast[:, step - 1])
                forecast[:, step] = motion.back(self.model._encode(motion(forecast[:, step - 1])) @ self._step)
        return forecast
