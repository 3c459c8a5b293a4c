"""How many threads the compiled kernels use, and the one place where they are started.

Kernels release the interpreter lock and work on a range of rows, so ordinary Python threads
run them side by side. That costs some ten microseconds a call, needs no OpenMP, survives a fork
and does not fight with other libraries' thread pools.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise

_threads = 1


def _checked(number: int) -> int:
    if number < 1:
        raise ValueError(f"threads = {number}: expected at least 1, at most the machine's {os.cpu_count()} cores")
    return int(number)


def get_threads() -> int:
    """Number of threads that kernels use on large grids; `CONJUGO_THREADS` sets the first value.

    Returns
    -------
    int
        1 unless `set_threads`, `threads` or the environment said otherwise.
    """
    return _threads


def set_threads(number: int) -> None:
    """Set the number of threads that kernels use on large grids.

    Parameters
    ----------
    number : int
        At least 1.

    Raises
    ------
    ValueError
        If `number` is less than 1.
    """
    global _threads
    _threads = _checked(number)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Use `number` threads inside a `with` block.

    Examples
    --------
    >>> from conjugo.solvers.parallel import get_threads, threads
    >>> with threads(2):
    ...     get_threads()
    2
    """
    before = get_threads()
    set_threads(number)
    try:
        yield
    finally:
        set_threads(before)


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="conjugo")


def split_rows(rows: int, parts: int) -> list[int]:
    """Bounds of the ranges that `run_rows` makes: range i is bounds[i] to bounds[i + 1].

    Examples
    --------
    >>> from conjugo.solvers.parallel import split_rows
    >>> split_rows(7, 2)
    [0, 3, 7]
    """
    parts = max(1, min(parts, rows))
    return [rows * part // parts for part in range(parts + 1)]


def run_rows(work: Callable[[int, int], float | None], rows: int, parts: int) -> float:
    """Call `work(lo, hi)` on `parts` consecutive ranges that cover `range(rows)`, side by side.

    Parameters
    ----------
    work : callable
        A compiled kernel with its arrays bound; it releases the interpreter lock and may
        return a partial sum.
    rows : int
        Number of rows to share out.
    parts : int
        Number of ranges; 1 calls `work` directly.

    Returns
    -------
    float
        The sum of what the calls returned (0 for None).
    """
    if parts < 2 or rows < 2:
        return work(0, rows) or 0.0
    bounds = split_rows(rows, parts)
    others = [_pool(parts - 1).submit(work, lo, hi) for lo, hi in pairwise(bounds[1:])]
    total = work(bounds[0], bounds[1]) or 0.0
    for other in others:
        total += other.result() or 0.0
    return total


set_threads(int(os.environ.get("CONJUGO_THREADS", "1")))
