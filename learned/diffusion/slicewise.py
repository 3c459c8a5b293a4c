"""A measurement of slices, applied to every slice of a volume."""

from __future__ import annotations

from array_api_compat import array_namespace, device

from conjugo.learned.diffusion.march import parts
from conjugo.pde.inverse.operator import ImageOperator, Measurement
from conjugo.solvers.operators.protocol import Array


class SliceWise(ImageOperator):
    """The measurement of a volume (depth, *image_shape) that measures each of its slices with the same operator.

    Parameters
    ----------
    A : Measurement
        Of one slice, (m, n).
    depth : int
        Slices.
    chunk : int, optional
        Slices that A sees at a time, which bounds its memory; all of them by default.

    Raises
    ------
    ValueError
        For a depth or a chunk below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> A = SliceWise(Sensors((2, 2), [0, 3]), 3, chunk=2)
    >>> A.shape, (A @ np.arange(12.0)).tolist()
    ((6, 12), [0.0, 3.0, 4.0, 7.0, 8.0, 11.0])
    """

    def __init__(self, A: Measurement, depth: int, chunk: int | None = None) -> None:
        if depth < 1 or (chunk is not None and chunk < 1):
            raise ValueError(f"depth = {depth}, chunk = {chunk}: expected 1 or more slices")
        super().__init__((depth, *A.image_shape), depth * A.shape[0])
        self.A, self.depth, self.chunk = A, int(depth), chunk

    def measure(self, images: Array) -> Array:
        """Data (k, depth m) of volumes (k, depth, *image_shape)."""
        m, n = self.A.shape
        return self._each(self.A, images.reshape(-1, n), m).reshape(-1, self.depth * m)

    def scatter(self, data: Array) -> Array:
        """Volumes (k, depth, *image_shape) that the adjoint makes of data (k, depth m)."""
        m, n = self.A.shape
        return self._each(self.A.H, data.reshape(-1, m), n).reshape(-1, *self.image_shape)

    def _each(self, A: Measurement, rows: Array, size: int) -> Array:
        xp = array_namespace(rows)
        out = xp.empty((rows.shape[0], size), dtype=rows.dtype, device=device(rows))
        for part in parts(rows.shape[0], self.chunk):
            out[part] = (A @ rows[part].T).T
        return out
