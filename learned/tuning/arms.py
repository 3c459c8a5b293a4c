"""What a tuned solver chooses from: methods with their parameters, ours, SciPy's and PETSc's."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conjugo.solvers.result import SolveResult, Status

type Method = Callable[..., Any]
"""method(A, b, x0, rtol=, atol=, maxiter=, **parameters) -> SolveResult, or SciPy's pair (x, info)."""
type Values = Sequence[Any] | np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to solve a system: a method with fixed parameters.

    Parameters
    ----------
    name : str
        Name of the method; candidates of one name share what is learned.
    method : callable
        method(A, b, x0, rtol=, atol=, maxiter=, **parameters).
    parameters : mapping
        What is tuned, by name.
    factory : callable, optional
        M = factory(A, **parameters); the method is then called with M=M and without the parameters.
    every : int
        Systems in a row that one M serves.

    Examples
    --------
    >>> from conjugo.solvers import ssor_cg
    >>> Candidate("ssor cg", ssor_cg, {"omega": 1.5}).label
    'ssor cg omega=1.5'
    """

    name: str
    method: Method
    parameters: Mapping[str, Any] = field(default_factory=dict)
    factory: Callable[..., Any] | None = None
    every: int = 1

    @property
    def label(self) -> str:
        """Name and parameters."""
        parts = [f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
                 for key, value in self.parameters.items()]  # fmt: skip
        return " ".join([self.name, *parts])

    def place(self) -> list[float]:
        """Parameters on scales on which costs are smooth: -log(2 - omega), log10 of anything else that is positive."""
        return [_smooth(key, value) for key, value in self.parameters.items()]

    def run(self, A: Any, b: Any, x0: Any, M: Any, **options: Any) -> SolveResult:
        """Solve; a method that raises is a failed solve.

        Parameters
        ----------
        A, b, x0
            The system.
        M : object
            What the factory made.
        options : dict
            rtol, atol and maxiter.
        """
        started = time.perf_counter()
        arguments = {"M": M} if self.factory is not None else self.parameters
        found = self.method(A, b, x0, **options, **arguments)
        if isinstance(found, SolveResult):
            return found
        return self.judged(A, b, found, options, time.perf_counter() - started)

    def judged(
        self, A: Any, b: Any, found: tuple[Any, int], options: Mapping[str, Any], seconds: float = 0.0
    ) -> SolveResult:
        """Make a result from SciPy's pair (x, info), by the true residual.

        Parameters
        ----------
        A, b
            The system.
        found : (x, info)
            What the method returned.
        options : mapping
            With rtol and atol.
        seconds : float
            What it took.
        """
        x, info = found
        size = float(np.linalg.norm(b))
        residual = float(np.linalg.norm(b - A @ x))
        met = residual <= max(options["rtol"] * size, options["atol"]) * (1 + 1e-12)
        details = {"info": int(info), "note": "" if met else f"SciPy's info is {info}"}
        status = Status.CONVERGED if met else Status.MAX_ITERATIONS
        return SolveResult(x, status, np.array([size, residual]), seconds, self.label, details)


def sweep(
    name: str, method: Method, *, factory: Callable[..., Any] | None = None, every: int = 1, **values: Values
) -> list[Candidate]:
    """Make a candidate for every combination of parameters.

    Parameters
    ----------
    name : str
        Name of the method.
    method : callable
        One of this package's, or any function with SciPy's signature.
    factory : callable, optional
        Of a preconditioner, to which the parameters go.
    every : int
        Systems in a row that one preconditioner serves.
    values : sequences
        Values of each parameter.

    Returns
    -------
    list of Candidate

    Raises
    ------
    ValueError
        If a parameter has no values.

    Examples
    --------
    >>> from conjugo.learned.tuning import sweep
    >>> from conjugo.solvers import cg, mic, ssor_cg
    >>> len(sweep("ssor cg", ssor_cg, omega=[1.0, 1.5, 1.8])), len(sweep("cg", cg))
    (3, 1)
    >>> [arm.label for arm in sweep("cg + mic", cg, factory=mic, relaxation=[0.97, 1.0], every=10)]
    ['cg + mic relaxation=0.97', 'cg + mic relaxation=1']
    """
    if not isinstance(every, int) or every < 1:
        raise ValueError(f"every = {every!r}: expected the number of systems that one preconditioner serves")
    lists = {}
    for key, items in values.items():
        lists[key] = [item.item() if isinstance(item, np.generic) else item for item in items]
        if not lists[key]:
            raise ValueError(f"{key} has no values: expected a sequence of them for {name!r}")
    return [
        Candidate(name, method, dict(zip(lists, combination, strict=True)), factory, every)
        for combination in itertools.product(*lists.values())
    ]


def petsc_sweep(name: str, options: str, *, every: int | Sequence[int] = 1, **values: Values) -> list[Candidate]:
    """Make candidates from PETSc options.

    Parameters
    ----------
    name : str
        Name of the method.
    options : str
        Options that all share, such as "-ksp_type cg -pc_type gamg".
    every : int or sequence of int
        Systems in a row that one set-up of the preconditioner serves; with several, that is tuned as well.
    values : sequences
        Values of further options, by their names without the dash.

    Returns
    -------
    list of Candidate
        They take sparse arrays, and PETSc's own Mat and Vec.

    Examples
    --------
    >>> from conjugo.learned.tuning import petsc_sweep
    >>> arms = petsc_sweep("gamg", "-ksp_type cg -pc_type gamg", pc_gamg_threshold=[0.0, 0.02], every=[1, 20])
    >>> arms[3].label
    'gamg pc_gamg_threshold=0.02 every=20'
    """
    several = [every] if isinstance(every, int) else list(every)
    result = []
    for candidate in sweep(name, _solve_by_ksp, factory=None, every=1, **values):
        for count in several:
            text = " ".join([options, *(f"-{key} {value}" for key, value in candidate.parameters.items())])
            parameters = dict(candidate.parameters) | ({"every": count} if len(several) > 1 else {})
            result.append(Candidate(name, _solve_by_ksp, parameters, PetscArm(text), count))
    return result


class PetscArm:
    """A KSP of one set of options: made once, its preconditioner set up again when called.

    Parameters
    ----------
    options : str
        PETSc's.
    """

    def __init__(self, options: str) -> None:
        self.options = options
        self.solver: Any = None

    def __call__(self, A: Any, **parameters: Any) -> Any:
        """Return a solver whose preconditioner is that of A as it is now, and stays so."""
        from conjugo.solvers.adapters.petsc import PetscSolver

        if self.solver is not None and self.solver.A is A and hasattr(A, "getSize"):
            self.solver.ksp.getPC().setReusePreconditioner(False)
            self.solver.ksp.setOperators(A)
            self.solver.ksp.setUp()
        else:
            if self.solver is not None:
                self.solver.destroy()
            self.solver = PetscSolver(A, self.options)
        self.solver.ksp.getPC().setReusePreconditioner(True)
        return self.solver


def _solve_by_ksp(A: Any, b: Any, x0: Any = None, *, M: Any, **options: Any) -> SolveResult:
    """Solve with the preconditioner that a PetscArm keeps, for the A of this step."""
    if M.A is not A:
        from conjugo.solvers.adapters.petsc_objects import as_mat, load_petsc

        M.A = A
        M.mat, M._keep = as_mat(load_petsc(), A, matrix_free=False)
        M.ksp.setOperators(M.mat)
    return M.solve(b, x0, **options)  # type: ignore[no-any-return]


def find(candidates: Sequence[Candidate], wanted: int | str) -> int:
    """Return the index of a candidate, given that or its label.

    Examples
    --------
    >>> from conjugo.solvers import ssor_cg
    >>> find(sweep("ssor", ssor_cg, omega=[1.0, 1.5]), "ssor omega=1.5")
    1
    """
    labels = [candidate.label for candidate in candidates]
    if isinstance(wanted, str):
        if wanted not in labels:
            raise ValueError(f"default = {wanted!r}: expected one of {', '.join(labels)}")
        return labels.index(wanted)
    if not 0 <= wanted < len(labels):
        raise ValueError(f"default = {wanted}: expected an index from 0 to {len(labels) - 1}, or a label")
    return int(wanted)


def places_of(candidates: Sequence[Candidate]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Parameters of all candidates on their scales, (candidates, most parameters); methods with fewer have zeros.

    Examples
    --------
    >>> from conjugo.solvers import cg, ssor_cg
    >>> places_of([*sweep("cg", cg), *sweep("ssor", ssor_cg, omega=[1.0])]).tolist()
    [[0.0], [-0.0]]
    """
    places = [candidate.place() for candidate in candidates]
    width = max(1, *(len(place) for place in places))
    return np.array([place + [0.0] * (width - len(place)) for place in places])


def shape_of(A: Any) -> tuple[int, ...]:
    """Rows and columns of an operator or a PETSc Mat.

    Examples
    --------
    >>> shape_of(np.eye(2))
    (2, 2)
    """
    return tuple(A.getSize()) if hasattr(A, "getSize") else tuple(A.shape)


def _smooth(key: str, value: Any) -> float:
    """A parameter on a scale on which costs are smooth."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return float(sum(ord(letter) * 31**k for k, letter in enumerate(str(value)[:8])))
    if "omega" in key and 0 < value < 2:
        return -math.log(2.0 - value)
    return math.log10(value) if value > 0 and ("every" in key or "tol" in key) else float(value)
