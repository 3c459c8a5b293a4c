"""The step K of an autoencoder in closed form: ridge least squares between the codes of consecutive states."""

from __future__ import annotations

import torch
from torch import Tensor

from conjugo.learned.dynamics.lran import LRAN
from conjugo.learned.dynamics.lran_windows import WindowBatches

ROWS = 1 << 14
"""States encoded at once."""


@torch.no_grad()
def closed_form_step(model: LRAN, states: Tensor, codes: Tensor | None = None, *, ridge: float = 1e-10) -> Tensor:
    """Return the K that maps codes one step ahead best, over all pairs of consecutive states.

    Parameters
    ----------
    model : LRAN
        Its encoder is used.
    states : (N, times, n) tensor
        Trajectories.
    codes : (N, times, d) tensor, optional
        Kernel codes of the states, where they are known.
    ridge : float
        Added to the Gram matrix's diagonal, in units of its mean entry.

    Returns
    -------
    (d, d) tensor of float64
        K = (G + rho I)^{-1} A, G = mean z^T z, A = mean z^T z_next, rho = ridge tr(G) / d.

    Examples
    --------
    >>> from conjugo.learned.dynamics.lran import LRANConfig
    >>> model = LRAN(LRANConfig(state=1, latent=1, encoder=(), decoder=()))
    >>> closed_form_step(model, torch.tensor([[[1.0], [0.5], [0.25]]])).shape
    torch.Size([1, 1])
    """
    d = model.config.latent
    G = torch.zeros(d, d, dtype=torch.float64, device=states.device)
    A = torch.zeros_like(G)
    group = max(1, ROWS // states.shape[1])
    for first in range(0, len(states), group):
        skip = None if codes is None else codes[first : first + group]
        z = model.encode(states[first : first + group], skip).double()
        before, after = z[:, :-1].reshape(-1, d), z[:, 1:].reshape(-1, d)
        G += before.mT @ before
        A += before.mT @ after
    G += ridge * G.trace() / d * torch.eye(d, dtype=G.dtype, device=G.device)
    K: Tensor = torch.linalg.solve(G, A)
    return K


class RefitBatches:
    """Windows for `fit` that set the model's K in closed form, from all the data, every so many steps.

    Between refits K stays as it is: it has no gradient. The refit belongs to the batch of a step, not to what follows
    it, so that a resumed run repeats it with the same bits.

    Parameters
    ----------
    batches : WindowBatches
        The windows, and the states for the refits.
    model : LRAN
        Without stable blocks.
    every : int
        Steps between refits; a refit costs one pass over the data.

    Raises
    ------
    ValueError
        For a model whose K consists of blocks, or fewer than one step.
    """

    def __init__(self, batches: WindowBatches, model: LRAN, *, every: int) -> None:
        if model.config.stable or every < 1:
            raise ValueError(f"every = {every}, stable = {model.config.stable}: a refit needs a free K and every >= 1")
        model.matrix.requires_grad_(False)
        self.batches, self.model, self.every = batches, model, every

    def __call__(self, step: int) -> Tensor | tuple[Tensor, Tensor]:
        """Return the batch of a step, after the refit that may be due."""
        if step % self.every == 0:
            self.model.set_step(closed_form_step(self.model, self.batches.states, self.batches.codes))
        return self.batches(step)
