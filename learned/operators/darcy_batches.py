"""Batches of Darcy pairs, moved by the symmetries of the square, with their coarse solutions computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.operators.batches import PairBatches, seeded
from conjugo.learned.operators.darcy_residual import coarse_solutions
from conjugo.learned.operators.losses import relative_l2
from conjugo.learned.operators.symmetries import square_symmetries
from conjugo.pde import FieldPairs

type Batch = dict[str, Tensor]


def darcy_batches(
    pairs: FieldPairs,
    batch: int,
    seed: int = 0,
    *,
    augment: bool = True,
    device: str | torch.device = "cpu",
) -> Callable[[int], Batch]:
    """Make training batches for `DarcyResidual`; the coarse systems are solved here, once for each pair.

    Parameters
    ----------
    pairs : FieldPairs
        a and u on n x n nodes; kept on `device`.
    batch : int
        Pairs a step. Each pass over the pairs is a new permutation of them.
    seed : int
        With the step it fixes the batch, on any device.
    augment : bool
        Whether each pair is moved by a random one of the eight symmetries of the square.
    device : str or torch.device
        Where the data lie and the batches are made.

    Returns
    -------
    callable
        batches(step) -> {"a": (batch, 1, n, n), "u": (batch, 1, n, n), "solutions": (batch, 2, n, n)}, float32.

    Raises
    ------
    ValueError
        If the fields are not square, or batch is not between 1 and the number of pairs.

    Notes
    -----
    A solution moves with its coefficient, so the coarse ones are moved and not computed again.

    Examples
    --------
    >>> import numpy as np
    >>> batches = darcy_batches(FieldPairs(np.full((6, 9, 9), 3.0), np.zeros((6, 9, 9))), batch=2)
    >>> {name: tuple(field.shape) for name, field in batches(0).items()}
    {'a': (2, 1, 9, 9), 'u': (2, 1, 9, 9), 'solutions': (2, 2, 9, 9)}
    """
    fields = _fields(pairs, device)
    plain = PairBatches(fields, batch=batch, seed=seed)
    group = square_symmetries(fields.shape[-1]) if augment else None

    def batches(step: int) -> Batch:
        (chosen,) = plain(step)
        if group is not None:
            chosen = group.apply(group.draw(batch, seeded(seed, step, 1)), chosen)
        return _named(chosen)

    return batches


def darcy_validation(pairs: FieldPairs, *, batch: int = 50, device: str | torch.device = "cpu") -> list[Batch]:
    """Cut pairs into batches as they are, with their coarse solutions: for validation and test.

    Parameters
    ----------
    pairs : FieldPairs
        a and u on n x n nodes.
    batch : int
        Pairs a batch. `fit` averages over batches: take a divisor of the number of pairs.
    device : str or torch.device
        Where the batches lie.

    Returns
    -------
    list of dict
        As from `darcy_batches`.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = FieldPairs(np.full((6, 9, 9), 3.0), np.zeros((6, 9, 9)))
    >>> [len(part["a"]) for part in darcy_validation(pairs, batch=4)]
    [4, 2]
    """
    return [_named(part) for part in torch.split(_fields(pairs, device), batch)]


def darcy_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean relative L2 error of a model that may use coarse solutions: model(a, solutions) against u.

    Examples
    --------
    >>> class Coarse(nn.Module):
    ...     def forward(self, a, solutions):
    ...         return solutions[:, :1]
    >>> solutions = torch.ones(2, 2, 3, 3)
    >>> float(darcy_loss(Coarse(), {"a": solutions[:, :1], "u": 2 * solutions[:, :1], "solutions": solutions}))
    0.5
    """
    return relative_l2(model(batch["a"], batch["solutions"]), batch["u"])


def _fields(pairs: FieldPairs, device: str | torch.device) -> Tensor:
    """Return a, u and the coarse solutions as channels, (N, 4, n, n)."""
    a, u = _channel(pairs.a, device), _channel(pairs.u, device)
    if a.shape != u.shape or a.shape[1] != 1 or a.shape[2] != a.shape[3]:
        raise ValueError(f"a has shape {tuple(a.shape)} and u {tuple(u.shape)}: expected (N, [1,] n, n) of both")
    return torch.cat([a, u, coarse_solutions(a)], dim=1)


def _channel(x: Any, device: str | torch.device) -> Tensor:
    fields = torch.as_tensor(x).to(device, torch.float32)
    return fields[:, None] if fields.ndim == 3 else fields


def _named(fields: Tensor) -> Batch:
    return {"a": fields[:, :1], "u": fields[:, 1:2], "solutions": fields[:, 2:]}
