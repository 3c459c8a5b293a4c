"""How linear systems are solved, classically.

Names load on first use, so that importing one method does not compile the kernels of all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conjugo.solvers.krylov.cg import cg
    from conjugo.solvers.parallel import get_threads, set_threads, threads
    from conjugo.solvers.result import ConvergenceError, SolveResult, Status

_HOME = {
    "bicgstab": "adapters.scipy",
    "cg": "krylov.cg",
    "chebyshev": "stationary.chebyshev",
    "chebyshev_preconditioner": "preconditioners.chebyshev",
    "ConvergenceError": "result",
    "deflated_cg": "krylov.deflated",
    "fcg": "krylov.fcg",
    "fgmres": "krylov.fgmres",
    "gauss_seidel": "stationary.gauss_seidel",
    "gcrotmk": "adapters.scipy",
    "get_threads": "parallel",
    "gmres": "adapters.scipy",
    "ic0": "preconditioners.incomplete",
    "jacobi": "preconditioners.jacobi",
    "jacobi_iteration": "stationary.jacobi",
    "lgmres": "adapters.scipy",
    "mic": "preconditioners.incomplete",
    "minres": "krylov.minres",
    "RecyclingCG": "krylov.recycling",
    "red_black_sor": "stationary.red_black",
    "ruge_stuben": "adapters.pyamg",
    "set_threads": "parallel",
    "smoothed_aggregation": "adapters.pyamg",
    "SolveResult": "result",
    "sor": "stationary.sor",
    "splu": "adapters.direct",
    "ssor": "preconditioners.ssor",
    "ssor_iteration": "stationary.ssor",
    "Status": "result",
    "threads": "parallel",
}

__all__ = [
    "ConvergenceError",
    "RecyclingCG",
    "SolveResult",
    "Status",
    "bicgstab",
    "cg",
    "chebyshev",
    "chebyshev_preconditioner",
    "deflated_cg",
    "fcg",
    "fgmres",
    "gauss_seidel",
    "gcrotmk",
    "get_threads",
    "gmres",
    "ic0",
    "jacobi",
    "jacobi_iteration",
    "lgmres",
    "mic",
    "minres",
    "red_black_sor",
    "ruge_stuben",
    "set_threads",
    "smoothed_aggregation",
    "sor",
    "splu",
    "ssor",
    "ssor_iteration",
    "threads",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.solvers' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.solvers.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
