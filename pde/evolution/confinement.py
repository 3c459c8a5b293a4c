"""Vorticity confinement: a force that gives back the swirls that coarse grids damp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

type Values = NDArray[np.float64]


def confinement(velocity: Sequence[Values], spacing: Sequence[float], strength: float) -> list[Values]:
    """Return the confinement force in the cells.

    Parameters
    ----------
    velocity : sequence of arrays
        Components on the faces across each of 2 or 3 axes (length over time).
    spacing : sequence of float
        Cell sizes (length).
    strength : float
        Dimensionless; 0 gives no force, and above 1 it stirs.

    Returns
    -------
    list of arrays
        One grid-shaped array an axis (length over time squared).

    Notes
    -----
    f = strength h (N x omega) with omega = curl v and N = grad |omega| / |grad |omega||.

    References
    ----------
    R. Fedkiw, J. Stam and H. W. Jensen, "Visual simulation of smoke", SIGGRAPH (2001), equations 9 to 11.

    Examples
    --------
    >>> import numpy as np
    >>> calm = [np.zeros((5, 4)), np.zeros((4, 5))]
    >>> float(np.abs(confinement(calm, (0.25, 0.25), 0.5)).max())
    0.0
    """
    d = len(velocity)
    centre = [
        0.5 * (np.take(v, range(v.shape[a] - 1), a) + np.take(v, range(1, v.shape[a]), a))
        for a, v in enumerate(velocity)
    ]

    def slope(values: Values, axis: int) -> Values:
        return np.asarray(np.gradient(values, spacing[axis], axis=axis))

    pairs = [(1, 2), (2, 0), (0, 1)] if d == 3 else [(0, 1)]
    omega = [slope(centre[b], a) - slope(centre[a], b) for a, b in pairs]
    size = np.sqrt(sum(w**2 for w in omega))
    ascent = [slope(size, axis) for axis in range(d)]
    length = np.sqrt(sum(s**2 for s in ascent))
    N = [np.divide(s, length, out=np.zeros_like(s), where=length > 0) for s in ascent]
    scale = strength * float(np.prod(spacing)) ** (1 / d)
    if d == 2:  # omega points along the axis that is not there
        return [scale * N[1] * omega[0], -scale * N[0] * omega[0]]
    return [scale * (N[b] * omega[c] - N[c] * omega[b]) for b, c in pairs]
