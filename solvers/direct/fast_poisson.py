"""Direct solution of separable systems by fast transforms."""

from __future__ import annotations

import math
import time
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from conjugo.solvers.direct.transforms import transform_of
from conjugo.solvers.monitor import Monitor
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.parallel import get_threads, run_rows
from conjugo.solvers.result import SolveResult, Status

type Method = Literal["transform", "thomas"]


class FastPoisson:
    """Fast diagonalisation of a separable operator: set up once, solve or precondition many times.

    Parameters
    ----------
    A : SeparableStencil
        Symmetric; any boundary condition. Uniform axes take sine, cosine or Fourier transforms, others the dense
        eigenvectors of their tridiagonal matrix.
    method : {"transform", "thomas"}
        Transform every axis; or leave out the first axis that is not periodic and solve tridiagonal systems along it,
        which takes about half the time where that is the first axis.

    Raises
    ------
    ValueError
        Where A is no SeparableStencil or not symmetric, or "thomas" finds only periodic axes.

    Notes
    -----
    With T_a = V_a diag(lambda_a) V_a^{-1} the solution of W (sum_a T_a + shift) x = b is
    x = V (V^{-1} W^{-1} b) / (sum_a lambda_a + shift), V the tensor product. A singular A with a declared null space
    gets the solution orthogonal to it.

    References
    ----------
    .. [1] R. E. Lynch, J. R. Rice, D. H. Thomas, Direct solution of partial difference equations by tensor product
       methods, Numer. Math. 6 (1964), 185-199.
    .. [2] P. N. Swarztrauber, The methods of cyclic reduction, Fourier analysis and the FACR algorithm for the discrete
       solution of Poisson's equation on a rectangle, SIAM Review 19 (1977), 490-501.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.direct.fast_poisson import FastPoisson
    >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
    >>> line = Axis(np.array([0.0, -1, -1]), np.full(3, 2.0), np.array([-1.0, -1, 0]), np.ones(3))
    >>> A = SeparableStencil((line, line))
    >>> F = FastPoisson(A)
    >>> np.allclose(A @ (F @ np.arange(9.0)), np.arange(9.0))
    True
    """

    linear = True
    symmetric = True

    def __init__(self, A: SeparableStencil, *, method: Method = "transform") -> None:
        started = time.perf_counter()
        if not isinstance(A, SeparableStencil):
            raise ValueError(f"A is a {type(A).__name__}: expected a SeparableStencil; for other matrices use splu")
        if not A.symmetric:
            raise ValueError("A is not symmetric: expected weight * upper = weight * lower on every axis; use splu")
        if method not in ("transform", "thomas"):
            raise ValueError(f"method = {method!r}: expected 'transform' or 'thomas'")
        self._A = A if A.dtype == np.float64 else A.astype(np.float64)
        self._line = -1 if method == "transform" else self._open_axis()
        self._transforms = {k: transform_of(axis) for k, axis in enumerate(A.axes) if k != self._line}
        self._periodic = [k for k, transform in self._transforms.items() if transform.name == "fft"]
        values = self._eigenvalues()
        scale = float(np.max(np.abs(values), initial=0.0))
        if self._line < 0:
            regular = np.abs(values) > 1e-13 * scale
            self._inverse = np.divide(1.0, values, out=np.zeros_like(values), where=regular)
        else:
            self._inverse = values
        self._weights = A.weights() if any(np.any(axis.weight != 1) for axis in A.axes) else None
        self.setup_seconds = time.perf_counter() - started

    def _open_axis(self) -> int:
        for k, axis in enumerate(self._A.axes):
            if not axis.periodic:
                return k
        raise ValueError("every axis is periodic: method='thomas' expects one that is not; use method='transform'")

    def _eigenvalues(self) -> NDArray[np.float64]:
        """Sum of the transformed axes' eigenvalues and the shift, halved along the last periodic axis."""
        shape = [len(axis) if k in self._transforms else 1 for k, axis in enumerate(self._A.axes)]
        total = np.full(shape, self._A.shift)
        for k, transform in self._transforms.items():
            total = total + transform.eigenvalues.reshape([-1 if j == k else 1 for j in range(len(shape))])
        if self._periodic:
            last = self._periodic[-1]
            total = np.take(total, np.arange(shape[last] // 2 + 1), axis=last)
        return total

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._A.shape

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return int(self._inverse.nbytes + (0 if self._weights is None else self._weights.nbytes))

    @property
    def transforms(self) -> tuple[str, ...]:
        """What happens along each axis: "dst-1" ... "dct-4", "fft", "dense" or "thomas"."""
        names = {k: transform.name for k, transform in self._transforms.items()}
        return tuple(names.get(k, "thomas") for k in range(len(self._A.axes)))

    def __matmul__(self, b: Array) -> Array:
        """A^{-1} b for (n,) or (n, k) NumPy arrays."""
        b = np.asarray(b)
        if b.ndim not in (1, 2) or b.shape[0] != self.shape[0]:
            n = self.shape[0]
            raise ValueError(f"b has shape {b.shape}: expected ({n},) or ({n}, k); flatten grids with b.ravel()")
        if b.dtype.kind == "c":
            return (self @ b.real) + 1j * (self @ b.imag)
        if b.ndim == 2:
            return np.stack([self @ column for column in b.T], axis=1)
        x = self._solved(b.astype(np.float64, copy=False).reshape(self._A.grid_shape)).reshape(-1)
        N = self._A.nullspace
        if N is not None:
            x = x - N @ (N.T @ x)
        return x.astype(b.dtype, copy=False) if b.dtype == np.float32 else x

    def _solved(self, b: NDArray[np.float64]) -> NDArray[np.float64]:
        y: NDArray[Any] = b if self._weights is None else b / self._weights
        own = {k: t for k, t in self._transforms.items() if t.name != "fft"}
        for k, transform in own.items():
            y = transform.apply(y, k)
        if self._periodic:
            y = scipy.fft.rfftn(y, axes=self._periodic, workers=get_threads())
        if self._line >= 0:
            y = self._along(y)
        elif y is b:  # no axis was transformed: a copy protects the caller's array
            y = y * self._inverse
        else:
            y *= self._inverse
        if self._periodic:
            sizes = [b.shape[k] for k in self._periodic]
            y = scipy.fft.irfftn(y, s=sizes, axes=self._periodic, workers=get_threads())
        for k, transform in own.items():
            y = transform.invert(y, k)
        return y

    def _along(self, y: NDArray[Any]) -> NDArray[Any]:
        """Solve tridiagonal systems along the axis that was left out."""
        from conjugo.solvers.kernels.thomas import BLOCK, thomas

        axis = self._A.axes[self._line]
        front = np.moveaxis(y, self._line, 0)
        x = np.array(front, order="C")
        n = len(axis)
        values = np.ascontiguousarray(np.moveaxis(self._inverse, self._line, 0)).ravel()
        flat = x.reshape(n, -1)
        if np.iscomplexobj(flat):  # real and imaginary parts are systems of their own
            flat, values = flat.view(np.float64), np.repeat(values, 2)
        tiny = 1e-12 * float(np.max(np.abs(axis.diag)) + np.max(np.abs(values)))

        def work(lo: int, hi: int) -> None:
            room = np.empty((n + 1, BLOCK))
            thomas(flat, values, axis.lower, axis.diag, axis.upper, tiny, lo, hi, room)

        run_rows(work, flat.shape[1], get_threads() if flat.size >= 100_000 else 1)
        return np.moveaxis(x, 0, self._line)

    def solve(self, b: Array, *, rtol: float = 1e-5, atol: float = 0.0) -> SolveResult:
        """Solve A x = b directly and report the true residual.

        Parameters
        ----------
        b : (n,) or (n, k) array
            Right-hand side, or a block of them.
        rtol, atol : float
            What CONVERGED certifies: ||b - A x||_2 <= max(rtol ||b||_2, atol). They do not change x.

        Returns
        -------
        SolveResult
            One iteration; `details` holds `setup_seconds`, `bytes` and `transforms`.
        """
        monitor = Monitor("fast_poisson", self._A, b, None, rtol=rtol, atol=atol, maxiter=1)
        x = monitor.x
        with monitor:
            if monitor.proceed(x, monitor.r):
                x = self @ monitor.b
                monitor.proceed(x, monitor.b - self._A @ x, exact=True)
        if monitor.status is Status.MAX_ITERATIONS:
            note = "a direct solve leaves rounding errors of eps times the condition number; loosen rtol"
            monitor.fail(Status.STAGNATED, note)
        size = self.nbytes + 8 * math.prod(x.shape)
        return monitor.result(x, setup_seconds=self.setup_seconds, bytes=size, transforms=self.transforms)


def fast_poisson(
    A: SeparableStencil, b: Array, *, rtol: float = 1e-5, atol: float = 0.0, method: Method = "transform"
) -> SolveResult:
    """Solve A x = b for a separable operator by fast transforms; see `FastPoisson`.

    Parameters
    ----------
    A : SeparableStencil
        Symmetric.
    b : (n,) or (n, k) array
        Right-hand side, or a block of them.
    rtol, atol : float
        What CONVERGED certifies; the solution does not depend on them.
    method : {"transform", "thomas"}
        Transform every axis, or all but one.

    Returns
    -------
    SolveResult
        With the true residual.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.direct.fast_poisson import fast_poisson
    >>> from conjugo.solvers.operators.separable import Axis, SeparableStencil
    >>> line = Axis(np.array([0.0, -1, -1]), np.full(3, 2.0), np.array([-1.0, -1, 0]), np.ones(3))
    >>> result = fast_poisson(SeparableStencil((line, line)), np.ones(9), rtol=1e-12)
    >>> result.converged, result.details["transforms"]
    (True, ('dst-1', 'dst-1'))
    """
    return FastPoisson(A, method=method).solve(b, rtol=rtol, atol=atol)
