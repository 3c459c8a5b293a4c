"""The folder that a case writes: config.json, history.csv, result.json and plot.png, each whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import conjugo

PACKAGES = ("numpy", "scipy", "numba", "matplotlib", "pyamg", "petsc4py", "dolfinx-solver-real", "torch")
"""Packages whose versions config.json records where they are installed."""


class Run:
    """One run of a case: a fresh folder `<root>/<case>/<time>/`.

    Parameters
    ----------
    case : str
        Name of the case.
    config : dataclass
        Its configuration; written to config.json at once, with versions and the git revision.
    root : Path
        Where runs are kept.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Config:
    ...     seed: int = 0
    >>> with tempfile.TemporaryDirectory() as root:
    ...     run = Run("example", Config(), Path(root))
    ...     run.result({"converged": True})
    ...     sorted(path.name for path in run.folder.iterdir())
    ['config.json', 'result.json']
    """

    def __init__(self, case: str, config: Any, root: Path) -> None:
        self.folder = _fresh(root / case)
        facts = {"case": case, "config": dataclasses.asdict(config), **provenance()}
        write(self.folder / "config.json", lambda path: path.write_text(as_json(facts)))

    def history(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Write history.csv."""

        def save(path: Path) -> None:
            with path.open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(rows)

        write(self.folder / "history.csv", save)

    def result(self, facts: Mapping[str, Any]) -> None:
        """Write result.json; its keys `converged` and `interrupted` decide the command's exit code."""
        write(self.folder / "result.json", lambda path: path.write_text(as_json(facts)))

    def solution(self, x: NDArray[Any]) -> Path:
        """Write solution.npy and return its path."""
        path = self.folder / "solution.npy"

        def save(beside: Path) -> None:
            with beside.open("wb") as file:
                np.save(file, x)

        write(path, save)
        return path

    def page(self, text: str) -> Path:
        """Write tables.md and return its path."""
        path = self.folder / "tables.md"
        write(path, lambda beside: beside.write_text(text + "\n"))
        return path

    def plot(self, figure: Figure, name: str = "plot") -> Path:
        """Write plot.png, or another picture beside it, and return its path."""
        path = self.folder / f"{name}.png"
        write(path, lambda beside: figure.savefig(beside, format="png", dpi=160))
        return path


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Let `save` write a file beside `path`, then rename it: a reader sees all of it or nothing."""
    beside = path.with_name(f".{path.name}.part")
    save(beside)
    os.replace(beside, path)


def as_json(facts: Mapping[str, Any]) -> str:
    """Render facts as JSON; NaN and infinity, which JSON lacks, become null."""
    return json.dumps(_plain(facts), indent=2, allow_nan=False) + "\n"


def provenance() -> dict[str, Any]:
    """Versions, machine and git revision of this process."""
    versions = {"conjugo": conjugo.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions,
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
        "revision": revision(),
    }


def processor() -> str:
    """Name of the processor, as well as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def revision() -> str | None:
    """Git revision of the checkout that conjugo runs from, with `+` where files differ; None outside one."""
    where = Path(__file__).resolve().parent
    try:
        ask = ["git", "-C", str(where), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _fresh(folder: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for attempt in range(1000):
        path = folder / (stamp if attempt == 0 else f"{stamp}-{attempt}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{folder / stamp} and its 999 successors exist: clear {folder}")


def _plain(value: Any) -> Any:
    """Turn dataclasses, arrays, enums and paths into what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
