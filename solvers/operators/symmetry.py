"""A cheap randomised test of symmetry and positivity, for operators that are not stored as a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conjugo.solvers.operators.protocol import LinearOperator, as_operator


@dataclass(frozen=True, slots=True)
class SymmetryReport:
    """What `check_symmetric` measured.

    Parameters
    ----------
    asymmetry : float
        Largest |<A x, y> - <x, A y>| / (||A x|| ||y||); near the rounding unit for a symmetric (Hermitian) A.
    quotient : float
        Smallest Rayleigh quotient <x, A x> / <x, x>; a value <= 0 proves that A is not positive definite.
    asymmetry_of_M, quotient_of_M : float or None
        The same of the preconditioner.
    """

    asymmetry: float
    quotient: float
    asymmetry_of_M: float | None = None  # noqa: N815
    quotient_of_M: float | None = None  # noqa: N815


def check_symmetric(
    A: LinearOperator, M: LinearOperator | None = None, *, seed: int = 0, samples: int = 3
) -> SymmetryReport:
    """Measure with random vectors how far A and M are from symmetric, and whether they look positive.

    Parameters
    ----------
    A, M : operator, (n, n)
        M is optional.
    seed : int
        Of the random vectors.
    samples : int
        Pairs of vectors, each of which costs two products.

    Returns
    -------
    SymmetryReport

    Notes
    -----
    A large asymmetry is a proof; a small one is evidence only. Positivity is tested on `2 samples` vectors, which finds
    an operator with many negative eigenvalues but not one with few.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.operators.symmetry import check_symmetric
    >>> check_symmetric(np.diag([1.0, 2.0])).asymmetry < 1e-15
    True
    >>> check_symmetric(np.array([[1.0, 1.0], [0.0, 1.0]])).asymmetry > 0.01
    True
    """
    if samples < 1:
        raise ValueError(f"samples = {samples}: expected at least 1 pair of vectors")
    of_A = _measure(as_operator(A), seed, samples)
    of_M = (None, None) if M is None else _measure(as_operator(M), seed, samples)
    return SymmetryReport(*of_A, *of_M)


def _measure(A: Any, seed: int, samples: int) -> tuple[float, float]:
    """Largest relative asymmetry and smallest Rayleigh quotient over the samples."""
    rng = np.random.default_rng(seed)
    n = A.shape[0]
    dtype = getattr(A, "dtype", np.dtype(np.float64))
    dtype = dtype if isinstance(dtype, np.dtype) and dtype.kind in "fc" else np.dtype(np.float64)
    asymmetry, quotient = 0.0, np.inf
    for _ in range(samples):
        x, y = rng.standard_normal((2, n)).astype(dtype)
        if dtype.kind == "c":
            x, y = x + 1j * rng.standard_normal(n), y + 1j * rng.standard_normal(n)
        Ax, Ay = np.asarray(A @ x), np.asarray(A @ y)
        scale = float(np.linalg.norm(Ax) * np.linalg.norm(y))
        gap = float(abs(np.vdot(Ax, y) - np.vdot(x, Ay)))
        asymmetry = max(asymmetry, gap / scale if scale > 0 else gap)
        quotients = [float(np.vdot(v, Av).real / np.vdot(v, v).real) for v, Av in ((x, Ax), (y, Ay))]
        quotient = min(quotient, *quotients)
    return asymmetry, quotient
