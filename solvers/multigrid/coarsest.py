"""The direct solve on the coarsest level of a multigrid hierarchy, singular systems included."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

DENSE = 100
"""Unknowns up to which the inverse is stored."""


class CoarsestSolve:
    """x = A^+ b for a small symmetric semi-definite A whose null space, if any, is spanned by constants on its components.

    Parameters
    ----------
    A : sparse array
        The matrix; empty rows are left at zero.
    eps : float
        Row sums below `eps` times the row's magnitude count as zero.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from conjugo.solvers.multigrid.coarsest import CoarsestSolve
    >>> CoarsestSolve(sp.csr_array([[1.0, -1.0], [-1.0, 1.0]]), 1e-12)(np.array([1.0, -1.0]))
    array([ 0.5, -0.5])
    """

    def __init__(self, A: sp.csr_array, eps: float) -> None:
        scale = np.sqrt(np.maximum(A.diagonal(), 0.0))
        self.scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
        self.inverse: NDArray[np.float64] | None = None
        if A.shape[0] <= DENSE:
            values, vectors = np.linalg.eigh(self.scale[:, None] * A.toarray() * self.scale)
            kept = values > max(eps, 1e-13) * 8
            half = self.scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])
            self.inverse = half @ half.T
            self.nbytes = int(self.inverse.nbytes)
            self._components(A, eps)
            if self.singular.any():
                P = self.projector()
                self.inverse = P @ self.inverse @ P
            return
        self._components(A, eps)
        shift = np.where(A.diagonal() > 0, 0.0, 1.0)
        pins = np.unique(self.labels, return_index=True)[1][self.singular]
        shift[pins] += A.diagonal()[pins]
        self.factor = sla.splu(sp.csc_array(A + sp.diags_array(shift)))
        self.nbytes = int(12 * (self.factor.L.nnz + self.factor.U.nnz))

    def _components(self, A: sp.csr_array, eps: float) -> None:
        """Label the connected components and find those whose row sums all vanish."""
        count, self.labels = connected_components(A, directed=False)
        size = np.bincount(self.labels, abs(A).sum(axis=1), count)
        self.singular = (np.bincount(self.labels, A.sum(axis=1), count) <= eps * size) & (size > 0)

    def project(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Remove the mean over every singular component."""
        if not self.singular.any():
            return x
        mean = np.bincount(self.labels, x) / np.bincount(self.labels)
        return x - np.where(self.singular, mean, 0.0)[self.labels]

    def projector(self) -> NDArray[np.float64]:
        """`project` as a matrix."""
        return np.column_stack([self.project(e) for e in np.eye(len(self.labels))])

    def __call__(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve for one right-hand side."""
        if self.inverse is not None:
            return np.asarray(self.inverse @ b)
        return self.project(self.factor.solve(self.project(b)))
