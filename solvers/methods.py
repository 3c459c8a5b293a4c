"""The table of methods and preconditioners by name, for `solve` and the command line; imports wait for their use."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from conjugo.solvers.operators.protocol import Array, LinearOperator
from conjugo.solvers.result import SolveResult


class Method(NamedTuple):
    """Where a method lives and how it is called.

    Parameters
    ----------
    home, name : str
        Module, relative to `conjugo.solvers`, and what to take from it.
    kind : str
        How it is called.
    description : str
        One line.
    settings : mapping
        Keywords for the set-up.

    Notes
    -----
    A "function" is called with the system; a "factory" sets up an object with `.solve(b)`; a "preconditioner" is set
    up and handed to cg.

    Examples
    --------
    >>> from conjugo.solvers.methods import METHODS
    >>> METHODS["sor"].kind
    'function'
    """

    home: str
    name: str
    kind: Literal["function", "factory", "preconditioner"]
    description: str
    settings: Mapping[str, Any] = MappingProxyType({})


METHODS: dict[str, Method] = {
    "cg": Method("krylov.cg", "cg", "function", "conjugate gradients, symmetric positive definite"),
    "fcg": Method("krylov.fcg", "fcg", "function", "flexible conjugate gradients, for any M"),
    "minres": Method("krylov.minres", "minres", "function", "minimal residuals, symmetric indefinite or singular"),
    "fgmres": Method("krylov.fgmres", "fgmres", "function", "flexible GMRES, any A and any M"),
    "deflated_cg": Method("krylov.deflated", "deflated_cg", "function", "conjugate gradients, a subspace W deflated"),
    "gmres": Method("adapters.scipy", "gmres", "function", "restarted GMRES (SciPy), any A"),
    "bicgstab": Method("adapters.scipy", "bicgstab", "function", "stabilised biconjugate gradients (SciPy), any A"),
    "lgmres": Method("adapters.scipy", "lgmres", "function", "GMRES with augmented restarts (SciPy), any A"),
    "gcrotmk": Method("adapters.scipy", "gcrotmk", "function", "GCROT with a truncated recycle space (SciPy), any A"),
    "jacobi_iteration": Method("stationary.jacobi", "jacobi_iteration", "function", "Jacobi's iteration, damped"),
    "gauss_seidel": Method("stationary.gauss_seidel", "gauss_seidel", "function", "Gauss-Seidel sweeps"),
    "sor": Method("stationary.sor", "sor", "function", "successive over-relaxation, omega by Young's formula"),
    "ssor_iteration": Method("stationary.ssor", "ssor_iteration", "function", "symmetric successive over-relaxation"),
    "red_black_sor": Method("stationary.red_black", "red_black_sor", "function", "over-relaxation by colours"),
    "chebyshev": Method("stationary.chebyshev", "chebyshev", "function", "semi-iteration without inner products"),
    "ssor_cg": Method("preconditioners.ssor", "ssor", "preconditioner", "cg with the SSOR preconditioner"),
    "ic0_cg": Method("preconditioners.incomplete", "ic0", "preconditioner", "cg with incomplete Cholesky"),
    "mic_cg": Method("preconditioners.incomplete", "mic", "preconditioner", "cg with modified incomplete Cholesky"),
    "multigrid": Method("multigrid.multigrid", "Multigrid", "factory", "multigrid cycles, stencils"),
    "multigrid_cg": Method(
        "multigrid.multigrid", "Multigrid", "preconditioner", "cg with a multigrid cycle, stencils", {"symmetric": True}
    ),
    "full_multigrid": Method("multigrid.fmg", "full_multigrid", "function", "multigrid to the discretisation error"),
    "fast_poisson": Method("direct.fast_poisson", "fast_poisson", "function", "direct, by transforms, boxes"),
    "splu": Method("adapters.direct", "splu", "factory", "sparse LU factors (SuperLU), any A with entries"),
    "ruge_stuben": Method("adapters.pyamg", "ruge_stuben", "factory", "cg with classical algebraic multigrid (PyAMG)"),
    "smoothed_aggregation": Method(
        "adapters.pyamg", "smoothed_aggregation", "factory", "cg with smoothed aggregation (PyAMG)"
    ),
    "petsc": Method("adapters.petsc", "petsc", "function", "any KSP and PC of PETSc, by its options"),
}  # fmt: skip
"""Every method that `solve` knows by name."""

PRECONDITIONERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jacobi": ("preconditioners.jacobi", "jacobi", {}),
    "ssor": ("preconditioners.ssor", "ssor", {}),
    "ic0": ("preconditioners.incomplete", "ic0", {}),
    "mic": ("preconditioners.incomplete", "mic", {}),
    "ilu": ("preconditioners.incomplete_lu", "incomplete_lu", {}),
    "chebyshev": ("preconditioners.chebyshev", "chebyshev_preconditioner", {}),
    "multigrid": ("multigrid.multigrid", "Multigrid", {"symmetric": True}),
    "splu": ("adapters.direct", "splu", {}),
    "ruge_stuben": ("adapters.pyamg", "ruge_stuben", {}),
    "smoothed_aggregation": ("adapters.pyamg", "smoothed_aggregation", {}),
}
"""Preconditioners that `solve` sets up from a name, M="mic"."""


def describe_methods() -> list[tuple[str, str]]:
    """Names and one-line descriptions of all methods, "auto" first.

    Returns
    -------
    list of (str, str)

    Examples
    --------
    >>> from conjugo.solvers.methods import describe_methods
    >>> describe_methods()[1]
    ('cg', 'conjugate gradients, symmetric positive definite')
    """
    automatic = ("auto", "what fits the operator, and why")
    return [automatic, *((name, method.description) for name, method in METHODS.items())]


def find(home: str, name: str) -> Any:
    """Import `name` from its home in this package.

    Parameters
    ----------
    home : str
        Module, relative to `conjugo.solvers`.
    name : str
        What to take from it.

    Examples
    --------
    >>> from conjugo.solvers.methods import find
    >>> find("result", "Status").CONVERGED.value
    'converged'
    """
    return getattr(import_module(f"conjugo.solvers.{home}"), name)


def make_preconditioner(A: LinearOperator, M: LinearOperator | str | None) -> LinearOperator | None:
    """Set M up where it is a name.

    Parameters
    ----------
    A : operator
        The matrix.
    M : operator, str or None
        Anything but a name passes unchanged.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.methods import make_preconditioner
    >>> make_preconditioner(np.diag([2.0, 4.0]), "jacobi") @ np.ones(2)
    array([0.5 , 0.25])
    """
    if not isinstance(M, str):
        return M
    if M not in PRECONDITIONERS:
        raise ValueError(f"M = {M!r}: expected an operator or one of {', '.join(PRECONDITIONERS)}")
    home, name, settings = PRECONDITIONERS[M]
    return find(home, name)(A, **settings)  # type: ignore[no-any-return]


def run(
    name: str,
    A: LinearOperator,
    b: Array,
    x0: Array | None,
    M: LinearOperator | str | None,
    rule: dict[str, Any],
    options: dict[str, Any],
) -> SolveResult:
    """Call one method of the table; `rule` holds rtol, atol, maxiter and callback.

    Parameters
    ----------
    name : str
        A key of METHODS.
    A, b, x0
        The system.
    M : operator, str or None
        Preconditioner or its name.
    rule : dict
        The shared vocabulary: rtol, atol, maxiter, callback.
    options : dict
        The method's own.

    Raises
    ------
    ValueError
        For an unknown name, or an M that the method has no place for.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.methods import run
    >>> rule = {"rtol": 1e-5, "atol": 0.0, "maxiter": None, "callback": None}
    >>> run("cg", np.diag([1.0, 2.0]), np.ones(2), None, "jacobi", rule, {}).iterations
    1
    """
    if name not in METHODS:
        raise ValueError(f"method = {name!r}: expected one of auto, {', '.join(METHODS)}")
    method = METHODS[name]
    target = find(method.home, method.name)
    if method.kind == "preconditioner":
        _refuse(name, M)
        ready = target(A, **{**method.settings, **options})
        result = find("krylov.cg", "cg")(A, b, x0, M=ready, **rule)
        return with_setup(replace(result, method=name), ready)
    if method.kind == "factory":
        _refuse(name, M)
        ready = target(A, **{**method.settings, **options})
        return with_setup(ready.solve(b, x0, **rule), ready)
    return _call(name, target, A, b, x0, M, {**rule, **options})


def _call(
    name: str,
    target: Any,
    A: LinearOperator,
    b: Array,
    x0: Array | None,
    M: LinearOperator | str | None,
    given: dict[str, Any],
) -> SolveResult:
    """Call a function with the part of the shared vocabulary that it takes: a direct method has no maxiter."""
    known = inspect.signature(target).parameters
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    shared = {"rtol", "atol", "maxiter", "callback"}
    keep = {key: value for key, value in given.items() if key in known or open_ended or key not in shared}
    if "x0" in known:
        keep["x0"] = x0
    if M is None:
        return target(A, b, **keep)  # type: ignore[no-any-return]
    if "M" not in known:
        _refuse(name, M)
    ready = make_preconditioner(A, M)
    return with_setup(target(A, b, M=ready, **keep), ready)


def _refuse(name: str, M: LinearOperator | str | None) -> None:
    if M is not None:
        raise ValueError(f"method {name!r} takes no preconditioner M: drop it, or use cg, fcg, gmres or fgmres")


def with_setup(result: SolveResult, ready: Any) -> SolveResult:
    """Add what the set-up took to the details.

    Parameters
    ----------
    result : SolveResult
        A solve.
    ready : object
        What was set up for it, with `setup_seconds` and `nbytes` or without.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers import cg
    >>> from conjugo.solvers.methods import with_setup
    >>> from conjugo.solvers.preconditioners.jacobi import jacobi
    >>> A = np.eye(2)
    >>> with_setup(cg(A, np.ones(2)), jacobi(A)).details["bytes"]
    16
    """
    facts = {"setup_seconds": "setup_seconds", "bytes": "nbytes"}
    found = {key: getattr(ready, attribute) for key, attribute in facts.items() if hasattr(ready, attribute)}
    return replace(result, details={**found, **result.details})
