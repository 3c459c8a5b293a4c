"""Radial functions of a squared distance, and the width that data suggest."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.special
from numpy.typing import NDArray

from conjugo.learned.dynamics.centres import squared_distances

type Kind = Literal["gaussian", "thin_plate", "multiquadric"]
"""Name of a radial function."""


def radial(squares: NDArray[np.float64], kind: Kind, width: float) -> NDArray[np.float64]:
    """Return a radial function of squared distances; the argument is overwritten.

    Parameters
    ----------
    squares : array
        r^2.
    kind : {"gaussian", "thin_plate", "multiquadric"}
        exp(-r^2 / (2 w^2)), s^2 log s or sqrt(1 + s^2), with s = r / w.
    width : float
        w, in the unit of r.

    Raises
    ------
    ValueError
        For an unknown function, and a width that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> radial(np.array([0.0, 2.0]), "gaussian", 1.0).round(4).tolist()
    [1.0, 0.3679]
    """
    if not width > 0:
        raise ValueError(f"width = {width}: expected a positive one")
    squares /= width**2
    if kind == "gaussian":
        squares *= -0.5
        return np.exp(squares, out=squares)
    if kind == "thin_plate":
        values: NDArray[np.float64] = scipy.special.xlogy(squares, squares)
        values *= 0.5
        return values
    if kind == "multiquadric":
        squares += 1.0
        return np.sqrt(squares, out=squares)
    raise ValueError(f"radial function {kind!r}: expected 'gaussian', 'thin_plate' or 'multiquadric'")


def typical_distance(x: NDArray[np.float64], *, sample: int = 500) -> float:
    """Median distance between states: the unit of a width.

    Parameters
    ----------
    x : (M, n) array
        States, of which an even sample is looked at.
    sample : int
        States looked at, about.

    Returns
    -------
    float
        The median over pairs of different states; 1 where there are none.
    """
    some = x[:: max(1, len(x) // sample)]
    squares = squared_distances(some, some)[np.triu_indices(len(some), 1)]
    squares = squares[squares > 0]
    return float(np.sqrt(np.median(squares))) if squares.size else 1.0
