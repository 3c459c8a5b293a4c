"""Many Darcy systems side by side as one operator, for arrays on a device."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace, device

from conjugo.pde.darcy.stencil import Faces, darcy_faces
from conjugo.solvers.operators.protocol import Array


class DarcyBlock:
    """One five-point operator a column: column j of A @ x is A_j x_j.

    Parameters
    ----------
    a : (k, n, n) float64 array
        Coefficients on the nodes, of any array library.
    faces : {"harmonic", "geometric", "arithmetic"}
        Mean of a at the faces.

    Notes
    -----
    Blocks (m, k), m = (n - 2)^2, are transposes of contiguous arrays, so that a system lies in one piece. A vector (m,)
    is multiplied by the first operator: solvers ask for the size of A in that way.

    Examples
    --------
    >>> A = DarcyBlock(np.ones((2, 3, 3)))
    >>> A @ np.array([[1.0, 2.0]])
    array([[16., 32.]])
    """

    symmetric = True

    def __init__(self, a: Array, faces: Faces = "harmonic") -> None:
        n = a.shape[-1]
        self._across, self._along = darcy_faces(a * (n - 1.0) ** 2, faces)
        across, along = self._across, self._along
        self._diag = across[:, 1:] + across[:, :-1] + along[:, :, 1:] + along[:, :, :-1]
        self._side = n - 2

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of each operator."""
        return self._side**2, self._side**2

    def __matmul__(self, x: Array) -> Array:
        s = self._side
        samples = slice(None) if x.ndim == 2 else slice(0, 1)
        v = x.T.reshape((-1, s, s)) if x.ndim == 2 else x.reshape((1, s, s))
        across, along = self._across[samples, 1:-1], self._along[samples, :, 1:-1]
        y = self._diag[samples] * v
        y[:, :-1] -= across * v[:, 1:]
        y[:, 1:] -= across * v[:, :-1]
        y[:, :, :-1] -= along * v[:, :, 1:]
        y[:, :, 1:] -= along * v[:, :, :-1]
        return y.reshape((-1, s * s)).T if x.ndim == 2 else y.reshape((s * s,))


class SineInverse:
    """Inverse of the five-point Laplacian on the unit square with zero walls, by sine transforms of type I.

    Parameters
    ----------
    side : int
        Interior nodes along an axis.
    like : array
        Gives library, dtype and device.

    Notes
    -----
    With S_jk = sin(pi j k / (s + 1)), h = 1 / (s + 1): M r = (2 h)^2 S ((S r S) / (lambda_j + lambda_k)) S, lambda_j =
    4 h^-2 sin(pi j h / 2)^2. A product with S is a Fourier transform of the odd extension.

    Examples
    --------
    >>> r = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> z = SineInverse(2, r) @ r
    >>> np.allclose(DarcyBlock(np.ones((1, 4, 4))) @ z, r)
    True
    """

    linear = True
    symmetric = True

    def __init__(self, side: int, like: Array) -> None:
        self._side = side
        h = 1.0 / (side + 1)
        values = (2 / h * np.sin(0.5 * np.pi * h * np.arange(1, side + 1))) ** 2
        inverse = (h / 2) ** 2 / (values[:, None] + values)  # of four transforms, each is 2 S
        self._inverse = array_namespace(like).asarray(inverse, dtype=like.dtype, device=device(like))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._side**2, self._side**2

    def __matmul__(self, r: Array) -> Array:
        s = self._side
        v = self._transform(self._transform(r.T.reshape((-1, s, s))))
        v *= self._inverse
        return self._transform(self._transform(v)).reshape((-1, s * s)).T

    def _transform(self, v: Array) -> Array:
        """2 v S, its axes exchanged: twice, it is the transform along both."""
        xp = array_namespace(v)
        wall = xp.zeros_like(v[..., :1])
        odd = xp.concat([wall, v, wall, -xp.flip(v, axis=-1)], axis=-1)
        sines = -xp.imag(xp.fft.rfft(odd, axis=-1)[..., 1 : self._side + 1])
        return xp.permute_dims(sines, (0, 2, 1))
