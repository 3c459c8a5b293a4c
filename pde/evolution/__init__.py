"""Equations that evolve in time.

The function `smoke` has the name of the module that holds it: as in `conjugo.pde`, the import below rebinds the name to
the function, and the module's other names import as `from conjugo.pde.evolution.smoke import SmokeState`.
"""

from __future__ import annotations

from conjugo.pde.evolution.bodies import Ball, Block
from conjugo.pde.evolution.smoke import Smoke, SmokeState, smoke
from conjugo.pde.evolution.staggered import Staggered

__all__ = ["Ball", "Block", "Smoke", "SmokeState", "Staggered", "smoke"]
