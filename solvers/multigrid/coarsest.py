"""The direct solve on the coarsest level of a multigrid hierarchy, singular systems included."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

DENSE = 350
"""Unknowns up to which the inverse is stored."""


class CoarsestSolve:
    """x = A^+ b for a small symmetric semi-definite A; its null space, if any, holds constants on components.

    Parameters
    ----------
    A : sparse array
        The matrix; empty rows are left at zero.
    eps : float
        Row sums below `eps` times the row's magnitude count as zero.
    noise : (n,) array, optional
        What rounding may have left in each row sum besides, from sums over larger numbers.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from conjugo.solvers.multigrid.coarsest import CoarsestSolve
    >>> CoarsestSolve(sp.csr_array([[1.0, -1.0], [-1.0, 1.0]]), 1e-12)(np.array([1.0, -1.0]))
    array([ 0.5, -0.5])
    """

    def __init__(self, A: sp.csr_array, eps: float, noise: NDArray[np.float64] | None = None) -> None:
        count, self.labels = connected_components(A, directed=False)
        size = np.bincount(self.labels, abs(A).sum(axis=1), count)
        least = eps * size
        if noise is not None:
            least = np.maximum(least, np.bincount(self.labels, noise, count))
        self.singular = (np.bincount(self.labels, A.sum(axis=1), count) <= least) & (size > 0)
        empty = np.where(A.diagonal() > 0, 0.0, 1.0)
        self.inverse: NDArray[np.float64] | None = None
        if A.shape[0] <= DENSE:
            self.inverse = self._inverse(A.toarray() + np.diag(empty))
            self.nbytes = int(self.inverse.nbytes)
        else:
            pins = np.unique(self.labels, return_index=True)[1][self.singular]
            empty[pins] += A.diagonal()[pins]
            self.factor = sla.splu(sp.csc_array(A + sp.diags_array(empty)))
            self.nbytes = int(12 * (self.factor.L.nnz + self.factor.U.nnz))

    def _inverse(self, A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pseudo-inverse: A plus a multiple of the projector on the constants is regular and acts as A on the rest."""
        half = 1 / np.sqrt(A.diagonal())
        remove = None
        if self.singular.any():
            remove = self.project(np.eye(len(A)))
            A = A + (np.eye(len(A)) - remove) * A.diagonal().mean()
        inverse = half[:, None] * np.linalg.inv(half[:, None] * A * half) * half
        inverse = (inverse + inverse.T) / 2
        return inverse if remove is None else np.asarray(remove @ inverse @ remove)

    def project(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Remove the mean over every singular component, column by column."""
        if not self.singular.any():
            return x
        total = np.zeros((len(self.singular), *x.shape[1:]))
        np.add.at(total, self.labels, x)
        total[~self.singular] = 0
        total /= np.bincount(self.labels).reshape(-1, *(1,) * (x.ndim - 1))
        return np.asarray(x - total[self.labels])

    def __call__(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve for one right-hand side."""
        if self.inverse is not None:
            return np.asarray(self.inverse @ b)
        return self.project(self.factor.solve(self.project(b)))
