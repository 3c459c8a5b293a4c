"""When a run should stop early: Ctrl-C, or the end of its time."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self


class Stop:
    """Whether to stop after the current step.

    Inside a `with` block, a first Ctrl-C only sets `wanted`, so that the step is finished; a second one is raised.

    Parameters
    ----------
    time_limit : float or None
        Seconds from now until the wish to stop.

    Examples
    --------
    >>> with Stop(None) as stop:
    ...     stop.wanted
    False
    """

    def __init__(self, time_limit: float | None) -> None:
        self.deadline = None if time_limit is None else time.perf_counter() + time_limit
        self.pressed = False
        self._before: Any = None

    @property
    def wanted(self) -> bool:
        """Whether Ctrl-C was pressed, or the time is up."""
        return self.pressed or (self.deadline is not None and time.perf_counter() >= self.deadline)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only there can signals be heard
            self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, signum: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
