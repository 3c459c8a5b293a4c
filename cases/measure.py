"""The peak memory of a piece of work."""

from __future__ import annotations

import ctypes
import gc
import re
import tracemalloc
from collections.abc import Callable
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
