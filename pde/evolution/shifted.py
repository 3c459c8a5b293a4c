"""Diagonally shifted Laplacians: independent systems whose best relaxation factor depends on a random shift."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.evolution.sequence import System, checked_count
from conjugo.solvers.operators.separable import Axis, SeparableStencil

type Variance = Literal["high", "low"]

_LAWS: dict[str, tuple[float, float]] = {"high": (0.5, 1.5), "low": (2.0, 6.0)}
"""Beta laws of the shift."""

LOW, HIGH = -0.15, 0.45
"""Range of the shifts."""


class ShiftedLaplacians:
    """Systems (A + c_t I) x = b_t with the five-point Laplacian A, diagonal 4, of a square.

    Parameters
    ----------
    side : int
        Unknowns per side; n = side^2.
    variance : {"high", "low"}
        Law of the shifts c = -0.15 + 0.6 Beta(1/2, 3/2), or Beta(2, 6).
    steps : int
        Number of systems.
    seed : int
        Of shifts and right-hand sides.

    Raises
    ------
    ValueError
        For bad arguments, and where the lowest shift would make A + c I indefinite (side above 10).

    Notes
    -----
    The right-hand sides are standard normal vectors, drawn again until ||b|| <= sqrt(n). The context is c_t. Iterating
    again gives the same systems.

    References
    ----------
    M. Khodak, E. Chow, M.-F. Balcan, A. Talwalkar, Learning to relax, ICLR 2024, section 2 and figure 2.

    Examples
    --------
    >>> from conjugo.pde.evolution import ShiftedLaplacians
    >>> for A, b, c in ShiftedLaplacians(10, steps=2):
    ...     print(A.shape, bool(b @ b <= 100), -0.15 <= c <= 0.45)
    (100, 100) True True
    (100, 100) True True
    """

    low, high = LOW, HIGH

    def __init__(self, side: int = 10, variance: Variance = "high", *, steps: int = 5000, seed: int = 0) -> None:
        self.side, self.steps = checked_count("side", side), checked_count("steps", steps)
        if variance not in _LAWS:
            raise ValueError(f"variance = {variance!r}: expected 'high' or 'low'")
        smallest = 4.0 - 4.0 * np.cos(np.pi / (side + 1))
        if smallest + LOW <= 0:
            raise ValueError(f"side = {side}: A {LOW:+} I has the eigenvalue {smallest + LOW:.3g}, expected at most 10")
        self.variance, self.seed = variance, seed
        self.shifts = LOW + (HIGH - LOW) * np.random.default_rng([seed, 0]).beta(*_LAWS[variance], self.steps)
        off = np.full(side, -1.0)
        first, last = off.copy(), off.copy()
        first[0] = last[-1] = 0.0
        self._axis = Axis(first, np.full(side, 2.0), last, np.ones(side))

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return self.side**2

    @property
    def u(self) -> None:
        """No first guess: the systems are independent."""
        return None

    def advance(self, u: NDArray[np.float64]) -> None:
        """Do nothing: the systems are independent."""

    def operator(self, shift: float) -> SeparableStencil:
        """Return A + c I.

        Parameters
        ----------
        shift : float
            c.

        Returns
        -------
        SeparableStencil
            With diagonal 4 + c and couplings -1.
        """
        return SeparableStencil((self._axis, self._axis), shift)

    def right_hand_sides(self) -> Iterator[NDArray[np.float64]]:
        """Draw the right-hand sides alone."""
        rng = np.random.default_rng([self.seed, 1])
        for _ in range(self.steps):
            b = rng.standard_normal(self.n)
            while b @ b > self.n:
                b = rng.standard_normal(self.n)
            yield b

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[System]:
        for shift, b in zip(self.shifts.tolist(), self.right_hand_sides(), strict=True):
            yield System(self.operator(shift), b, shift)
