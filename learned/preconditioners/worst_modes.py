"""The loss of the learned V-cycle: the smallest eigenvalues of M A, followed from step to step by power iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.differentiable_cycle import DifferentiableCycle
from conjugo.learned.preconditioners.stencil_net import StencilNet
from conjugo.learned.preconditioners.stencil_problems import draw
from conjugo.solvers.multigrid.black_box import deal, finest


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
    seed : int
        Of everything.
    device : str
        Where the pool lives.

    Notes
    -----
    With the block E of errors, A-orthonormal, the Ritz values mu of M A in span(E) bound its smallest eigenvalues from
    above, and E <- E - M A E (a power iteration with the error propagation) turns span(E) towards the worst modes. As
    all eigenvalues lie in (0, 1], -log mu is the logarithm of the condition number that a mode costs. The loss is its
    mean. Under `torchrun` every process follows the modes of the problems that it has seen.

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
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if batch > size:
            raise ValueError(f"batch = {batch}: expected at most size = {size}, the problems in the pool")
        self.buckets, self.size, self.batch, self.vectors, self.fresh = tuple(buckets), size, batch, vectors, fresh
        self.device, self.seed = device, seed
        self._seeds = [np.arange(size) + size * i for i in range(len(self.buckets))]
        self._drawn = size * len(self.buckets)
        self._pools: list[tuple[Tensor, Tensor]] = []

    def _fill(self) -> None:
        for bucket, seeds in zip(self.buckets, self._seeds, strict=True):
            drawn = [self._draw(bucket, int(s)) for s in seeds]
            self._pools.append((torch.stack([a for a, _ in drawn]), torch.stack([e for _, e in drawn])))

    def _draw(self, bucket: Bucket, number: int) -> tuple[Tensor, Tensor]:
        """The dealt entries of a new problem, and random errors on its unknowns."""
        seed = [self.seed, number]
        A = draw(bucket.families, bucket.shape, int(np.random.default_rng(seed).integers(10**6)))
        grid, rows = finest(A)
        a = torch.from_numpy(deal(grid, rows))
        e = torch.from_numpy(np.random.default_rng([*seed, 1]).standard_normal((self.vectors, A.diag.size)))
        return a.to(self.device), e.to(self.device)

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step; the problems of the last one are stale by then."""
        if not self._pools:
            self._fill()
        which, turn = step % len(self.buckets), step // len(self.buckets)
        a, e = self._pools[which]
        ids = (torch.arange(self.batch) + turn * self.batch) % self.size
        if turn >= self.size // self.batch:
            self._renew(which, [int(i) for i in ids[: self.fresh]])
        index = ids.to(self.device)
        return {"a": a[index], "e": e[index], "index": ids, "bucket": torch.full_like(ids, which)}

    def _renew(self, which: int, ids: Sequence[int]) -> None:
        a, e = self._pools[which]
        for i in ids:
            self._seeds[which][i] = self._drawn
            a[i], e[i] = self._draw(self.buckets[which], self._drawn)
            self._drawn += 1

    def loss(self, net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Mean of -log mu over the batch; the turned errors go back to the pool while training."""
        bucket = self.buckets[int(batch["bucket"][0])]
        with torch.autocast(batch["a"].device.type, enabled=False):
            cycle = DifferentiableCycle(batch["a"], bucket.shape, bucket.compact, net)
            mu, e = ritz(cycle, batch["e"])
        if net.training and self._pools:
            self._pools[int(batch["bucket"][0])][1][batch["index"].to(self.device)] = e
        return -torch.log(mu).mean()

    def state_dict(self) -> dict[str, Any]:
        """Return numbers of the problems and their errors; the problems follow from the numbers."""
        errors = [e for _, e in self._pools]
        return {"seeds": [torch.from_numpy(s.copy()) for s in self._seeds], "drawn": self._drawn, "errors": errors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the pool back to a saved state."""
        self._seeds = [s.numpy().copy() for s in state["seeds"]]
        self._drawn = int(state["drawn"])
        self._pools = []
        if state["errors"]:
            self._fill()
            self._pools = [(a, e.to(self.device)) for (a, _), e in zip(self._pools, state["errors"], strict=True)]


def ritz(cycle: DifferentiableCycle, e: Tensor) -> tuple[Tensor, Tensor]:
    """Ritz values of M A in the span of errors, smallest first, and the errors after one cycle.

    Parameters
    ----------
    cycle : DifferentiableCycle
        A and M.
    e : (batch, vectors, nodes) tensor
        Errors.

    Returns
    -------
    values : (batch, vectors) tensor
        Differentiable; between 0 and 1.
    turned : (batch, vectors, nodes) tensor
        E - M A E in the Ritz basis, detached, of unit energy before the cycle.
    """
    with torch.no_grad():
        Ae = cycle.product(e)
        weight, V = torch.linalg.eigh(e @ Ae.mT)
        T = V / weight.clamp(min=1e-14 * weight[:, -1:]).sqrt()[:, None]
        e, Ae = T.mT @ e, T.mT @ Ae
    z = cycle(Ae)
    with torch.no_grad():
        H = Ae @ z.mT
        _, V = torch.linalg.eigh((H + H.mT) / 2)
        turned = V.mT @ (e - z)
    mu = ((V.mT @ Ae) * (V.mT @ z)).sum(-1)
    return mu.clamp(min=1e-12), turned


def is_stencil_net(net: nn.Module) -> bool:
    """Whether a model is the set-up network."""
    return isinstance(net, StencilNet)
