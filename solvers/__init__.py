"""How linear systems are solved, classically.

Names load on first use, so that importing one method does not compile the kernels of all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from conjugo.solvers.solve import solve  # at once: the sub-module has the same name

if TYPE_CHECKING:
    from conjugo.solvers.adapters.direct import splu
    from conjugo.solvers.adapters.petsc import PetscSolver, petsc
    from conjugo.solvers.adapters.pyamg import ruge_stuben, smoothed_aggregation
    from conjugo.solvers.adapters.scipy import bicgstab, gcrotmk, gmres, lgmres
    from conjugo.solvers.direct.fast_poisson import FastPoisson, fast_poisson
    from conjugo.solvers.guess import Extrapolation, Fischer, Previous
    from conjugo.solvers.krylov.cg import cg
    from conjugo.solvers.krylov.deflated import deflated_cg
    from conjugo.solvers.krylov.fcg import fcg
    from conjugo.solvers.krylov.fgmres import fgmres
    from conjugo.solvers.krylov.minres import minres
    from conjugo.solvers.krylov.recycling import RecyclingCG
    from conjugo.solvers.krylov.split_cg import mic_cg, small_cg, ssor_cg
    from conjugo.solvers.multigrid.enriched import EnrichedMultigrid
    from conjugo.solvers.multigrid.fmg import full_multigrid
    from conjugo.solvers.multigrid.multigrid import Multigrid
    from conjugo.solvers.operators.symmetry import check_symmetric
    from conjugo.solvers.parallel import get_threads, set_threads, threads
    from conjugo.solvers.preconditioners.chebyshev import chebyshev_preconditioner
    from conjugo.solvers.preconditioners.incomplete import ic0, mic
    from conjugo.solvers.preconditioners.incomplete_lu import incomplete_lu
    from conjugo.solvers.preconditioners.jacobi import jacobi
    from conjugo.solvers.preconditioners.ssor import ssor
    from conjugo.solvers.result import ConvergenceError, SolveResult, Status
    from conjugo.solvers.stationary.chebyshev import chebyshev
    from conjugo.solvers.stationary.gauss_seidel import gauss_seidel
    from conjugo.solvers.stationary.jacobi import jacobi_iteration
    from conjugo.solvers.stationary.red_black import red_black_sor
    from conjugo.solvers.stationary.sor import sor
    from conjugo.solvers.stationary.ssor import ssor_iteration

_HOME = {
    "bicgstab": "adapters.scipy",
    "cg": "krylov.cg",
    "check_symmetric": "operators.symmetry",
    "chebyshev": "stationary.chebyshev",
    "chebyshev_preconditioner": "preconditioners.chebyshev",
    "ConvergenceError": "result",
    "deflated_cg": "krylov.deflated",
    "EnrichedMultigrid": "multigrid.enriched",
    "Extrapolation": "guess",
    "fast_poisson": "direct.fast_poisson",
    "FastPoisson": "direct.fast_poisson",
    "fcg": "krylov.fcg",
    "fgmres": "krylov.fgmres",
    "Fischer": "guess",
    "full_multigrid": "multigrid.fmg",
    "gauss_seidel": "stationary.gauss_seidel",
    "gcrotmk": "adapters.scipy",
    "get_threads": "parallel",
    "gmres": "adapters.scipy",
    "ic0": "preconditioners.incomplete",
    "incomplete_lu": "preconditioners.incomplete_lu",
    "jacobi": "preconditioners.jacobi",
    "jacobi_iteration": "stationary.jacobi",
    "lgmres": "adapters.scipy",
    "mic": "preconditioners.incomplete",
    "mic_cg": "krylov.split_cg",
    "minres": "krylov.minres",
    "Multigrid": "multigrid.multigrid",
    "petsc": "adapters.petsc",
    "PetscSolver": "adapters.petsc",
    "Previous": "guess",
    "RecyclingCG": "krylov.recycling",
    "red_black_sor": "stationary.red_black",
    "ruge_stuben": "adapters.pyamg",
    "set_threads": "parallel",
    "small_cg": "krylov.split_cg",
    "smoothed_aggregation": "adapters.pyamg",
    "SolveResult": "result",
    "sor": "stationary.sor",
    "splu": "adapters.direct",
    "ssor": "preconditioners.ssor",
    "ssor_cg": "krylov.split_cg",
    "ssor_iteration": "stationary.ssor",
    "Status": "result",
    "threads": "parallel",
}

__all__ = [
    "ConvergenceError",
    "EnrichedMultigrid",
    "Extrapolation",
    "FastPoisson",
    "Fischer",
    "Multigrid",
    "PetscSolver",
    "Previous",
    "RecyclingCG",
    "SolveResult",
    "Status",
    "bicgstab",
    "cg",
    "chebyshev",
    "chebyshev_preconditioner",
    "check_symmetric",
    "deflated_cg",
    "fast_poisson",
    "fcg",
    "fgmres",
    "full_multigrid",
    "gauss_seidel",
    "gcrotmk",
    "get_threads",
    "gmres",
    "ic0",
    "incomplete_lu",
    "jacobi",
    "jacobi_iteration",
    "lgmres",
    "mic",
    "mic_cg",
    "minres",
    "petsc",
    "red_black_sor",
    "ruge_stuben",
    "set_threads",
    "small_cg",
    "smoothed_aggregation",
    "solve",
    "sor",
    "splu",
    "ssor",
    "ssor_cg",
    "ssor_iteration",
    "threads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.solvers' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.solvers.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
