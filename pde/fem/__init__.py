"""Poisson problems by finite elements on unstructured meshes (dolfinx; `pip install conjugo[fem]`).

Names load on first use and dolfinx inside the functions, so that importing this folder needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conjugo.pde.fem.assemble import poisson
    from conjugo.pde.fem.meshes import cube, disc, l_shape, square
    from conjugo.pde.fem.problem import FemProblem

_HOME = {
    "FemProblem": "problem",
    "cube": "meshes",
    "disc": "meshes",
    "l_shape": "meshes",
    "poisson": "assemble",
    "square": "meshes",
}

__all__ = ["FemProblem", "cube", "disc", "l_shape", "poisson", "square"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.pde.fem' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.pde.fem.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
