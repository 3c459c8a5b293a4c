"""Whether a first guess is better than zero: by residual and energy, as it is, scaled, or smoothed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from conjugo.solvers.krylov.columns import inner
from conjugo.solvers.monitor import norm, to_host
from conjugo.solvers.operators.protocol import Array, LinearOperator, is_symmetric
from conjugo.solvers.preconditioners.chebyshev import chebyshev_preconditioner
from conjugo.solvers.stationary.rows import diagonal_of
from conjugo.solvers.stationary.spectrum import jacobi_bounds

type Outcome = Literal["accepted", "scaled", "smoothed", "refused"]
type Scalar = float | NDArray[np.float64]

OUTCOMES: tuple[Outcome, ...] = ("accepted", "scaled", "smoothed", "refused")
SAFETY = 1.1
"""Factor on the largest eigenvalue that a few Lanczos steps see."""
LANCZOS_STEPS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """A tested first guess; for a block (n, k) its numbers are (k,) arrays and its outcome a tuple.

    Parameters
    ----------
    x0 : array or None
        For the solver: shaped like b, zero in refused columns; None where all are refused.
    outcome : str or tuple of str
        "accepted", "scaled", "smoothed" or "refused".
    reason : str
        The test that decided, in words.
    scale : float
        alpha, the best multiple of the model's answer (NaN where there is none).
    residual_before, residual_after : float
        ||b - A x|| / ||b|| of the model's answer and of x0; the zero guess has 1.
    energy_before, energy_after : float
        x^T A x / 2 - b^T x of both; the zero guess has 0. NaN where A is not symmetric positive definite.
    products : int
        Products with A (an application of M counts as one).
    inference_seconds, test_seconds : float
        From the problem to the model's answer at the unknowns, and from there to x0.

    Examples
    --------
    >>> guess = judge(np.diag([1.0, 2.0]), np.ones(2), np.array([2.0, 1.0]), None)
    >>> guess.outcome, guess.scale
    ('scaled', 0.5)
    """

    x0: Any
    outcome: Outcome | tuple[Outcome, ...]
    reason: str
    scale: Scalar
    residual_before: Scalar
    residual_after: Scalar
    energy_before: Scalar
    energy_after: Scalar
    products: int
    inference_seconds: float = 0.0
    test_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """Inference and test."""
        return self.inference_seconds + self.test_seconds

    def timed(self, inference: float, test: float) -> Guess:
        """Return the same guess with its times."""
        return replace(self, inference_seconds=inference, test_seconds=test)

    def facts(self) -> dict[str, Any]:
        """Return all but x0, for the `details` of a result."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "x0"}


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """z = S r, and how many products with A that costs."""

    operator: LinearOperator
    products: int


def relaxation(A: LinearOperator, sweeps: int) -> Relaxation | None:
    """Return `sweeps` sweeps of Chebyshev-Jacobi for the rough part of an error.

    Parameters
    ----------
    A : operator
        None comes back where it shows no positive diagonal, or is not symmetric.
    sweeps : int
        Its degree; None comes back for 0.

    Returns
    -------
    Relaxation or None

    Notes
    -----
    The bounds are [4 / sweeps^2, 1] (at most [1/4, 1]) times the largest eigenvalue of D^-1 A: on them the polynomial
    is below 1 / cosh(4) = 0.04 for many sweeps, and it never increases the error in energy.

    Examples
    --------
    >>> relaxation(np.diag([1.0, 2.0]), 4).products
    4
    """
    if sweeps == 0 or not is_symmetric(A) or not (isinstance(A, np.ndarray) or hasattr(A, "diagonal")):
        return None
    if hasattr(A, "detach"):  # a torch matrix: its diagonal is on no host
        return None
    diagonal = np.asarray(diagonal_of(A, "WarmStart"))
    if not np.all(diagonal > 0):
        return None
    largest = SAFETY * jacobi_bounds(A, diagonal, steps=LANCZOS_STEPS)[1]
    if not largest > 0:
        return None
    bounds = (largest * min(0.25, 4 / sweeps**2), largest)
    return Relaxation(chebyshev_preconditioner(A, sweeps, bounds=bounds), products=sweeps)


def judge(
    A: LinearOperator,
    b: Array,
    x: Array,
    mend: Relaxation | None,
    *,
    active: NDArray[np.bool_] | None = None,
) -> Guess:
    """Test x, its best multiple, and the best multiple of x smoothed, and keep the first that beats zero.

    Parameters
    ----------
    A : operator
        Square, real; `symmetric = False` leaves the energy out.
    b, x : (n,) or (n, k) array
        Right-hand side and guess, of one library, precision and device.
    mend : Relaxation or None
        Where None, nothing is smoothed.
    active : bool array, optional
        Which unknowns a mask keeps: the others start from b.

    Returns
    -------
    Guess
        Without times.
    """
    xp = array_namespace(b)
    if active is not None:
        keep = xp.asarray(np.reshape(active, (-1, *[1] * (b.ndim - 1))), device=device(b))
        x = xp.where(keep, x, b)
    finite = _host(xp.all(xp.isfinite(x), axis=0))
    x = xp.where(_like(finite, b), x, xp.zeros_like(x))
    bnorm = norm(b, xp)
    q = A @ x
    start = _Trial(x, q, b, bnorm, is_symmetric(A))
    scale, best = start.best_multiple(b)
    solvable = finite & (bnorm > 0)
    candidates = [("accepted", start), ("scaled", best)]
    products = 1
    passed = [solvable & trial.better() for _, trial in candidates]
    open_ = solvable & ~passed[0] & ~passed[1] & np.isfinite(scale) & (scale != 0)
    if mend is not None and np.any(open_):
        y = start.x + mend.operator @ (b - start.q)  # not of alpha x: where roughness sets alpha, it spoils the rest
        _, smoothed = _Trial(y, A @ y, b, bnorm, start.definite).best_multiple(b)
        products += 1 + mend.products
        candidates.append(("smoothed", smoothed))
        passed.append(open_ & smoothed.better())
    x0, outcome, after = _first(candidates, passed, b)
    refused = outcome == "refused"
    names = tuple(str(name) for name in np.atleast_1d(outcome))
    return Guess(
        x0=None if np.all(refused) else x0,
        outcome=names if b.ndim == 2 else names[0],  # type: ignore[arg-type]
        reason=_reason(start, finite, bnorm, refused, mend),
        scale=_plain(scale),
        residual_before=_plain(start.residual),
        residual_after=_plain(after[0]),
        energy_before=_plain(start.energy),
        energy_after=_plain(after[1] if start.definite else np.full_like(after[1], np.nan)),
        products=products,
    )


class _Trial:
    """A candidate x with q = A x, its relative residual, and its energy where A has one."""

    def __init__(self, x: Array, q: Array, b: Array, bnorm: NDArray[np.float64], symmetric: bool) -> None:
        self.x, self.q, self._bnorm = x, q, bnorm
        self.curvature, self.along = to_host(inner(x, q)), to_host(inner(b, x))
        some = to_host(norm(x)) > 0
        self.definite = symmetric and bool(np.all((self.curvature > 0) | ~some))
        with np.errstate(divide="ignore", invalid="ignore"):
            self.residual = norm(b - q) / np.where(bnorm > 0, bnorm, np.nan)
            self.energy = self.curvature / 2 - self.along if self.definite else np.full(self.along.shape, np.nan)

    def better(self) -> NDArray[np.bool_]:
        """Whether it beats the zero guess."""
        lower = self.residual < 1
        return np.asarray(lower & (self.energy < 0) if self.definite else lower)

    def best_multiple(self, b: Array) -> tuple[NDArray[np.float64], _Trial]:
        """Return alpha and alpha x: the least energy, or the least residual where A has no energy."""
        top, bottom = self.along, self.curvature
        if not self.definite:
            top, bottom = to_host(inner(self.q, b)), to_host(inner(self.q, self.q))
        usable = np.isfinite(bottom) & (bottom > 0) & np.isfinite(top)
        alpha = np.where(usable, top, np.nan) / np.where(usable, bottom, 1.0)
        factor = _like(np.where(usable, alpha, 0.0), b)
        factor = array_namespace(b).astype(factor, b.dtype)
        return alpha, _Trial(factor * self.x, factor * self.q, b, self._bnorm, self.definite)


def _first(
    candidates: list[tuple[str, _Trial]], passed: list[NDArray[np.bool_]], b: Array
) -> tuple[Array, NDArray[Any], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Take in each column the first candidate that passed, else zero."""
    xp = array_namespace(b)
    columns = passed[0].shape
    x0, outcome = xp.zeros_like(b), np.full(columns, "refused", dtype=object)
    residual, energy = np.ones(columns), np.zeros(columns)
    for (name, trial), good in reversed(list(zip(candidates, passed, strict=True))):
        x0 = xp.where(_like(good, b), trial.x, x0)
        outcome = np.where(good, name, outcome)
        residual, energy = np.where(good, trial.residual, residual), np.where(good, trial.energy, energy)
    return x0, outcome, (residual, energy)


def _reason(
    start: _Trial, finite: NDArray[np.bool_], bnorm: NDArray[np.float64], refused: Any, mend: Relaxation | None
) -> str:
    """Say what was tested, and what refused a column."""
    test = "residual and energy" if start.definite else "residual only: A is not symmetric positive definite"
    if not np.any(refused):
        return test
    causes = []
    if not np.all(finite):
        causes.append("the model's answer is not finite")
    if np.any(bnorm == 0):
        causes.append("b = 0 has the solution 0")
    if np.any(refused & finite & (bnorm > 0)):
        causes.append("no multiple passes" + (", and nothing smooths" if mend is None else ", smoothed or not"))
    return f"{test}; {'; '.join(causes)}"


def _plain(values: NDArray[np.float64]) -> Scalar:
    """A float for one system, the array for a block."""
    values = np.asarray(values, dtype=np.float64)
    return float(values) if values.ndim == 0 else values


def _host(flags: Array) -> NDArray[np.bool_]:
    """Copy flags of any library to the host."""
    return np.asarray(flags.detach().cpu() if hasattr(flags, "detach") else flags)


def _like(values: NDArray[Any], b: Array) -> Array:
    """Copy one value a column to b's library and device."""
    return array_namespace(b).asarray(values, device=device(b))
