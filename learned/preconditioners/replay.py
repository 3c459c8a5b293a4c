"""Residuals that the network meets in its own solves: flexible CG run one step further with every training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from conjugo.learned.preconditioners.forward import Precision
from conjugo.learned.preconditioners.grid_laplacian import GridLaplacian
from conjugo.learned.preconditioners.multiscale import State, as_batch
from conjugo.learned.preconditioners.residual_loss import direction

FIELDS = ("f", "e", "active", "diag", "p1", "q1", "p0", "q0")
"""Residual, error, domain, and the last two directions with their products with A: a solve that is under way."""


class ReplayBatches:
    """Rows of a batch are solves under way, each some steps old; old ones give way to fresh ones.

    Parameters
    ----------
    fresh : callable
        Where new right-hand sides come from: `MultiscaleBatches` or `RitzBatches`.
    model : module
        The network in training; every call takes one step of `fcg` with window 2 by its present weights.
    steps : int
        Age at which a solve gives way. At any time the ages 0 to steps - 1 are equally common.
    precision : {"float32", "bfloat16"}
        Of the network's products in those steps; "bfloat16" runs it under autocast.

    Raises
    ------
    ValueError
        If steps is less than 1.

    Notes
    -----
    What stays in a residual after a few steps is what the network does badly: without these residuals it never learns
    it, and the solve stalls there. The batch of a step depends on the weights of all steps before, so the solves under
    way are state that belongs in a checkpoint (`state_dict`).

    References
    ----------
    Rudikov et al. (2024), "Neural operators meet conjugate gradients: the FCG-NO method", ICML: residuals of the solver
    as training data.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.multiscale import MultiscaleBatches
    >>> from conjugo.learned.preconditioners.residual_loss import Echo
    >>> batches = ReplayBatches(MultiscaleBatches(shape=(8, 8), batch=4), Echo(), steps=2)
    >>> first, second = batches(0)["f"], batches(1)["f"]
    >>> bool((first != second).any())
    True
    """

    def __init__(
        self,
        fresh: Callable[[int], dict[str, Tensor]],
        model: nn.Module,
        *,
        steps: int = 16,
        precision: Precision = "float32",
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps = {steps}: expected at least 1")
        self.fresh, self.model, self.steps, self.precision = fresh, model, steps, precision
        self._rows: dict[str, Tensor] | None = None
        self._exact = False

    def __call__(self, step: int, /) -> dict[str, Tensor]:
        new = self.fresh(step)
        self._exact = "e" in new
        if self._rows is None:
            zero = torch.zeros_like(new["f"])
            self._rows = {name: new.get(name, zero).clone() for name in dict.fromkeys((*FIELDS, *new))}
        else:
            self._advance(self._rows)
            count = new["f"].shape[0]
            age = torch.arange(count) * self.steps // count
            replaced = ((age + step) % self.steps == 0).nonzero().flatten().to(new["f"].device)
            for name, rows in self._rows.items():
                rows[replaced] = new[name][replaced] if name in new else 0.0
        return {name: self._rows[name].clone() for name in new}

    def operator(self, rows: dict[str, Tensor]) -> Any:
        """Return A of every row; a subclass may know others."""
        return GridLaplacian(rows["active"], rows["diag"])

    def propose(self, f: Tensor, A: Any) -> Tensor:
        """Return M f: here the model's direction."""
        return direction(self.model, f, A)

    @torch.no_grad()
    def _advance(self, rows: dict[str, Tensor]) -> None:
        """Take one step of flexible CG with window 2 in every row; residuals keep unit root mean square."""
        A = self.operator(rows)
        kind = rows["f"].device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            p = self.propose(rows["f"], A)
        for old, product in (("p1", "q1"), ("p0", "q0")):
            p = p - _ratio(rows[product], p, rows[product], rows[old]) * rows[old]
        q = A @ p
        step = _ratio(p, rows["f"], p, q)
        f, e = rows["f"] - step * q, rows["e"] - step * p
        if self._exact:
            f = A @ e  # rounding must not part them
        size = q.square().flatten(1).mean(1).sqrt().reshape(-1, *[1] * (q.ndim - 1))
        size = torch.where(size > 0, size, 1.0)
        rows["p0"], rows["q0"] = rows["p1"], rows["q1"]
        rows["p1"], rows["q1"] = p / size, q / size
        scaled = as_batch(torch.nan_to_num(f), A, error=torch.nan_to_num(e))
        rows["f"], rows["e"] = scaled["f"], scaled["e"]

    def state_dict(self) -> State:
        """Return the solves under way."""
        return {} if self._rows is None else {name: rows.clone() for name, rows in self._rows.items()}

    def load_state_dict(self, state: State) -> None:
        """Take up the solves of a checkpoint."""
        device = getattr(self.fresh, "device", "cpu")
        self._rows = {name: rows.clone().to(device) for name, rows in state.items()} if state else None


def _ratio(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Return a.b / c.d of each row, 0 where c.d is not positive."""
    axes = tuple(range(1, a.ndim))
    top, bottom = (a * b).sum(axes, keepdim=True), (c * d).sum(axes, keepdim=True)
    usable = bottom > torch.finfo(bottom.dtype).tiny
    return torch.where(usable, top, 0.0) / torch.where(usable, bottom, 1.0)
