"""Deflation by subdomains: the blocks of a grid as a subspace that conjugate gradients need not find."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.problem import LinearProblem


def subdomain_vectors(problem: LinearProblem, blocks: int = 64) -> NDArray[np.float64]:
    """Return the indicators of equal blocks of the grid: what deflation solves exactly.

    Parameters
    ----------
    problem : LinearProblem
        On a grid.
    blocks : int
        About as many blocks; equally many along every axis.

    Returns
    -------
    (n, m) float64
        1 at the active unknowns of a block; blocks without any are left out.

    Raises
    ------
    ValueError
        If the problem has no grid.

    References
    ----------
    R. Nicolaides, Deflation of conjugate gradients with applications to boundary value problems, SIAM J. Numer. Anal.
    24 (1987) 355-365.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> subdomain_vectors(poisson((8, 8)), 4).sum(axis=0)
    array([16., 16., 16., 16.])
    """
    shape = tuple(getattr(problem.A, "grid_shape", ()))
    if not shape:
        raise ValueError(f"problem {problem.name!r} is on no grid: deflation by subdomains needs a stencil")
    side = max(1, round(blocks ** (1 / len(shape))))
    parts = [np.arange(n) * min(side, n) // n for n in shape]
    labels = np.zeros(shape, dtype=np.intp)
    for axis, part in enumerate(parts):
        labels = labels * side + part.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    W = np.zeros((math.prod(shape), side ** len(shape)))
    W[np.arange(len(W)), labels.ravel()] = 1.0
    if problem.active is not None:
        W[~problem.active] = 0.0
    return np.ascontiguousarray(W[:, W.any(axis=0)])
