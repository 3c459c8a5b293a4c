"""Deblurring: a Gaussian blur between reflecting walls, and any kernel on a periodic image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.fft
from array_api_compat import array_namespace
from numpy.typing import ArrayLike, NDArray

from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.operator import ImageOperator
from conjugo.pde.inverse.spectral import SpectralOperator, table
from conjugo.solvers.operators.protocol import Array


class GaussianBlur(SpectralOperator):
    """Convolution with a Gaussian, the image continued by reflection at its walls.

    Parameters
    ----------
    image_shape : sequence of int
        Cells along each axis.
    width : float
        Standard deviation of the Gaussian, in cells; 0 or more.

    Raises
    ------
    ValueError
        Where the width is negative or not finite.

    Notes
    -----
    Symmetric; values exp(-width^2 |theta|^2 / 2) in the cosine basis, theta = pi k / n along each axis.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.blur import GaussianBlur
    >>> A = GaussianBlur((16, 16), 1.5)
    >>> bool(np.allclose(A @ np.ones(256), 1.0)), float(A.diagonal.values[0, 0])
    (True, 1.0)
    """

    def __init__(self, image_shape: Sequence[int], width: float) -> None:
        if not (math.isfinite(width) and width >= 0):
            raise ValueError(f"width = {width}: expected a finite number of cells, 0 or more")
        basis = CosineBasis(image_shape)
        theta = [(np.pi * np.arange(n) / n) ** 2 for n in basis.shape]
        squares = sum(np.meshgrid(*theta, indexing="ij", sparse=True), np.zeros(()))
        super().__init__(basis, np.exp(-(width**2) * squares / 2))
        self.width = float(width)


class KernelBlur(ImageOperator):
    """Circular convolution with any real kernel, symmetric or not.

    Parameters
    ----------
    image_shape : sequence of int
        Cells along each axis.
    kernel : array
        As many axes as the image, at most its size; entry `shape // 2` along each axis falls on the cell itself.

    Raises
    ------
    ValueError
        For a kernel of other axes, one that is larger than the image, complex, or not finite.

    Notes
    -----
    A = F^-1 diag(k) F with the kernel's Fourier coefficients k; A^H takes their conjugates.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.blur import KernelBlur
    >>> A = KernelBlur((4,), [0.0, 0.5, 0.5])  # each cell is the mean of itself and the cell before
    >>> np.round(A @ np.array([4.0, 0.0, 0.0, 0.0]), 12).tolist()
    [2.0, 2.0, 0.0, 0.0]
    """

    def __init__(self, image_shape: Sequence[int], kernel: ArrayLike) -> None:
        super().__init__(image_shape, math.prod(image_shape))
        small = np.asarray(kernel)
        fits = small.ndim == len(self.image_shape) and all(np.less_equal(small.shape, self.image_shape))
        if not fits or not small.size:
            raise ValueError(f"kernel has shape {small.shape}: expected as many axes as the image, at most "
                             f"{self.image_shape}")  # fmt: skip
        if small.dtype.kind not in "iuf" or not np.all(np.isfinite(small)):
            raise ValueError(f"kernel is {small.dtype} or not finite: expected finite real numbers")
        padded = np.zeros(self.image_shape)
        padded[tuple(slice(0, k) for k in small.shape)] = small
        centred = np.roll(padded, [-(k // 2) for k in small.shape], axis=tuple(range(small.ndim)))
        self.coefficients: NDArray[np.complex128] = scipy.fft.rfftn(centred)
        self._tables: dict[Any, Array] = {}

    def measure(self, images: Array) -> Array:
        """The blurred images, flattened: (k, n)."""
        return self._convolve(images, adjoint=False).reshape(-1, self.shape[1])

    def scatter(self, data: Array) -> Array:
        """The correlation of the data with the kernel, (k, *image_shape)."""
        return self._convolve(data.reshape(-1, *self.image_shape), adjoint=True)

    def _convolve(self, images: Array, *, adjoint: bool) -> Array:
        axes = tuple(range(1, images.ndim))
        fft = scipy.fft if isinstance(images, np.ndarray) else array_namespace(images).fft
        spectrum = fft.rfftn(images, axes=axes)
        factors = table(self._tables, self.coefficients, spectrum)
        return fft.irfftn(spectrum * (factors.conj() if adjoint else factors), s=self.image_shape, axes=axes)
