"""Models of dynamics, linear in a latent state: classical ones here, fitted in closed form."""

from __future__ import annotations

from conjugo.learned.dynamics.balanced import Reduced
from conjugo.learned.dynamics.dictionaries import Dictionary, Identity, OnModes, Polynomials, Radial
from conjugo.learned.dynamics.dmd import DMD
from conjugo.learned.dynamics.edmd import EDMD
from conjugo.learned.dynamics.forecasts import ForecastEDMD, Forecasts
from conjugo.learned.dynamics.kernel_edmd import KernelEDMD, NystromFeatures
from conjugo.learned.dynamics.measures import nearest, nrmse, wrong_basin
from conjugo.learned.dynamics.model import Diagnostics, LinearModel, Model
from conjugo.learned.dynamics.multi_kernel import MultiKernelReconstruction, WithReconstruction
from conjugo.learned.dynamics.resdmd import pseudospectrum, resdmd_residuals
from conjugo.learned.dynamics.slicing import OnWaves, Sliced

__all__ = [
    "DMD",
    "EDMD",
    "Diagnostics",
    "Dictionary",
    "ForecastEDMD",
    "Forecasts",
    "Identity",
    "KernelEDMD",
    "LinearModel",
    "Model",
    "MultiKernelReconstruction",
    "NystromFeatures",
    "OnModes",
    "OnWaves",
    "Polynomials",
    "Radial",
    "Reduced",
    "Sliced",
    "WithReconstruction",
    "nearest",
    "nrmse",
    "pseudospectrum",
    "resdmd_residuals",
    "wrong_basin",
]
