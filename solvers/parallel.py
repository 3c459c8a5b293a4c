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
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPIN = 2000
"""Looks at a counter, about half a microsecond each, before a waiting thread goes to sleep."""

PAUSE = 20
"""Looks by which a worker starts late: a thread that finds the interpreter lock taken sleeps, and wakes late."""

BLAS_SERIAL = 10_000
"""Length up to which OpenBLAS computes a dot product on one thread."""

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


def dot(u: NDArray[Any], v: NDArray[Any]) -> float:
    """Return the real part of u.H v of two NumPy vectors.

    Notes
    -----
    Not by BLAS where it would use threads: OpenBLAS's own look out for work long after a product, on the processors
    that the kernels then lack. On vectors of that length memory sets the pace either way.
    """
    if u.size <= BLAS_SERIAL or u.dtype != np.float64 or v.dtype != np.float64:
        return float(np.vdot(u, v).real)
    return float(np.einsum("i,i->", u, v))


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
        from conjugo.solvers.kernels.spin import processor, spin  # compiled code: only where threads are used

        self._spin, self._processor = spin, processor
        self._avoided = self._avoid = -1
        self._posted, self._done = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._changed = threading.Condition()
        self._job: Callable[[], float | None] = float
        self._allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        self._sum = 0.0
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True, name="conjugo").start()

    def post(self, job: Callable[[], float | None]) -> None:
        """Hand over a job, after the one before."""
        self.collect()
        with self._changed:
            self._job = job
            self._avoid = self._processor()
            self._posted[0] += 1
            self._changed.notify_all()

    def collect(self) -> float:
        """Wait for the last job, if any, and return its partial sum, or raise what it raised."""
        if self._done[0] != self._posted[0]:
            self._wait(self._done, int(self._done[0]))
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._sum

    def _wait(self, counter: NDArray[np.int64], seen: int) -> None:
        if not self._spin(counter, seen, SPIN):
            with self._changed:
                while counter[0] == seen:
                    self._changed.wait()

    def _move_aside(self) -> None:
        """Leave the processor of the thread that posted the job: some schedulers wake a thread next to its waker."""
        if self._avoid != self._avoided and self._avoid >= 0:
            self._avoided = self._avoid
            others = self._allowed - {self._avoid}
            if others:
                os.sched_setaffinity(0, others)  # 0: this thread alone

    def _run(self) -> None:
        done = 0
        while True:
            self._wait(self._posted, done)
            self._move_aside()
            self._spin(self._done, done, PAUSE)  # whoever posted needs the interpreter lock to start its own part
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


@contextmanager
def _hired(number: int) -> Iterator[list[_Worker]]:
    """`number` idle workers; none where another thread of the program has them."""
    if number < 1 or not _in_use.acquire(blocking=False):
        yield []
        return
    try:
        while len(_workers) < number:
            _workers.append(_Worker())
        yield _workers[:number]
    finally:
        _in_use.release()


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
    first, *others = [partial(work, lo, hi) for lo, hi in pairwise(split_rows(rows, parts))]
    with _hired(len(others)) as workers:
        if not workers:
            return (first() or 0.0) + sum(other() or 0.0 for other in others)
        for worker, other in zip(workers, others, strict=True):
            worker.post(other)
        try:
            total = first() or 0.0
        finally:  # every job must end before its arrays may change, whatever happened here
            sums = [worker.collect() for worker in workers]
        return total + sum(sums)


def run_team(work: Callable[[int, int, NDArray[np.int64]], None], size: int) -> None:
    """Call `work(rank, size, arrivals)` for every rank at the same time.

    Parameters
    ----------
    work : callable
        A compiled kernel with its arrays bound, which releases the interpreter lock; its members meet at barriers
        (`kernels.spin.meet`) with the counters in `arrivals`, the last time when all work is done.
    size : int
        Number of members; the team is of one where another thread of the program is using the workers.

    Notes
    -----
    One start for a whole sequence of passes: waking a thread takes some fifty microseconds, a barrier one or two.
    """
    with _hired(size - 1) as workers:
        size = len(workers) + 1
        arrivals = np.zeros(8 * size, np.int64)
        for rank, worker in enumerate(workers, 1):
            worker.post(partial(work, rank, size, arrivals))
        try:
            work(0, size, arrivals)
        except BaseException:
            arrivals[:] = np.iinfo(np.int64).max // 2  # nobody must wait for this member
            for worker in workers:
                worker.collect()
            raise


set_threads(int(os.environ.get("CONJUGO_THREADS", "1")))
