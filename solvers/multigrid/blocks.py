"""A grid cut into blocks: the part of an operator that stays inside each of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.multigrid.parity import directions
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil

type Values = NDArray[np.float64]


class Blocks:
    """Blocks of `size` nodes along each axis; those at the ends are filled up with absent nodes.

    Parameters
    ----------
    A : VariableStencil or CompactStencil
        Symmetric.
    size : int
        Nodes of a block along each axis.

    Attributes
    ----------
    d : (blocks, m) float64
        Diagonal of A at the block's nodes in C order; 0 where a node is absent or inactive.
    c : (blocks, ways, m) float64
        Couplings from a node to the node `offsets[w]` later in the same block.
    offsets : (ways,) int64
        Flat distances inside a block.
    nodes : (blocks, m) int64
        Number of each node in A; -1 where absent.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.blocks import Blocks
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> A = VariableStencil(np.full(5, 2.0), [np.array([-1.0, -1.0, -1.0, -1.0, 0.0])])
    >>> blocks = Blocks(A, 3)
    >>> blocks.nodes
    array([[ 0,  1,  2],
           [ 3,  4, -1]])
    >>> blocks.c[:, 0]
    array([[-1., -1.,  0.],
           [-1.,  0.,  0.]])
    """

    def __init__(self, A: VariableStencil | CompactStencil, size: int) -> None:
        if size < 2:
            raise ValueError(f"size = {size}: a block needs at least 2 nodes along each axis")
        self.shape, self.size = A.grid_shape, size
        d = len(self.shape)
        self.m = size**d
        numbers = np.arange(1, math.prod(self.shape) + 1, dtype=np.float64).reshape(self.shape)
        self.nodes = self._cut(numbers).astype(np.int64) - 1
        diag = np.asarray(A.diag, dtype=np.float64)
        self.d = self._cut(diag if A.active is None else np.where(A.active, diag, 0.0))
        compact = isinstance(A, CompactStencil)
        ways = directions(d, compact)
        couplings = A.couplings if isinstance(A, CompactStencil) else A.upper
        steps = size ** np.arange(d)[::-1]
        self.offsets = np.array([int(np.dot(steps, way)) for way in ways], dtype=np.int64)
        at = np.unravel_index(np.arange(self.m), (size,) * d)
        self.c = np.zeros((len(self.d), len(ways), self.m))
        for w, (way, coupling) in enumerate(zip(ways, couplings, strict=True)):
            inside = np.logical_and.reduce([(0 <= i + s) & (i + s < size) for i, s in zip(at, way, strict=True)])
            self.c[:, w] = self._cut(np.asarray(coupling, dtype=np.float64)) * inside
            there = np.flatnonzero(inside)
            gone = self.nodes[:, there + self.offsets[w]] < 0  # the coupling closes a periodic axis
            self.c[:, w, there] = np.where(gone, 0.0, self.c[:, w, there])

    def _cut(self, values: Values) -> Values:
        """Values at the nodes of every block, (blocks, m)."""
        d, size = len(self.shape), self.size
        padded = np.pad(values, [(0, -n % size) for n in self.shape])
        split = padded.reshape([k for n in padded.shape for k in (n // size, size)])
        return np.ascontiguousarray(split.transpose([*range(0, 2 * d, 2), *range(1, 2 * d, 2)]).reshape(-1, self.m))
