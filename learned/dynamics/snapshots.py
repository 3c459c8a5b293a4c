"""Snapshots of trajectories, checked: what every learner of dynamics reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.trajectories import Trajectories

ROWS = 4096
"""States in a block: with 2,000 features 64 MiB."""


def checked_states(trajectories: Trajectories) -> tuple[NDArray[np.float64], float]:
    """Return the states of trajectories as rows, and the time step.

    Parameters
    ----------
    trajectories : Trajectories
        `u` (N, steps + 1, *state shape), all of one length; `t` (steps + 1,), evenly spaced.

    Returns
    -------
    u : (N, steps + 1, n) array of float64
        A view where it can be one.
    dt : float
        The time between two snapshots.

    Raises
    ------
    ValueError
        For anything but `Trajectories` (a list of arrays of unequal length is named as such), fewer than two snapshots
        each, states that are not finite or not real, and times that are not evenly spaced.
    """
    if not isinstance(trajectories, Trajectories):
        raise ValueError(f"trajectories is a {type(trajectories).__name__}: {_remedy(trajectories)}")
    u = _checked_array(trajectories.u)
    if u.shape[1] < 2:
        raise ValueError(f"u has shape {u.shape}: expected at least two snapshots in each trajectory")
    return u.reshape(*u.shape[:2], -1), trajectories.dt


def _remedy(data: Any) -> str:
    """What to do with something else than trajectories."""
    if isinstance(data, list | tuple) and all(np.ndim(part) >= 1 for part in data):
        lengths = sorted({len(part) for part in data})
        if len(lengths) > 1:
            return f"{len(data)} arrays of {lengths[0]} to {lengths[-1]} snapshots; cut them to one length, then stack"
    return "expected Trajectories(u, t) with u (N, steps + 1, ...)"


def _checked_array(u: Any) -> NDArray[np.float64]:
    """`u` as a real, finite float64 array."""
    array = np.asarray(u)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"u has dtype {array.dtype}: expected real numbers in one (N, steps + 1, ...) array")
    array = array.astype(np.float64, copy=False)
    if array.size == 0:
        raise ValueError(f"u has shape {array.shape}: expected at least one trajectory")
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        raise ValueError(f"u is not finite in {len(bad)} trajectories, first in number {bad[0]}: leave them out")
    return array


def checked_rows(x: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return states as rows, (N, n) in float64.

    Parameters
    ----------
    x : (N, n) or (N, *state shape) array
        States.
    n : int
        Numbers in a state.

    Raises
    ------
    ValueError
        If x has no sample axis, states of another size, or values that are not finite.
    """
    rows = np.asarray(x, dtype=np.float64)
    size = int(np.prod(rows.shape[1:])) if rows.ndim > 1 else 0
    if rows.ndim < 2 or size != n:
        raise ValueError(f"x has shape {rows.shape}: expected (N, {n}), one row for each state; use x[None] for one")
    if not np.isfinite(rows).all():
        raise ValueError("x is not finite: expected finite states")
    return rows.reshape(len(rows), n)


def blocks(u: NDArray[np.float64], rows: int = ROWS) -> Iterator[NDArray[np.float64]]:
    """Cut (N, steps + 1, n) trajectories into blocks of about `rows` states that hold every pair once.

    Parameters
    ----------
    u : (N, steps + 1, n) array
        Trajectories.
    rows : int
        States in a block, about.

    Yields
    ------
    (some, length + 1, n) array
        Neighbours in time share their end, so `block[:, :-1]` and `block[:, 1:]` are the pairs.

    Examples
    --------
    >>> import numpy as np
    >>> u = np.arange(24.0).reshape(2, 12, 1)
    >>> [block.shape for block in blocks(u, rows=8)]
    [(1, 9, 1), (1, 4, 1), (1, 9, 1), (1, 4, 1)]
    """
    count, snapshots = u.shape[:2]
    if snapshots <= rows:
        group = max(1, rows // snapshots)
        for first in range(0, count, group):
            yield u[first : first + group]
        return
    for trajectory in u:
        for start in range(0, snapshots - 1, rows):
            yield trajectory[None, start : start + rows + 1]
