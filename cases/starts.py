"""First guesses for Darcy problems: coarse solves, shipped operators, and exact solutions with errors added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from conjugo.learned.operators.warm_start import WarmStart
from conjugo.learned.training.models import load_model, weights_path
from conjugo.pde.darcy import solve_darcy
from conjugo.pde.problem import LinearProblem

ZERO = "zero"
COARSE = "coarse solve"
OPERATORS = {"ours": "operator_darcy_ours", "LSM": "operator_darcy_lsm", "FNO": "operator_darcy_fno"}
"""Name in tables: name of the weights."""
INSET = 0.5 / 421
"""These learned from every fifth of 421 cell centres (variant "spline"), so their first node is half a cell inside."""
ERRORS = ("error k <= 8", "error k^-1.5", "error white")
"""Exact solutions plus synthetic errors."""

type Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A way to make x0; `timed` is False where the model stands for one that does not exist."""

    name: str
    warm: WarmStart
    timed: bool


def coarse_solve(a: Tensor) -> Tensor:
    """Solve on the nodes given, (batch, 1, n, n) to the same shape: what numerics alone makes of the model's input."""
    solved = solve_darcy(a[:, 0].double().cpu().numpy(), rtol=1e-8)
    return torch.as_tensor(np.asarray(solved), dtype=torch.float32)[:, None]


def learned(coarse: int) -> tuple[dict[str, WarmStart], list[str]]:
    """Return a start for each set of weights that is there, and the names of those that are not.

    Parameters
    ----------
    coarse : int
        Nodes a side for models that do not name their grid.
    """
    found: dict[str, WarmStart] = {}
    absent: list[str] = []
    for name, weights in OPERATORS.items():
        try:
            path = weights_path(weights)
        except ValueError:
            absent.append(weights)
            continue
        model: Any = load_model(path)
        found[name] = WarmStart(model, size=getattr(model.config, "grid", coarse), inset=INSET)
    return found, absent


def error_field(kind: str, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an error on (n, n) interior nodes by its sine modes: k <= 8 alone, amplitudes |k|^-1.5, or all alike."""
    k = np.hypot(*np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1), indexing="ij"))
    noise = rng.standard_normal((n, n))
    if kind == ERRORS[0]:
        noise[8:] = noise[:, 8:] = 0.0
    elif kind == ERRORS[1]:
        noise /= k**1.5
    elif kind != ERRORS[2]:
        raise ValueError(f"kind = {kind!r}: expected one of {', '.join(ERRORS)}")
    return np.asarray(scipy.fft.idstn(noise, type=1, norm="ortho"))


def says(x: NDArray[np.float64]) -> Model:
    """Return a model that answers x on (n, n) interior nodes, whatever it sees."""
    answer = torch.zeros(1, 1, x.shape[0] + 2, x.shape[1] + 2)
    answer[0, 0, 1:-1, 1:-1] = torch.as_tensor(x, dtype=torch.float32)
    return lambda seen: answer


def starts(
    problem: LinearProblem, exact: NDArray[np.float64], operators: dict[str, WarmStart], *, coarse: int, error: float,
    seed: Sequence[int],
) -> Iterator[Start]:  # fmt: skip
    """Yield every kind of start but zero for one problem.

    Parameters
    ----------
    problem : LinearProblem
        By `darcy_problem`.
    exact : (n^2,) array
        Its solution, to which errors are added.
    operators : dict
        By `learned`.
    coarse : int
        Nodes a side of the coarse solve.
    error : float
        ||error|| / ||exact|| of the synthetic ones.
    seed : sequence of int
        Of the errors.
    """
    yield Start(COARSE, WarmStart(coarse_solve, size=coarse), timed=True)
    for name, warm in operators.items():
        yield Start(name, warm, timed=True)
    n = problem.A.grid_shape[0]
    for i, kind in enumerate(ERRORS):
        drawn = error_field(kind, n, np.random.default_rng([*seed, i]))
        drawn *= error * np.linalg.norm(exact) / np.linalg.norm(drawn)
        yield Start(kind, WarmStart(says(exact.reshape(n, n) + drawn)), timed=False)
