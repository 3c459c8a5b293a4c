"""Start a case from the command line: read its options, run it, and turn its end into an exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import tyro

CONVERGED, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(slots=True)
class Interrupt:
    """Whether Ctrl-C was pressed, even where a solver answered it by returning what it had."""

    happened: bool = False
    held: bool = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Put a first Ctrl-C off to the end of the block: loading compiled code would lose it, or break."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.happened:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Remember Ctrl-C inside a `with` block; it is still raised as KeyboardInterrupt where it hits."""
    seen = Interrupt()

    def remember(signum: int, frame: FrameType | None) -> None:
        first, seen.happened = not seen.happened, True
        if not (seen.held and first):
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield seen
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def launch[Config](
    config: type[Config], main: Callable[[Config], Path], args: Sequence[str] | None = None, prog: str | None = None
) -> int:
    """Run a case and return its exit code.

    Parameters
    ----------
    config : type
        The case's frozen dataclass; tyro makes the options from it.
    main : callable
        The case; it returns the folder that it wrote.
    args : sequence of str, optional
        Options; default those of this process.
    prog : str, optional
        Name shown in help and messages.

    Returns
    -------
    int
        0 solved, 1 not converged, 2 bad input or a missing extra (one line on stderr), 130 after Ctrl-C with
        what was reached written. `CONJUGO_TRACEBACK=1` shows where bad input was noticed.
    """
    name = prog or Path(sys.argv[0]).name
    try:
        folder = main(tyro.cli(config, args=args, prog=prog))
    except (ValueError, ImportError, OSError, FloatingPointError) as error:
        if os.environ.get("CONJUGO_TRACEBACK"):
            raise
        print(f"{name}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"{name}: interrupted before there was a result", file=sys.stderr)
        return INTERRUPTED
    facts = json.loads((folder / "result.json").read_text())
    if facts.get("interrupted"):
        print(f"{name}: interrupted; {folder} holds what was reached", file=sys.stderr)
        return INTERRUPTED
    return CONVERGED if facts.get("converged", True) else NOT_CONVERGED


def training_command(name: str, argv: Sequence[str] | None = None) -> str:
    """Return the command that trains a model again, for its card: what was asked for, less where files were kept.

    Parameters
    ----------
    name : str
        Of the model in `conjugo train NAME`.
    argv : sequence of str, optional
        Default those of this process, started as `conjugo train NAME ...` or as the case's own script.

    Examples
    --------
    >>> training_command("dcdm", ["conjugo", "train", "dcdm", "--steps", "9", "--out", "here", "--folder=there"])
    'conjugo train dcdm --steps 9'
    """
    words = list(sys.argv if argv is None else argv)
    rest = words[3:] if words[1:3] == ["train", name] else words[1:]
    places = {"--out", "--checkpoint", "--folder"}
    kept = [
        word
        for before, word in zip(["", *rest], rest, strict=False)
        if word.split("=")[0] not in places and before not in places
    ]
    return shlex.join(["conjugo", "train", name, *kept])
