"""Orthonormal cosine and sine transforms of cell-centred images, on NumPy and torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.fft
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array

type Kind = Literal["cosine", "sine"]

DENSE = 128
"""Longest axis that a product with the stored matrix transforms on the CPU: three times as fast as by Fourier there."""


class TrigonometricBasis:
    """What `CosineBasis` and `SineBasis` share: fast orthonormal transforms over the last axes.

    Parameters
    ----------
    shape : sequence of int
        Cells along each axis.

    Raises
    ------
    ValueError
        Where an axis is shorter than 2.

    Notes
    -----
    NumPy arrays take SciPy's transforms. Other libraries of the array API take one real Fourier transform of the same
    length along each axis, after a permutation; on the CPU a product with the matrix instead where the axis is short.
    Gradients pass through.

    References
    ----------
    J. Makhoul, A fast cosine transform in one and two dimensions, IEEE Trans. Acoust. Speech Signal Process. 28 (1980),
    27-34, section II.
    """

    kind: Kind

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(int(n) for n in shape)
        if not self.shape or min(self.shape) < 2:
            raise ValueError(f"shape = {self.shape}: expected at least 2 cells along each axis")
        self._tables: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, TrigonometricBasis) and other.shape == self.shape

    def __hash__(self) -> int:
        return hash((self.kind, self.shape))

    def forward(self, x: Array) -> Array:
        """Coefficients of the images x, (..., *shape) to (..., *shape)."""
        return self._transform(x, inverse=False)

    def inverse(self, coefficients: Array) -> Array:
        """Images of the coefficients, (..., *shape) to (..., *shape); also the adjoint of `forward`."""
        return self._transform(coefficients, inverse=True)

    def laplacian(self, *, exact: bool = True) -> NDArray[np.float64]:
        """Eigenvalues of -Laplacian on the unit box, (*shape), in the order of the coefficients.

        Parameters
        ----------
        exact : bool
            The continuous operator's, pi^2 k^2; or those of the cell-centred second differences,
            4 / h^2 sin^2(pi k h / 2). k counts from 0 (cosines, Neumann walls) or 1 (sines, Dirichlet walls).
        """
        total = np.zeros(self.shape)
        for axis, n in enumerate(self.shape):
            k = np.arange(n) + float(self.kind == "sine")
            values = (np.pi * k) ** 2 if exact else (2 * n * np.sin(np.pi * k / (2 * n))) ** 2
            total += values.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
        return total

    def power(self, spectrum: NDArray[np.float64], basis: TrigonometricBasis | None = None) -> NDArray[np.float64]:
        """Variances in the cells, or in another basis, of fields whose coefficients here have the variances `spectrum`.

        Parameters
        ----------
        spectrum : (..., *shape) float64
            Variances of independent coefficients in this basis.
        basis : TrigonometricBasis, optional
            Whose coefficients are asked for; the cells by default.

        Returns
        -------
        (..., *shape) float64
            The diagonal of Psi Phi^T diag(spectrum) Phi Psi^T, with Psi the other basis or the identity.

        Examples
        --------
        >>> import numpy as np
        >>> from conjugo.pde.inverse.bases import CosineBasis
        >>> bool(np.allclose(CosineBasis((4, 4)).power(np.ones((4, 4))), 1.0))
        True
        """
        d, variances = len(self.shape), np.asarray(spectrum, dtype=np.float64)
        if variances.shape[-d:] != self.shape or (basis is not None and basis.shape != self.shape):
            raise ValueError(f"spectrum has shape {variances.shape}, the other basis "
                             f"{None if basis is None else basis.shape}: expected {self.shape}")  # fmt: skip
        for axis, n in enumerate(self.shape, -d):
            vectors = type(self)((n,)).inverse(np.eye(n))  # one a row
            squares = (vectors if basis is None else type(basis)((n,)).forward(vectors)) ** 2
            variances = np.moveaxis(np.tensordot(variances, squares, (axis, 0)), -1, axis)
        return variances

    def _transform(self, x: Array, *, inverse: bool) -> Array:
        d = len(self.shape)
        if tuple(x.shape[-d:]) != self.shape:
            raise ValueError(f"the images have shape {tuple(x.shape)}: expected (..., {str(self.shape)[1:]}")
        if isinstance(x, np.ndarray):
            name = ("i" if inverse else "") + ("dctn" if self.kind == "cosine" else "dstn")
            return getattr(scipy.fft, name)(x, type=2, norm="ortho", axes=range(-d, 0))
        xp = array_namespace(x)
        for axis in range(-d, 0):
            last = xp.moveaxis(x, axis, -1)
            if last.shape[-1] <= DENSE and str(device(x)) == "cpu":
                vectors = self._vectors(xp, x, last.shape[-1])
                last = last @ (vectors if inverse else vectors.T)
            else:
                last = self._backward_last(xp, last) if inverse else self._forward_last(xp, last)
            x = xp.moveaxis(last, -1, axis)
        return x

    def _vectors(self, xp: Any, like: Array, n: int) -> Array:
        """The basis vectors of one axis, one a row, kept for each precision."""
        key = ("vectors", n, like.dtype)
        if key not in self._tables:
            self._tables[key] = xp.asarray(type(self)((n,)).inverse(np.eye(n)), dtype=like.dtype)
        return self._tables[key]

    def _forward_last(self, xp: Any, x: Array) -> Array:
        """Cosine (sine) transform of type II along the last axis: X_k = Re P_k and X_{n-k} = -Im P_k."""
        n = x.shape[-1]
        twiddle, signs = self._table(xp, x, n)
        if self.kind == "sine":
            x = x * signs
        V = xp.fft.rfft(xp.concat([x[..., ::2], xp.flip(x[..., 1::2], axis=-1)], axis=-1)) * twiddle
        scale = math.sqrt(2 / n)
        parts = [xp.real(V[..., :1]) * math.sqrt(1 / n), xp.real(V[..., 1:]) * scale]
        parts.append(xp.flip(xp.imag(V[..., 1 : (n + 1) // 2]), axis=-1) * -scale)
        X = xp.concat(parts, axis=-1)
        return xp.flip(X, axis=-1) if self.kind == "sine" else X

    def _backward_last(self, xp: Any, X: Array) -> Array:
        n = X.shape[-1]
        twiddle, signs = self._table(xp, X, n)
        if self.kind == "sine":
            X = xp.flip(X, axis=-1)
        scale = math.sqrt(n / 2)
        first = X[..., :1] * math.sqrt(n)
        real = xp.concat([first, X[..., 1 : n // 2 + 1] * scale], axis=-1)
        imaginary = xp.concat([xp.zeros_like(first), xp.flip(X[..., n - n // 2 :], axis=-1) * -scale], axis=-1)
        v = xp.fft.irfft((real + 1j * imaginary) * xp.conj(twiddle), n=n)
        half = (n + 1) // 2
        x = xp.empty_like(v)
        x[..., ::2] = v[..., :half]
        x[..., 1::2] = xp.flip(v[..., half:], axis=-1)
        return x * signs if self.kind == "sine" else x

    def _table(self, xp: Any, like: Array, n: int) -> tuple[Array, Array]:
        """e^{-i pi k / (2 n)} and (-1)^k, kept for each device and precision."""
        key = (n, like.dtype, device(like))
        if key not in self._tables:
            angle = xp.asarray(np.arange(n // 2 + 1) * (np.pi / (2 * n)), dtype=like.dtype, device=key[2])
            signs = xp.asarray((-1.0) ** np.arange(n), dtype=like.dtype, device=key[2])
            self._tables[key] = (xp.cos(angle) - 1j * xp.sin(angle), signs)
        twiddle, signs = self._tables[key]
        return twiddle, signs


class CosineBasis(TrigonometricBasis):
    """Orthonormal discrete cosines of type II: eigenvectors of the Laplacian with Neumann walls.

    Parameters
    ----------
    shape : sequence of int
        Cells along each axis.

    Notes
    -----
    phi_k(j) = c_k cos(pi k (j + 1/2) / n) along each axis, with c_0 = sqrt(1/n) and c_k = sqrt(2/n).

    References
    ----------
    G. Strang, The discrete cosine transform, SIAM Review 41 (1999), 135-147.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> basis = CosineBasis((4, 6))
    >>> round(float(basis.forward(np.ones((4, 6)))[0, 0]) ** 2, 9)
    24.0
    """

    kind: Kind = "cosine"


class SineBasis(TrigonometricBasis):
    """Orthonormal discrete sines of type II: eigenvectors of the Laplacian with Dirichlet walls half a cell outside.

    Parameters
    ----------
    shape : sequence of int
        Cells along each axis.

    Notes
    -----
    phi_k(j) = c_k sin(pi k (j + 1/2) / n) along each axis, k = 1, ..., n, with c_n = sqrt(1/n) and c_k = sqrt(2/n).

    References
    ----------
    G. Strang, The discrete cosine transform, SIAM Review 41 (1999), 135-147.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.bases import SineBasis
    >>> basis = SineBasis((5, 5))
    >>> x = np.arange(25.0).reshape(5, 5)
    >>> bool(np.allclose(basis.inverse(basis.forward(x)), x))
    True
    """

    kind: Kind = "sine"
