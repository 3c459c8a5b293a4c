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
    "ConvergenceError": "result",
    "SolveResult": "result",
    "Status": "result",
    "cg": "krylov.cg",
    "fcg": "krylov.fcg",
    "fgmres": "krylov.fgmres",
    "gauss_seidel": "stationary.gauss_seidel",
    "minres": "krylov.minres",
    "get_threads": "parallel",
    "set_threads": "parallel",
    "threads": "parallel",
}

__all__ = ["ConvergenceError", "SolveResult", "Status", "cg", "get_threads", "set_threads", "threads"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.solvers' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.solvers.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
