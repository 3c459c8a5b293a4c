"""A fixed Chebyshev polynomial of A as a preconditioner."""

from __future__ import annotations

import time

from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.preconditioners.diagonal import Diagonal
from conjugo.solvers.stationary.rows import diagonal_of
from conjugo.solvers.stationary.spectrum import jacobi_bounds

SAFETY = 1.1
"""Factor on an estimated upper bound: above it the polynomial may turn negative."""


class ChebyshevPolynomial:
    """z = p(D^-1 A) D^-1 r, the best p of its degree on given bounds; `chebyshev_preconditioner` makes it.

    Parameters
    ----------
    A : operator
        Symmetric positive definite, (n, n).
    inverse : Diagonal
        D^-1.
    degree : int
        Steps, at least 1.
    bounds : (float, float)
        Smallest and largest eigenvalue of D^-1 A.
    setup_seconds : float
        What its making took.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.preconditioners.chebyshev import chebyshev_preconditioner
    >>> M = chebyshev_preconditioner(np.diag([1.0, 2.0]), degree=1, bounds=(0.5, 1.5))
    >>> M @ np.array([1.0, 2.0])
    array([1., 1.])
    """

    linear = True
    symmetric = True

    def __init__(
        self, A: LinearOperator, inverse: Diagonal, degree: int, bounds: tuple[float, float], setup_seconds: float
    ) -> None:
        self._A, self._inverse, self.degree, self.bounds = A, inverse, degree, bounds
        self.shape = tuple(A.shape)
        self.dtype = inverse.dtype
        self.nbytes = inverse.nbytes
        self.setup_seconds = setup_seconds

    def __matmul__(self, r: Array) -> Array:
        smallest, largest = self.bounds
        theta, delta = (largest + smallest) / 2, (largest - smallest) / 2
        rho = delta / theta
        d = (self._inverse @ r) / theta
        z = d
        for _ in range(self.degree - 1):
            rho, before = 1 / (2 * theta / delta - rho), rho
            d = rho * before * d + (2 * rho / delta) * (self._inverse @ (r - self._A @ z))
            z = z + d
        return z


def chebyshev_preconditioner(
    A: LinearOperator, degree: int = 4, *, bounds: tuple[float, float] | None = None
) -> ChebyshevPolynomial:
    """Precondition by `degree` steps of Chebyshev's semi-iteration from a zero guess.

    Parameters
    ----------
    A : (n, n) operator
        Symmetric positive definite; it must know its diagonal.
    degree : int
        Steps, at least 1; `M @ r` costs degree - 1 products with A and no inner product.
    bounds : (float, float), optional
        0 < smallest < largest eigenvalue of D^{-1} A; by default exact or estimated as in `chebyshev`.

    Returns
    -------
    ChebyshevPolynomial
        M with `@` on (n,) and (n, k), NumPy or torch; linear, symmetric, positive definite while no eigenvalue exceeds
        the upper bound by much.

    Raises
    ------
    ValueError
        If degree is less than 1, the bounds are not 0 < smallest < largest, or A is not positive definite.

    Notes
    -----
    I - p(B) B = T_m((theta - B) / delta) / T_m(theta / delta), B = D^{-1} A: a polynomial in A, hence symmetric. It is
    the preconditioner for machines where inner products cost more than matrix products.

    References
    ----------
    Y. Saad, Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM 2003, sec. 12.3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers import cg
    >>> from conjugo.solvers.preconditioners.chebyshev import chebyshev_preconditioner
    >>> A = np.diag(np.full(64, 2.0)) - np.diag(np.ones(63), 1) - np.diag(np.ones(63), -1)
    >>> b = np.ones(64)
    >>> cg(A, b, M=chebyshev_preconditioner(A, 4)).iterations < cg(A, b).iterations
    True
    """
    started = time.perf_counter()
    if degree < 1:
        raise ValueError(f"degree = {degree}: expected at least 1, such as 4")
    diagonal = diagonal_of(A, "chebyshev_preconditioner")
    if bounds is None:
        smallest, largest = jacobi_bounds(A, diagonal, steps=100)
        if not 0 < smallest <= largest:
            raise ValueError(
                f"D^-1 A has eigenvalues from {smallest:.3g} to {largest:.3g}: chebyshev_preconditioner expects a "
                "positive definite A; use minres for a symmetric indefinite A"
            )
        bounds = (min(smallest, largest / 1.01), SAFETY * largest)
    if not 0 < bounds[0] < bounds[1]:
        raise ValueError(
            f"bounds = {bounds}: expected 0 < smallest < largest eigenvalue of D^-1 A, or None to estimate"
        )
    inverse = Diagonal(1 / diagonal)
    return ChebyshevPolynomial(A, inverse, int(degree), bounds, time.perf_counter() - started)
