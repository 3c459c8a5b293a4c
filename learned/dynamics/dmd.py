"""Dynamic mode decomposition over many trajectories."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.model import Diagnostics, LinearModel
from conjugo.learned.dynamics.regression import Ridge, moments
from conjugo.learned.dynamics.snapshots import blocks, checked_states
from conjugo.pde.trajectories import Trajectories


class DMD(LinearModel):
    """Fit y = x K on the leading proper orthogonal modes of all snapshots.

    Parameters
    ----------
    rank : int, optional
        Number of modes; by default all that the data have, to rounding.
    ridge : float
        Added to the Gram matrix's diagonal, in units of its mean entry.

    Raises
    ------
    ValueError
        For a rank less than 1 or a negative ridge; from `fit` for bad trajectories (see `checked_states`), and a rank
        above that of the data.

    Notes
    -----
    z = x U with U the first right singular vectors of the states x_0 ... x_{T-1} of all trajectories, x = z U^T, and
    K by least squares from z(x) to z(y). The states are not centred: zero should mean something.

    References
    ----------
    .. [1] J. H. Tu, C. W. Rowley, D. M. Luchtenburg, S. L. Brunton, J. N. Kutz, On dynamic mode decomposition: theory
       and applications, J. Comput. Dyn. 1 (2014), algorithm 1 and definition 1.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import DMD
    >>> from conjugo.pde import Trajectories
    >>> t = np.arange(20.0)
    >>> wave = np.cos(0.3 * t)[:, None] * np.sin(np.arange(50)) + np.sin(0.3 * t)[:, None] * np.cos(np.arange(50))
    >>> DMD().fit(Trajectories(wave[None], t)).exponents.round(6).tolist()
    [0.3j, -0.3j]
    """

    def __init__(self, rank: int | None = None, *, ridge: float = 0.0) -> None:
        if (rank is not None and rank < 1) or not ridge >= 0:
            raise ValueError(f"rank = {rank}, ridge = {ridge}: expected a positive rank or None, and a ridge >= 0")
        self.rank, self.ridge = rank, ridge

    def fit(self, trajectories: Trajectories) -> Self:
        """Learn from trajectories; see `LinearModel.fit`."""
        u, dt = checked_states(trajectories)
        x = u[:, :-1].reshape(-1, u.shape[2])
        _, s, rows = scipy.linalg.svd(x, full_matrices=False)
        available = int(np.sum(s > max(x.shape) * np.finfo(np.float64).eps * s[0]))
        rank = available if self.rank is None else self.rank
        if not 1 <= rank <= available:
            raise ValueError(f"rank = {rank}: expected 1 to {available}, the rank of the {len(x)} states")
        modes = rows[:rank].T
        system = Ridge(moments(lambda state: state @ modes, blocks(u)))
        K = system.solve(system.found.A, self.ridge)
        condition = float((s[0] / s[rank - 1]) ** 2)
        found = Diagnostics(rank, rank, condition, self.ridge * system.unit, len(x))
        self._modes = modes
        return self._learned(K, modes.T, system.found.G, dt=dt, found=found)

    def _encode(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        z: NDArray[np.float64] = x @ self._modes
        return z
