"""What a linear measurement y = A x is, and the tests that it must pass before a sampler uses it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.monitor import to_host
from conjugo.solvers.operators.protocol import Array


@runtime_checkable
class Measurement(Protocol):
    """A linear map from images to data.

    Images are flattened in C order. Complex images are real ones with two channels, (2, h, w): that keeps every
    inner product real. An operator may carry `diagonal`, a `Diagonal`, where it is diagonal in an orthonormal basis.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Data and unknowns, (m, n)."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image, whose product is n."""

    @property
    def H(self) -> Any:  # noqa: N802 - the usual letter
        """The adjoint, of shape (n, m); its own `H` is this operator."""

    def __matmul__(self, x: Array, /) -> Array:
        """Measure images: (n,) to (m,), (n, k) to (m, k); NumPy or torch, precision and device follow x."""


class Basis(Protocol):
    """An orthonormal real transform of images."""

    shape: tuple[int, ...]

    def forward(self, x: Array, /) -> Array:
        """Coefficients of images (..., *shape)."""

    def inverse(self, coefficients: Array, /) -> Array:
        """Images of coefficients (..., *shape)."""


@dataclass(frozen=True, slots=True, eq=False)
class Diagonal:
    """The fact that A = Phi^T diag(values) Phi with an orthonormal transform Phi.

    Parameters
    ----------
    basis : Basis
        Phi is its `forward`.
    values : (*basis.shape) float64
        Eigenvalues, in the order of the coefficients.
    """

    basis: Basis
    values: NDArray[np.float64]


class ImageOperator(ABC):
    """Base of the measurements here: a subclass maps batches of images (k, *image_shape) to data (k, m) and back.

    Parameters
    ----------
    image_shape : sequence of int
        Shape of an image.
    m : int
        Data of one image.
    """

    def __init__(self, image_shape: Sequence[int], m: int) -> None:
        self.image_shape = tuple(int(size) for size in image_shape)
        self.shape = (int(m), math.prod(self.image_shape))

    @abstractmethod
    def measure(self, images: Array) -> Array:
        """Data (k, m) of images (k, *image_shape)."""

    @abstractmethod
    def scatter(self, data: Array) -> Array:
        """Images (k, *image_shape) that the adjoint makes of data (k, m)."""

    @property
    def H(self) -> Adjoint:  # noqa: N802 - the usual letter
        """The adjoint, (n, m)."""
        return Adjoint(self)

    def __matmul__(self, x: Array) -> Array:
        """A x for (n,) or (n, k)."""
        check_operand(x, self.shape[1])
        if x.ndim == 1:
            return self.measure(x.reshape(1, *self.image_shape))[0]
        return self.measure(x.T.reshape(-1, *self.image_shape)).T


class Adjoint:
    """A^H of an `ImageOperator`; `image_shape` is that of the images, which are here the result."""

    def __init__(self, A: ImageOperator) -> None:
        self.H = A

    @property
    def shape(self) -> tuple[int, int]:
        """Unknowns and data, (n, m)."""
        return self.H.shape[::-1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image, whose product is n."""
        return self.H.image_shape

    def __matmul__(self, y: Array) -> Array:
        """A^H y for (m,) or (m, k)."""
        check_operand(y, self.shape[1])
        n = self.shape[0]
        if y.ndim == 1:
            return self.H.scatter(y.reshape(1, -1)).reshape(n)
        return self.H.scatter(y.T).reshape(-1, n).T


class Scaled(ImageOperator):
    """A measurement times a number: the same data in other units.

    Parameters
    ----------
    A : Measurement
        (m, n).
    factor : float
        Finite.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.operator import Scaled
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> (Scaled(Sensors((2, 2), [3]), 10.0) @ np.arange(4.0)).tolist()
    [30.0]
    """

    def __init__(self, A: Measurement, factor: float) -> None:
        if not math.isfinite(factor):
            raise ValueError(f"factor = {factor}: expected a finite number")
        super().__init__(A.image_shape, A.shape[0])
        self.A, self.factor = A, float(factor)
        known = getattr(A, "diagonal", None)
        if known is not None:
            self.diagonal = Diagonal(known.basis, known.values * self.factor)

    def measure(self, images: Array) -> Array:
        """Data (k, m) of images (k, *image_shape)."""
        return (self.A @ images.reshape(-1, self.shape[1]).T).T * self.factor

    def scatter(self, data: Array) -> Array:
        """Images (k, *image_shape) that the adjoint makes of data (k, m)."""
        return (self.A.H @ data.T).T.reshape(-1, *self.image_shape) * self.factor


class Normal:
    """The operator shift I + gamma A^H A, symmetric and positive, with its products counted.

    Parameters
    ----------
    A : Measurement
        (m, n).
    shift : float
        0 for plain normal equations.
    gamma : float or (k,) array
        Weight of the data, for all columns of a block or each of them.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.pde.inverse.operator import Normal
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> N = Normal(Sensors((2, 2), [0, 3]), gamma=4.0)
    >>> (N @ np.ones(4)).tolist(), N.applications
    ([5.0, 1.0, 1.0, 5.0], 2)
    """

    linear = True
    symmetric = True

    def __init__(self, A: Measurement, *, shift: float = 1.0, gamma: Any = 1.0) -> None:
        self.A, self.shift, self.gamma = A, float(shift), gamma
        self.applications = 0

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return (self.A.shape[1], self.A.shape[1])

    def __matmul__(self, x: Array) -> Array:
        """(shift I + gamma A^H A) x; adds 2 for each column to `applications`."""
        self.applications += 2 * (1 if x.ndim == 1 else int(x.shape[1]))
        product = self.A.H @ (self.A @ x) * self.gamma
        if self.shift:
            product += x if self.shift == 1 else x * self.shift
        return product


def check_operand(x: Array, n: int) -> None:
    """Refuse what no measurement takes: complex numbers, or an array that is neither (n,) nor (n, k)."""
    if x.ndim not in (1, 2) or x.shape[0] != n:
        raise ValueError(
            f"x has shape {tuple(x.shape)}: expected ({n},) or ({n}, k); flatten images with x.reshape(-1)"
        )
    if is_complex(x):
        raise ValueError(f"x is {x.dtype}: expected real numbers; give complex images as two channels, (2, h, w)")


def is_complex(x: Array) -> bool:
    """Say whether x has a complex dtype."""
    return bool(array_namespace(x).isdtype(x.dtype, "complex floating"))


def adjoint_mismatch(A: Measurement, *, like: Array | None = None, seed: int = 0, draws: int = 3) -> float:
    """Return |<A x, y> - <x, A^H y>| / (||A x|| ||y||), the worst of some normal random draws.

    Parameters
    ----------
    A : Measurement
        (m, n).
    like : array, optional
        Whose library, precision and device are used; NumPy float64 by default.
    seed : int
        Of the draws.
    draws : int
        How many.

    Returns
    -------
    float
        About the precision's rounding for a right adjoint; 0 where A x = 0 and <x, A^H y> = 0.

    References
    ----------
    J. Claerbout, Earth Soundings Analysis: Processing versus Inversion (1992), section 5.1 (the dot-product test).

    Examples
    --------
    >>> from conjugo.pde.inverse.operator import adjoint_mismatch
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> adjoint_mismatch(Sensors((8, 8), [3, 20, 40])) < 1e-14
    True
    """
    m, n = A.shape
    x, y = _draw(n, draws, like, seed), _draw(m, draws, like, seed + 1)
    Ax, Hy = _host(A @ x), _host(A.H @ y)
    x, y = _host(x), _host(y)
    left, right = np.sum(Ax * y, axis=0), np.sum(x * Hy, axis=0)
    scale = np.linalg.norm(Ax, axis=0) * np.linalg.norm(y, axis=0)
    gap = np.abs(left - right)
    return float(np.max(np.divide(gap, scale, out=np.where(gap > 0, np.inf, 0.0), where=scale > 0)))


def check_measurement(A: Any, *, like: Array | None = None, rtol: float | None = None) -> None:
    """Refuse an operator that no sampler can use.

    Parameters
    ----------
    A : Measurement
        What is to be tested, by four products.
    like : array, optional
        Whose library, precision and device are used; NumPy float64 by default.
    rtol : float, optional
        Largest defect of linearity and of the dot test; by default the square root of the precision's epsilon.

    Raises
    ------
    ValueError
        Where a part is missing, a shape is wrong, the output is complex or not finite, A is not linear, or A^H is not
        its adjoint.

    Examples
    --------
    >>> from conjugo.pde.inverse.operator import check_measurement
    >>> from conjugo.pde.inverse.sensors import Sensors
    >>> check_measurement(Sensors((8, 8), [3, 20, 40]))
    """
    missing = [name for name in ("shape", "image_shape", "H", "__matmul__") if not hasattr(A, name)]
    if missing:
        raise ValueError(f"A is a {type(A).__name__} without {', '.join(missing)}: expected a Measurement")
    m, n = A.shape
    if math.prod(A.image_shape) != n or tuple(A.H.shape) != (n, m):
        raise ValueError(f"A has shape ({m}, {n}), A.H {tuple(A.H.shape)} and images {tuple(A.image_shape)}: "
                         f"expected ({n}, {m}) and images of {n} numbers")  # fmt: skip
    x = _draw(n, 2, like, 0)
    y = A @ x
    if is_complex(y):
        raise ValueError(f"A @ x is {y.dtype}: expected real numbers; view complex data as pairs of real numbers")
    if tuple(y.shape) != (m, 2):
        raise ValueError(f"A @ x has shape {tuple(y.shape)} for x of shape ({n}, 2): expected ({m}, 2)")
    if rtol is None:
        rtol = math.sqrt(float(array_namespace(x).finfo(x.dtype).eps))
    a, b = 1.75, -0.5  # exact in every precision, and a + b != 1 shows an affine part
    mixed, parts = _host(A @ (a * x[:, 0] + b * x[:, 1])), _host(y)
    if not (np.all(np.isfinite(mixed)) and np.all(np.isfinite(parts))):
        raise ValueError("A @ x is not finite for a normal random x: expected finite numbers")
    scale = a * np.linalg.norm(parts[:, 0]) + abs(b) * np.linalg.norm(parts[:, 1])
    defect = float(np.linalg.norm(mixed - a * parts[:, 0] - b * parts[:, 1]))
    if defect > rtol * scale:
        raise ValueError(f"A is not linear: A(ax + by) differs from aAx + bAy by {defect / max(scale, 1e-300):.1e}, "
                         f"expected at most {rtol:.1e}; subtract A(0) from an affine map")  # fmt: skip
    mismatch = adjoint_mismatch(A, like=like)
    if not mismatch <= rtol:
        raise ValueError(f"A.H is not the adjoint of A: the dot test is off by {mismatch:.1e}, expected at most "
                         f"{rtol:.1e}; mend A.H, or pass rtol if the defect is known")  # fmt: skip


def check_data(A: Measurement, y: Array, sigma: Any) -> None:
    """Refuse data that A cannot have made.

    Parameters
    ----------
    A : Measurement
        (m, n).
    y : (m,) or (m, k) array
        Data of one image, or of k.
    sigma : float
        Standard deviation of the noise, 0 or more.

    Raises
    ------
    ValueError
        For another shape, complex numbers, NaN or infinity, or a sigma that is negative or not finite.
    """
    m = A.shape[0]
    if y.ndim not in (1, 2) or y.shape[0] != m:
        raise ValueError(f"y has shape {tuple(y.shape)}: expected ({m},) or ({m}, k), as A has {m} rows")
    if is_complex(y):
        raise ValueError(f"y is {y.dtype} and A is real: view complex data as pairs of real numbers, as A does")
    if not np.all(np.isfinite(to_host(y))):
        raise ValueError("y holds NaN or infinity: expected finite data; leave absent sensors out of A")
    if not (np.isscalar(sigma) and np.isfinite(float(sigma)) and float(sigma) >= 0):  # type: ignore[arg-type]
        raise ValueError(f"sigma = {sigma}: expected a finite standard deviation, 0 or more")


def _draw(n: int, count: int, like: Array | None, seed: int) -> Array:
    noise = np.random.default_rng([seed, n, count]).standard_normal((n, count))
    if like is None:
        return noise
    return array_namespace(like).asarray(noise, dtype=like.dtype, device=device(like))


def _host(x: Array) -> NDArray[np.float64]:
    return np.asarray(to_host(x), dtype=np.float64)
