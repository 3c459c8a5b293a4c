"""Balanced reduction: few observables of an over-specified model, those excited and seen the most."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.model import Diagnostics, LinearModel
from conjugo.learned.dynamics.projections import Pair, eigenfunction_pair, energy_pair
from conjugo.learned.dynamics.snapshots import ROWS, checked_states
from conjugo.pde.trajectories import Trajectories

OUTPUTS = 32
"""Numbers in a state above which the outputs are its proper orthogonal coefficients, this many."""


class Reduced(LinearModel):
    """Reduce a fitted linear model to few dimensions.

    Parameters
    ----------
    model : LinearModel
        The large model, whose state is decoded linearly (x = psi C). `fit` fits it too, unless it is fitted already.
    rank : int
        Dimension of the reduced model.
    method : {"balanced", "energy", "eigenfunctions"}
        Balanced truncation, or what it is compared with: proper orthogonal modes of the features, leading
        eigenfunctions.
    horizon : int
        Steps over which an observable counts as seen, T.
    decay : float
        Weight of step tau is decay^tau.

    Attributes
    ----------
    hankel : (k,) array
        Hankel singular values, after a balanced `fit`: what falls below the model's error need not be kept.

    Raises
    ------
    ValueError
        For a rank beyond what the Hankel matrix has, a horizon below 1, and a decay outside (0, 1]; from `fit` as the
        large model.

    Notes
    -----
    With L_c = Psi^T / sqrt(M) (the data's controllability factor) and L_o = [sqrt(w_tau) K^tau C], tau < T, the Hankel
    matrix L_o^T L_c = U S V^T holds the large model's forecasts from every state of the data. Then E = L_o U S^{-1/2},
    D = S^{-1/2} V^T L_c^T, D E = I, and z = psi E, K_r = D K E, C_r = D C. The product is formed in blocks and its
    singular vectors come from a QR factorisation, without squaring. A finite T tolerates eigenvalues beyond 1. States
    of more than 32 numbers are seen through their leading proper orthogonal coefficients.

    References
    ----------
    .. [1] C. W. Rowley, Model reduction for fluids, using balanced proper orthogonal decomposition, Int. J. Bifurc.
       Chaos 15 (2005), section 3.
    .. [2] S. E. Otto, C. W. Rowley, Linearly recurrent autoencoder networks for learning dynamics, SIAM J. Appl. Dyn.
       Syst. 18 (2019): reduction of over-specified kernel models.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import EDMD, Polynomials, Reduced
    >>> from conjugo.pde import Trajectories
    >>> x0 = np.random.default_rng(0).uniform(-1, 1, (50, 1))
    >>> data = Trajectories((x0 * 0.7 ** np.arange(5))[:, :, None], np.arange(5.0))
    >>> model = Reduced(EDMD(Polynomials(6)), rank=1).fit(data)
    >>> model.eigenvalues.round(6).tolist()  # of seven functions, the state needs one
    [(0.7+0j)]
    """

    hankel: NDArray[np.float64]

    def __init__(
        self,
        model: LinearModel,
        rank: int,
        *,
        method: Literal["balanced", "energy", "eigenfunctions"] = "balanced",
        horizon: int = 20,
        decay: float = 1.0,
    ) -> None:
        if rank < 1 or horizon < 1 or not 0 < decay <= 1:
            raise ValueError(f"rank = {rank}, horizon = {horizon}, decay = {decay}: expected a positive rank, a "
                             "horizon of at least 1 and a decay in (0, 1]")  # fmt: skip
        if method not in ("balanced", "energy", "eigenfunctions"):
            raise ValueError(f"method {method!r}: expected 'balanced', 'energy' or 'eigenfunctions'")
        self.model, self.rank, self.method, self.horizon, self.decay = model, rank, method, horizon, decay

    def fit(self, trajectories: Trajectories) -> Self:
        """Fit the large model where it is not fitted, and reduce it on these trajectories; see `LinearModel.fit`."""
        u, dt = checked_states(trajectories)
        if not self.model.fitted:
            self.model.fit(trajectories)
        K, C, gram = self.model.K, self.model.C, self.model._gram
        if self.rank > len(K):
            raise ValueError(f"rank = {self.rank}: expected at most {len(K)}, the large model's dimension")
        if self.method == "balanced":
            E, D = self._balanced(u[:, :-1].reshape(-1, u.shape[2]))
        else:
            E, D = energy_pair(gram, self.rank) if self.method == "energy" else eigenfunction_pair(K, self.rank)
        self._E, self._D = E, D
        found = self.model._found
        rank = E.shape[1]
        reduced = E.T @ gram @ E
        return self._learned(
            D @ K @ E, D @ C, reduced, dt=dt,
            found=Diagnostics(rank, rank, float(np.linalg.cond(reduced)), found.ridge, found.samples),
        )  # fmt: skip

    def _balanced(self, x: NDArray[np.float64]) -> Pair:
        """Encoder and lift that balance what the data excite and what the outputs see."""
        K, outputs = self.model.K, self.model.C
        if outputs.shape[1] > OUTPUTS:
            _, _, rows = scipy.linalg.svd(x - x.mean(axis=0), full_matrices=False)
            outputs = outputs @ rows[:OUTPUTS].T
        seen = []
        for step in range(self.horizon):
            seen.append(self.decay ** (step / 2) * outputs)
            outputs = K @ outputs
        L_o = np.hstack(seen)
        psi_blocks = [x[i : i + ROWS] for i in range(0, len(x), ROWS)]
        H = np.concatenate([self.model._encode(part) @ L_o for part in psi_blocks]) / np.sqrt(len(x))
        V, s, Ut = scipy.linalg.svd(H, full_matrices=False)
        self.hankel = s
        available = int(np.sum(s > max(H.shape) * np.finfo(np.float64).eps * s[0]))
        if self.rank > available:
            raise ValueError(f"rank = {self.rank}: expected at most {available}, the rank of the Hankel matrix; "
                             "take a longer horizon")  # fmt: skip
        scale = np.sqrt(s[: self.rank])
        E = L_o @ Ut[: self.rank].T / scale
        D = np.zeros((self.rank, len(K)))
        for i, part in zip(range(0, len(x), ROWS), psi_blocks, strict=True):
            D += V[i : i + ROWS, : self.rank].T @ self.model._encode(part)
        return E, D / (np.sqrt(len(x)) * scale[:, None])

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.model._encode(x) @ self._E
