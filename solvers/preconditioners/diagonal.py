"""Multiplication by a diagonal matrix, in the library of the vector it meets."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array


class Diagonal:
    """diag(values) as an operator on NumPy arrays and torch tensors, (n,) or (n, k).

    Parameters
    ----------
    values : (n,) ndarray
        The diagonal; kept in its precision and cast once for each library, precision and device it meets.
    setup_seconds : float
        What its making took.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.diagonal import Diagonal
    >>> Diagonal(np.array([1.0, 0.5])) @ np.ones(2)
    array([1. , 0.5])
    """

    linear = True

    def __init__(self, values: NDArray[Any], setup_seconds: float = 0.0) -> None:
        self.values = np.asarray(values)
        self.symmetric = not np.iscomplexobj(self.values) or not np.any(self.values.imag)
        self.setup_seconds = setup_seconds
        self._cast: dict[Any, Array] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.values), len(self.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the kept diagonal."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """Bytes that it keeps."""
        return int(self.values.nbytes)

    def __matmul__(self, r: Array) -> Array:
        values = self._like(r)
        return values * r if r.ndim == 1 else values[:, None] * r

    def _like(self, r: Array) -> Array:
        if isinstance(r, np.ndarray) and r.dtype == self.values.dtype:
            return self.values
        key = (type(r), str(r.dtype), str(device(r)))
        if key not in self._cast:
            xp = array_namespace(r)
            self._cast[key] = xp.asarray(xp.asarray(self.values), dtype=r.dtype, device=device(r))
        return self._cast[key]
