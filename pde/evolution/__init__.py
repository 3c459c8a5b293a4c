"""Equations that evolve in time, and sequences of the linear systems that solving them step by step asks for.

The functions `smoke`, `duffing`, `kuramoto_sivashinsky` and others have the name of the module that holds them: as in
`conjugo.pde`, the import below rebinds the name to the function, and the module's other names import as
`from conjugo.pde.evolution.smoke import SmokeState`.
"""

from __future__ import annotations

from conjugo.pde.evolution.bodies import Ball, Block
from conjugo.pde.evolution.duffing import duffing
from conjugo.pde.evolution.etdrk4 import ETDRK4
from conjugo.pde.evolution.heat import HeatSequence
from conjugo.pde.evolution.kuramoto_sivashinsky import kuramoto_sivashinsky
from conjugo.pde.evolution.sequence import Sequence, System
from conjugo.pde.evolution.shifted import ShiftedLaplacians
from conjugo.pde.evolution.smoke import Smoke, SmokeState, smoke
from conjugo.pde.evolution.staggered import Staggered
from conjugo.pde.evolution.variable_heat import VariableHeatSequence

__all__ = [
    "ETDRK4",
    "Ball",
    "Block",
    "HeatSequence",
    "Sequence",
    "ShiftedLaplacians",
    "Smoke",
    "SmokeState",
    "Staggered",
    "System",
    "VariableHeatSequence",
    "duffing",
    "kuramoto_sivashinsky",
    "smoke",
]
