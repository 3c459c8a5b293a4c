"""A trained autoencoder behind the interface of all models of dynamics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.dynamics.lran import LRAN
from conjugo.learned.dynamics.lran_train import LRANTraining, fresh_network, train_lran
from conjugo.learned.dynamics.model import Diagnostics, LinearModel
from conjugo.learned.dynamics.regression import RIDGE, Ridge, moments
from conjugo.learned.dynamics.snapshots import ROWS, blocks, checked_states
from conjugo.learned.training.fit import History
from conjugo.learned.training.models import load_model
from conjugo.pde.trajectories import Trajectories


class LRANModel(LinearModel):
    """The linearly recurrent autoencoder: forecasts, eigenvalues, eigenfunctions, as of any model of dynamics.

    Parameters
    ----------
    training : LRANTraining
        What `fit` makes and how it trains it.

    Attributes
    ----------
    network : LRAN
        After `fit` or `adopt`.
    history : History or None
        Of the training.

    Raises
    ------
    ValueError
        From `fit`, for bad trajectories.

    Notes
    -----
    `predict` steps by K alone and decodes with the network; `reencode=k` returns to the state space every k steps. An
    eigenfunction is phi(x) = Psi(x) v for K v = lambda v; it is non-linear in x, and so is the decoder in phi:
    the modes are those of the best linear decoder on the data.

    References
    ----------
    S. E. Otto, C. W. Rowley, SIAM J. Appl. Dyn. Syst. 18 (2019), 558-593.

    Examples
    --------
    >>> from conjugo.pde.evolution.duffing import duffing
    >>> training = LRANTraining(latent=4, centres=30, lengths=(5,), horizon=5, steps=2, batch=8, symmetry="sign")
    >>> model = LRANModel(training).fit(duffing(20, 10))
    >>> model.predict(np.ones((3, 2)), 6).shape, model.eigenvalues.shape
    ((3, 7, 2), (4,))
    """

    network: LRAN
    history: History | None = None

    def __init__(self, training: LRANTraining | None = None) -> None:
        self.training = training or LRANTraining()

    def fit(self, trajectories: Trajectories, *, progress: bool = False) -> Self:
        """Fit the classical start, train the network from there, and take its spectrum."""
        training = self.training
        network = fresh_network(trajectories, training)
        self.history = train_lran(network, trajectories, training, progress=progress)
        return self.adopt(network, trajectories)

    def adopt(self, network: LRAN, trajectories: Trajectories) -> Self:
        """Take a network, and from trajectories the scale of its eigenfunctions and its linear modes.

        Parameters
        ----------
        network : LRAN
            A trained one.
        trajectories : Trajectories
            States (N, times, n).

        Returns
        -------
        LRANModel
            This model.
        """
        u, dt = checked_states(trajectories)
        if u.shape[2] != network.config.state:
            raise ValueError(f"states of {u.shape[2]} numbers but the network's have {network.config.state}")
        self.network = network.eval()
        with torch.no_grad():
            K: NDArray[np.float64] = network.K.double().cpu().numpy()
        system = Ridge(moments(self._encode, blocks(u)))
        found = Diagnostics(len(K), system.rank, system.condition, 0.0, system.found.samples)
        return self._learned(K, system.solve(system.found.X, RIDGE), system.found.G, dt=dt, found=found)

    @classmethod
    def load(cls, path: Path | str, trajectories: Trajectories, device: str = "cpu") -> Self:
        """Read a network from a file of `save_model`, and adopt it."""
        network = load_model(path, device)
        if not isinstance(network, LRAN):
            raise ValueError(f"{path} holds a {type(network).__name__}: expected an LRAN")
        return cls().adopt(network, trajectories)

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._apply(self.network.encode, x)

    def _decode(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._apply(self.network.decode, z)

    @torch.no_grad()
    def _apply(self, function: Callable[[Tensor], Tensor], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        device = self.network.mean.device
        parts = torch.split(torch.as_tensor(rows, dtype=torch.float32, device=device), ROWS)
        result: NDArray[np.float64] = torch.cat([function(part) for part in parts]).double().cpu().numpy()
        return result
