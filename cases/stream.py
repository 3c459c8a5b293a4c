"""The memory bandwidth of one thread, measured with STREAM's loops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from conjugo.cases.race import interleaved_medians


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes a second that one thread moves, counted without write-allocate (as STREAM does)."""

    triad: float
    axpy: float
    dot: float


_FAST = {"reassoc", "contract", "nsz", "arcp"}


@njit(["void(f8[::1], f8[::1], f8[::1], f8)"], cache=True, nogil=True, fastmath=_FAST)
def _triad(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], s: float) -> None:
    for i in range(a.size):
        a[i] = b[i] + s * c[i]


@njit(["void(f8[::1], f8[::1], f8)"], cache=True, nogil=True, fastmath=_FAST)
def _axpy(y: NDArray[np.float64], x: NDArray[np.float64], s: float) -> None:
    for i in range(y.size):
        y[i] += s * x[i]


@njit(["f8(f8[::1], f8[::1])"], cache=True, nogil=True, fastmath=_FAST)
def _dot(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(x.size):
        total += x[i] * y[i]
    return total


def bandwidth(n: int = 2**24, repeats: int = 7) -> Bandwidth:
    """Measure the memory bandwidth of one thread on arrays of n float64 numbers.

    Parameters
    ----------
    n : int
        Length; 2**24 numbers (134 MB an array) do not fit into any cache.
    repeats : int
        Timings of each loop; the median counts.

    Returns
    -------
    Bandwidth
        Bytes a second: triad a = b + s c (24 bytes an element), axpy y += s x (24), dot (16).
    """
    a, b, c = np.zeros(n), np.ones(n), np.ones(n)
    loops = [lambda: _triad(a, b, c, 0.5), lambda: _axpy(a, b, 1e-3), lambda: _dot(b, c)]
    triad, axpy, dot = interleaved_medians(loops, repeats)
    return Bandwidth(24 * n / triad, 24 * n / axpy, 16 * n / dot)
