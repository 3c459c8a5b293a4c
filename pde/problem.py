"""What is to be solved. A problem does not know how it is solved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.solvers.operators.protocol import Array


@dataclass(frozen=True, slots=True, eq=False)
class LinearProblem:
    """A linear system A x = b from a discretised equation.

    Parameters
    ----------
    A : operator
        Anything with `.shape` and `@` (`LinearOperator`). It may declare `nullspace` (singular problems) and `active`
        (masked grids).
    b : (n,) or (n, k) array
        Right-hand side.
    exact : array, optional
        The exact solution of the differential equation at the unknowns, shaped like b.
    grid : Grid, optional
        Where the unknowns sit; None for unstructured problems.
    name : str
        Short name for tables and plots.
    coefficient : array, optional
        The field that the equation's coefficient was made of, on the nodes with the walls or on the unknowns: what
        a learned operator sees of the problem.

    Examples
    --------
    >>> from conjugo.pde import poisson
    >>> problem = poisson((15, 15), mask="disc", rhs="smooth")
    >>> small = problem.compress()
    >>> problem.n, small.n
    (225, 161)
    >>> problem.expand(small.b).shape
    (225,)
    """

    A: Any
    b: Array
    exact: Array | None = None
    grid: Grid | None = None
    name: str = ""
    coefficient: Array | None = None

    @property
    def n(self) -> int:
        """Number of unknowns, inactive nodes of a mask included."""
        return int(self.b.shape[0])

    @property
    def active(self) -> NDArray[np.bool_] | None:
        """Which unknowns a mask keeps, (n,); None where all are."""
        active: NDArray[np.bool_] | None = getattr(self.A, "active", None)
        return None if active is None else active.ravel()

    @property
    def nullspace(self) -> NDArray[np.float64] | None:
        """Orthonormal columns that A maps to zero, (n, k); None where A is regular."""
        return getattr(self.A, "nullspace", None)

    def error(self, x: Array) -> float:
        """h-weighted L2 norm of x - exact over the active unknowns: sqrt(h^d sum (x - exact)^2).

        Parameters
        ----------
        x : array shaped like b
            A computed solution.

        Returns
        -------
        float
            The error; on a singular problem, of the part orthogonal to the null space (the rest is not determined).

        Raises
        ------
        ValueError
            If the problem has no exact solution, or x has another shape than b.
        """
        if self.exact is None:
            raise ValueError(f"problem {self.name!r} has no exact solution: make it with rhs='exact' or 'discrete'")
        if np.shape(x) != np.shape(self.exact):
            raise ValueError(f"x has shape {np.shape(x)}: expected {np.shape(self.exact)}, as the exact solution")
        difference = np.asarray(x) - np.asarray(self.exact)
        if self.nullspace is not None:
            difference = difference - self.nullspace @ (self.nullspace.T @ difference)
        if self.active is not None:
            difference = difference[self.active]
        volume = self.grid.cell_volume if self.grid is not None else 1.0 / self.n
        return float(np.sqrt(volume * np.sum(np.abs(difference) ** 2)))

    def compress(self) -> LinearProblem:
        """Return the same system on the active unknowns only, with A in CSR: what PyAMG and PETSc should get.

        Returns
        -------
        LinearProblem
            With a `scipy.sparse.csr_array` that carries `nullspace` where the problem is singular. The grid stays
            (it still says how long the sides are), although masked unknowns have left.
        """
        if isinstance(self.A, sp.csr_array):
            return self
        A = self.A.tocsr() if hasattr(self.A, "tocsr") else sp.csr_array(self.A)
        nullspace, active = self.nullspace, self.active
        if active is None:
            return replace(self, A=with_nullspace(A, nullspace))
        exact = None if self.exact is None else self.exact[active]
        nullspace = None if nullspace is None else nullspace[active]
        return replace(self, A=with_nullspace(A[active][:, active], nullspace), b=self.b[active], exact=exact)

    def expand(self, x: Array) -> Array:
        """Put a solution of the compressed system back on the grid, zero at inactive nodes.

        Parameters
        ----------
        x : (active unknowns,) or (active unknowns, k) array
            Solution of `compress()`.

        Returns
        -------
        (n,) or (n, k) array
            The same values on all unknowns.

        Raises
        ------
        ValueError
            If x does not have one row an active unknown.
        """
        active = self.active
        count = self.n if active is None else int(active.sum())
        if x.shape[0] != count:
            raise ValueError(f"x has {x.shape[0]} rows: expected {count}, one an active unknown of {self.name!r}")
        if active is None:
            return x
        full = np.zeros((self.n, *x.shape[1:]), dtype=x.dtype)
        full[active] = x
        return full


def with_nullspace(A: sp.csr_array, nullspace: NDArray[np.float64] | None) -> sp.csr_array:
    """Return A, declaring its null space where there is one.

    Parameters
    ----------
    A : csr_array
        A singular matrix, or a regular one with `nullspace` None.
    nullspace : (n, k) array or None
        Orthonormal columns that A maps to zero.

    Returns
    -------
    csr_array
        The same object; solvers read its attribute `nullspace`.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> A = with_nullspace(sp.csr_array([[1.0, -1.0], [-1.0, 1.0]]), np.full((2, 1), 0.5**0.5))
    >>> A.nullspace.shape
    (2, 1)
    """
    if nullspace is not None:
        A.nullspace = nullspace
    return A
