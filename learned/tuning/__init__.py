"""Learners that tune a solver while it works. They see arms, costs and contexts, never a solver; none needs torch."""

from __future__ import annotations

from conjugo.learned.tuning.arms import Candidate, petsc_sweep, sweep
from conjugo.learned.tuning.binned import BinnedContexts
from conjugo.learned.tuning.chebcb import ChebCB
from conjugo.learned.tuning.learner import Context, Learner
from conjugo.learned.tuning.relaxation_model import RelaxationModel
from conjugo.learned.tuning.report import Report
from conjugo.learned.tuning.thompson import Prior, ThompsonSampling
from conjugo.learned.tuning.tsallis_inf import TsallisINF
from conjugo.learned.tuning.tuned_ksp import TunedKSP
from conjugo.learned.tuning.tuned_solver import TunedSolver
from conjugo.learned.tuning.young import Family, SORPrior, SSORPrior

__all__ = [
    "BinnedContexts",
    "Candidate",
    "ChebCB",
    "Context",
    "Family",
    "Learner",
    "Prior",
    "RelaxationModel",
    "Report",
    "SORPrior",
    "SSORPrior",
    "ThompsonSampling",
    "TsallisINF",
    "TunedKSP",
    "TunedSolver",
    "petsc_sweep",
    "sweep",
]
