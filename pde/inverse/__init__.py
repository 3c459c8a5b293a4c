"""Linear inverse problems: measurements with adjoints, and the exact answer where prior and noise are Gaussian."""

from __future__ import annotations

from conjugo.pde.inverse.bases import CosineBasis, SineBasis
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.blur import GaussianBlur, KernelBlur
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.joint import Composed, SourceAndField
from conjugo.pde.inverse.operator import Measurement, adjoint_mismatch, check_data, check_measurement
from conjugo.pde.inverse.problem import InverseProblem, heat_problem, joint_problem, sensor_problem, source_problem
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import Green, SourceToSensors
from conjugo.pde.inverse.variable_source import VariableGreen

__all__ = [
    "BackwardHeat",
    "Composed",
    "CosineBasis",
    "GaussianBlur",
    "GaussianPosterior",
    "Green",
    "InverseProblem",
    "KernelBlur",
    "Measurement",
    "Sensors",
    "SineBasis",
    "SourceAndField",
    "SourceToSensors",
    "VariableGreen",
    "adjoint_mismatch",
    "check_data",
    "check_measurement",
    "heat_problem",
    "joint_problem",
    "sensor_problem",
    "source_problem",
]
