"""The loss of a linearly recurrent autoencoder: relative errors along a window, with weights that decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class LRANLoss:
    """Eq. 25 of Otto and Rowley, for windows (B, T, n) as batches of `fit`.

    Parameters
    ----------
    decay : float
        delta in (0, 1]: what a step further into the future weighs.
    balance : float
        beta: weight of the codes' errors against the states'.
    state_floor, code_floor : float
        eps_1 and eps_2: squared norms, in units of the state and of the code, below which errors count absolutely.

    Raises
    ------
    ValueError
        If a value is out of range.

    Notes
    -----
    The mean over windows of

        1 / (1 + beta) { sum_(tau=0)^(T-1) delta^tau / N_1 |x^_tau - x_tau|^2 / (|x_tau|^2 + eps_1)
            + beta sum_(tau=1)^(T-1) delta^(tau-1) / N_2 |z^_tau - Psi(x_tau)|^2 / (|Psi(x_tau)|^2 + eps_2) },

    with N_1 and N_2 the sums of the weights. The term tau = 0 is the reconstruction. Gradients flow through Psi(x_tau)
    too. The paper's regulariser is `FitConfig.weight_decay`.

    References
    ----------
    Otto, Rowley (2019), eq. 25.

    Examples
    --------
    >>> class Still(nn.Module):
    ...     def forward(self, x):
    ...         return x[:, :1].expand_as(x), x, x
    >>> loss = LRANLoss(decay=0.5, balance=0.0, state_floor=0.0)
    >>> float(loss(Still(), torch.tensor([[[1.0], [2.0]]])))  # (1 * 0 + 0.5 * (1 - 2)^2 / 2^2) / 1.5
    0.0833...
    """

    decay: float = 0.95
    balance: float = 1.0
    state_floor: float = 1e-5
    code_floor: float = 1e-5

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay = {self.decay}: it must lie in (0, 1]")
        for name in ("balance", "state_floor", "code_floor"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} = {getattr(self, name)}: 0 or more is needed")

    def __call__(self, model: nn.Module, batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss, a scalar, of windows, or of windows and their kernel codes."""
        windows, *skip = (batch,) if isinstance(batch, Tensor) else batch
        if windows.shape[1] < 2:
            raise ValueError(f"windows have {windows.shape[1]} states: at least 2 are needed, the first and a forecast")
        states, codes, targets = model(windows, *skip)
        weights = self.decay ** torch.arange(windows.shape[1], device=windows.device, dtype=windows.dtype)
        of_states = _relative(states, windows, self.state_floor) @ (weights / weights.sum())
        later = weights[:-1]
        of_codes = _relative(codes[:, 1:], targets[:, 1:], self.code_floor) @ (later / later.sum())
        loss: Tensor = (of_states + self.balance * of_codes).mean() / (1 + self.balance)
        return loss


def _relative(forecast: Tensor, truth: Tensor, floor: float) -> Tensor:
    return (forecast - truth).square().sum(-1) / (truth.square().sum(-1) + floor)
