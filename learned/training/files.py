"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a file beside `path`, then rename it: a reader, or a kill, finds the old file or the new one.

    Parameters
    ----------
    path : Path
        The file; its folder is made where it is missing.
    save : callable
        Writes the path that it is given.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "new" / "note.txt"
    ...     write_whole(path, lambda beside: beside.write_text("all of it"))
    ...     print(path.read_text())
    all of it
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    try:
        save(beside)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
