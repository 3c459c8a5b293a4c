"""Preconditioners of this package in a distributed KSP: additive Schwarz on slabs of a grid, one a process.

from conjugo.solvers.adapters.petsc_slabs import SlabSolver

solver = SlabSolver(problem.A, lambda A: Multigrid(A, symmetric=True))  # on every process of mpiexec
low, high = solver.rows
result = solver.solve(problem.b[low:high], rtol=1e-8)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.adapters.host import to_csr
from conjugo.solvers.adapters.petsc import PetscSolver
from conjugo.solvers.adapters.petsc_objects import load_petsc, parse_options
from conjugo.solvers.operators.protocol import LinearOperator
from conjugo.solvers.operators.separable import SeparableStencil
from conjugo.solvers.operators.variable import VariableStencil

type Factory = Callable[[VariableStencil], LinearOperator]
type Rows = tuple[int, int]

FLEXIBLE = ("fcg", "fgmres", "gcr", "pipefcg", "pipefgmres", "pipegcr")
"""KSP types that allow a preconditioner that is not linear."""


class SlabSchwarz:
    """A preconditioner of all processes: y = sum over them of R^T M R x, R the restriction to a slab and its overlap.

    Its products are collective: each process passes its own rows of x and gets those of y, as PETSc's python PC
    does.

    Parameters
    ----------
    A : VariableStencil
        The whole operator; each process cuts its slab out.
    factory : callable
        Makes the preconditioner of the stencil of a slab: `mic`, `Multigrid`, a network's, anything with `@`.
    comm : mpi4py communicator
        Who shares the work.
    overlap : int
        Planes beyond its own that a slab takes on each side.

    Attributes
    ----------
    shape : (int, int)
        Rows of this process, twice.
    rows, taken : (int, int)
        First row and the row after the last of this process, without and with the overlap.
    M : operator
        What `factory` made here.
    linear, symmetric
        Whether M is, on every process.

    Raises
    ------
    ValueError
        For fewer planes than processes, an overlap below 0, and what the factory refuses, on any process.

    Notes
    -----
    Symmetric where M is. There is no coarse level: the iterations grow with the number of processes.

    References
    ----------
    B. Smith, P. Bjørstad and W. Gropp, *Domain Decomposition* (1996), section 1.3.
    """

    def __init__(self, A: VariableStencil, factory: Factory, comm: Any, overlap: int = 4) -> None:
        self._petsc = petsc = load_petsc()
        if overlap < 0:
            raise ValueError(f"overlap = {overlap}: expected a number of planes of at least 0")
        self.rows = slab_rows(A.grid_shape, comm.rank, comm.size)
        width = A.shape[0] // A.grid_shape[0]
        first, last = self.rows[0] // width, self.rows[1] // width
        planes = max(0, first - overlap), min(A.grid_shape[0], last + overlap)
        self.taken = planes[0] * width, planes[1] * width
        self.shape = (self.rows[1] - self.rows[0],) * 2
        self.M = _made(factory, slab_of(A, *planes), comm)
        self.linear = all(comm.allgather(bool(getattr(self.M, "linear", True))))
        self.symmetric = all(comm.allgather(bool(getattr(self.M, "symmetric", True))))
        self._x = petsc.Vec().createMPI((self.shape[0], A.shape[0]), comm=comm)
        self._y = self._x.duplicate()
        count = self.taken[1] - self.taken[0]
        self._part = petsc.Vec().createSeq(count)
        places = petsc.IS().createStride(count, self.taken[0], 1, petsc.COMM_SELF)
        self._scatter = petsc.Scatter().create(self._x, places, self._part, None)
        places.destroy()

    def __matmul__(self, r: NDArray[Any]) -> NDArray[Any]:
        insert, add = self._petsc.InsertMode.INSERT_VALUES, self._petsc.InsertMode.ADD_VALUES
        self._x.setArray(r)
        self._scatter.scatter(self._x, self._part, addv=insert, mode=self._petsc.ScatterMode.FORWARD)
        self._part.setArray(np.asarray(self.M @ self._part.getArray().copy()))
        self._y.set(0.0)
        self._scatter.scatter(self._part, self._y, addv=add, mode=self._petsc.ScatterMode.REVERSE)
        result: NDArray[Any] = self._y.getArray().copy()
        return result

    def destroy(self) -> None:
        """Free PETSc's memory, on all processes."""
        for thing in (self._scatter, self._part, self._x, self._y):
            thing.destroy()


class SlabSolver(PetscSolver):
    """A distributed KSP for a stencil: each process has a slab of planes, and a preconditioner of ours for it.

    The vectors, the matrix of the KSP, its products and the preconditioner are distributed. The stencil A is not: it is
    given whole on every process, which bounds the size of the problem by the memory of one.

    Parameters
    ----------
    A : VariableStencil or SeparableStencil
        The same on every process; not periodic along the first axis where there are several.
    factory : callable
        Makes the preconditioner of a slab's stencil; see `SlabSchwarz`.
    comm : mpi4py communicator, optional
        Default MPI.COMM_WORLD.
    options : str or mapping
        PETSc's own; an M that is not linear needs "-ksp_type fcg", the default, or another flexible type.
    overlap : int
        Planes beyond its own that a slab takes on each side.

    Attributes
    ----------
    rows : (int, int)
        First row and the row after the last of b and x that this process holds.
    schwarz : SlabSchwarz
        The preconditioner.

    Raises
    ------
    ValueError
        For an M that is not linear (on any process) under a KSP that needs one, for other operators than stencils, and
        for more processes than planes.

    Examples
    --------
    >>> from conjugo.pde import pressure
    >>> from conjugo.solvers import mic
    >>> problem = pressure("tank", (24, 24))
    >>> solver = SlabSolver(problem.A, mic)  # one process: the slab is the whole grid
    >>> low, high = solver.rows
    >>> solver.solve(problem.b[low:high], rtol=1e-8).converged
    True
    >>> solver.destroy()
    """

    def __init__(
        self,
        A: VariableStencil | SeparableStencil,
        factory: Factory,
        comm: Any = None,
        *,
        options: str | Mapping[str, Any] = "-ksp_type fcg",
        overlap: int = 4,
    ) -> None:
        petsc = load_petsc()
        if comm is None:
            from mpi4py import MPI

            comm = MPI.COMM_WORLD
        wanted = {"ksp_type": "fcg", **parse_options(options)}
        whole = as_variable(A)
        if comm.size > 1 and whole.periodic[0]:
            raise ValueError("A is periodic along its first axis: expected a chain of slabs; turn the grid so that "
                             "another axis comes first")  # fmt: skip
        started = time.perf_counter()
        self.schwarz = SlabSchwarz(whole, factory, comm, overlap)
        self.rows = self.schwarz.rows
        if not self.schwarz.linear and wanted["ksp_type"] not in FLEXIBLE:
            raise ValueError(f"M is not linear but the KSP is {wanted['ksp_type']}: expected one of "
                             f"{', '.join(FLEXIBLE)}; use options='-ksp_type fcg'")  # fmt: skip
        super().__init__(distributed(petsc, whole, self.rows, comm), wanted, M=self.schwarz)
        self.setup_seconds = time.perf_counter() - started

    def destroy(self) -> None:
        """Free PETSc's memory; call it on all processes."""
        super().destroy()
        self.schwarz.destroy()
        self.mat.destroy()


def slab_rows(shape: tuple[int, ...], rank: int, size: int) -> Rows:
    """Return the rows of a process: whole planes across the first axis, as evenly as they go.

    Raises
    ------
    ValueError
        For fewer planes than processes.

    Examples
    --------
    >>> [slab_rows((7, 10), rank, 2) for rank in range(2)]
    [(0, 30), (30, 70)]
    """
    if shape[0] < size:
        raise ValueError(f"the grid has {shape[0]} planes for {size} processes: expected at least one each")
    width = int(np.prod(shape[1:]))
    return shape[0] * rank // size * width, shape[0] * (rank + 1) // size * width


def slab_of(A: VariableStencil, first: int, last: int) -> VariableStencil:
    """Return the diagonal block of the planes from `first` up to `last`: what crosses their ends is cut off.

    Null vectors of A that live inside the slab stay null vectors of it.

    Examples
    --------
    >>> A = VariableStencil(np.full(4, 2.0), [np.array([-1.0, -1.0, -1.0, 0.0])])
    >>> slab_of(A, 1, 3).tocsr().toarray()
    array([[ 2., -1.],
           [-1.,  2.]])
    """
    if (first, last) == (0, A.grid_shape[0]):
        return A
    keep = slice(first, last)
    upper, lower = (
        None if part is None else [np.array(part[axis][keep]) for axis in range(len(part))]
        for part in (A.upper, A.lower)
    )
    assert upper is not None
    upper[0][-1] = 0.0
    if lower is not None:
        lower[0][0] = 0.0
    active = None if A.active is None else A.active[keep]
    return VariableStencil(A.diag[keep], upper, lower, active=active, nullspace=_null_inside(A, first, last))


def as_variable(A: Any) -> VariableStencil:
    """Return a stencil as one with a coupling an axis at every node."""
    if isinstance(A, VariableStencil):
        return A
    if isinstance(A, SeparableStencil):
        return _from_separable(A)
    raise ValueError(f"A is a {type(A).__name__}: expected one of our stencils, which have planes; for others use "
                     "PetscSolver with a distributed Mat and a local M")  # fmt: skip


def _from_separable(A: SeparableStencil) -> VariableStencil:
    """Write out the entries of a sum over axes."""
    d = len(A.axes)
    W = reduce(np.multiply.outer, [axis.weight for axis in A.axes])
    diag = W * (reduce(np.add.outer, [axis.diag for axis in A.axes]) + A.shift)
    sides = [[W * getattr(axis, name).reshape([-1 if a == b else 1 for b in range(d)]) for a, axis in enumerate(A.axes)]
             for name in ("upper", "lower")]  # fmt: skip
    return VariableStencil(diag, sides[0], None if A.symmetric else sides[1], nullspace=A.nullspace)


def _made(factory: Factory, slab: VariableStencil, comm: Any) -> LinearOperator:
    """Call the factory; what one process cannot do, none does, or the others would wait for it for ever."""
    M, trouble = None, ""
    try:
        M = factory(slab)
    except Exception as error:
        trouble = f"the preconditioner of the planes of process {comm.rank} failed: {error}"
    failed = [text for text in comm.allgather(trouble) if text]
    if failed or M is None:
        raise ValueError(failed[0] if failed else "the factory returned None: expected an operator")
    return M


def distributed(petsc: Any, A: VariableStencil, rows: Rows, comm: Any) -> Any:
    """Return A as a PETSc Mat of which this process holds some rows, with its null space."""
    local = to_csr(A)[rows[0] : rows[1]]
    size = (rows[1] - rows[0], A.shape[0])
    csr = (local.indptr.astype(petsc.IntType), local.indices.astype(petsc.IntType), local.data.astype(petsc.ScalarType))
    mat = petsc.Mat().createAIJ((size, size), csr=csr, comm=comm)
    if A.nullspace is not None:
        vectors = []
        for column in np.asarray(A.nullspace).T:
            vector = mat.createVecRight()
            vector.setArray(column[rows[0] : rows[1]])
            vectors.append(vector)
        mat.setNullSpace(petsc.NullSpace().create(constant=False, vectors=vectors, comm=comm))
    return mat


def _null_inside(A: VariableStencil, first: int, last: int) -> NDArray[np.float64] | None:
    """The null vectors of A whose support lies inside some planes."""
    if A.nullspace is None:
        return None
    width = A.shape[0] // A.grid_shape[0]
    N = np.asarray(A.nullspace)
    beyond = np.abs(N[: first * width]).sum(axis=0) + np.abs(N[last * width :]).sum(axis=0)
    inside = N[first * width : last * width, beyond == 0]
    return inside if inside.shape[1] else None
