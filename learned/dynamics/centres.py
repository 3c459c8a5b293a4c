"""Centres of radial functions among data, and the squared distances to them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

type Choice = Literal["kmeans", "random"]
"""How centres are chosen."""

SAMPLE = 20
"""k-means looks at this many states a centre, drawn at random, at most."""


def squared_distances(x: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |x_i - c_j|^2, (M, c), by one matrix product; rounding is cut off at zero.

    Parameters
    ----------
    x : (M, n) array
        States.
    centres : (c, n) array
        Centres.
    """
    middle = centres.mean(axis=0)  # the product cancels, less so about the middle
    x, centres = x - middle, centres - middle
    squares = x @ (-2 * centres.T)
    squares += np.einsum("ij,ij->i", x, x)[:, None]
    squares += np.einsum("ij,ij->i", centres, centres)
    return np.maximum(squares, 0.0, out=squares)


def centres_of(
    x: NDArray[np.float64], count: int, choice: Choice = "kmeans", *, seed: int = 0, sweeps: int = 10
) -> NDArray[np.float64]:
    """Choose centres among states.

    Parameters
    ----------
    x : (M, n) array
        States.
    count : int
        Number of centres.
    choice : {"kmeans", "random"}
        Centres of clusters by Lloyd's sweeps from random states, or the random states themselves.
    seed : int
        Of the random states.
    sweeps : int
        Of Lloyd's algorithm.

    Returns
    -------
    (count, n) array
        The centres.

    Raises
    ------
    ValueError
        If there are fewer different states than centres.

    References
    ----------
    .. [1] S. P. Lloyd, Least squares quantization in PCM, IEEE Trans. Inf. Theory 28 (1982), section V.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.array([[0.0], [0.2], [5.0], [5.2]])
    >>> np.sort(centres_of(x, 2).ravel()).round(6).tolist()
    [0.1, 5.1]
    """
    rng = np.random.default_rng(seed)
    sample = x if len(x) <= SAMPLE * count else x[rng.permutation(len(x))[: SAMPLE * count]]
    states = np.unique(sample, axis=0)
    if count < 1 or len(states) < count:
        raise ValueError(f"{count} centres of {len(states)} different states: expected 1 to {len(states)} centres")
    centres: NDArray[np.float64] = states[rng.permutation(len(states))[:count]]
    if choice == "random":
        return centres
    if choice != "kmeans":
        raise ValueError(f"centres {choice!r}: expected 'kmeans' or 'random'")
    for _ in range(sweeps):
        label = np.argmin(squared_distances(sample, centres), axis=1)
        members = np.bincount(label, minlength=count)
        sums = np.stack([np.bincount(label, weights=column, minlength=count) for column in sample.T], axis=1)
        filled = members > 0  # an empty cluster keeps its centre
        centres[filled] = sums[filled] / members[filled, None]
    return centres
