"""A Gaussian process over (parameter, context), reduced to a few cosines: predicts log costs, learns one at a time."""

from __future__ import annotations

import itertools
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.tuning.kernels import regression as kernels

type Vector = NDArray[np.float64]

LENGTH = 0.3
"""Correlation length along each parameter and context, in units of its range."""

SMOOTHNESS = 1.0
"""nu of the Matern covariance: functions with a kink are not ruled out."""

NOISE = 0.1
"""Relative noise of a cost that is expected before any has been seen, with the weight of two observations."""

OFFSET = 10.0
"""Standard deviation of the unknown mean of the log cost: any unit will do."""

HIGHEST = 16
"""Frequencies per dimension, of which the strongest combinations are kept."""


def cosine_basis(dimension: int, size: int) -> tuple[NDArray[np.float64], Vector]:
    """Return the strongest cosines of a Matern process on the unit box.

    Parameters
    ----------
    dimension : int
        Of the box.
    size : int
        Most cosines to keep.

    Returns
    -------
    frequencies : (m, dimension) array
        k of prod_i cos(pi k_i x_i), strongest first; the first is the constant.
    variances : (m,) array
        Of their coefficients; they sum to one.

    Examples
    --------
    >>> frequencies, variances = cosine_basis(1, 3)
    >>> frequencies.ravel(), round(float(variances.sum()), 12)
    (array([0., 1., 2.]), 1.0)
    """
    highest = min(HIGHEST, max(2, int(4096 ** (1 / max(1, dimension)))))
    frequencies = np.array(list(itertools.product(range(highest), repeat=dimension)), dtype=np.float64)
    square = ((np.pi * LENGTH * frequencies) ** 2).sum(axis=1)
    density = (1 + square) ** -(SMOOTHNESS + dimension / 2)
    kept = np.argsort(-density, kind="stable")[:size]
    frequencies, density = frequencies[kept], density[kept]
    density = density * 2.0 ** (frequencies > 0).sum(axis=1)  # a cosine has half the power of the constant
    return np.ascontiguousarray(frequencies), density / density.sum()


class Surrogate:
    """Bayesian linear regression of log costs on cosines of (parameter, context), with unknown noise.

    Parameters
    ----------
    places : (arms, p) array
        Parameters of the arms in [0, 1].
    dimension : int
        Numbers in a context, which lies in [0, 1].
    size : int
        Most cosines to keep, m.
    amplitude : float
        Standard deviation of the log cost about its mean.
    like : Surrogate, optional
        One of the same places with at least as many cosines, which looks at the contexts for both.

    Notes
    -----
    Weights and noise have the normal-inverse-gamma law: precision R.T R in units of the noise, kept as the triangle R
    and R mean. A round updates both by Givens rotations and draws weights by one triangular solve: O(m^2) time, and
    O(m^2 + arms m) memory.

    References
    ----------
    .. [1] A. Solin, S. Sarkka, Hilbert space methods for reduced-rank Gaussian process regression, Statistics and
       Computing 30 (2020) 419-446.
    .. [2] C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.tuning.surrogate import Surrogate
    >>> model = Surrogate(np.array([[0.0], [1.0]]), 0, 8, 1.0)
    >>> model.look(np.empty(0))
    >>> for _ in range(20):
    ...     _ = model.learn(0, 3.0), model.learn(1, 4.0)
    >>> model.predict().round(2)
    array([3., 4.])
    """

    def __init__(
        self,
        places: NDArray[np.float64],
        dimension: int,
        size: int,
        amplitude: float,
        *,
        like: Surrogate | None = None,
    ) -> None:
        p = places.shape[1]
        frequencies, variances = cosine_basis(p + dimension, size)
        m = len(variances)
        self._frequencies = np.ascontiguousarray(frequencies[:, p:])
        angles = np.pi * places[:, None, :] * frequencies[None, :, :p]
        self._table = np.ascontiguousarray(np.cos(angles).prod(axis=2))
        prior = variances * amplitude**2
        prior[0] += OFFSET**2
        self._start = np.diag(NOISE / np.sqrt(prior))
        self._features, self._weights, self._work, self._values = (
            np.zeros(m),
            np.zeros(m),
            np.zeros(m),
            np.zeros(len(places)),
        )
        if like is not None:
            self._features = like._features[:m]  # the strongest m cosines are among them, in the same order
        self.factor, self.target, self.noise = self._start.copy(), np.zeros(m), np.empty(2)
        self.fresh = False
        self.forget()

    @property
    def size(self) -> int:
        """Number of cosines, m."""
        return len(self.target)

    @property
    def mean(self) -> Vector:
        """Expected weights of the cosines, (m,)."""
        result = np.empty(self.size)
        kernels.solve_upper(self.factor, self.target, result)
        return result

    def forget(self) -> None:
        """Start over."""
        self.factor[:], self.target[:] = self._start, 0.0
        self.noise[:] = 2.0, 2.0 * NOISE**2

    def look(self, context: Vector) -> None:
        """Take in a context (dimension,), in [0, 1]; what follows is for it, until `fresh` is set to False."""
        if not self.fresh:
            kernels.cosines(self._frequencies, context, self._features)
            self.fresh = True

    def predict(self) -> Vector:
        """Return the expected log costs of all arms, (arms,)."""
        result: Vector = self._table @ (self._features * self.mean)
        return result

    def sample(self, normal: Vector, offsets: Vector) -> tuple[int, float]:
        """Draw a model, and return the arm that it thinks cheapest with its log cost.

        Parameters
        ----------
        normal : (m,) array
            Standard normal numbers.
        offsets : (arms,) array
            Log costs to which the regression is a correction.
        """
        scale = sqrt(self.noise[1] / self.noise[0])
        kernels.sample(self.factor, self.target, normal, self._features, scale, self._work, self._weights)
        arm = int(kernels.cheapest(self._table, self._weights, offsets, self._values))
        return arm, float(self._values[arm])

    def draw(self, normal: Vector, offsets: Vector) -> Vector:
        """Draw a model, and return its log costs of all arms; arguments as in `sample`."""
        self.sample(normal, offsets)
        return self._values

    def learn(self, arm: int, y: float) -> float:
        """Add an observed log cost, and return its squared error over the model's variance in units of the noise's.

        Parameters
        ----------
        arm : int
            The arm.
        y : float
            The log cost, less the offset.
        """
        error = kernels.learn(self.factor, self.target, self._table, arm, self._features, self._work, y, self.noise)
        return float(error)

    def state(self) -> dict[str, Any]:
        """Return what was learned as lists."""
        return {name: getattr(self, name).tolist() for name in ("factor", "target", "noise")}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        for name in ("factor", "target", "noise"):
            getattr(self, name)[...] = state[name]
