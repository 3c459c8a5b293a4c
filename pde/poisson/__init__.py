"""Poisson's equation and its relatives on structured grids.

`from conjugo.pde import poisson` is the function. The modules of this folder, and the names below, import as
`from conjugo.pde.poisson import masks, MASKS`; they load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conjugo.pde.poisson.boundary import make_grid
    from conjugo.pde.poisson.coefficients import COEFFICIENTS, Coefficient
    from conjugo.pde.poisson.exact_solutions import ExactSolution, plane_wave, product_solution
    from conjugo.pde.poisson.masks import CELLS, MASKS, Cell

_HOME = {
    "CELLS": "masks",
    "COEFFICIENTS": "coefficients",
    "MASKS": "masks",
    "Cell": "masks",
    "Coefficient": "coefficients",
    "ExactSolution": "exact_solutions",
    "make_grid": "boundary",
    "plane_wave": "exact_solutions",
    "product_solution": "exact_solutions",
}

__all__ = [
    "CELLS",
    "COEFFICIENTS",
    "MASKS",
    "Cell",
    "Coefficient",
    "ExactSolution",
    "make_grid",
    "plane_wave",
    "product_solution",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.pde.poisson' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.pde.poisson.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
