"""A finite element problem: the linear system, and the function space that gives its unknowns a meaning."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.fem.backend import require_dolfinx
from conjugo.pde.problem import LinearProblem


@dataclass(frozen=True, eq=False)
class FemProblem:
    """Forms of -div(k grad u) = f with Dirichlet walls, and the systems assembled from them.

    Parameters
    ----------
    V : dolfinx.fem.FunctionSpace
        Space of the solution.
    a, L : dolfinx.fem.Form
        Compiled bilinear and linear forms.
    bcs : list of dolfinx.fem.DirichletBC
        Dirichlet conditions; their rows and columns become those of the identity, so that A stays symmetric.
    exact : UFL expression, optional
        Exact solution.
    name : str
        Short name.

    Examples
    --------
    >>> from conjugo.pde import fem
    >>> case = fem.poisson("square", 4)
    >>> case.problem.A.shape, case.petsc_matrix().size
    ((25, 25), (25, 25))
    """

    V: Any
    a: Any
    L: Any
    bcs: list[Any]
    exact: Any = None
    name: str = ""

    @property
    def order(self) -> int:
        """Degree of the elements."""
        return int(self.V.ufl_element().degree)

    @cached_property
    def matrix(self) -> Any:
        """The assembled `dolfinx.la.MatrixCSR`."""
        from dolfinx.fem import assemble_matrix

        A = assemble_matrix(self.a, bcs=self.bcs)
        A.scatter_reverse()
        return A

    @cached_property
    def vector(self) -> Any:
        """The assembled `dolfinx.la.Vector`, Dirichlet data moved to the right-hand side."""
        from dolfinx.fem import apply_lifting, assemble_vector
        from dolfinx.la import InsertMode

        b = assemble_vector(self.L)
        apply_lifting(b.array, [self.a], [self.bcs])
        b.scatter_reverse(InsertMode.add)
        for bc in self.bcs:
            bc.set(b.array)
        b.scatter_forward()
        return b

    @cached_property
    def problem(self) -> LinearProblem:
        """The system for any solver: A a `csr_array` that shares `matrix`'s values and column indices, b a NumPy array.

        Raises
        ------
        ValueError
            On more than one process, where no process has all rows: use `petsc_matrix` and `petsc_vector`.
        """
        if self.V.mesh.comm.size > 1:
            raise ValueError(f"the mesh is spread over {self.V.mesh.comm.size} processes: expected one for a CSR "
                             "problem; use petsc_matrix() and petsc_vector(), or pass comm=MPI.COMM_SELF")  # fmt: skip
        view = self.matrix.to_scipy()
        A = sp.csr_array((view.data, view.indices, view.indptr), shape=view.shape)
        exact = None if self.exact is None else self.interpolate(self.exact).x.array
        return LinearProblem(A, self.vector.array, exact, None, self.name)

    def petsc_matrix(self) -> Any:
        """Return A as a PETSc AIJ matrix without a copy.

        Returns
        -------
        petsc4py.PETSc.Mat
            On one process a view of the arrays of `problem.A` (destroy it before them); on several assembled in place
            by PETSc, rows spread as the mesh.

        Raises
        ------
        ImportError
            Without petsc4py.
        """
        try:
            from petsc4py import PETSc
        except ImportError as error:
            raise ImportError(f"PETSc needs petsc4py ({error}): pip install conjugo[fem]") from error
        comm = self.V.mesh.comm
        if comm.size > 1:
            from dolfinx.fem.petsc import assemble_matrix

            A = assemble_matrix(self.a, bcs=self.bcs)
            A.assemble()
        else:
            csr = self.problem.A
            arrays = [np.asarray(part, dtype=PETSc.IntType) for part in (csr.indptr, csr.indices)]
            A = PETSc.Mat().createAIJWithArrays(csr.shape, (*arrays, csr.data), comm=comm)
            A.setAttr("arrays", (*arrays, csr.data))  # as long as the matrix lives
        A.setOption(PETSc.Mat.Option.SPD, True)
        return A

    def petsc_vector(self) -> Any:
        """Return b as a PETSc vector that shares `vector`'s memory."""
        return self.vector.petsc_vec

    def function(self, x: Any) -> Any:
        """Return the finite element function with the coefficients x, to plot or to integrate.

        Parameters
        ----------
        x : (n,) array or PETSc vector
            Coefficients; on several processes those that this one owns.

        Returns
        -------
        dolfinx.fem.Function
            The function.

        Raises
        ------
        ValueError
            If x has another length than the space.
        """
        from dolfinx.fem import Function

        values: NDArray[np.float64] = x.array_r if hasattr(x, "array_r") else np.asarray(x)
        uh = Function(self.V, name="u")
        owned = self.V.dofmap.index_map.size_local
        if values.shape != (owned,):
            raise ValueError(f"x has shape {values.shape}: expected ({owned},), one a degree of freedom")
        uh.x.array[:owned] = values
        uh.x.scatter_forward()
        return uh

    def interpolate(self, expression: Any) -> Any:
        """Interpolate a UFL expression into the space."""
        from dolfinx.fem import Expression, Function

        u = Function(self.V)
        u.interpolate(Expression(expression, self.V.element.interpolation_points))
        return u

    def error(self, x: Any, *, extra_degree: int = 3) -> float:
        """L2 norm of u_h - u over the mesh.

        Parameters
        ----------
        x : (n,) array or PETSc vector
            Coefficients of u_h.
        extra_degree : int
            By how much the quadrature's degree exceeds 2 p: the exact solution is no polynomial.

        Returns
        -------
        float
            The same on all processes.

        Raises
        ------
        ValueError
            If there is no exact solution.
        """
        if self.exact is None:
            raise ValueError(f"problem {self.name!r} has no exact solution: make it with exact=")
        MPI = require_dolfinx()
        import ufl
        from dolfinx.fem import assemble_scalar, form

        dx = ufl.dx(metadata={"quadrature_degree": 2 * self.order + extra_degree})
        squared = form((self.function(x) - self.exact) ** 2 * dx)
        return float(np.sqrt(self.V.mesh.comm.allreduce(assemble_scalar(squared), op=MPI.SUM)))
