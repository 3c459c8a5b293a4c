"""DMD and kernel models of other libraries behind our interface: baselines on the same data."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.dynamics.centres import squared_distances
from conjugo.learned.dynamics.model import Diagnostics, LinearModel
from conjugo.learned.dynamics.radial import radial
from conjugo.learned.dynamics.regression import RIDGE, Ridge, moments
from conjugo.learned.dynamics.snapshots import blocks, checked_states
from conjugo.pde.trajectories import Trajectories


class PyDMD(LinearModel):
    """PyDMD's `DMD` on the pairs of all trajectories.

    Parameters
    ----------
    rank : int
        `svd_rank`: -1 keeps all modes, 0 lets PyDMD choose.
    **options
        Further options of `pydmd.DMD`, such as `tikhonov_regularization`.

    Raises
    ------
    ImportError
        Where PyDMD is not installed.
    ValueError
        From `fit`, for bad trajectories (see `checked_states`).

    Notes
    -----
    `pydmd.DMD.fit(X, Y)` takes pairs, so trajectories need not be joined; its `predict` makes one step. Here that step,
    a matrix, is iterated. PyDMD's `EDMD` is a kernel method with one Gram matrix of all pairs and no step for new
    states; `kooplearn` is the kernel baseline here.
    """

    def __init__(self, rank: int = -1, **options: Any) -> None:
        self.rank, self.options = rank, options

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories; see `LinearModel.fit`."""
        u, dt = checked_states(trajectories)
        n = u.shape[2]
        x, y = u[:, :-1].reshape(-1, n), u[:, 1:].reshape(-1, n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its syntax, and of the data's condition, which `diagnostics` has
            self.model = import_module("pydmd").DMD(svd_rank=self.rank, **self.options)
            self.model.fit(x.T, y.T)
        step = np.real(self.model.predict(np.eye(n))).T
        gram = x.T @ x / len(x)
        rank = len(self.model.eigs)  # beyond it the step's columns are zero by construction, not by the data
        found = Diagnostics(rank, rank, float(np.linalg.cond(gram)), 0.0, len(x))
        return self._learned(step, np.eye(n), gram, dt=dt, found=found)

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x


class Kooplearn(LinearModel):
    """kooplearn's Nystrom kernel regression of reduced rank on many trajectories.

    Parameters
    ----------
    rank : int
        `n_components`.
    centres : int
        Nystrom centres, drawn at random.
    width : float
        Of the Gaussian kernel exp(-r^2 / (2 w^2)), in the unit of the state.
    alpha : float
        Its Tikhonov regularisation.
    reduced_rank : bool
        Reduced-rank regression, or principal components.
    seed : int
        Of the centres.

    Raises
    ------
    ImportError
        Where kooplearn is not installed.
    ValueError
        From `fit`, for bad trajectories (see `checked_states`).

    Notes
    -----
    kooplearn's `fit(X)` pairs X[:-lag] with X[lag:], as one trajectory. The snapshots of N trajectories ordered by
    time, then by trajectory, with lag N, are exactly the pairs within trajectories. The model found is
    z = k(x, X_c) U / sqrt(c), z' = z V^T k(Y_c, X_c) U / c, and x' = z V^T Y_c / sqrt(c) one step after z: this class
    iterates that to forecast, and re-encodes where asked to. `decode` and `modes` use a least-squares x = z C.

    kooplearn 2.0.3's own `predict` takes the states X_c where its formula has their successors Y_c, so its forecast of
    n steps decodes that of n - 1, and of one step is x0. And its Nystrom reduced-rank fit leaves `alpha` out: the term
    stands on a line of its own. Here the first does not matter; the second is as it is.

    References
    ----------
    .. [1] G. Meanti et al., Estimating Koopman operators with sketching to provably learn large scale dynamical
       systems, NeurIPS 2023.
    """

    def __init__(
        self,
        rank: int = 500,
        *,
        centres: int = 2000,
        width: float = 1.0,
        alpha: float = 1e-8,
        reduced_rank: bool = True,
        seed: int = 0,
    ) -> None:
        self.rank, self.centres, self.width, self.alpha = rank, centres, width, alpha
        self.reduced_rank, self.seed = reduced_rank, seed

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories; see `LinearModel.fit`."""
        u, dt = checked_states(trajectories)
        count, _, n = u.shape
        flat = np.ascontiguousarray(u.transpose(1, 0, 2)).reshape(-1, n)
        self.model = import_module("kooplearn.kernel").NystroemKernelRidge(
            n_components=self.rank, lag_time=count, kernel="rbf", gamma=0.5 / self.width**2, alpha=self.alpha,
            n_centers=self.centres, reduced_rank=self.reduced_rank, random_state=self.seed, eigen_solver="dense",
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that directions were dropped: `diagnostics.rank` says so
            self.model.fit(flat)
        centres = self.model.nys_centers_idxs_
        scale = np.sqrt(len(centres))
        self._centres, self._U = flat[centres], self.model.U_ / scale
        V = self.model.V_ / scale
        self._successor = V.T @ flat[centres + count]
        system = Ridge(moments(self._encode, blocks(u)))
        found = Diagnostics(
            min(self.rank, len(centres)), self.model.rank_, system.condition, self.alpha, system.found.samples
        )
        K = V.T @ self.model.kernel_YX_ @ self._U
        return self._learned(K, system.solve(system.found.X, RIDGE), system.found.G, dt=dt, found=found)

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        z: NDArray[np.float64] = radial(squared_distances(x, self._centres), "gaussian", self.width) @ self._U
        return z

    def _forecast(self, x: NDArray[np.float64], steps: int, reencode: int | None) -> NDArray[np.float64]:
        """kooplearn's own decoding: the state after a latent one, by the centres' successors."""
        forecast = np.empty((len(x), steps + 1, x.shape[1]))
        forecast[:, 0] = x
        with np.errstate(over="ignore", invalid="ignore"):
            z = self._encode(x)
            for step in range(1, steps + 1):
                forecast[:, step] = z @ self._successor
                again = reencode is not None and step % reencode == 0
                z = self._encode(forecast[:, step]) if again else z @ self.K
        return forecast
