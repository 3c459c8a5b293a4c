"""Dictionaries: the observables of which extended dynamic mode decomposition makes a linear model."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Literal, Protocol, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.centres import Choice, centres_of, squared_distances
from conjugo.learned.dynamics.radial import Kind, radial, typical_distance


class Dictionary(Protocol):
    """Observables psi of a state."""

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Adapt ranges, centres or modes to states (M, n), in place."""

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, q) of states (M, n)."""

    def decoder(self) -> NDArray[np.float64] | None:
        """C with x = psi(x) C, (q, n), where the state is in the span; None where it has to be fitted."""


@dataclass(slots=True)
class Identity:
    """The state itself, with a constant before it if asked for: what dynamic mode decomposition uses.

    Parameters
    ----------
    constant : bool
        Whether the first observable is 1.
    """

    constant: bool = False
    _n: int = field(init=False, default=0)

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Adapt to states (M, n)."""
        self._n = x.shape[1]
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, n), or (M, 1 + n) with the constant."""
        return np.hstack([np.ones((len(x), 1)), x]) if self.constant else x

    def decoder(self) -> NDArray[np.float64]:
        """C with x = psi(x) C."""
        return np.eye(self._n + self.constant, self._n, -int(self.constant))


@dataclass(slots=True)
class Polynomials:
    """All products of polynomials of the components up to a total degree.

    Parameters
    ----------
    degree : int
        Total degree; q = (n + degree)! / (n! degree!).
    basis : {"chebyshev", "monomial"}
        T_k of each component, its range in the data mapped to [-1, 1], or plain powers. Both span the same functions;
        powers of high degree are nearly dependent.

    Raises
    ------
    ValueError
        For a degree less than 1, another basis, and a component that is constant in the data.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).uniform(-2, 2, (100, 2))
    >>> dictionary = Polynomials(degree=5).fit(x)
    >>> dictionary(x).shape, bool(np.allclose(dictionary(x) @ dictionary.decoder(), x))
    ((100, 21), True)
    """

    degree: int
    basis: Literal["chebyshev", "monomial"] = "chebyshev"
    _powers: NDArray[np.int64] = field(init=False, repr=False)
    _middle: NDArray[np.float64] = field(init=False, repr=False)
    _half: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.degree < 1 or self.basis not in ("chebyshev", "monomial"):
            raise ValueError(f"degree {self.degree} of basis {self.basis!r}: expected a degree of at least 1 of "
                             "'chebyshev' or 'monomial'")  # fmt: skip

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Take the components' ranges from states (M, n)."""
        n = x.shape[1]
        low, high = x.min(axis=0), x.max(axis=0)
        self._middle, self._half = np.zeros(n), np.ones(n)
        if self.basis == "chebyshev":
            self._middle, self._half = (low + high) / 2, (high - low) / 2
        if not (high > low).all():
            constant = np.flatnonzero(~(high > low))
            raise ValueError(f"component {constant[0]} is constant in the data: leave it out, or project by `Reduced`")
        products = [p for d in range(self.degree + 1) for p in combinations_with_replacement(range(n), d)]
        self._powers = np.array([np.bincount(np.array(p, dtype=int), minlength=n) for p in products])
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, q): the constant, the components, then products of rising degree."""
        s = (x - self._middle) / self._half
        tables = [np.ones_like(s), s]
        for _ in range(self.degree - 1):
            tables.append(2 * s * tables[-1] - tables[-2] if self.basis == "chebyshev" else s * tables[-1])
        table = np.stack(tables)  # (degree + 1, M, n)
        result = np.ones((len(x), len(self._powers)))
        for component in range(x.shape[1]):
            powers = self._powers[:, component]
            used = np.flatnonzero(powers)
            result[:, used] *= table[powers[used], :, component].T
        return result

    def decoder(self) -> NDArray[np.float64]:
        """C with x = psi(x) C."""
        n = len(self._middle)
        C = np.zeros((len(self._powers), n))
        C[0] = self._middle
        C[1 : n + 1] = np.diag(self._half)
        return C


@dataclass(slots=True)
class Radial:
    """A constant, the state, and radial functions about centres among the data.

    Parameters
    ----------
    count : int
        Number of centres.
    kind : {"gaussian", "thin_plate", "multiquadric"}
        The radial function, see `radial`.
    width : float
        Of the function, in the unit of the state; with `relative`, in units of the data's median distance.
    relative : bool
        Whether the width is relative.
    choice : {"kmeans", "random"}
        How the centres are chosen, see `centres_of`.
    seed : int
        Of that choice.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).uniform(-2, 2, (500, 2))
    >>> dictionary = Radial(100, "thin_plate").fit(x)
    >>> dictionary(x).shape, bool(np.allclose(dictionary(x) @ dictionary.decoder(), x))
    ((500, 103), True)
    """

    count: int
    kind: Kind = "gaussian"
    width: float = 1.0
    relative: bool = False
    choice: Choice = "kmeans"
    seed: int = 0
    _centres: NDArray[np.float64] = field(init=False, repr=False)
    _width: float = field(init=False, repr=False)

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Choose centres among states (M, n)."""
        self._centres = centres_of(x, self.count, self.choice, seed=self.seed)
        self._width = self.width * (typical_distance(x) if self.relative else 1.0)
        radial(np.zeros(1), self.kind, self._width)  # refuses bad names and widths here
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, 1 + n + count)."""
        values = radial(squared_distances(x, self._centres), self.kind, self._width)
        return np.hstack([np.ones((len(x), 1)), x, values])

    def decoder(self) -> NDArray[np.float64]:
        """C with x = psi(x) C."""
        n = self._centres.shape[1]
        return np.eye(1 + n + self.count, n, -1)


@dataclass(slots=True)
class OnModes:
    """A dictionary of the leading proper orthogonal modes' coefficients, for states of many numbers.

    Parameters
    ----------
    rank : int
        Number of modes, of the states about their mean.
    dictionary : Dictionary
        Of the coefficients.

    Raises
    ------
    ValueError
        If there are fewer modes.

    Notes
    -----
    Decoding gives the part of the state in the modes' span: this model's error starts at that projection's.
    """

    rank: int
    dictionary: Dictionary
    _mean: NDArray[np.float64] = field(init=False, repr=False)
    _modes: NDArray[np.float64] = field(init=False, repr=False)

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Take the modes of states (M, n) and adapt the dictionary to their coefficients."""
        if not 1 <= self.rank <= min(x.shape):
            raise ValueError(f"rank = {self.rank}: expected 1 to {min(x.shape)} modes of states {x.shape}")
        self._mean = x.mean(axis=0)
        _, _, rows = scipy.linalg.svd(x - self._mean, full_matrices=False)
        self._modes = rows[: self.rank].T
        self.dictionary.fit((x - self._mean) @ self._modes)
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, q) of the coefficients."""
        return self.dictionary((x - self._mean) @ self._modes)

    def decoder(self) -> NDArray[np.float64] | None:
        """C that gives the state's part in the modes' span; None where the dictionary has none, or no constant."""
        inner = self.dictionary.decoder()
        if inner is None or not np.allclose(self.dictionary(np.zeros((1, self.rank)))[:, 0], 1.0):
            return None
        C: NDArray[np.float64] = inner @ self._modes.T
        C[0] += self._mean
        return C
