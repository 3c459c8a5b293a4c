"""PETSc objects made from this package's: options, matrices, null spaces, a preconditioner."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numpy as np

from conjugo.solvers.adapters.host import to_csr, to_numpy
from conjugo.solvers.operators.protocol import LinearOperator

_numbers = count()


def load_petsc() -> Any:
    """Import petsc4py.PETSc, after MPI, without its signal handlers.

    Raises
    ------
    ImportError
        Where PETSc or MPI is not installed.
    """
    try:
        from mpi4py import MPI  # noqa: F401 -- loads libmpi, which petsc4py then finds

        import petsc4py

        petsc4py.init(["conjugo", "-no_signal_handler"])  # no effect where PETSc runs already
        from petsc4py import PETSc
    except ImportError as error:
        raise ImportError("PETSc's solvers need petsc4py and mpi4py: pip install conjugo[fem]") from error
    return PETSc


def parse_options(options: str | Mapping[str, Any]) -> dict[str, str | None]:
    """Split PETSc options into names without the dash and values (None for a flag).

    Examples
    --------
    >>> from conjugo.solvers.adapters.petsc_objects import parse_options
    >>> parse_options("-ksp_type cg -pc_type gamg -pc_gamg_threshold -1 -ksp_view")
    {'ksp_type': 'cg', 'pc_type': 'gamg', 'pc_gamg_threshold': '-1', 'ksp_view': None}
    """
    if not isinstance(options, str):
        return {key.lstrip("-"): None if value is None else str(value) for key, value in options.items()}
    found: dict[str, str | None] = {}
    name = ""
    for word in shlex.split(options):
        if word.startswith("-") and len(word) > 1 and word[1].isalpha():
            name = word[1:]
            found[name] = None
        elif name and found[name] is None:
            found[name] = word
        else:
            raise ValueError(f"options = {options!r}: expected '-name value' pairs, but {word!r} has no name before it")
    return found


@contextmanager
def database(petsc: Any, options: Mapping[str, str | None]) -> Iterator[str]:
    """Put options into PETSc's global database under a prefix of their own, and take them out afterwards."""
    prefix = f"conjugo{next(_numbers)}_"
    base = petsc.Options()
    for name, value in options.items():
        base.setValue(prefix + name, "" if value is None else value)
    try:
        yield prefix
    finally:
        for name in options:
            base.delValue(prefix + name)


class _Product:
    """Python context of a matrix-free Mat, and of a PC: y = operator @ x."""

    def __init__(self, operator: LinearOperator) -> None:
        self.operator = operator

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """PETSc's MatMult."""
        y.setArray(np.asarray(self.operator @ x.getArray(readonly=True)))

    def apply(self, pc: Any, x: Any, y: Any) -> None:
        """PETSc's PCApply."""
        y.setArray(np.asarray(self.operator @ x.getArray(readonly=True)))


def as_mat(petsc: Any, A: Any, *, matrix_free: bool) -> tuple[Any, Any]:
    """Return A as a PETSc Mat and what must live as long as it does.

    A Mat passes unchanged; the arrays of a float64 CSR matrix with 32-bit indices are shared, not copied.
    """
    if isinstance(A, petsc.Mat):
        return A, None
    n = int(A.shape[0])
    assembled = hasattr(A, "tocsr") or isinstance(A, np.ndarray) or hasattr(A, "to_dense")
    if matrix_free or not assembled:
        context = _Product(A)
        mat = petsc.Mat().createPython([n, n], context, comm=petsc.COMM_SELF)
        mat.setUp()
        keep: Any = context
    else:
        csr = to_csr(A)
        if np.iscomplexobj(csr.data) and not np.issubdtype(petsc.ScalarType, np.complexfloating):
            raise ValueError("A is complex but this PETSc is built for real numbers: use minres, cg or fgmres")
        parts = (csr.indptr, csr.indices, csr.data)
        kinds = (petsc.IntType, petsc.IntType, petsc.ScalarType)
        keep = tuple(np.ascontiguousarray(part, dtype=kind) for part, kind in zip(parts, kinds, strict=True))
        mat = petsc.Mat().createAIJWithArrays([n, n], keep, comm=petsc.COMM_SELF)
    null = getattr(A, "nullspace", None)
    if null is not None:
        _attach_nullspace(petsc, mat, np.asarray(to_numpy(null)).reshape(n, -1))
    return mat, keep


def _attach_nullspace(petsc: Any, mat: Any, basis: Any) -> None:
    vectors = []
    for column in basis.T:
        vector = mat.createVecRight()
        vector.setArray(column)
        vectors.append(vector)
    space = petsc.NullSpace().create(constant=False, vectors=vectors, comm=mat.getComm())
    mat.setNullSpace(space)


def make_ksp(
    petsc: Any, mat: Any, options: Mapping[str, str | None], M: LinearOperator | None
) -> tuple[Any, list[str]]:
    """Set up a KSP that stops on the unpreconditioned norm where its type can; name the options that nothing read.

    Raises
    ------
    ValueError
        Where PETSc refuses the options.
    """
    wanted = dict(options)
    if "ksp_norm_type" not in wanted:
        wanted["ksp_norm_type"] = "unpreconditioned"
    for attempt in (wanted, dict(options)):  # some types have one norm only, preonly none
        ksp = petsc.KSP().create(comm=mat.getComm())
        ksp.setOperators(mat)
        if M is not None:
            ksp.getPC().setType(petsc.PC.Type.PYTHON)
            ksp.getPC().setPythonContext(_Product(M))
        with database(petsc, attempt) as prefix:
            ksp.setOptionsPrefix(prefix)
            try:
                ksp.setFromOptions()
                ksp.setUp()
                ksp.setUpOnBlocks()
            except petsc.Error as error:
                ksp.destroy()
                if attempt == dict(options):
                    cause = str(error).splitlines()[-1].removeprefix("[0] ")
                    raise ValueError(f"PETSc refuses the options {dict(options)}: {cause}") from error
                continue
            base = petsc.Options()
            return ksp, [name for name in options if not base.used(prefix + name)]
    raise AssertionError("unreachable")


def status_of(petsc: Any, reason: int) -> tuple[str, str]:
    """Map a KSPConvergedReason below zero to the name of a Status, and PETSc's own name."""
    names = {value: name for name, value in vars(petsc.KSP.ConvergedReason).items() if isinstance(value, int)}
    return _STATUS.get(reason, "BREAKDOWN"), names.get(reason, str(reason))


_STATUS = {-3: "MAX_ITERATIONS", -4: "BREAKDOWN", -8: "INDEFINITE", -9: "NONFINITE", -10: "INDEFINITE"}
"""Reasons that are no breakdown: DIVERGED_ITS, DTOL, INDEFINITE_PC, NANORINF, INDEFINITE_MAT."""
