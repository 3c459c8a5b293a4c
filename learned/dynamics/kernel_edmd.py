"""Kernel extended dynamic mode decomposition on Nystrom centres."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from conjugo.learned.dynamics.centres import Choice, centres_of, squared_distances
from conjugo.learned.dynamics.edmd import EDMD
from conjugo.learned.dynamics.radial import typical_distance
from conjugo.learned.dynamics.regression import RIDGE

type Kernel = Literal["gaussian", "laplace", "polynomial"]
"""Name of a positive definite kernel."""


@dataclass(slots=True)
class NystromFeatures:
    """Orthonormal coordinates of a kernel's functions about centres: a dictionary (`Dictionary`).

    Parameters
    ----------
    count : int
        Number of centres; all states where there are fewer.
    kernel : {"gaussian", "laplace", "polynomial"}
        exp(-r^2 / (2 w^2)), exp(-r / w), or (1 + x.y / w^2)^degree.
    width : float
        w, in units of the data's median distance.
    degree : int
        Of the polynomial kernel.
    tolerance : float
        Eigenvalues of the kernel matrix below this times the largest are dropped.
    choice, seed
        How the centres are chosen, see `centres_of`.

    Notes
    -----
    k(C, C) = Q S^2 Q^T, psi(x) = k(x, C) Q S^{-1}, so psi(x) . psi(y) is the kernel's best approximation in the span.
    With all states as centres these are the features of kernel DMD, equation 10 of [1]_.

    References
    ----------
    .. [1] M. O. Williams, C. W. Rowley, I. G. Kevrekidis, A kernel-based method for data-driven Koopman spectral
       analysis, J. Comput. Dyn. 2 (2015).
    """

    count: int
    kernel: Kernel = "gaussian"
    width: float = 1.0
    degree: int = 3
    tolerance: float = 1e-12
    choice: Choice = "random"
    seed: int = 0
    _centres: NDArray[np.float64] = field(init=False, repr=False)
    _width: float = field(init=False, repr=False)
    _project: NDArray[np.float64] = field(init=False, repr=False)

    def fit(self, x: NDArray[np.float64]) -> Self:
        """Choose the centres among states (M, n), and factorise their kernel matrix."""
        if self.kernel not in ("gaussian", "laplace", "polynomial"):
            raise ValueError(f"kernel {self.kernel!r}: expected 'gaussian', 'laplace' or 'polynomial'")
        if self.count < 1 or not self.width > 0 or not 0 < self.tolerance < 1 or self.degree < 1:
            raise ValueError(f"count = {self.count}, width = {self.width}, degree = {self.degree}, tolerance = "
                             f"{self.tolerance}: expected positive numbers, the tolerance below 1")  # fmt: skip
        self._width = self.width * typical_distance(x)
        self._centres = x if len(x) <= self.count else centres_of(x, self.count, self.choice, seed=self.seed)
        values, vectors = scipy.linalg.eigh(self._values(self._centres))
        keep = values > self.tolerance * values[-1]
        self._project = vectors[:, keep] / np.sqrt(values[keep])
        return self

    def _values(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """k(x, C), (M, count)."""
        if self.kernel == "polynomial":
            product: NDArray[np.float64] = (1 + x @ self._centres.T / self._width**2) ** self.degree
            return product
        squares = squared_distances(x, self._centres) / self._width**2
        decay: NDArray[np.float64] = np.exp(-0.5 * squares if self.kernel == "gaussian" else -np.sqrt(squares))
        return decay

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Observables (M, q)."""
        return self._values(x) @ self._project

    def decoder(self) -> None:
        """No exact decoder: the state is regressed on the observables."""


class KernelEDMD(EDMD):
    """Extended dynamic mode decomposition with a kernel's functions about Nystrom centres.

    Parameters
    ----------
    centres : int
        Number of centres, 2,000 by default; with as many as states this is kernel DMD.
    kernel, width, degree, tolerance, choice, seed
        See `NystromFeatures`.
    ridge, horizon
        See `EDMD`.

    Raises
    ------
    ValueError
        As `EDMD`.

    Notes
    -----
    The regression uses all pairs of snapshots, whatever the centres: M c^2 + c^3 operations for c centres. States are
    decoded by ridge regression on the same features.

    References
    ----------
    .. [1] M. O. Williams, C. W. Rowley, I. G. Kevrekidis, A kernel-based method for data-driven Koopman spectral
       analysis, J. Comput. Dyn. 2 (2015), equations 10 to 14.
    .. [2] G. Meanti et al., Estimating Koopman operators with sketching to provably learn large scale dynamical
       systems, NeurIPS 2023, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.learned.dynamics import KernelEDMD
    >>> from conjugo.pde import Trajectories
    >>> u = np.random.default_rng(0).uniform(-1, 1, (200, 1)) * 0.8 ** np.arange(4)
    >>> model = KernelEDMD(50).fit(Trajectories(u[:, :, None], np.arange(4.0)))
    >>> model.eigenvalues[:3].real.round(2).tolist()  # of 1, x and x^2
    [1.0, 0.8, 0.64]
    """

    def __init__(
        self,
        centres: int = 2000,
        *,
        kernel: Kernel = "gaussian",
        width: float = 1.0,
        degree: int = 3,
        tolerance: float = 1e-12,
        choice: Choice = "random",
        seed: int = 0,
        ridge: float | Literal["gcv", "validation"] = RIDGE,
        horizon: int = 10,
    ) -> None:
        features = NystromFeatures(centres, kernel, width, degree=degree, tolerance=tolerance, choice=choice, seed=seed)
        super().__init__(features, ridge=ridge, horizon=horizon)
