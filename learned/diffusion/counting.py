"""Products with a measurement and its adjoint, counted and timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from conjugo.pde.inverse.operator import Measurement

PENDING = 4096
"""Pairs of CUDA events that may wait to be read before the device is asked for them."""


class Stopwatch:
    """Seconds that some work takes, on the CPU by the clock, on CUDA by events: starting it never waits for a device.

    Examples
    --------
    >>> watch = Stopwatch()
    >>> with watch(torch.device("cpu")):
    ...     total = sum(range(1000))
    >>> watch.seconds > 0
    True
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._pending: list[tuple[Any, Any]] = []

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        """Add the time of the block."""
        if device.type != "cuda":
            started = time.perf_counter()
            yield
            self._seconds += time.perf_counter() - started
            return
        stream = torch.cuda.current_stream(device)
        event: Any = torch.cuda.Event
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record(stream)
        yield
        end.record(stream)
        self._pending.append((start, end))
        if len(self._pending) >= PENDING:
            self._read()

    @property
    def seconds(self) -> float:
        """The sum; waits for a device that has not finished."""
        self._read()
        return self._seconds

    def _read(self) -> None:
        for start, end in self._pending:
            end.synchronize()
            self._seconds += start.elapsed_time(end) / 1000
        self._pending.clear()


@dataclass(eq=False)
class Applications:
    """How often A and A^H were applied, each column of a block counting as one.

    Parameters
    ----------
    forward, adjoint : int
        Products with A and with A^H.
    """

    forward: int = 0
    adjoint: int = 0
    watch: Stopwatch = field(default_factory=Stopwatch, repr=False)

    @property
    def total(self) -> int:
        """Both together."""
        return self.forward + self.adjoint

    @property
    def seconds(self) -> float:
        """Time that they took."""
        return self.watch.seconds


class Counted:
    """A measurement that counts: the same products, adjoint and shape.

    Parameters
    ----------
    A : Measurement or (m, n) tensor
        Real.

    Raises
    ------
    ValueError
        For an A without shape or adjoint, or a complex tensor.

    Examples
    --------
    >>> A = Counted(torch.ones(2, 3))
    >>> x = A.H @ (A @ torch.ones(3, 5))
    >>> A.applications
    Applications(forward=5, adjoint=5)
    """

    def __init__(self, A: Measurement | Tensor) -> None:
        if isinstance(A, Tensor) and A.is_complex():
            raise ValueError(f"A is {A.dtype}: expected real numbers; write complex maps on pairs of real numbers")
        if not hasattr(A, "H") or len(getattr(A, "shape", ())) != 2:
            raise ValueError(f"A is a {type(A).__name__}: expected a Measurement, with `shape` (m, n), `@` and `H`")
        self.A: Any = A
        m, n = A.shape
        self.shape = (int(m), int(n))
        self.image_shape = tuple(getattr(A, "image_shape", (self.shape[1],)))
        self.applications = Applications()
        self.H = _CountedAdjoint(self)

    def __matmul__(self, x: Tensor) -> Tensor:
        """A x."""
        self.applications.forward += 1 if x.ndim == 1 else x.shape[1]
        with self.applications.watch(x.device):
            return self.A @ x  # type: ignore[no-any-return]


class _CountedAdjoint:
    def __init__(self, H: Counted) -> None:
        self.H = H
        self.A: Any = H.A.H
        self.shape = H.shape[::-1]
        self.image_shape = H.image_shape

    def __matmul__(self, y: Tensor) -> Tensor:
        self.H.applications.adjoint += 1 if y.ndim == 1 else y.shape[1]
        with self.H.applications.watch(y.device):
            return self.A @ y  # type: ignore[no-any-return]
