"""Waiting without sleeping: a thread that sleeps is woken late, and often on the core of the one that wakes it."""

from __future__ import annotations

import sys

from numba import njit, types

sched_yield = types.ExternalFunction("sched_yield", types.int32())


if sys.platform == "linux":
    _sched_getcpu = types.ExternalFunction("sched_getcpu", types.int32())

    @njit("int32()", cache=True)
    def processor():  # type: ignore[no-untyped-def]
        """Return the processor that the calling thread runs on."""
        return _sched_getcpu()

else:

    def processor() -> int:
        """Return -1: only Linux tells which processor a thread runs on."""
        return -1


@njit("boolean(int64[::1], int64, int64)", cache=True, nogil=True)
def spin(counter, seen, turns):  # type: ignore[no-untyped-def]
    """Wait until counter[0] differs from `seen`; False after `turns` looks. Other runnable threads go first."""
    for _ in range(turns):
        if counter[0] != seen:
            return True
        sched_yield()  # an outside call: counter[0] is read anew each time
    return False


@njit
def meet(arrivals, rank, size):  # type: ignore[no-untyped-def]
    """Barrier of the `size` members of a team, called from a kernel: returns once all have arrived as often as `rank`.

    Member r counts its arrivals in arrivals[8 r], a cache line of its own.
    """
    sched_yield()  # an outside call: everything written before is written before the arrival
    arrivals[8 * rank] += 1
    for other in range(size):
        while arrivals[8 * other] < arrivals[8 * rank]:
            sched_yield()
