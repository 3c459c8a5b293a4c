"""Which method fits an operator, and why: the rules behind `solve(..., method="auto")`.

Operators are told apart by what they offer, so that nothing heavy is imported: a separable stencil has `axes`, a
variable one has `upper`, both have `grid_shape`; a matrix has entries (`tocsr`, or it is an array); the rest has only
products.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from conjugo.solvers.operators.protocol import Array, LinearOperator, is_linear, is_symmetric

SMALL = 20_000
"""Unknowns up to which the factors of any sparse matrix are cheap."""
SMALL_GRID = 100_000
"""The same for the factors of an operator on a plane grid, where fill grows slowly."""
SMALL_DENSE = 1_000
"""The same for a dense array, which sparse factors do not suit."""
LARGE = 4_000_000
"""Unknowns above which the transforms of the direct solve leave the caches and multigrid needs fewer bytes."""
SHORTEST_AXIS = 8
"""Unknowns along an axis below which coarsening gains nothing."""


class Choice(NamedTuple):
    """One candidate: a method, the preconditioner to set up for it, and the reason.

    Parameters
    ----------
    method : str
        A key of `conjugo.solvers.methods.METHODS`.
    M : operator, str or None
        A preconditioner or its name.
    why : str
        The reason, a clause.

    Examples
    --------
    >>> from conjugo.solvers.auto import Choice
    >>> Choice("cg", "mic", "A is symmetric").method
    'cg'
    """

    method: str
    M: LinearOperator | str | None
    why: str


def candidates(A: LinearOperator, b: Array, M: LinearOperator | str | None = None) -> list[Choice]:
    """List the methods to try for A x = b, best first.

    Parameters
    ----------
    A : operator
        Anything with `.shape` and `@`.
    b : (n,) or (n, k) array
        Right-hand side; its library matters.
    M : operator or name, optional
        The caller's preconditioner; then only methods that take it are listed.

    Returns
    -------
    list of Choice
        At least one.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.auto import candidates
    >>> [choice.method for choice in candidates(np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones(2))]
    ['splu', 'minres']
    """
    if M is not None:
        return _with_preconditioner(A, M)
    if not isinstance(b, np.ndarray):
        return _on_device(A)
    if hasattr(A, "grid_shape") and np.iscomplexobj(b):
        return _complex_on_grid(A)
    if hasattr(A, "grid_shape") and hasattr(A, "axes"):
        return _separable(A)
    if hasattr(A, "grid_shape") and hasattr(A, "upper"):
        return _variable(A)
    if hasattr(A, "tocsr") or isinstance(A, np.ndarray):
        return _matrix(A, np.iscomplexobj(b))
    return _products_only(A)


def _with_preconditioner(A: LinearOperator, M: LinearOperator | str) -> list[Choice]:
    if not _symmetric(A) or not (isinstance(M, str) or is_symmetric(M)) or M == "ilu":
        return [Choice("fgmres", M, "A or M is not known to be symmetric, so flexible GMRES takes the given M")]
    if not isinstance(M, str) and not is_linear(M):
        return [Choice("fcg", M, "M is not linear, so flexible conjugate gradients")]
    rest = Choice("fgmres", M, "flexible GMRES asks nothing of A and M")
    return [Choice("cg", M, "A and M are symmetric, so conjugate gradients with the given M"), rest]


def _on_device(A: LinearOperator) -> list[Choice]:
    """Another library's vectors: the methods written against the array API."""
    general = Choice("fgmres", None, "flexible GMRES runs on the right-hand side's library and device")
    if not getattr(A, "symmetric", False):
        return [general]
    return [Choice("cg", None, "A is symmetric and conjugate gradients run on the right-hand side's device"), general]


def _complex_on_grid(A: Any) -> list[Choice]:
    """A complex right-hand side: the compiled methods are real."""
    general = Choice("fgmres", "jacobi", "flexible GMRES takes a complex right-hand side")
    if not A.symmetric:
        return [general]
    return [Choice("cg", "jacobi", "A is symmetric and conjugate gradients take a complex right-hand side"), general]


def _separable(A: Any) -> list[Choice]:
    n = A.shape[0]
    if not A.symmetric:
        return _nonsymmetric(n, _small(A))
    direct = Choice("fast_poisson", None, "constant coefficients on a box, so transforms along the axes solve directly")
    if A.shift < 0 and _smallest_eigenvalue(A) < 0:
        return [direct, *_indefinite(n, _small(A))]
    plain = Choice("cg", None, "A is symmetric and positive, so conjugate gradients")
    if n > LARGE and _coarsenable(A):
        why = f"constant coefficients on a box of more than {LARGE} unknowns, where multigrid moves fewer bytes"
        return [Choice("multigrid_cg", None, why), direct]
    return [direct, plain]


def _smallest_eigenvalue(A: Any) -> float:
    """Gershgorin's bound is not enough for a negative shift: ask the axes."""
    from conjugo.solvers.stationary.spectrum import axis_eigenvalues

    return float(A.shift + sum(axis_eigenvalues(axis)[0] for axis in A.axes))


def _variable(A: Any) -> list[Choice]:
    n = A.shape[0]
    if not A.symmetric:
        return _nonsymmetric(n, _small(A))
    if not _weakly_dominant(A):
        return _indefinite(n, _small(A))
    incomplete = Choice("ic0_cg", None, "A is symmetric and dominated by its diagonal, so cg with incomplete Cholesky")
    if not _coarsenable(A):
        return [incomplete, Choice("cg", None, "conjugate gradients without a preconditioner")]
    why = "variable coefficients on a grid, so cg with black-box multigrid"
    return [Choice("multigrid_cg", None, why), incomplete]


def _weakly_dominant(A: Any) -> bool:
    """Whether the diagonal outweighs the couplings (Gershgorin), to rounding: then A is at least semidefinite."""
    outside = np.zeros_like(A.diag)
    for axis, upper in enumerate(A.upper):
        size = np.abs(upper)
        outside += size + np.roll(size, 1, axis)
    return bool(np.all(A.diag >= outside * (1 - 64 * np.finfo(A.diag.dtype).eps)))


def _small(A: Any) -> int:
    """Unknowns up to which factors are cheap: fewer in three dimensions, where they fill in."""
    return SMALL_GRID if len(A.grid_shape) < 3 else SMALL


def _coarsenable(A: Any) -> bool:
    return len(A.grid_shape) > 1 and min(A.grid_shape) >= SHORTEST_AXIS


def _matrix(A: Any, complex_b: bool) -> list[Choice]:
    n = A.shape[0]
    diagonal = np.asarray(A.diagonal())
    if isinstance(A, np.ndarray) and n > SMALL_DENSE:
        return _large_dense(A, diagonal)
    if complex_b or np.iscomplexobj(diagonal):
        return _nonsymmetric(n, SMALL)
    if not _symmetric(A):
        return _nonsymmetric(n, SMALL)
    if not np.all(diagonal > 0):
        return _indefinite(n, SMALL)
    incomplete = Choice("ic0_cg", None, "a symmetric matrix with a positive diagonal, so cg with incomplete Cholesky")
    if n <= SMALL:
        why = f"a symmetric matrix of {n} <= {SMALL} rows, whose factors are cheap"
        return [Choice("splu", None, why), Choice("minres", None, "minres copes with an indefinite or singular A")]
    if find_spec("pyamg") is None:
        return [incomplete, Choice("minres", None, "minres copes with an indefinite A")]
    why = f"a symmetric matrix of {n} rows with a positive diagonal, so cg with algebraic multigrid"
    return [Choice("ruge_stuben", None, why), incomplete]


def _large_dense(A: Any, diagonal: Any) -> list[Choice]:
    general = Choice("fgmres", None, f"a dense array of more than {SMALL_DENSE} rows, so flexible GMRES")
    if not _symmetric(A):
        return [general]
    why = f"a symmetric dense array of more than {SMALL_DENSE} rows"
    indefinite = Choice("minres", None, f"{why}, not known to be definite, so minimal residuals")
    if not np.all(diagonal.real > 0):
        return [indefinite, general]
    return [Choice("cg", "jacobi", f"{why} with a positive diagonal, so conjugate gradients"), indefinite]


def _indefinite(n: int, small: int) -> list[Choice]:
    iteration = Choice("minres", None, "A is symmetric and not known to be definite, so minimal residuals")
    if n > small:
        return [iteration, Choice("fgmres", None, "flexible GMRES asks nothing of A")]
    why = f"A is symmetric, not known to be definite, and has {n} <= {small} rows: sparse factors solve it directly"
    return [Choice("splu", None, why), iteration]


def _nonsymmetric(n: int, small: int) -> list[Choice]:
    why = "A is not symmetric, so GMRES with an incomplete LU factorisation"
    iteration = Choice("fgmres", "ilu", why)
    if n > small:
        return [iteration, Choice("bicgstab", "jacobi", "bicgstab asks nothing of A")]
    return [Choice("splu", None, f"A is not symmetric and has {n} <= {small} rows: sparse factors solve it"), iteration]


def _products_only(A: LinearOperator) -> list[Choice]:
    general = Choice("fgmres", None, "A offers only products and declares no symmetry, so flexible GMRES")
    if not getattr(A, "symmetric", False):
        return [general]
    return [Choice("cg", None, "A offers only products and declares itself symmetric, so conjugate gradients"), general]


def _symmetric(A: Any) -> bool:
    """Whether A declares itself symmetric, or its entries are."""
    declared = getattr(A, "symmetric", None)
    if declared is not None:
        return bool(declared)
    if isinstance(A, np.ndarray):
        scale = float(np.max(np.abs(A), initial=0.0))
        return bool(np.allclose(A, A.T.conj(), rtol=0.0, atol=1e-10 * scale)) if math.isfinite(scale) else False
    if not hasattr(A, "tocsr"):
        return False
    matrix = A.tocsr()
    gap = abs(matrix - matrix.T.conj())
    return gap.nnz == 0 or float(gap.max()) <= 1e-10 * float(abs(matrix).max())
