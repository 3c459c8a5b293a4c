"""Finite elements on unstructured meshes (dolfinx; `pip install conjugo[fem]`): Poisson problems, flows.

Names load on first use and dolfinx inside the functions, so that importing this folder needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conjugo.pde.fem.assemble import poisson
    from conjugo.pde.fem.cylinder import Cylinder, dfg_cylinder, open_cylinder
    from conjugo.pde.fem.meshes import cube, disc, l_shape, square
    from conjugo.pde.fem.problem import FemProblem
    from conjugo.pde.fem.projection import Projection
    from conjugo.pde.fem.taylor_hood import TaylorHood

_HOME = {
    "Cylinder": "cylinder",
    "FemProblem": "problem",
    "Projection": "projection",
    "TaylorHood": "taylor_hood",
    "cube": "meshes",
    "dfg_cylinder": "cylinder",
    "disc": "meshes",
    "l_shape": "meshes",
    "open_cylinder": "cylinder",
    "poisson": "assemble",
    "square": "meshes",
}

__all__ = [
    "Cylinder",
    "FemProblem",
    "Projection",
    "TaylorHood",
    "cube",
    "dfg_cylinder",
    "disc",
    "l_shape",
    "open_cylinder",
    "poisson",
    "square",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.pde.fem' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.pde.fem.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
