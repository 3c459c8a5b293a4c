"""What all matrix-free stencils share: products and fused passes by compiled kernels, on one or several threads."""

from __future__ import annotations

import math
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Self

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj
from numpy.typing import NDArray

from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.parallel import get_threads, run_rows, split_rows

SERIAL_BELOW = 100_000
"""Unknowns below which a second thread costs more than it brings."""

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


@cache
def _cuda_products() -> Any:
    """Module of the fused products of CUDA tensors, or None where triton is not installed."""
    return import_module("conjugo.solvers.triton.products") if find_spec("triton") else None


class Stencil:
    """Products and fused passes of an operator on a structured grid.

    A subclass sets `grid_shape`, `dtype` and `nullspace`, names its kernels and their leading arguments, and
    multiplies arrays of other libraries by slicing.

    Raises
    ------
    ValueError
        By every pass, naming the argument, for a wrong shape, dtype or layout.

    Notes
    -----
    Vectors are flat (n,) or shaped like the grid, C-contiguous; the passes work in place and allocate nothing that
    grows with the grid. In `residual` and `correct`, out (or z and r) may be float32 where A is float64. Above 10^5
    unknowns they run on `get_threads()` threads. `@` takes (n,) and (n, k), NumPy or torch, and keeps torch's device.

    Examples
    --------
    One step of steepest descent by the two passes of conjugate gradients:

    >>> import numpy as np
    >>> from conjugo.solvers.operators.variable import VariableStencil
    >>> A = VariableStencil(np.array([2.0, 2.0]), [np.array([-1.0, 0.0])])
    >>> b, x, out = np.array([1.0, 1.0]), np.zeros(2), np.empty(2)
    >>> r, p = b.copy(), np.zeros(2)
    >>> alpha = (r @ r) / A.direction(r, p, 0.0)
    >>> A.update(x, r, p, alpha), x
    (0.0, array([1., 1.]))
    >>> A.residual(b, x, out)
    0.0
    """

    grid_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nullspace: NDArray[np.float64] | None
    _kernels_home: str

    def _coefficients(self) -> tuple[Any, ...]:
        """Leading arguments of every kernel."""
        raise NotImplementedError

    def _sliced(self, x: Array) -> Array:
        """Product with an array (*grid_shape, k) of any array library."""
        raise NotImplementedError

    def astype(self, dtype: Any) -> Self:
        """Return the same operator in another precision."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._size, self._size

    @cached_property
    def _kernels(self) -> ModuleType:
        """The compiled kernels, loaded when first needed: building an operator compiles nothing."""
        return import_module(self._kernels_home)

    @cached_property
    def _size(self) -> int:
        """Number of nodes."""
        return math.prod(self.grid_shape)

    @cached_property
    def _wide(self) -> Self:
        """The operator in float64, for products with wider vectors."""
        return self if self.dtype == np.float64 else self.astype(np.float64)

    @cached_property
    def _copies(self) -> dict[tuple[str, str, str], Array]:
        """Coefficients in other libraries, precisions and on other devices, moved there once."""
        return {}

    def _moved(self, name: str, values: NDArray[Any], x: Array) -> Array:
        """Coefficients in x's library and precision and on its device."""
        key = (name, str(x.dtype), str(device(x)))
        if key not in self._copies:
            self._copies[key] = array_namespace(x).asarray(values, dtype=x.dtype, device=device(x))
        return self._copies[key]

    @cached_property
    def _planes(self) -> tuple[int, int, int]:
        """Shape under which the kernels see the grid: ranges are of planes, loops along the last axis."""
        *outer, n = self.grid_shape
        planes, rows = [*outer, 1, 1][:2]
        return planes, rows, n

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.grid_shape))
        return f"{type(self).__name__}({size} grid, {self.dtype}, {self.nbytes} bytes)"

    @property
    def nbytes(self) -> int:
        """Bytes that the operator keeps."""
        raise NotImplementedError

    def _view(self, name: str, v: NDArray[Any], *dtypes: np.dtype[Any], written: bool = False) -> NDArray[Any]:
        """Check an argument of a pass and shape it for the kernels."""
        n = self._size
        if not isinstance(v, np.ndarray) or (v.shape != (n,) and v.shape != self.grid_shape):
            raise ValueError(f"{name} has shape {np.shape(v)}: expected a NumPy array ({n},) or {self.grid_shape}")
        if v.dtype not in (dtypes or (self.dtype,)):
            allowed = " or ".join(map(str, dtypes or (self.dtype,)))
            raise ValueError(f"{name} has dtype {v.dtype}: expected {allowed}; convert it, or A with A.astype")
        if not v.flags.c_contiguous or (written and not v.flags.writeable):
            raise ValueError(f"{name} must be C-contiguous and writeable: pass np.ascontiguousarray({name})")
        if not v.flags.writeable:
            v = v.copy()  # the compiled signatures know writeable arrays only
        return v if v.ndim == 1 else v.reshape(-1)

    def _run(self, kernel: Any, *arguments: Any) -> float:
        """Call a kernel on all planes, side by side where the grid is large."""
        planes, fixed = self._planes[0], self._coefficients()
        parts = get_threads() if self._size >= SERIAL_BELOW else 1
        if parts == 1:
            return kernel(*fixed, *arguments, 0, planes) or 0.0
        return run_rows(lambda lo, hi: kernel(*fixed, *arguments, lo, hi), planes, parts)

    def _edges(self) -> list[slice]:
        """Planes that must be updated before the ranges of a pass can run side by side; none where it is one range."""
        planes = self._planes[0]
        if self._size < SERIAL_BELOW or get_threads() == 1:
            return []
        bounds = split_rows(planes, get_threads())
        if len(bounds) == 2:
            return []
        size = self._size // planes
        ends = {*bounds[:-1], *(bound - 1 for bound in bounds[1:])}
        return [slice(i * size, (i + 1) * size) for i in sorted(ends)]

    def apply(self, x: NDArray[Any], out: NDArray[Any]) -> None:
        """Set out = A x."""
        x, out = self._view("x", x), self._view("out", out, written=True)
        self._run(self._kernels.apply, x, out)

    def residual(self, b: NDArray[Any], x: NDArray[Any], out: NDArray[Any]) -> float:
        """Set out = b - A x and return ||out||^2; out may be float32 where b and x are float64."""
        low = np.dtype(np.float32)
        b, x, out = self._view("b", b), self._view("x", x), self._view("out", out, self.dtype, low, written=True)
        return self._run(self._kernels.residual, b, x, out)

    def correct(self, x: NDArray[Any], z: NDArray[Any], b: NDArray[Any], r: NDArray[Any]) -> float:
        """Set x += z, then r = b - A x, and return ||r||^2; z and r may be float32 where x and b are float64."""
        low = np.dtype(np.float32)
        x, b = self._view("x", x, written=True), self._view("b", b)
        z, r = self._view("z", z, self.dtype, low), self._view("r", r, z.dtype, written=True)
        for plane in self._edges():
            x[plane] += z[plane]
        return self._run(self._kernels.correct, x, z, b, r)

    def direction(self, r: NDArray[Any], p: NDArray[Any], beta: float) -> float:
        """Set p = r + beta p and return p.T A p: the first pass of a conjugate gradient iteration."""
        r, p = self._view("r", r), self._view("p", p, written=True)
        for plane in self._edges():
            p[plane] *= beta
            p[plane] += r[plane]
        return self._run(self._kernels.direction, r, p, beta)

    def update(self, x: NDArray[Any], r: NDArray[Any], p: NDArray[Any], alpha: float) -> float:
        """Set x += alpha p and r -= alpha A p, and return r.T r: the second pass."""
        x, r, p = self._view("x", x, written=True), self._view("r", r, written=True), self._view("p", p)
        return self._run(self._kernels.update, x, r, p, alpha)

    def matvec(self, x: Array) -> Array:
        """Return A x: SciPy's name for it."""
        return self @ x

    def __matmul__(self, x: Array) -> Array:
        if not isinstance(x, np.ndarray) and is_array_api_obj(x):
            self._check_rows(x)
            if getattr(x, "is_cuda", False) and (cuda := _cuda_products()) is not None and cuda.offers(self, x):
                return cuda.multiply(self, x, self._copies)
            block = x.reshape((*self.grid_shape, -1))
            return self._sliced(block).reshape(tuple(x.shape))
        x = np.asarray(x)
        self._check_rows(x)
        if x.dtype.kind == "c":
            out = np.empty_like(x)
            out.real, out.imag = self @ x.real, self @ x.imag
            return out
        if x.dtype not in _FLOATS:
            x = x.astype(self.dtype)
        if x.dtype != self.dtype:  # as NumPy promotes: the wider of the two
            return self._wide @ x.astype(np.float64)
        if x.ndim == 1:
            out = np.empty_like(x, order="C")
            self.apply(np.ascontiguousarray(x), out)
            return out
        columns = np.ascontiguousarray(x.T)
        product = np.empty_like(columns)
        for column, result in zip(columns, product, strict=True):
            self.apply(column, result)
        return np.ascontiguousarray(product.T)

    def _check_rows(self, x: Array) -> None:
        n = self.shape[0]
        if x.ndim not in (1, 2) or x.shape[0] != n:
            raise ValueError(f"x has shape {tuple(x.shape)}: expected ({n},) or ({n}, k); flatten grids with x.ravel()")
