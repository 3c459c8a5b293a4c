"""How many threads the compiled kernels use, and the one place where they are started.

Kernels release the interpreter lock and work on a range of rows, so ordinary Python threads
run them side by side. That needs no OpenMP, survives a fork and does not fight with other libraries' thread pools.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SPIN = 2000
"""Looks at a counter, about half a microsecond each, before a waiting thread goes to sleep."""

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


class _Worker:
    """A thread that runs one job at a time and looks out for the next one before it goes to sleep."""

    def __init__(self) -> None:
        from conjugo.solvers.kernels.spin import spin  # compiled code: only where threads are used

        self._spin = spin
        self._posted, self._done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._changed = threading.Condition()
        self._job: Callable[[], float | None] = float
        self._sum = 0.0
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True, name="conjugo").start()

    def post(self, job: Callable[[], float | None]) -> None:
        """Hand over a job; the one before must have been collected."""
        with self._changed:
            self._job = job
            self._posted[0] += 1
            self._changed.notify_all()

    def collect(self) -> float:
        """Wait for the job and return its partial sum, or raise what it raised."""
        self._wait(self._done, int(self._posted[0]) - 1)
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._sum

    def _wait(self, counter: NDArray[np.int64], seen: int) -> None:
        if not self._spin(counter, seen, SPIN):
            with self._changed:
                while counter[0] == seen:
                    self._changed.wait()

    def _run(self) -> None:
        done = 0
        while True:
            self._wait(self._posted, done)
            try:
                self._sum = self._job() or 0.0
            except BaseException as error:  # raised again where the job was posted
                self._error = error
            done += 1
            with self._changed:
                self._done[0] = done
                self._changed.notify_all()


_workers: list[_Worker] = []
_in_use = threading.Lock()


def _forget() -> None:
    """Drop the workers: a forked child has none of its parent's threads."""
    global _in_use
    _workers.clear()
    _in_use = threading.Lock()


os.register_at_fork(after_in_child=_forget)


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

    Notes
    -----
    Where another thread of the program is using the workers, the ranges run one after another.
    """
    if parts < 2 or rows < 2:
        return work(0, rows) or 0.0
    (lo, hi), *others = pairwise(split_rows(rows, parts))
    if not _in_use.acquire(blocking=False):
        return (work(lo, hi) or 0.0) + sum(work(*bounds) or 0.0 for bounds in others)
    try:
        while len(_workers) < len(others):
            _workers.append(_Worker())
        for worker, bounds in zip(_workers, others, strict=False):
            worker.post(partial(work, *bounds))
        try:
            total = work(lo, hi) or 0.0
        finally:  # every job must end before its arrays may change, whatever happened here
            sums = [worker.collect() for worker in _workers[: len(others)]]
        return total + sum(sums)
    finally:
        _in_use.release()


set_threads(int(os.environ.get("CONJUGO_THREADS", "1")))
