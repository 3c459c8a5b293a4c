"""Learned parts: they propose, numerics dispose. Needs torch (`pip install conjugo[learned]`).

Names load on first use, so that importing this folder does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conjugo.learned.training import FitConfig, History, fit, load_model, save_model

_HOME = {
    "FitConfig": "training",
    "History": "training",
    "fit": "training",
    "load_model": "training",
    "save_model": "training",
}
"""Public name: the module that has it."""

__all__ = ["FitConfig", "History", "fit", "load_model", "save_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'conjugo.learned' has no attribute {name!r}")
    return getattr(import_module(f"conjugo.learned.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
