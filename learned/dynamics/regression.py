"""Ridge regression of features on features, from moments gathered block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

type Features = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Features (M, q) of states (M, n)."""

RIDGE = 1e-10
"""Default ridge, times the mean diagonal entry of the Gram matrix."""

GRID = tuple(10.0**k for k in range(-14, -3))
"""Ridges that a search tries, in the same unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Means over all pairs (x, y) of consecutive states.

    Parameters
    ----------
    G : (q, q) array
        Of psi(x)^T psi(x).
    A : (q, q) array
        Of psi(x)^T psi(y).
    X : (q, n) array
        Of psi(x)^T x.
    Y : (q, n) array
        Of psi(x)^T y.
    square : float
        Of |y|^2.
    samples : int
        Number of pairs, M.
    """

    G: NDArray[np.float64]
    A: NDArray[np.float64]
    X: NDArray[np.float64]
    Y: NDArray[np.float64]
    square: float
    samples: int


def moments(features: Features, blocks: Iterable[NDArray[np.float64]]) -> Moments:
    """Gather the moments of features over blocks of trajectories.

    Parameters
    ----------
    features : callable
        features(x (M, n)) -> (M, q).
    blocks : iterable of (some, length + 1, n) arrays
        Pieces of trajectories, as `conjugo.learned.dynamics.snapshots.blocks` cuts them.

    Returns
    -------
    Moments
        Memory does not depend on the number of blocks.
    """
    total: list[NDArray[np.float64]] = []
    square, samples = 0.0, 0
    for block in blocks:
        n = block.shape[-1]
        psi = features(block.reshape(-1, n)).reshape(*block.shape[:2], -1)
        q = psi.shape[-1]
        now, then = psi[:, :-1].reshape(-1, q), psi[:, 1:].reshape(-1, q)
        x, y = block[:, :-1].reshape(-1, n), block[:, 1:].reshape(-1, n)
        parts = [now.T @ now, now.T @ then, now.T @ x, now.T @ y]
        total = parts if not total else [a + b for a, b in zip(total, parts, strict=True)]
        square += float(np.sum(y**2))
        samples += len(x)
    G, A, X, Y = (part / samples for part in total)
    return Moments(G, A, X, Y, square / samples, samples)


class Ridge:
    """Solutions of (G + rho I) B = R for several rho, from one eigendecomposition of G.

    Parameters
    ----------
    found : Moments
        Moments of the features.

    Attributes
    ----------
    unit : float
        tr(G) / q; a ridge r stands for rho = r tr(G) / q.
    rank : int
        Eigenvalues of G above q eps times the largest.
    condition : float
        Largest over smallest eigenvalue, the smallest at least eps times the largest.

    Notes
    -----
    G = Q S Q^T, B = Q (S + rho)^{-1} Q^T R. GCV(rho) = mean |y - psi(x) B|^2 / (1 - tr H / M)^2 with
    tr H = sum s / (s + rho), of the regression of the next state y on the features of x.

    References
    ----------
    .. [1] G. H. Golub, M. Heath, G. Wahba, Generalized cross-validation as a method for choosing a good ridge
       parameter, Technometrics 21 (1979), equation 1.4.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.random.default_rng(0).standard_normal((50, 2, 3))
    >>> ridge = Ridge(moments(lambda x: x, [u]))
    >>> ridge.rank, ridge.solve(ridge.found.X, 0.0).round(12).tolist() == np.eye(3).tolist()
    (3, True)
    """

    def __init__(self, found: Moments) -> None:
        self.found = found
        self.values, self.vectors = scipy.linalg.eigh(found.G)
        q, largest = len(self.values), float(self.values[-1])
        eps = np.finfo(np.float64).eps
        self.unit = float(np.trace(found.G)) / q
        self.rank = int(np.sum(self.values > q * eps * largest))
        self.condition = largest / max(float(self.values[0]), eps * largest) if largest > 0 else float("inf")

    def solve(self, right: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
        """Return (G + ridge unit I)^{-1} right, on the numerical range of G where the ridge is zero.

        Parameters
        ----------
        right : (q, k) array
            Right-hand sides.
        ridge : float
            In units of tr(G) / q.
        """
        weights = self._inverse(ridge)
        result: NDArray[np.float64] = self.vectors @ (weights[:, None] * (self.vectors.T @ right))
        return result

    def _inverse(self, ridge: float) -> NDArray[np.float64]:
        """1 / (s + rho), zero in directions that rounding made where there is no ridge."""
        shifted = np.maximum(self.values, 0.0) + ridge * self.unit
        keep = np.ones(len(shifted), dtype=bool)
        if ridge == 0:
            keep = np.arange(len(shifted)) >= len(shifted) - self.rank
        return np.divide(1.0, shifted, out=np.zeros_like(shifted), where=keep & (shifted > 0))

    def gcv(self, ridge: float) -> float:
        """Generalised cross-validation score of a ridge; the lowest is the best.

        Parameters
        ----------
        ridge : float
            In units of tr(G) / q.
        """
        weights = self._inverse(ridge)
        projected = np.sum((self.vectors.T @ self.found.Y) ** 2, axis=1)
        values = np.maximum(self.values, 0.0)
        # |y - psi B|^2 = |y|^2 - sum p w (2 - s w): differences below rounding of |y|^2 count as zero
        floor = np.finfo(np.float64).eps * self.found.square
        error = max(self.found.square - float(np.sum(projected * weights * (2 - values * weights))), floor)
        freedom = 1.0 - float(np.sum(values * weights)) / self.found.samples
        return error / freedom**2 if freedom > 0 else float("inf")
