"""Waiting without sleeping: a thread that sleeps is woken late, and often on the core of the one that wakes it."""

from __future__ import annotations

from numba import njit, types

_sched_yield = types.ExternalFunction("sched_yield", types.int32())


@njit("boolean(int64[::1], int64, int64)", cache=True, nogil=True)
def spin(counter, seen, turns):  # type: ignore[no-untyped-def]
    """Wait until counter[0] differs from `seen`; False after `turns` looks. Other runnable threads go first."""
    for _ in range(turns):
        if counter[0] != seen:
            return True
        _sched_yield()  # an outside call: counter[0] is read anew each time
    return False
