"""What a piece of work costs: peak memory, and medians of interleaved timings."""

from __future__ import annotations

import ctypes
import gc
import re
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
M_MMAP_THRESHOLD = -3  # glibc's number for it


def peak_bytes(work: Callable[[], object]) -> tuple[int, str]:
    """Return the most memory that `work` held beyond what was there before, and how it was measured.

    Returns
    -------
    bytes : int
        From the kernel's high-water mark of this process where Linux lets us reset it: that sees compiled
        libraries too. Elsewhere from tracemalloc, which sees Python's and NumPy's memory only.
    how : str
        "VmHWM" or "tracemalloc".
    """
    gc.collect()
    if _settle():
        before = _status("VmRSS")
        kept = work()
        peak = _status("VmHWM") - before
        del kept
        return max(0, peak), "VmHWM"
    tracemalloc.start()
    try:
        kept = work()
        peak = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return peak, "tracemalloc"


def _settle() -> bool:
    """Return freed memory to the system and reset the high-water mark; say whether that worked."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 65536)  # large arrays come and go by mmap, so that freeing shows
        libc.malloc_trim(0)
        RESET.write_text("5")
        return STATUS.exists()
    except (OSError, AttributeError):
        return False


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{STATUS} has no {key}: this system cannot tell its memory use")
    return 1024 * int(found.group(1))


def interleaved(
    works: Sequence[Callable[[], object]],
    repeats: int,
    slow: float = 10.0,
    progress: Callable[[], object] | None = None,
) -> list[list[float]]:
    """Time each of `works` up to `repeats` times, in turn, so that all see the same load of the machine.

    Parameters
    ----------
    works : sequence of callable
        What to time; each should be warmed up.
    repeats : int
        How often.
    slow : float
        Work whose first turn took longer than this (seconds) is not repeated more than twice.
    progress : callable, optional
        Called after each turn of each work.

    Returns
    -------
    list of list of float
        Wall-clock seconds of every turn.
    """
    times: list[list[float]] = [[] for _ in works]
    for turn in range(repeats):
        for work, spent in zip(works, times, strict=True):
            if turn < 2 or spent[0] <= slow:
                start = time.perf_counter()
                work()
                spent.append(time.perf_counter() - start)
            if progress is not None:
                progress()
    return times


def median_seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Median of `repeats` timings of `work` after one call that is not counted."""
    work()
    return statistics.median(interleaved([work], repeats)[0])
