"""Backward heat: the field that a later temperature came from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.spectral import SpectralOperator


class BackwardHeat(SpectralOperator):
    """A = exp(t Laplacian) on the unit box with insulated (Neumann) walls, seen in every cell.

    Parameters
    ----------
    image_shape : sequence of int
        Cells along each axis.
    time : float
        t, 0 or more; lengths are those of the unit box.

    Raises
    ------
    ValueError
        Where t is negative or not finite.

    Notes
    -----
    Symmetric, with singular values exp(-t pi^2 |k|^2) in the cosine basis: the continuous operator's, for the modes
    that the cells carry. `informed_modes` counts those that the data say more about than the prior.

    References
    ----------
    A. M. Stuart, Inverse problems: a Bayesian perspective, Acta Numerica 19 (2010), section 3.5 (the heat equation).

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.heat import BackwardHeat
    >>> A = BackwardHeat((32, 32), 1e-3)
    >>> bool(np.allclose(A @ np.ones(1024), 1.0))
    True
    """

    def __init__(self, image_shape: Sequence[int], time: float) -> None:
        if not (math.isfinite(time) and time >= 0):
            raise ValueError(f"time = {time}: expected a finite number, 0 or more")
        basis = CosineBasis(image_shape)
        super().__init__(basis, np.exp(-time * basis.laplacian()))
        self.time = float(time)


def informed_modes(values: NDArray[np.float64], spectrum: NDArray[np.float64], sigma: float) -> int:
    """Count the modes whose signal passes the noise, a_k^2 c_k > sigma^2.

    Parameters
    ----------
    values : array
        Singular values a_k of A, in the basis in which the prior is diagonal.
    spectrum : array
        Variances c_k of the prior, likewise.
    sigma : float
        Standard deviation of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.heat import informed_modes
    >>> informed_modes(np.array([1.0, 0.1, 0.01]), np.ones(3), 0.05)
    2
    """
    return int(np.count_nonzero(values**2 * spectrum > sigma**2))
