"""Black-box multigrid in torch, for batches of problems of one shape: set-up and V-cycle, differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.cycle_tables import Colour, LevelTables, level_tables
from conjugo.learned.preconditioners.stencil_net import reweigh
from conjugo.learned.preconditioners.term_products import term_products
from conjugo.solvers.multigrid.parity import directions
from conjugo.solvers.multigrid.terms import sum_terms

_EPS = 16 * float(np.finfo(np.float64).eps)
_NULL = 1e-12
"""Eigenvalues of the coarsest operator, scaled to unit diagonals, below which a direction belongs to its null space."""


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """One colour's matrix entries, gathered: couplings (batch, 1, neighbours, nodes), diagonals (batch, 1, nodes)."""

    couplings: Tensor
    diagonal: Tensor
    inverse: Tensor
    omega: Tensor | None


@dataclass(frozen=True, slots=True, eq=False)
class DifferentiableLevel:
    """One level: tables, the entries of every colour, and the transfer weights."""

    tables: LevelTables
    entries: list[Entries]
    up: Tensor
    """(batch, 1, 2^d, nodes) weights from the parents."""
    down: Tensor
    """(batch, 1, 3^d, coarse nodes) weights from the children."""


class DifferentiableCycle:
    """A symmetric V(1, 1) cycle of black-box multigrid whose weights a network may change, for training.

    Parameters
    ----------
    a : (batch, rows, parts x size) float64 tensor
        Diagonals and couplings of the finest level in colour-split storage (`solvers.multigrid.black_box.deal`).
    shape, compact
        The grid, as for `Parity`; no axis is periodic.
    net : StencilNet, optional
        Proposes transfer weights and relaxation factors; without one the cycle is the classical one.
    coarsest : int
        Levels of at most this many nodes are solved directly.

    Notes
    -----
    With exact coarse operators P^T A P, a smoother of Gauss-Seidel form with factors in (0, 2) and its adjoint after
    the correction, all eigenvalues of M A lie in (0, 1], whatever the network says.
    """

    def __init__(
        self,
        a: Tensor,
        shape: tuple[int, ...],
        compact: bool,
        net: nn.Module | None = None,
        coarsest: int = 30,
    ) -> None:
        self.levels: list[DifferentiableLevel] = []
        batch, device = a.shape[0], str(a.device)
        while True:
            tables = level_tables(shape, compact, device)
            rows = (1 + len(tables.grid.directions)) * tables.grid.parts
            a = a.reshape(batch, rows, tables.grid.size)
            p, omega = self._weights(tables, a, net)
            self.levels.append(_level(tables, a, p, omega))
            product = term_products(a, p, tables.galerkin)
            shape, compact = tables.grid.coarse, True
            if math.prod(shape) <= coarsest or min(shape) < 4:
                break
            padded = torch.cat([product, product.new_zeros(batch, product.shape[1], 1)], dim=-1)
            a = padded.index_select(-1, tables.deal.flatten())
        self.inverse = _coarsest(product[..., tables.coarse_places], shape)

    @staticmethod
    def _weights(tables: LevelTables, a: Tensor, net: nn.Module | None) -> tuple[Tensor, Tensor | None]:
        """Interpolation weights and relaxation factors of a level."""
        with torch.no_grad():
            p = interpolation(tables, a)
        if net is None:
            return p, None
        logits, omega = net(tables.grid, a.detach(), p)
        if logits.requires_grad:
            logits.register_hook(_finite_rows)
            omega.register_hook(_finite_rows)
        return reweigh(tables.grid, p, logits), omega

    def product(self, x: Tensor) -> Tensor:
        """A x on the finest level, x of shape (batch, vectors, nodes)."""
        level, out = self.levels[0], torch.zeros_like(x)
        for colour, entries in zip(level.tables.colours, level.entries, strict=True):
            y = entries.diagonal * x.index_select(-1, colour.nodes) + _neighbours(x, colour, entries)
            out = out.index_copy(-1, colour.nodes, y)
        return out

    def __call__(self, b: Tensor, depth: int = 0) -> Tensor:
        """One cycle from a zero guess, for b of shape (batch, vectors, nodes)."""
        level = self.levels[depth]
        pairs = list(zip(level.tables.colours, level.entries, strict=True))
        x = torch.zeros_like(b)
        for colour, entries in pairs:
            x = _relaxed(x, b, colour, entries)
        r = torch.zeros_like(b)
        for colour, entries in pairs[:-1]:
            y = (
                b.index_select(-1, colour.nodes)
                - _neighbours(x, colour, entries)
                - entries.diagonal * x.index_select(-1, colour.nodes)
            )
            r = r.index_copy(-1, colour.nodes, y)
        children = level.tables.children
        coarse = (level.down * r.index_select(-1, children.flatten()).reshape(*r.shape[:2], *children.shape)).sum(-2)
        if depth + 1 == len(self.levels):
            e = torch.einsum("bij,bqj->bqi", self.inverse, coarse)
        else:
            e = self(coarse, depth + 1)
        parents = level.tables.parents
        x = x + (level.up * e.index_select(-1, parents.flatten()).reshape(*e.shape[:2], *parents.shape)).sum(-2)
        for colour, entries in reversed(pairs):
            x = _relaxed(x, b, colour, entries)
        return x


def _finite_rows(gradient: Tensor) -> Tensor:
    """Zero for the problems of a batch whose gradient is not finite, so that one cannot spoil a training step."""
    good = torch.isfinite(gradient).flatten(1).all(1).reshape(-1, *(1,) * (gradient.ndim - 1))
    return torch.where(good, gradient, 0.0)


def _neighbours(x: Tensor, colour: Colour, entries: Entries) -> Tensor:
    """Couplings times neighbours."""
    near = x.index_select(-1, colour.neighbours.flatten()).reshape(*x.shape[:2], *colour.neighbours.shape)
    return (entries.couplings * near).sum(-2)


def _relaxed(x: Tensor, b: Tensor, colour: Colour, entries: Entries) -> Tensor:
    """x after the nodes of one colour are relaxed."""
    new = (b.index_select(-1, colour.nodes) - _neighbours(x, colour, entries)) * entries.inverse
    if entries.omega is not None:
        old = x.index_select(-1, colour.nodes)
        new = old + entries.omega * (new - old)
    return x.index_copy(-1, colour.nodes, new)


def _level(tables: LevelTables, a: Tensor, p: Tensor, omega: Tensor | None) -> DifferentiableLevel:
    flat = torch.cat([a.flatten(1), a.new_zeros(a.shape[0], 1)], dim=1)
    weights = torch.cat([p.flatten(1), p.new_zeros(p.shape[0], 1)], dim=1)
    entries = []
    for colour in tables.colours:
        diagonal = flat.index_select(1, colour.diagonal)[:, None]
        inverse = torch.where(diagonal > 0, 1 / torch.where(diagonal > 0, diagonal, 1.0), 0.0)
        couplings = flat.index_select(1, colour.couplings.flatten()).reshape(a.shape[0], 1, *colour.couplings.shape)
        factor = (
            None if omega is None or not colour.relaxed else omega.flatten(1).index_select(1, colour.weights)[:, None]
        )
        entries.append(Entries(couplings, diagonal, inverse, factor))
    up = weights.index_select(1, tables.parent_weights.flatten()).reshape(a.shape[0], 1, *tables.parent_weights.shape)
    down = weights.index_select(1, tables.child_weights.flatten()).reshape(a.shape[0], 1, *tables.child_weights.shape)
    return DifferentiableLevel(tables, entries, up, down)


def _shifted(x: Tensor, shift: int) -> Tensor:
    """x[..., f + shift], zero beyond the ends."""
    size = x.shape[-1]
    if shift == 0:
        return x
    if shift > 0:
        return torch.nn.functional.pad(x[..., shift:], (0, shift))
    return torch.nn.functional.pad(x[..., : size + shift], (-shift, 0))


def _row_sums(tables: LevelTables, a: Tensor, part: int) -> tuple[Tensor, Tensor]:
    """Row sums of a sub-grid's nodes (noise and negative sums as 0) and 1 where a node couples to anything."""
    total, size = a[:, part], torch.zeros_like(a[:, part])
    for row, shift in sum_terms(tables.grid, part).tolist():
        entry = _shifted(a[:, row], shift)
        total, size = total + entry, size + entry.abs()
    return torch.where(total > _EPS * size, total, 0.0), (size > 0).to(a.dtype)


def interpolation(tables: LevelTables, a: Tensor) -> Tensor:
    """Weights of `solvers.multigrid.galerkin.interpolation` for a batch, not differentiated.

    Parameters
    ----------
    tables : LevelTables
        The level.
    a : (batch, rows, size) float64 tensor
        Diagonals and couplings.

    Returns
    -------
    (batch, 3 + 3^d - 1, size) tensor
        Rows as there.
    """
    grid = tables.grid
    rows = 3 + len(grid.weights)
    p = a.new_zeros(a.shape[0], rows, grid.size)
    exists = a.new_zeros(grid.size)
    exists[tables.coarse_places] = 1.0
    p[:, 0] = 1.0
    p[:, 1] = _row_sums(tables, a, grid.parts - 1)[1] * exists
    for kind, terms in zip(grid.kinds, tables.interpolation, strict=True):
        sums, coupled = _row_sums(tables, a, grid.home(kind))
        p[:, -1] = 0.0
        p = p + term_products(a, p, terms)
        total = p[:, -1] + sums
        factor = torch.where(total > 0, 1 / torch.where(total > 0, total, 1.0), 0.0)
        alone = (factor == 0) & (coupled != 0)
        left = torch.ones_like(sums)
        for corner in reversed(grid.corners(kind)):
            row, shift = 2 + grid.weights[corner], grid.corner_shift(corner)
            whole = left * _shifted(exists, shift)
            p[:, row] = torch.where(alone, whole, p[:, row] * factor)
            left = torch.where(alone, left - whole, left)
    return p


def _coarsest(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """(Pseudo-)inverse of the coarsest operator from its diagonal and forward couplings, (batch, 1 + half, nodes)."""
    n = rows.shape[-1]
    index = np.arange(n).reshape(shape)
    A = torch.diag_embed(rows[:, 0])
    for m, way in enumerate(directions(len(shape), True)):
        there = np.roll(index, [-w for w in way], range(len(shape))).ravel()
        block = rows.new_zeros(rows.shape[0], n, n)
        block[:, torch.arange(n), torch.from_numpy(there)] = rows[:, 1 + m]
        A = A + block + block.transpose(1, 2)
    diagonal = torch.diagonal(A, dim1=1, dim2=2)
    empty = diagonal <= 0
    half = torch.where(empty, 1.0, diagonal).rsqrt()
    scaled = A * half[:, :, None] * half[:, None, :] + torch.diag_embed(empty.to(A.dtype))
    with torch.no_grad():  # add the projector on the null space (constants on cut-off components): regular then
        values, vectors = torch.linalg.eigh(torch.nan_to_num(scaled, 0.0, 0.0, 0.0))
        null = vectors * (values < _NULL).to(A.dtype)[:, None, :]
    scaled = scaled + null @ null.mT
    inverse: Tensor = torch.linalg.inv(scaled)
    return inverse * half[:, :, None] * half[:, None, :]


def batched(arrays: Sequence[np.ndarray], device: str) -> Tensor:
    """Stack the dealt arrays of several problems of one shape."""
    return torch.from_numpy(np.stack(arrays)).to(device)
