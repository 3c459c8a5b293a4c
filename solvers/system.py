"""The system that a solver is given: brought to floating arrays, and checked before the first product."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from conjugo.solvers.operators.protocol import Array, LinearOperator


def as_floating(name: str, v: Any, A: LinearOperator) -> Array:
    """Turn lists, matrices and integers into floating arrays at least as precise as A: SciPy's rule.

    Parameters
    ----------
    name : str
        What v is called, for the message.
    v : array, nested list or None
        A vector or a block of them. None and arrays of other libraries pass unchanged.
    A : operator
        Whose `dtype`, if it has one, v is widened to. Precisions beside single and double become double.

    Raises
    ------
    ValueError
        If v does not hold numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.system import as_floating
    >>> as_floating("b", [1, 2], np.eye(2)).dtype, as_floating("b", np.ones(2, np.float32), np.eye(2)).dtype
    (dtype('float64'), dtype('float64'))
    """
    if v is None or (is_array_api_obj(v) and not isinstance(v, np.ndarray)):
        return v
    v = np.asarray(v)
    if v.dtype.kind not in "biufc":
        raise ValueError(f"{name} has dtype {v.dtype}: expected numbers; convert with np.asarray({name}, dtype=float)")
    dtype = v.dtype if v.dtype.kind in "fc" else np.dtype(np.float64)
    of_A = getattr(A, "dtype", None)
    if isinstance(of_A, np.dtype) and of_A.kind in "fc":
        dtype = np.result_type(dtype, of_A)
    if dtype.itemsize > (16 if dtype.kind == "c" else 8) or dtype == np.float16:
        dtype = np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
    return v.astype(dtype, copy=False)


def check_system(A: LinearOperator, b: Array, x0: Array | None) -> None:
    """Reject wrong input before the first product.

    Parameters
    ----------
    A : operator
        Must be square.
    b : (n,) or (n, k) array
        Floating and finite.
    x0 : array or None
        Shaped like b.

    Raises
    ------
    ValueError
        Naming the value, what was expected and the remedy.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.system import check_system
    >>> check_system(np.eye(2), np.ones(3), None)
    Traceback (most recent call last):
    ValueError: b has 3 rows but A is 2 x 2: pass b.reshape(2, ...)
    """
    shape = tuple(getattr(A, "shape", ()))
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"A has shape {shape}: expected a square matrix or operator (n, n)")
    if not hasattr(b, "ndim") or b.ndim not in (1, 2):
        raise ValueError(f"b has {getattr(b, 'ndim', 'no')} dimensions: expected (n,) or (n, k)")
    if b.shape[0] != shape[0]:
        raise ValueError(f"b has {b.shape[0]} rows but A is {shape[0]} x {shape[1]}: pass b.reshape({shape[0]}, ...)")
    xp = array_namespace(b)
    if not xp.isdtype(b.dtype, ("real floating", "complex floating")):
        raise ValueError(f"b has dtype {b.dtype}: expected a floating type; convert with b.astype(float)")
    if x0 is not None and tuple(x0.shape) != tuple(b.shape):
        raise ValueError(f"x0 has shape {tuple(x0.shape)} but b has {tuple(b.shape)}: they must agree")
    if x0 is not None and xp.isdtype(x0.dtype, "complex floating") and not xp.isdtype(b.dtype, "complex floating"):
        raise ValueError(f"x0 has dtype {x0.dtype} but b has {b.dtype}: pass a complex b, or the real part of x0")
    for name, value in (("b", b), ("x0", x0)):
        if value is not None and not bool(xp.all(xp.isfinite(value))):
            raise ValueError(f"{name} holds NaN or infinity: expected finite values; look at how {name} was computed")
