"""Sequences of related linear systems: parameter sweeps, and time loops where one solution makes the next system."""

from __future__ import annotations

from conjugo.pde.evolution.heat import HeatSequence
from conjugo.pde.evolution.sequence import Sequence, System
from conjugo.pde.evolution.shifted import ShiftedLaplacians
from conjugo.pde.evolution.variable_heat import VariableHeatSequence

__all__ = ["HeatSequence", "Sequence", "ShiftedLaplacians", "System", "VariableHeatSequence"]
