"""Index tables of one level of a V-cycle for torch: colours, neighbours, transfers, as gathers from flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.preconditioners.term_products import Terms
from conjugo.solvers.multigrid.parity import Parity, directions
from conjugo.solvers.multigrid.terms import galerkin_terms, weight_terms

type Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Colour:
    """Nodes that are relaxed together, their neighbours, and where their entries lie in the level's flat a.

    `neighbours` and `couplings` are (neighbours, nodes); a missing neighbour has its coupling in the zero slot.
    `weights` are the nodes' places in the flat (parts x size) array of relaxation factors.
    """

    nodes: Tensor
    neighbours: Tensor
    couplings: Tensor
    diagonal: Tensor
    weights: Tensor
    relaxed: bool
    """Whether relaxation factors apply: not to the last colour, whose residual the cycle takes to be zero."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelTables:
    """Everything about a level that depends on its shape only."""

    grid: Parity
    coarse: Parity
    places: Tensor
    """Place in the flat (parts x size) array of every node, C order."""
    colours: list[Colour]
    parents: Tensor
    """(2^d, nodes) coarse node from which a node reads."""
    parent_weights: Tensor
    """(2^d, nodes) place of that weight in the flat p; the last place is zero."""
    children: Tensor
    """(3^d, coarse nodes) fine node to which a coarse node gives."""
    child_weights: Tensor
    """(3^d, coarse nodes) place of that weight in the flat p."""
    coarse_places: Tensor
    """Place in the padded coarse array, as the Galerkin product returns it, of every coarse node, C order."""
    deal: Tensor
    """(parts, size) place in the padded coarse array of the next level's colour-split storage; the last is zero."""
    galerkin: Terms
    interpolation: list[Terms]
    """One for each kind of node that lies between coarse nodes."""


def places(grid: Parity) -> Index:
    """Place in the flat (parts x size) array of every node of a grid, in C order."""
    index = np.zeros(grid.shape, dtype=np.int64)
    for part in range(grid.parts):
        parity = grid.parity(part)
        halves = [np.arange(p, n, 2) for p, n in zip(parity, grid.shape, strict=True)]
        steps = np.ix_(*((1 + h // 2) * s for h, s in zip(halves, grid.strides, strict=True)))
        index[np.ix_(*halves)] = part * grid.size + sum(steps[1:], steps[0])
    return index.ravel()


def _moved(grid: Parity, nodes: Index, way: tuple[int, ...]) -> tuple[Index, NDArray[np.bool_]]:
    """Neighbours of nodes in a direction and whether they exist."""
    at = list(np.unravel_index(nodes, grid.shape))
    exists = np.ones(nodes.shape, dtype=bool)
    for axis, step in enumerate(way):
        moved = at[axis] + step
        exists &= (moved >= 0) & (moved < grid.shape[axis])
        at[axis] = np.clip(moved, 0, grid.shape[axis] - 1)
    return np.ravel_multi_index(at, grid.shape), exists


def _parts_of(grid: Parity, nodes: Index) -> Index:
    at = np.unravel_index(nodes, grid.shape)
    return sum(((i & 1) << (grid.dimensions - 1 - a) for a, i in enumerate(at)), np.zeros_like(nodes))


def _colour(grid: Parity, group: list[int], place: Index, relaxed: bool, device: str) -> Colour:
    nodes = np.flatnonzero(np.isin(_parts_of(grid, np.arange(place.size)), group))
    zero = (1 + len(grid.directions)) * grid.parts * grid.size
    neighbours, couplings = [], []
    for m, way in enumerate(grid.directions):
        for sign in (1, -1):
            there, exists = _moved(grid, nodes, tuple(sign * w for w in way))
            owner = nodes if sign == 1 else there
            entry = (1 + m) * grid.parts * grid.size + place[owner]
            neighbours.append(there)
            couplings.append(np.where(exists, entry, zero))
    t = [torch.tensor(x, device=device) for x in (nodes, np.stack(neighbours), np.stack(couplings), place[nodes])]
    return Colour(t[0], t[1], t[2], t[3], t[3], relaxed)


def _transfers(grid: Parity, place: Index) -> tuple[Index, Index, Index, Index]:
    """Parents and children with the places of their weights in the flat p."""
    d, size = grid.dimensions, grid.size
    rows = 3 + len(grid.weights)
    zero = rows * size
    nodes = np.arange(place.size)
    at = np.array(np.unravel_index(nodes, grid.shape))
    local = place % size
    corners = [c for kind in [(), *grid.kinds] for c in grid.corners(kind)]
    strides = np.array([int(np.prod(grid.coarse[a + 1 :])) for a in range(d)])
    parents = np.zeros((2**d, nodes.size), dtype=np.int64)
    weights = np.full((2**d, nodes.size), zero)
    children = np.zeros((3**d, int(np.prod(grid.coarse))), dtype=np.int64)
    child_weights = np.full(children.shape, zero)
    used = np.zeros(nodes.size, dtype=np.int64)
    for j, corner in enumerate(corners):
        kind = tuple(a for a in range(d) if corner[a])
        mine = np.flatnonzero(_parts_of(grid, nodes) == grid.home(kind))
        towards = (at[:, mine] + np.array(corner)[:, None]) // 2
        limit = np.array(grid.coarse)[:, None]
        exists = np.all((towards >= 0) & (towards < limit), axis=0)
        mine, towards = mine[exists], towards[:, exists]
        row = 2 + grid.weights[corner] if any(corner) else 1
        coarse = strides @ towards
        parents[used[mine], mine] = coarse
        weights[used[mine], mine] = row * size + local[mine]
        used[mine] += 1
        children[j, coarse] = mine
        child_weights[j, coarse] = row * size + local[mine]
    return parents, weights, children, child_weights


@lru_cache(maxsize=128)
def level_tables(shape: tuple[int, ...], compact: bool, device: str) -> LevelTables:
    """Return the tables of a level in colour-split storage, kept for the next call.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.cycle_tables import level_tables
    >>> tables = level_tables((7, 6), False, "cpu")
    >>> tables.coarse.shape, [colour.nodes.numel() for colour in tables.colours]
    ((3, 3), [21, 21])
    """
    strides = tuple(int(np.prod(shape[a + 1 :])) for a in range(len(shape)))
    closed = (False,) * len(shape)
    grid = Parity(shape, closed, strides, 0, compact)
    coarse = Parity(grid.coarse, closed, grid.strides, grid.lag, True)
    place = places(grid)
    last = grid.colours[-1]
    colours = [_colour(grid, group, place, group is not last, device) for group in grid.colours]
    inside = np.arange(int(np.prod(grid.coarse)))
    at = np.unravel_index(inside, grid.coarse)
    padded = grid.lag + sum(i * s for i, s in zip(at, grid.strides, strict=True))
    deal = np.full(coarse.parts * coarse.size, grid.size)
    deal[places(coarse)] = padded
    half = len(directions(grid.dimensions, True))
    rows_a, rows_p = (1 + len(grid.directions)) * grid.parts, 3 + len(grid.weights)
    where, up, up_weights, down, down_weights, inner, dealt = (
        torch.tensor(x, device=device) for x in (place, *_transfers(grid, place), padded, deal)
    )
    return LevelTables(
        grid, coarse, where, colours, up, up_weights, down, down_weights, inner, dealt.reshape(coarse.parts, -1),
        Terms(galerkin_terms(grid), (1 + half, rows_a, rows_p)),
        [Terms(weight_terms(grid, kind), (rows_p, rows_a, rows_p)) for kind in grid.kinds],
    )  # fmt: skip
