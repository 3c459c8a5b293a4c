"""Coarsening of one axis: every second node, interpolation by the couplings, Galerkin operator.

References
----------
.. [1] U. Trottenberg, C. Oosterlee, A. Schueller, Multigrid, Academic Press 2001, sections 2.3 and 7.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.operators.separable import Axis

type Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """How one axis passes between a grid and the next coarser one; coarse node J sits on fine node 2 J + first.

    Parameters
    ----------
    first : int
        Fine index of the first coarse node, 0 or 1.
    left, right : (n,) float64
        Weights with which a fine node that is not coarse interpolates from the coarse nodes beside it (else 0).
    lower, centre, upper : (m,) float64
        Weights of the restriction: (R r)_J = lower r[2J+first-1] + centre r[2J+first] + upper r[2J+first+1].
    """

    first: int
    left: Vector
    right: Vector
    lower: Vector
    centre: Vector
    upper: Vector

    def prolongation(self) -> Vector:
        """P as a dense (n, m) matrix, for tests and small problems."""
        n, m = len(self.left), len(self.centre)
        P = np.zeros((n, m))
        coarse = np.arange(self.first, n, 2)
        P[coarse, np.arange(m)] = 1.0
        for j in np.setdiff1d(np.arange(n), coarse):
            J = (j - self.first - 1) // 2
            P[j, J % m] += self.left[j]
            P[j, (J + 1) % m] += self.right[j]
        return P

    def restriction(self) -> Vector:
        """R as a dense (m, n) matrix, for tests and small problems."""
        n, m = len(self.left), len(self.centre)
        R = np.zeros((m, n))
        for J in range(m):
            c = 2 * J + self.first
            for j, weight in ((c - 1, self.lower[J]), (c, self.centre[J]), (c + 1, self.upper[J])):
                R[J, j % n] += weight
        return R


def strength(axis: Axis) -> float:
    """Typical coupling along an axis, 0 where it has a single node."""
    if len(axis) == 1:
        return 0.0
    return float(np.median(np.abs(axis.upper[:-1])))


def first_coarse(axis: Axis) -> int:
    """Choose whether node 0 (returns 0) or node 1 becomes the first coarse node.

    Notes
    -----
    Two Dirichlet ends take the odd nodes, the textbook's choice for 2^k - 1 nodes. A node at a Neumann end is kept,
    for interpolation beyond the last coarse node is only constant there; with an even number of nodes one end must
    lose its node: the Dirichlet one, or of two alike the one whose control volume reaches out less (Neumann) or whose
    wall is nearer (Dirichlet), so that the distances stay balanced over the levels.
    """
    n = len(axis)
    if axis.periodic:
        return 1 if n % 2 == 0 else 0
    excess = axis.diag + axis.lower + axis.upper
    neumann = [abs(excess[end]) <= 1e-9 * axis.diag[end] for end in (0, -1)]
    if n % 2 == 1:
        return 0 if any(neumann) else 1
    if neumann[0] != neumann[1]:
        return 0 if neumann[0] else 1
    inward = (axis.upper[0], axis.lower[-1])
    if neumann[0]:  # weight over spacing, up to a common factor
        reach = [axis.weight[0] ** 2 * abs(inward[0]), axis.weight[-1] ** 2 * abs(inward[1])]
        return 0 if reach[0] > reach[1] * (1 + 1e-9) else 1
    distance = [abs(inward[0]) / excess[0], abs(inward[1]) / excess[-1]]
    return 0 if distance[0] > distance[1] * (1 + 1e-9) else 1


def coarsen(axis: Axis) -> tuple[Axis, Transfer]:
    """Coarsen one axis.

    Returns
    -------
    Axis
        Row-scaled Galerkin operator W_c^{-1} P^T W T P with the lumped weight W_c = P^T W.
    Transfer
        P and R = W_c^{-1} P^T W.

    Notes
    -----
    A fine node j interpolates by its own equation, x_j = -(l_j x_{j-1} + u_j x_{j+1}) / d_j: linear in the distance,
    to zero at a Dirichlet wall, constant at a Neumann end. So P^T W T P is the Schur complement, tridiagonal again.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.transfers import coarsen
    >>> from conjugo.solvers.operators.separable import Axis
    >>> axis = Axis(np.array([0.0, -1, -1]), np.full(3, 2.0), np.array([-1.0, -1, 0]), np.ones(3))
    >>> coarse, transfer = coarsen(axis)
    >>> coarse.diag, transfer.prolongation().ravel()
    (array([0.5]), array([0.5, 1. , 0.5]))
    """
    n, first = len(axis), first_coarse(axis)
    c = np.arange(first, n, 2)
    fine = np.ones(n, dtype=bool)
    fine[c] = False
    left, right = np.where(fine, -axis.lower / axis.diag, 0.0), np.where(fine, -axis.upper / axis.diag, 0.0)
    before, after = (c - 1) % n, (c + 1) % n
    w = axis.weight
    to_left, to_right = right[before] * w[before], left[after] * w[after]
    weight = w[c] + to_left + to_right
    ratio = w[c] / weight
    lower = ratio * axis.lower[c] * np.where(fine[before], left[before], 1.0)
    upper = ratio * axis.upper[c] * np.where(fine[after], right[after], 1.0)
    diag = ratio * (axis.diag[c] + axis.lower[c] * right[before] + axis.upper[c] * left[after])
    if len(c) == 1:  # a periodic axis that has shrunk to one node couples to itself
        diag, lower, upper = diag + lower + upper, np.zeros(1), np.zeros(1)
    coarse = Axis(lower, diag, upper, weight, axis.periodic and len(c) > 1)
    return coarse, Transfer(first, left, right, to_left / weight, ratio, to_right / weight)


def cubic_weights(axis: Axis, transfer: Transfer) -> Vector:
    """Weights of the four coarse nodes nearest to each fine node, (n, 4), for the interpolation of full multigrid.

    Notes
    -----
    Lagrange's cubic through nodes whose distances follow from the couplings, 1 / (weight coupling). Near a wall it is
    one-sided: boundary values are folded into the right-hand side, so the solution may be anything there.

    References
    ----------
    .. [1] U. Trottenberg, C. Oosterlee, A. Schueller, Multigrid, Academic Press 2001, section 2.6.
    """
    n, m, first = len(axis), len(transfer.centre), transfer.first
    inner = slice(None) if axis.periodic else slice(-1)
    gaps = np.zeros(n)
    gaps[inner] = 1.0 / (axis.weight[inner] * np.abs(axis.upper[inner]))
    places, period = np.concatenate([[0.0], np.cumsum(gaps)[:-1]]), float(np.sum(gaps))
    coarse = places[first::2]
    j = np.arange(n)
    start = (j - first - 1) // 2 - 1
    if not axis.periodic:
        start = np.clip(start, 0, max(0, m - 4))
    used = start[:, None] + np.arange(min(4, m))
    x = coarse[used % m] + (used // m) * period  # nodes of a periodic axis lie on the unrolled line
    weights = np.zeros((n, 4))
    for q in range(x.shape[1]):
        others = [p for p in range(x.shape[1]) if p != q]
        weights[:, q] = np.prod([(places - x[:, p]) / (x[:, q] - x[:, p]) for p in others], axis=0)
    return weights
