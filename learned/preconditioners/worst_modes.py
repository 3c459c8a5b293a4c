"""The loss of the learned V-cycle: the smallest eigenvalues of M A, followed from step to step by power iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from conjugo.learned.preconditioners.differentiable_cycle import DifferentiableCycle
from conjugo.learned.preconditioners.stencil_problems import check_families, draw
from conjugo.pde.poisson.families import CONTEST_SEEDS
from conjugo.solvers.multigrid.black_box import assemble, deal, finest

HELD_OUT = 10**9
"""Numbers of the problems for validation start here."""
_DEPENDENT = 1e-11
"""Share of the largest energy below which a direction in the span of the errors is rounding."""
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Bucket:
    """Problems of one shape: which families, and what the grid looks like."""

    shape: tuple[int, ...]
    compact: bool
    families: tuple[str, ...]


class WorstModes:
    """A pool of random problems, each with the errors that the cycle reduces least: batches for `fit`, and their loss.

    Parameters
    ----------
    buckets : sequence of Bucket
        Shapes and families; a step takes one of them in turn.
    size : int
        Problems kept in each.
    batch : int
        Problems a step.
    vectors : int
        Errors kept for a problem.
    fresh : int
        Problems of a batch that are replaced by new ones after their step.
    floor : float
        Ritz values far below it count alike, see `mode_cost`.
    turns : int
        Cycles without gradient that turn the errors before a training step. A problem lives for
        batch / fresh visits, and its errors should see tens of cycles.
    settle : int
        Cycles that turn the errors of a validation batch towards the worst modes of the network at hand.
    seed : int
        Of everything.
    device : str
        Where the pool lives.

    Notes
    -----
    With the block E of errors, A-orthonormal, the Ritz values mu of M A in span(E) bound its smallest eigenvalues from
    above, and E <- E - M A E (a power iteration with the error propagation) turns span(E) towards the worst modes. As
    all eigenvalues lie in (0, 1], -log mu is the logarithm of the condition number that a mode costs. The loss is its
    mean, flattened where mu is below `floor` (`mode_cost`). A problem whose gradient is not finite does not count in
    its step, and errors that are not finite are drawn anew. Under `torchrun` every process follows the modes of the
    problems that it has seen.

    References
    ----------
    D. Greenfeld, M. Galun, R. Kimmel, I. Yavneh, R. Basri, Learning to optimize multigrid PDE solvers, ICML 2019, for
    the loss on the error propagation; the replay of worst modes and the Ritz values are ours.
    """

    def __init__(
        self,
        buckets: Sequence[Bucket],
        *,
        size: int = 256,
        batch: int = 64,
        vectors: int = 8,
        fresh: int = 2,
        floor: float = 1e-3,
        turns: int = 2,
        settle: int = 24,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if batch > size:
            raise ValueError(f"batch = {batch}: expected at most size = {size}, the problems in the pool")
        self.buckets, self.size, self.batch, self.vectors, self.fresh = tuple(buckets), size, batch, vectors, fresh
        self.device, self.seed, self.floor = device, seed, floor
        self.turns, self.settle = turns, settle
        for bucket in self.buckets:
            check_families(bucket.families)
        self._seeds = [np.arange(size) + size * i for i in range(len(self.buckets))]
        self._drawn = size * len(self.buckets)
        self._pools: list[tuple[Tensor, ...]] = []

    def _fill(self) -> None:
        for bucket, seeds in zip(self.buckets, self._seeds, strict=True):
            drawn = [self._draw(bucket, int(s)) for s in seeds]
            self._pools.append(tuple(torch.stack(column) for column in zip(*drawn, strict=True)))

    def _draw(self, bucket: Bucket, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """The dealt entries of a new problem, random errors on its unknowns, and its components."""
        seed = [self.seed, number]
        A = draw(bucket.families, bucket.shape, int(np.random.default_rng(seed).integers(CONTEST_SEEDS)))
        grid, rows = finest(A)
        if grid.compact != bucket.compact:
            raise ValueError(f"bucket {bucket}: its families give a {type(A).__name__}; set compact = {grid.compact}")
        a = torch.from_numpy(deal(grid, rows))
        e = torch.from_numpy(np.random.default_rng([*seed, 1]).standard_normal((self.vectors, A.diag.size)))
        parts = torch.from_numpy(singular_components(assemble(grid, rows)))
        return a.to(self.device), e.to(self.device), parts.to(self.device)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step; the problems of the last one are stale by then."""
        if not self._pools:
            self._fill()
        which, turn = step % len(self.buckets), step // len(self.buckets)
        ids = (torch.arange(self.batch) + turn * self.batch) % self.size
        lap = turn * self.batch // self.size
        if lap > 0:  # other slots every lap, so that no problem stays for good
            self._renew(which, [int(ids[(lap * self.fresh + i) % self.batch]) for i in range(self.fresh)])
        index = ids.to(self.device)
        a, e, parts = (x[index] for x in self._pools[which])
        return {"a": a, "e": e, "parts": parts, "index": ids, "bucket": torch.full_like(ids, which)}

    def held_out(self, count: int) -> list[dict[str, Tensor]]:
        """Batches for validation, one a bucket, of problems that are in no pool."""
        batches = []
        for which, bucket in enumerate(self.buckets):
            drawn = [self._draw(bucket, HELD_OUT + count * which + i) for i in range(count)]
            a, e, parts = (torch.stack(column) for column in zip(*drawn, strict=True))
            ids = torch.arange(count)
            batches.append({"a": a, "e": e, "parts": parts, "index": ids, "bucket": torch.full_like(ids, which)})
        return batches

    def _renew(self, which: int, ids: Sequence[int]) -> None:
        for i in ids:
            self._seeds[which][i] = self._drawn
            for pool, new in zip(self._pools[which], self._draw(self.buckets[which], self._drawn), strict=True):
                pool[i] = new
            self._drawn += 1

    def loss(self, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Mean cost of the modes of a batch; in training the turned errors go back to the pool.

        In eval() the errors are turned `settle` times first, so that the worst modes of this network are judged.
        """
        bucket = self.buckets[int(batch["bucket"][0])]
        with torch.autocast(batch["a"].device.type, enabled=False):
            cycle = DifferentiableCycle(batch["a"], bucket.shape, bucket.compact, net)
            e = batch["e"]
            with torch.no_grad():
                for _ in range(self.turns if net.training else self.settle):
                    e = ritz(cycle, e, batch["parts"])[1]
            mu, e = ritz(cycle, e, batch["parts"])
        if net.training and self._pools:
            self._pools[int(batch["bucket"][0])][1][batch["index"].to(self.device)] = e
        good = torch.isfinite(mu)
        return mode_cost(torch.where(good, mu, 1.0), self.floor).mean()

    def state_dict(self) -> dict[str, Any]:
        """Return numbers of the problems and their errors; the problems follow from the numbers."""
        errors = [pool[1].clone() for pool in self._pools]
        return {"seeds": [torch.from_numpy(s.copy()) for s in self._seeds], "drawn": self._drawn, "errors": errors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the pool back to a saved state."""
        self._seeds = [s.numpy().copy() for s in state["seeds"]]
        self._drawn = int(state["drawn"])
        self._pools = []
        if state["errors"]:
            self._fill()
            saved = zip(self._pools, state["errors"], strict=True)
            self._pools = [(a, e.to(self.device), parts) for (a, _, parts), e in saved]


def mode_cost(mu: Tensor, floor: float) -> Tensor:
    """Return log((1 + floor) / (mu + floor)): -log mu, but flat for modes that no weight of ours can save.

    Its derivative is at most 1 / floor, whatever rounding makes of a tiny mu.
    """
    return torch.log((1 + floor) / (mu.clamp(min=0.0) + floor))


def singular_components(A: sp.csr_array) -> NDArray[np.int64]:
    """Number, from 1, of the cut-off component that a node lies in: the constant there is in the null space; 0 else."""
    count, labels = connected_components(A, directed=False)
    size = np.bincount(labels, abs(A).sum(axis=1), count)
    singular = (np.bincount(labels, A.sum(axis=1), count) <= 1e-12 * size) & (size > 0)
    return np.asarray(np.where(singular, np.cumsum(singular), 0)[labels], dtype=np.int64)


def without_constants(e: Tensor, parts: Tensor) -> Tensor:
    """Remove the mean over every component of `singular_components`.

    A x does not see it, but E - M A E keeps it while all else shrinks and is scaled up again: it would grow without
    bound from step to step, until the products are noise.
    """
    most = int(parts.max())
    if most == 0:
        return e
    index = parts[:, None].expand_as(e)
    sums = e.new_zeros(*e.shape[:2], most + 1).scatter_add(2, index, e)
    count = e.new_zeros(e.shape[0], 1, most + 1).scatter_add(2, parts[:, None], torch.ones_like(e[:, :1]))
    mean = sums / count.clamp(min=1.0)
    mean[..., 0] = 0.0
    return e - mean.gather(2, index)


def ritz(cycle: DifferentiableCycle, e: Tensor, parts: Tensor) -> tuple[Tensor, Tensor]:
    """Ritz values of M A in the span of errors, smallest first, and the errors after one cycle.

    Parameters
    ----------
    cycle : DifferentiableCycle
        A and M.
    e : (batch, vectors, nodes) tensor
        Errors.
    parts : (batch, nodes) int64 tensor
        Components on which A is singular (`singular_components`).

    Returns
    -------
    values : (batch, vectors) tensor
        Differentiable; between 0 and 1. Directions in which the errors have become dependent count as 1.
    turned : (batch, vectors, nodes) tensor
        E - M A E in the Ritz basis, detached, of unit energy before the cycle; random where they became dependent.
    """
    with torch.no_grad():
        e = without_constants(e, parts)
        Ae = cycle.product(e)
        weight, V = torch.linalg.eigh(_symmetric(e @ Ae.mT))
        live = weight > _DEPENDENT * weight[:, -1:]
        T = V * torch.where(live, weight.clamp(min=_TINY).rsqrt(), 0.0)[:, None]
        e, Ae = T.mT @ e, T.mT @ Ae
    z = cycle(Ae)
    with torch.no_grad():
        missing = torch.diag_embed(1.0 - live.to(e.dtype))
        _, V = torch.linalg.eigh(_symmetric(Ae @ z.mT) + missing)
        turned = V.mT @ (e - z)
        lost = (V.mT @ missing @ V).diagonal(dim1=1, dim2=2)
        usable = (lost < 0.5)[..., None] & torch.isfinite(turned)
        turned = torch.where(usable, turned, torch.randn_like(turned))
    mu = ((V.mT @ Ae) * (V.mT @ z)).sum(-1) + lost
    return mu, turned


def _symmetric(H: Tensor) -> Tensor:
    """Symmetric part; zero where an entry is not finite, because `eigh` refuses such matrices."""
    return torch.nan_to_num((H + H.mT) / 2, 0.0, 0.0, 0.0)
