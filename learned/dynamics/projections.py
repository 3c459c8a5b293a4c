"""Pairs of encoder and lift that reduce a linear model: by energy, and by slowest decay."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

type Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
"""E (q, r) and D (r, q) with D E = I: z = psi E, and psi is about z D."""


def energy_pair(gram: NDArray[np.float64], rank: int) -> Pair:
    """Proper orthogonal modes of the features: the subspace that holds most of their mean square.

    Parameters
    ----------
    gram : (q, q) array
        Mean of psi^T psi.
    rank : int
        Dimension.

    Returns
    -------
    E, D : (q, rank) and (rank, q) arrays
        D = E^T. What the features hold most of need not be what the state needs.
    """
    _, vectors = scipy.linalg.eigh(gram, subset_by_index=[len(gram) - rank, len(gram) - 1])
    E: NDArray[np.float64] = vectors[:, ::-1]
    return E, E.T


def eigenfunction_pair(K: NDArray[np.float64], rank: int) -> Pair:
    """The eigenfunctions of largest modulus, real and imaginary parts apart.

    Parameters
    ----------
    K : (q, q) array
        Latent step.
    rank : int
        Dimension.

    Returns
    -------
    E, D : (q, rank) and (rank, q) arrays
        E spans right eigenvectors, D the left ones belonging to them; a conjugate pair that does not fit is left out.
    """
    values, left, right = scipy.linalg.eig(K, left=True, right=True)
    chosen: list[NDArray[np.float64]] = []
    duals: list[NDArray[np.float64]] = []
    for j in np.argsort(-np.abs(values), kind="stable"):
        size = 1 if values[j].imag == 0 else 2
        if values[j].imag < 0 or len(chosen) + size > rank:
            continue
        chosen += [right[:, j].real, right[:, j].imag][:size]
        duals += [left[:, j].real, left[:, j].imag][:size]
        if len(chosen) == rank:
            break
    E, W = np.stack(chosen, axis=1), np.stack(duals)
    return E, scipy.linalg.solve(W @ E, W)
