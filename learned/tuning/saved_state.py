"""State of a tuned solver: as plain numbers, strings, lists and dicts, and in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from conjugo.learned.tuning.tuned_solver import TunedSolver

ARRAYS = ("plays", "failures", "costs", "_taught")
NUMBERS = ("looks", "asleep", "overhead", "regret", "_iterations", "_drift")


def state_of(solver: TunedSolver) -> dict[str, Any]:
    """Return everything that a tuned solver learned.

    Parameters
    ----------
    solver : TunedSolver
        One whose account is settled.
    """
    return {
        "candidates": [c.label for c in solver.candidates],
        "learner": solver.learner.state(),
        "model": None if solver.model is None else solver.model.state(),
        "ledger": solver.ledger.state(),
        "rates": solver.rates.state(),
        "weighed": [place if isinstance(place, int) else list(place) for place in solver._weighed],
        "choices": [[list(place), kept] for place, kept in solver._choices.items()],
        **{name: getattr(solver, name).tolist() for name in ARRAYS},
        **{name: getattr(solver, name) for name in NUMBERS},
    }


def restore_to(solver: TunedSolver, state: dict[str, Any]) -> None:
    """Give a saved state to a solver made with the same candidates.

    Parameters
    ----------
    solver : TunedSolver
        What takes it.
    state : dict
        What `state_of` returned.

    Raises
    ------
    ValueError
        If the candidates differ.
    """
    labels = [c.label for c in solver.candidates]
    if state["candidates"] != labels:
        raise ValueError(f"the state has the candidates {state['candidates']}: expected {labels}")
    solver.learner.restore(state["learner"])
    if solver.model is not None and state["model"] is not None:
        solver.model.restore(state["model"])
    solver.ledger.restore(state["ledger"])
    solver.rates.restore(state["rates"])
    solver._weighed = {place if isinstance(place, int) else tuple(place) for place in state["weighed"]}
    solver._choices = {tuple(place): list(kept) for place, kept in state["choices"]}
    for name in ARRAYS:
        setattr(solver, name, np.array(state[name]))
    for name in NUMBERS:
        setattr(solver, name, state[name])


def save_state(state: dict[str, Any], path: Path) -> None:
    """Write a state as JSON, whole or not at all.

    Parameters
    ----------
    state : dict
        Of plain numbers, strings, lists and dicts.
    path : Path
        Where.
    """
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(json.dumps(state))
    os.replace(beside, path)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state.

    Raises
    ------
    ValueError
        If the file holds none.
    """
    state = json.loads(path.read_text())
    if not isinstance(state, dict) or "learner" not in state:
        raise ValueError(f"{path} holds no state of a tuned solver: expected what TunedSolver.save wrote")
    return state
