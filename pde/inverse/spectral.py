"""Symmetric operators that are diagonal in an orthonormal basis, on any array library."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.pde.inverse.operator import Basis, Diagonal, ImageOperator
from conjugo.solvers.operators.protocol import Array


class SpectralOperator(ImageOperator):
    """A = Phi^T diag(values) Phi, square and symmetric.

    Parameters
    ----------
    basis : Basis
        Phi is its `forward`.
    values : (*basis.shape) array
        Eigenvalues, real, in the order of the coefficients.

    Raises
    ------
    ValueError
        For values of another shape, or that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.bases import SineBasis
    >>> from conjugo.pde.inverse.spectral import SpectralOperator
    >>> basis = SineBasis((8, 8))
    >>> L, G = (SpectralOperator(basis, basis.laplacian() ** power) for power in (1, -1))
    >>> bool(np.allclose(L @ (G @ np.arange(64.0)), np.arange(64.0)))
    True
    """

    def __init__(self, basis: Basis, values: NDArray[np.float64]) -> None:
        super().__init__(basis.shape, int(np.prod(basis.shape)))
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self.image_shape or not np.all(np.isfinite(values)):
            raise ValueError(f"values have shape {values.shape}: expected {self.image_shape}, all of them finite")
        self.diagonal = Diagonal(basis, values)
        self._tables: dict[Any, Array] = {}

    def measure(self, images: Array) -> Array:
        """The images with their coefficients multiplied, flattened: (k, n)."""
        return self._apply(images).reshape(-1, self.shape[1])

    def scatter(self, data: Array) -> Array:
        """The same as `measure`, on flattened images."""
        return self._apply(data.reshape(-1, *self.image_shape))

    def _apply(self, images: Array) -> Array:
        basis = self.diagonal.basis
        return basis.inverse(basis.forward(images) * table(self._tables, self.diagonal.values, images))


def table(tables: dict[Any, Array], values: NDArray[Any], like: Array) -> Array:
    """Return host numbers in the library, precision and on the device of another array; `tables` keeps them."""
    xp = array_namespace(like)
    key = (like.dtype, device(like))
    if key not in tables:
        tables[key] = xp.asarray(values, dtype=like.dtype, device=key[1])
    return tables[key]
