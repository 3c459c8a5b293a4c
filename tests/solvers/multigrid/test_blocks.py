"""Blocks of a grid: against the assembled matrix, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.solvers.multigrid.blocks import Blocks
from conjugo.solvers.multigrid.parity import directions
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil


def random_stencil(
    shape: tuple[int, ...], *, compact: bool = False, periodic: bool = False, masked: bool = False, seed: int = 0
) -> Any:
    """A weakly dominant stencil with random couplings."""
    rng = np.random.default_rng(seed)
    active = rng.random(shape) < 0.7 if masked else np.ones(shape, dtype=np.bool_)
    axes = tuple(range(len(shape)))
    couplings, diag = [], np.where(active, 0.01, 1.0)
    for way in directions(len(shape), compact):
        c = -rng.random(shape) * active * np.roll(active, [-s for s in way], axes)
        for axis, s in enumerate(way):
            if s and not periodic:
                np.moveaxis(c, axis, 0)[-1 if s > 0 else 0] = 0.0
        couplings.append(c)
        diag = diag - c - np.roll(c, way, axes)
    kind = CompactStencil if compact else VariableStencil
    return kind(diag, couplings, active=active if masked else None)


def dense(blocks: Blocks, b: int) -> NDArray[np.float64]:
    """The part of A that a block stores."""
    S = np.diag(blocks.d[b])
    for w, offset in enumerate(blocks.offsets):
        for i in np.flatnonzero(blocks.c[b, w]):
            S[i, i + offset] += blocks.c[b, w, i]
            S[i + offset, i] += blocks.c[b, w, i]
    return np.asarray(S)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize(("periodic", "masked"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("shape", "size"), [((12,), 4), ((13,), 4), ((8, 12), 4), ((10, 7), 4), ((6, 4, 5), 3)])
def test_a_block_holds_what_stays_inside(
    shape: tuple[int, ...], size: int, periodic: bool, masked: bool, compact: bool
) -> None:
    A = random_stencil(shape, compact=compact, periodic=periodic, masked=masked)
    blocks, C = Blocks(A, size), sp.csr_array(A.tocsr())
    active = np.ones(A.shape[0], dtype=np.bool_) if A.active is None else A.active.ravel()
    home = np.ravel_multi_index([i // size for i in np.indices(shape)], [-(-n // size) for n in shape]).ravel()
    assert blocks.nodes.shape == (home.max() + 1, size ** len(shape))
    for b, nodes in enumerate(blocks.nodes):
        there = nodes >= 0
        assert set(nodes[there]) == set(np.flatnonzero(home == b))
        S, row = dense(blocks, b), C[nodes[there]][:, nodes[there]].toarray()
        row[~active[nodes[there]]] = 0.0
        _drop_wrapping(row, nodes[there], shape)
        np.testing.assert_array_equal(S[np.ix_(there, there)], row)
        assert not S[~there].any()


def _drop_wrapping(S: NDArray[np.float64], nodes: NDArray[np.int64], shape: tuple[int, ...]) -> None:
    """Set couplings that close a periodic axis inside one block to zero: not met in these shapes but for one block."""
    at = np.array(np.unravel_index(nodes, shape))
    far = (abs(at[:, :, None] - at[:, None, :]) > 1).any(axis=0)
    S[far] = 0.0


def test_a_periodic_axis_inside_one_block_is_cut_open() -> None:
    A = random_stencil((4, 8), periodic=True)
    for b, nodes in enumerate(Blocks(A, 4).nodes):
        S = A.tocsr()[nodes][:, nodes].toarray()
        _drop_wrapping(S, nodes, (4, 8))
        np.testing.assert_array_equal(dense(Blocks(A, 4), b), S)


def test_a_float32_stencil_is_widened() -> None:
    blocks = Blocks(random_stencil((5, 5)).astype(np.float32), 3)
    assert blocks.d.dtype == blocks.c.dtype == np.float64


def test_a_block_of_one_node_is_refused() -> None:
    with pytest.raises(ValueError, match="size = 1: a block needs at least 2 nodes"):
        Blocks(random_stencil((5,)), 1)
