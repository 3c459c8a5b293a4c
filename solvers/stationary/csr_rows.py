"""A sparse matrix seen as rows, ready for the compiled sweeps."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.kernels import csr_sweeps
from conjugo.solvers.parallel import get_threads, run_rows

PARALLEL_SIZE = 100_000
"""Unknowns below which threads cost more than they save."""


class CSRRows:
    """Sweeps over a sparse matrix; the vectors are contiguous and of the given precision.

    Parameters
    ----------
    A : csr_array
        Without duplicate entries.
    dtype : dtype
        float32 or float64, as the vectors.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from conjugo.solvers.stationary.csr_rows import CSRRows
    >>> CSRRows(sp.csr_array(np.eye(2)), np.dtype(float)).residual_square(np.ones(2), np.zeros(2))
    2.0
    """

    coloured = True

    def __init__(self, A: sp.csr_array, dtype: np.dtype[Any]) -> None:
        if A.nnz >= 2**31:
            raise ValueError(f"A has {A.nnz} entries: the sweeps count them in 32 bits; use a stencil operator")
        self.dtype = np.dtype(dtype)
        self.indptr = np.require(A.indptr, np.int32, ["C", "W"])
        self.indices = np.require(A.indices, np.int32, ["C", "W"])
        self.data = np.require(A.data, self.dtype, ["C", "W"])
        self.diagonal = np.require(A.diagonal(), self.dtype, ["C", "W"])
        self.forward = np.arange(A.shape[0], dtype=np.int32)
        self._pattern = A

    @cached_property
    def colours(self) -> list[tuple[int, int]]:
        """Ranges of `by_colour`, one a colour."""
        ends = np.cumsum(np.bincount(self._colour_of))
        return list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))

    @cached_property
    def by_colour(self) -> NDArray[np.int32]:
        """Rows sorted by colour; no two rows of a colour are coupled."""
        return np.argsort(self._colour_of, kind="stable").astype(np.int32)

    @cached_property
    def _colour_of(self) -> NDArray[np.int32]:
        pattern = sp.csr_array(self._pattern != 0)
        graph = sp.csr_array(pattern + pattern.T)  # an entry in either triangle couples the two rows
        colours = np.full(graph.shape[0], -1, np.int32)
        last_user = np.full(graph.shape[0] + 1, -1, np.int32)
        csr_sweeps.greedy_colours(graph.indptr.astype(np.int32), graph.indices.astype(np.int32), colours, last_user)
        return colours

    def sweep(self, x: NDArray[Any], b: NDArray[Any], omega: float, backward: bool = False) -> None:
        """Relax every unknown in order, or in the opposite order."""
        order = np.ascontiguousarray(self.forward[::-1]) if backward else self.forward
        self._relax(x, b, omega, order, 0, len(order), 1)

    def relax_colours(self, x: NDArray[Any], b: NDArray[Any], omega: float) -> float:
        """Relax colour after colour; return ||b - A x||^2 afterwards."""
        for lo, hi in self.colours:
            self._relax(x, b, omega, self.by_colour, lo, hi, self._parts(hi - lo))
        return self.residual_square(x, b)

    def residual_square(self, x: NDArray[Any], b: NDArray[Any]) -> float:
        """||b - A x||^2, accumulated in float64; no vector is stored."""
        n = len(self.forward)
        return self._relax(x, b, 0.0, self.forward, 0, n, self._parts(n))

    def _relax(
        self, x: NDArray[Any], b: NDArray[Any], omega: float, order: NDArray[np.int32], lo: int, hi: int, parts: int
    ) -> float:
        kernel = partial(csr_sweeps.relax_rows, x, b, self.indptr, self.indices, self.data, self.diagonal, omega, order)
        return run_rows(lambda start, stop: kernel(lo + start, lo + stop), hi - lo, parts)

    def _parts(self, rows: int) -> int:
        return get_threads() if rows >= PARALLEL_SIZE else 1
