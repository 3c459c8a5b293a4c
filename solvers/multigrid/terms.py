"""Tables of the products that the set-up of black-box multigrid sums, built once for each kind of stencil."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np

from conjugo.solvers.multigrid.parity import Parity, Table, directions

_PLACES = (256, 16, 1)
"""Strides of the model grid: a shift is a number with one hexadecimal digit (-8..7) an axis, alike for every grid."""


@lru_cache
def _model(dimensions: int, compact: bool) -> Parity:
    """A grid whose flat shifts can be taken apart again."""
    ones = (1,) * dimensions
    grid = Parity(ones, (False,) * dimensions, ones, 0, compact)
    grid.strides = _PLACES[-dimensions:]
    return grid


def _placed(grid: Parity, terms: Table, columns: tuple[int, ...]) -> Table:
    """The table with its shifts taken from the model grid to this one."""
    terms = terms.copy()
    for column in columns:
        code = terms[:, column] + 8 * sum(_PLACES)
        digits = [(code >> 4 * place & 15) - 8 for place in range(grid.dimensions)]
        terms[:, column] = sum(digit * stride for digit, stride in zip(digits, grid.strides[::-1], strict=True))
    return terms


def sum_terms(grid: Parity, part: int) -> Table:
    """Couplings (row, shift) of a sub-grid's nodes, both ways.

    Examples
    --------
    >>> from conjugo.solvers.multigrid.parity import Parity
    >>> from conjugo.solvers.multigrid.terms import sum_terms
    >>> sum_terms(Parity((6,), (False,), (1,), 0, compact=False), 0)  # even nodes: to the next, from the one before
    array([[ 2,  0],
           [ 3, -1]])
    """
    return _placed(grid, _sum_terms(grid.dimensions, grid.compact, part), (1,))


@lru_cache
def _sum_terms(dimensions: int, compact: bool, part: int) -> Table:
    grid = _model(dimensions, compact)
    every = grid.directions + [tuple(-d for d in n) for n in grid.directions]
    return np.array([grid.coupling(part, n) for n in every], dtype=np.int64)


def weight_terms(grid: Parity, kind: tuple[int, ...]) -> Table:
    """Terms of `add_products` that collapse the stencil of a kind of node onto the coarse nodes around it.

    Rows of p: 0 ones, 1 injection, 2.. the weights, the last the sum of the couplings that stay.
    """
    return _placed(grid, _weight_terms(grid.dimensions, grid.compact, kind), (3, 5, 7))


@lru_cache
def _weight_terms(dimensions: int, compact: bool, kind: tuple[int, ...]) -> Table:
    grid = _model(dimensions, compact)
    home, terms = grid.home(kind), []
    total = 2 + len(grid.weights)
    for n in product((-1, 0, 1), repeat=dimensions):
        toward = tuple(d if a in kind else 0 for a, d in enumerate(n))
        coupling = grid.coupling(home, n)
        if coupling is None or not any(toward):
            continue
        terms.append([total, -1, *coupling, 0, 0, 0, 0])
        for corner in grid.corners(kind):
            if any(t not in (0, c) for t, c in zip(toward, corner, strict=True)):
                continue
            rest = tuple(c - t for t, c in zip(toward, corner, strict=True))
            row, shift = (2 + grid.weights[rest], grid.step(home, toward)[1]) if any(rest) else (0, 0)
            terms.append([2 + grid.weights[corner], -1, *coupling, row, shift, 0, 0])
    return np.array(terms, dtype=np.int64)


def galerkin_terms(grid: Parity) -> Table:
    """Terms of `add_products` for P^T A P at a coarse node: its diagonal (row 0), its compact couplings (1..)."""
    return _placed(grid, _galerkin_terms(grid.dimensions, grid.compact), (3, 5, 7))


@lru_cache
def _galerkin_terms(dimensions: int, compact: bool) -> Table:
    grid = _model(dimensions, compact)
    box = list(product((-1, 0, 1), repeat=dimensions))
    centre, terms = (0,) * dimensions, []
    for o, to in enumerate([centre, *directions(dimensions, True)]):
        for u in box:
            home, shift = grid.offset(u)
            for n in box:
                v = tuple(a + b for a, b in zip(u, n, strict=True))
                seen = tuple(a - 2 * b for a, b in zip(v, to, strict=True))
                coupling = grid.coupling(home, n)
                scale = 1 if any(to) or not any(n) else 2 * (n > centre)  # the diagonal by symmetry
                if coupling is None or scale == 0 or max(map(abs, seen)) > 1:
                    continue
                left, right = (grid.interpolation_row(u), shift), (grid.interpolation_row(seen), grid.offset(v)[1])
                terms.append([o, scale, coupling[0], coupling[1] + shift, *left, *right])
    return np.array(terms, dtype=np.int64)
