"""One call for everything: solve a problem by a named method, or by the one that fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conjugo.solvers.auto import Choice, candidates
from conjugo.solvers.methods import METHODS, describe_methods, run
from conjugo.solvers.monitor import Callback
from conjugo.solvers.operators.protocol import Array, LinearOperator, as_operator
from conjugo.solvers.result import SolveResult, Status
from conjugo.solvers.system import as_floating, check_system

__all__ = ["METHODS", "describe_methods", "solve"]


def solve(
    problem_or_A: Any,
    b: Array | None = None,
    method: str = "auto",
    *,
    x0: Array | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: LinearOperator | str | None = None,
    callback: Callback | None = None,
    guess: Callable[[Any], Any] | None = None,
    **options: Any,
) -> SolveResult:
    """Solve A x = b by the method that fits, or by a named one.

    Parameters
    ----------
    problem_or_A : problem or operator
        Something with `.A` and `.b`, or A itself: anything with `.shape` and `@`.
    b : (n,) or (n, k) array, optional
        Right-hand side; default the problem's own.
    method : str
        "auto", or a name of `describe_methods()`.
    x0 : array, optional
        First guess, shaped like b; default zero. Direct methods need none.
    rtol, atol : float
        Stop when ||b - A x||_2 <= max(rtol ||b||_2, atol).
    maxiter : int, optional
        Most iterations, default the method's own.
    M : operator or str, optional
        Preconditioner, or the name of one that is set up for this solve: "jacobi", "ssor", "ic0", "mic", "ilu",
        "chebyshev", "multigrid", "splu", "ruge_stuben", "smoothed_aggregation".
    callback : callable, optional
        Called with x after every iteration; returning True stops.
    guess : callable, optional
        Makes x0 from the problem, as `WarmStart` does: guess(problem) has `x0` (None for zero) and `facts()`, which
        `details["guess"]` keeps.
    **options
        Handed to the method or to the set-up of its preconditioner, for instance `omega=1.7` or `cycle="W"`.

    Returns
    -------
    SolveResult
        `details["why"]` says in one sentence why "auto" chose its method, `details["setup_seconds"]` what set-up took.

    Raises
    ------
    ValueError
        For an unknown method, wrong shapes, NaN, an M that the method has no place for, options given to "auto", or
        a guess beside x0 or without a problem.

    Notes
    -----
    "auto" looks at the operator alone: constant coefficients on a box go to the fast direct solve; symmetric stencils
    to cg with black-box multigrid; small matrices to sparse factors; large symmetric ones to algebraic multigrid (with
    PyAMG) or incomplete Cholesky; indefinite ones to minres, all others to GMRES. Where its choice does not converge,
    or is not installed, the next candidate is tried once, and `why` says so.

    Examples
    --------
    >>> import numpy as np
    >>> from conjugo.solvers.solve import solve
    >>> result = solve(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 2.0]))
    >>> result.x, result.method
    (array([2., 1.]), 'splu')
    >>> result.details["why"]
    'A is symmetric, not known to be definite, and has 2 <= 20000 rows: sparse factors solve it directly'
    """
    if guess is not None:
        if x0 is not None or b is not None or not hasattr(problem_or_A, "b"):
            raise ValueError("guess makes x0 from a problem: pass a LinearProblem, and neither b nor x0")
        made = guess(problem_or_A)
        stop: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
        result = solve(problem_or_A, None, method, x0=made.x0, M=M, **stop, **options)
        return replace(result, details={**result.details, "guess": made.facts()})
    A, b = _system(problem_or_A, b)
    x0 = as_floating("x0", x0, A)
    check_system(A, b, x0)
    rule = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    if method != "auto":
        return run(method, A, b, x0, M, rule, options)
    if options:
        names = ", ".join(options)
        raise ValueError(f"options {names} belong to a method, but method is 'auto': name the method as well")
    return _first_that_converges(candidates(A, b, M), A, b, x0, rule)


def _system(problem_or_A: Any, b: Array | None) -> tuple[LinearOperator, Array]:
    """Take a problem apart; lists, integers and b of less precision than A become arrays as precise as A."""
    if hasattr(problem_or_A, "A") and hasattr(problem_or_A, "b"):
        problem_or_A, b = problem_or_A.A, problem_or_A.b if b is None else b
    elif b is None:
        raise ValueError(
            f"b is missing: {type(problem_or_A).__name__} has no A and b; call solve(A, b), or pass a LinearProblem"
        )
    A = as_operator(problem_or_A)
    return A, as_floating("b", b, A)


def _first_that_converges(
    choices: list[Choice], A: LinearOperator, b: Array, x0: Array | None, rule: dict[str, Any]
) -> SolveResult:
    """Try the best candidate and, if it fails, the next one; `why` tells the story."""
    first, *others = choices
    try:
        result = run(first.method, A, b, x0, first.M, rule, {})
    except (ImportError, ValueError) as error:  # not installed, or a case that the method says it cannot do
        if not others:
            raise
        story = f"{first.why}; but {first.method} could not be set up ({error})"
    else:
        if result.status in (Status.CONVERGED, Status.STOPPED) or not others:
            return _explained(result, first.why)
        story = f"{first.why}; but {first.method} ended as {result.status.value}"
    second = others[0]
    result = run(second.method, A, b, x0, second.M, rule, {})
    return _explained(result, f"{story}, so {second.method}: {second.why}")


def _explained(result: SolveResult, why: str) -> SolveResult:
    return replace(result, details={**result.details, "why": why})
