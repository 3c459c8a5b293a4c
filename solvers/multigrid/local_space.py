"""A coarse space of local low-energy vectors, for what no geometric coarse grid can show."""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray

from conjugo.solvers.multigrid.blocks import Blocks
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil
from conjugo.solvers.parallel import get_threads, run_rows

type Values = NDArray[np.float64]

LARGEST = {1: 10**7, 2: 200_000, 3: 40_000}
"""Most vectors whose matrix is factorised, by dimension: beyond it fill and time of the factors run away."""
_SHIFT = 1e-11
"""Part of its diagonal added to the coarse matrix, which is singular where A is or two vectors coincide."""
_RANK = 1e-10
"""Relative size below which a direction of the proposed vectors counts as lost."""


class Proposal(Protocol):
    """Vectors to start from: a network's guess of the local low-energy vectors."""

    def __call__(self, blocks: Blocks, vectors: int, /) -> Values:
        """Return (blocks, m, vectors) float64 values in the variable D^1/2 u."""


class LocalSpace:
    """Local vectors Q of low energy, one set a block of the grid, and the exact solve in their span.

    Parameters
    ----------
    A : VariableStencil or CompactStencil
        Symmetric, positive (semi-)definite.
    block : int, optional
        Nodes of a block along each axis; 8 in 2-D, 4 in 3-D, 16 in 1-D.
    vectors : int
        Most vectors a block.
    threshold : float
        Vectors with u^T L u <= threshold u^T D u are kept; L is the part of A inside the block with free ends, D the
        diagonal of A.
    degree : int
        Degree of the Chebyshev filter that turns the proposed vectors towards low energy; 0 takes them as they are.
    propose : callable, optional
        `propose(blocks, vectors)` gives the vectors to start from; seeded random ones by default.
    seed : int
        Of the random vectors.

    Attributes
    ----------
    Q : (n, k) CSR array
        The vectors; block by block, of unit u^T D u.
    setup_seconds, basis_seconds : float
        Time of the whole set-up, and of finding Q alone.

    Raises
    ------
    ValueError
        For options out of range, and where more vectors remain than a sparse factorisation can take.

    Notes
    -----
    In a block, the eigenvectors of L u = mu D u with mu << 1 are what relaxation cannot see: constants on regions that
    conduct well inside and badly outwards. A block with one such vector is left alone: that vector is the constant,
    which multigrid's own coarse grids show. In the others the filter damps all mu in [threshold, 2] by
    T_degree((2 + threshold) / (2 - threshold)) relative to mu = 0, and a Rayleigh-Ritz step in the filtered vectors
    says which are low. Whatever is proposed, Q^T A Q is formed exactly: a bad proposal costs iterations, not the answer.

    References
    ----------
    N. Spillane, V. Dolean, P. Hauret, F. Nataf, C. Pechstein, R. Scheichl, "Abstract robust coarse spaces for systems
    of PDEs via generalized eigenproblems in the overlaps", Numer. Math. 126 (2014), section 3. T. Chartier,
    R. Falgout, V. Henson, J. Jones, T. Manteuffel, S. McCormick, J. Ruge, P. Vassilevski, "Spectral AMGe",
    SIAM J. Sci. Comput. 25 (2003).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.local_space import LocalSpace
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> k = np.array([-1.0, -1.0, -1e-6, -1.0, -1.0, -1.0, -1.0, 0.0])  # two chains, hardly connected
    >>> A = VariableStencil(1e-3 - k - np.roll(k, 1), [k])
    >>> LocalSpace(A, block=8, threshold=0.01).Q.shape
    (8, 2)
    """

    def __init__(
        self,
        A: VariableStencil | CompactStencil,
        *,
        block: int | None = None,
        vectors: int = 16,
        threshold: float = 0.15,
        degree: int = 20,
        propose: Proposal | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(A, VariableStencil | CompactStencil) or not A.symmetric:
            raise ValueError(f"A is {A!r}: expected a symmetric VariableStencil or CompactStencil")
        if not 0 < threshold < 1 or vectors < 1 or degree < 0:
            raise ValueError(
                f"threshold = {threshold}, vectors = {vectors}, degree = {degree}: expected 0 < threshold < 1, "
                f"at least 1 vector and a degree of at least 0"
            )
        started = time.perf_counter()
        d = len(A.grid_shape)
        self.blocks = Blocks(A, {1: 16, 2: 8, 3: 4}[d] if block is None else block)
        x = random_proposal(self.blocks, vectors, seed) if propose is None else propose(self.blocks, vectors)
        self.Q = low_vectors(self.blocks, x, threshold, degree)
        self.basis_seconds = time.perf_counter() - started
        if self.size > LARGEST[d]:
            raise ValueError(
                f"{self.size} local vectors remain, more than the {LARGEST[d]} that are factorised in {d}-D: "
                f"choose a smaller threshold or fewer vectors, or use ruge_stuben"
            )
        self._solve = None if self.size == 0 else _factorised(self.Q, A)
        self.setup_seconds = time.perf_counter() - started

    @property
    def size(self) -> int:
        """Number of vectors."""
        return int(self.Q.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the vectors and the factors."""
        vectors = self.Q.data.nbytes + self.Q.indices.nbytes + self.Q.indptr.nbytes
        factors = 0 if self._solve is None else 12 * (self._solve.L.nnz + self._solve.U.nnz)
        return int(vectors + factors)

    def correct(self, r: Values) -> Values:
        """Q (Q^T A Q)^-1 Q^T r for (n,) or (n, k)."""
        if self._solve is None:
            return np.zeros_like(r)
        return np.asarray(self.Q @ self._solve.solve(np.ascontiguousarray(self._T @ r)))

    @property
    def _T(self) -> sp.csc_array:  # noqa: N802
        return self.Q.T


def random_proposal(blocks: Blocks, vectors: int, seed: int) -> Values:
    """The same seeded normal numbers in every block, (blocks, m, vectors)."""
    x = np.random.default_rng(seed).standard_normal((blocks.m, vectors))
    return np.ascontiguousarray(np.broadcast_to(x, (len(blocks.d), *x.shape)))


def low_vectors(blocks: Blocks, x: Values, threshold: float, degree: int) -> sp.csr_array:
    """Filter proposed vectors and keep their Ritz vectors of low energy.

    Parameters
    ----------
    blocks : Blocks
        The local problems.
    x : (blocks, m, vectors) float64
        Proposed vectors in the variable D^1/2 u; overwritten.
    threshold, degree
        As for `LocalSpace`.

    Returns
    -------
    (n, k) CSR array
        The vectors u as columns.
    """
    from conjugo.solvers.kernels.block_filter import filter_blocks

    count, _, vectors = x.shape
    gram, energy = np.empty((count, vectors, vectors)), np.empty((count, vectors, vectors))
    tables = (x, gram, energy, blocks.d, blocks.c, blocks.offsets, degree, threshold)
    run_rows(lambda lo, hi: filter_blocks(*tables, lo, hi), count, get_threads())
    weight, T = np.linalg.eigh(gram)
    real = weight > _RANK * weight[:, -1:]
    T *= np.where(real, 1 / np.sqrt(np.where(real, weight, 1.0)), 0.0)[:, None]
    mu, V = np.linalg.eigh(T.mT @ energy @ T + np.where(real, 0.0, 4.0)[:, None] * np.eye(vectors))
    keep = mu < threshold
    keep &= (keep.sum(axis=1) > 1)[:, None]
    ids, order = np.nonzero(keep)
    root = np.where(blocks.d > 0, 1 / np.sqrt(np.where(blocks.d > 0, blocks.d, 1.0)), 0.0)
    u = np.matmul(x[np.unique(ids)], (T @ V)[np.unique(ids)]) * root[np.unique(ids)][:, :, None]
    place = np.searchsorted(np.unique(ids), ids)
    values, rows = u[place, :, order], blocks.nodes[ids]
    used = (rows >= 0) & (values != 0)
    columns = np.broadcast_to(np.arange(ids.size)[:, None], rows.shape)
    n = int(np.prod(blocks.shape))
    return sp.csr_array((values[used], (rows[used], columns[used])), shape=(n, ids.size))


def _factorised(Q: sp.csr_array, A: VariableStencil | CompactStencil) -> sla.SuperLU:
    """Factors of Q^T A Q, slightly shifted."""
    E = sp.csc_array(Q.T @ (A.tocsr() @ Q))
    E = sp.csc_array(E + sp.diags_array(_SHIFT * E.diagonal()))
    options = {"SymmetricMode": True}
    return sla.splu(E, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
