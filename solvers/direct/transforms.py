"""The transform that diagonalises one axis of a separable operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from conjugo.solvers.operators.separable import Axis
from conjugo.solvers.parallel import get_threads

type Vector = NDArray[np.float64]
type Ends = tuple[str, str]

_KINDS: dict[Ends, tuple[Literal["sine", "cosine"], int, float]] = {
    ("wall", "wall"): ("sine", 1, 1.0),
    ("wall", "mirror"): ("sine", 3, 0.5),
    ("half wall", "half wall"): ("sine", 2, 1.0),
    ("half wall", "half mirror"): ("sine", 4, 0.5),
    ("mirror", "mirror"): ("cosine", 1, 0.0),
    ("mirror", "wall"): ("cosine", 3, 0.5),
    ("half mirror", "half mirror"): ("cosine", 2, 0.0),
    ("half mirror", "half wall"): ("cosine", 4, 0.5),
}
"""Ends -> kind, type and first frequency k0 of the transform; eigenvalue k is 2 c (1 - cos(pi (k + k0) / period))."""


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """Eigenvalues of T along one axis, and how to reach its eigenvectors.

    Parameters
    ----------
    name : str
        "dst-1" ... "dct-4", "fft" (carried out by the caller) or "dense".
    eigenvalues : (n,) float64
        In the order of the transform's output.
    forward, back : (n, n) float64, optional
        The dense transform.
    """

    name: str
    eigenvalues: Vector
    forward: Vector | None = None
    back: Vector | None = None

    def apply(self, x: NDArray[Any], axis: int) -> NDArray[Any]:
        """Coefficients of x in the eigenvectors along an axis."""
        return self._dense(self.forward, x, axis) if self.name == "dense" else self._fast(x, axis, inverse=False)

    def invert(self, x: NDArray[Any], axis: int) -> NDArray[Any]:
        """Undo `apply`."""
        return self._dense(self.back, x, axis) if self.name == "dense" else self._fast(x, axis, inverse=True)

    def _fast(self, x: NDArray[Any], axis: int, *, inverse: bool) -> NDArray[Any]:
        kind, number = self.name.split("-")
        function = getattr(scipy.fft, f"i{kind}" if inverse else kind)
        result: NDArray[Any] = function(x, type=int(number), axis=axis, workers=get_threads(), overwrite_x=inverse)
        return result

    @staticmethod
    def _dense(matrix: Vector | None, x: NDArray[Any], axis: int) -> NDArray[Any]:
        assert matrix is not None
        return np.moveaxis(np.tensordot(matrix.astype(x.dtype, copy=False), x, (1, axis)), 0, axis)


def _end(diag: float, inward: float, weight: float, c: float) -> str | None:
    """Name the boundary condition that an end's entries express, in units of the coupling c."""
    table = {
        (2.0, 1.0, 1.0): "wall",
        (3.0, 1.0, 1.0): "half wall",
        (2.0, 2.0, 0.5): "mirror",
        (1.0, 1.0, 1.0): "half mirror",
    }
    for entries, name in table.items():
        if np.allclose((diag / c, -inward / c, weight), entries, rtol=1e-10, atol=0.0):
            return name
    return None


def transform_of(axis: Axis) -> Transform:
    """Find the fast transform of a uniform axis, or the dense eigenvectors of any other.

    Notes
    -----
    With nodes on a wall or mirror (vertex-centred) or half a spacing inside of it (cell-centred) the eigenvectors are
    sines and cosines: types I to IV of the discrete sine and cosine transforms.

    References
    ----------
    .. [1] G. Strang, The discrete cosine transform, SIAM Review 41 (1999), 135-147.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.direct.transforms import transform_of
    >>> from conjugo.solvers.operators.separable import Axis
    >>> transform_of(Axis(np.array([0.0, -1, -1]), np.full(3, 2.0), np.array([-1.0, -1, 0]), np.ones(3))).name
    'dst-1'
    """
    n = len(axis)
    c = -float(axis.upper[n // 2 - 1]) if n > 2 else 0.0
    inside = slice(None) if axis.periodic else slice(1, -1)
    entries = (-axis.lower[inside], axis.diag[inside] / 2, -axis.upper[inside])
    if n > 2 and c > 0 and all(np.allclose(v, c, rtol=1e-10, atol=0.0) for v in entries):
        if axis.periodic:
            return Transform("fft", 2 * c * (1 - np.cos(2 * np.pi * np.arange(n) / n)))
        first = _end(axis.diag[0], axis.upper[0], axis.weight[0], c)
        last = _end(axis.diag[-1], axis.lower[-1], axis.weight[-1], c)
        if first is not None and last is not None and (first, last) in _KINDS:
            kind, number, k0 = _KINDS[first, last]
            period = n + 1 if number == 1 and kind == "sine" else n - 1 if number == 1 else n
            values = 2 * c * (1 - np.cos(np.pi * (np.arange(n) + k0) / period))
            return Transform(f"{'dst' if kind == 'sine' else 'dct'}-{number}", values)
    root = np.sqrt(axis.weight)
    T = axis.tocsr().toarray() * root[:, None] / root
    values, Q = np.linalg.eigh((T + T.T) / 2)
    return Transform("dense", values, np.ascontiguousarray(Q.T * root), Q / root[:, None])
