"""Files of generated samples: HDF5 with the configuration inside, made piece by piece, resumed after a stop."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from conjugo.pde.grid import Grid
from conjugo.pde.pairs import FieldPairs
from conjugo.pde.trajectories import Trajectories
from conjugo.solvers.adapters.host import to_numpy

FORMAT = "conjugo samples 1"
"""Mark by which our files are known."""

type Made = FieldPairs | Trajectories | Mapping[str, Any]
type Arrays = dict[str, NDArray[Any]]


def generate(
    path: str | Path,
    sample: Callable[[int, int], Made],
    count: int,
    *,
    config: Mapping[str, Any],
    chunk: int = 64,
    progress: bool = True,
) -> Path:
    """Make samples and write them to a file, or go on where an earlier call stopped.

    Parameters
    ----------
    path : str or Path
        The file. While it grows it is called `<path>.part`.
    sample : callable
        sample(first, count) returns so many samples from number `first` on: `FieldPairs`, `Trajectories`, or arrays by
        name with one row a sample. Sample i must depend on i alone.
    count : int
        Samples of the whole file.
    config : mapping
        What the samples were made from, as JSON knows it; kept in the file.
    chunk : int
        Samples made at a time: what memory is needed for.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    Path
        Of the complete file. If it exists already, with this configuration, nothing is done.

    Raises
    ------
    ValueError
        If the file, or its part, holds another configuration or count, or is not one of ours; it is left as it was.
    ImportError
        Without h5py.

    Notes
    -----
    All room is taken when the file is created and its structure never changes afterwards. A piece is written, then the
    count of samples that are done: whenever the process is killed, the part can be gone on with, and the finished file
    holds what an uninterrupted run would have written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     squares = lambda first, count: {"x": np.arange(first, first + count) ** 2}
    ...     path = generate(Path(folder) / "s.h5", squares, 5, config={"power": 2}, chunk=2, progress=False)
    ...     read(path, slice(1, 4))
    ({'x': array([1, 4, 9])}, {'power': 2})
    """
    path = Path(path)
    if count < 1 or chunk < 1:
        raise ValueError(f"count = {count}, chunk = {chunk}: expected at least 1")
    wanted = json.dumps(config, sort_keys=True)
    if path.exists():
        with _opened(path) as file:
            _check_same(path, file, wanted, count)
        return path
    part = path.with_name(path.name + ".part")
    done = 0
    first: Made | None = None
    if part.exists():
        with _opened(part) as file:
            _check_same(part, file, wanted, count)
            done = int(file["done"][()])
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        first = sample(0, min(chunk, count))
        _create(part, first, count, wanted)
    with _opened(part, "r+") as file:
        with tqdm(total=count, initial=done, unit="sample", disable=not progress) as bar:
            while done < count:
                size = min(chunk, count - done)
                made = first if first is not None else sample(done, size)
                first = None
                _write(file, made, done, size)
                done += size
                bar.update(size)
    os.replace(part, path)
    return path


def read(path: str | Path, samples: slice = slice(None)) -> tuple[Arrays, dict[str, Any]]:
    """Read a complete file, or some of its samples.

    Parameters
    ----------
    path : str or Path
        As from `generate`.
    samples : slice
        Which samples; only these are read.

    Returns
    -------
    arrays : dict of arrays
        By name; those without a row a sample (times) are whole.
    config : dict
        What they were made from.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not one of ours, or not complete.
    """
    with _complete(Path(path)) as file:
        arrays = {name: _rows(data, samples) for name, data in file["samples"].items()}
        arrays |= {name: np.asarray(data) for name, data in file["common"].items()}
        config: dict[str, Any] = json.loads(file.attrs["config"])
        return arrays, config


def load_pairs(path: str | Path, samples: slice = slice(None), *, stride: int = 1) -> FieldPairs:
    """Read pairs of fields.

    Parameters
    ----------
    path : str or Path
        As from `generate` with a `sample` that returns FieldPairs.
    samples : slice
        Which samples; only these are read.
    stride : int
        Keep every stride-th node, as `FieldPairs.stride`; the others are never in memory together.

    Returns
    -------
    FieldPairs
        In the dtype of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read`; or if the file holds something else.

    Examples
    --------
    >>> import tempfile
    >>> from conjugo.pde import darcy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     make = lambda first, count: darcy(count, 9, first=first)
    ...     path = generate(Path(folder) / "darcy.h5", make, 3, config={"size": 9}, progress=False)
    ...     pairs = load_pairs(path, stride=4)
    >>> pairs.u.shape, pairs.grid.spacing
    ((3, 3, 3), (0.5, 0.5))
    """
    with _complete(Path(path), "pairs") as file:
        facts = json.loads(file.attrs["facts"])
        grid = None if facts["grid"] is None else _grid(facts["grid"])
        none = np.empty((0, *facts["shape"]))
        thin = FieldPairs(none, none, grid).stride(stride)
        arrays = {name: _rows(data, samples, stride, len(none.shape) - 1) for name, data in file["samples"].items()}
    return FieldPairs(arrays["a"], arrays["u"], thin.grid, arrays.get("coordinates"), facts["name"])


def load_trajectories(path: str | Path, samples: slice = slice(None)) -> Trajectories:
    """Read trajectories.

    Parameters
    ----------
    path : str or Path
        As from `generate` with a `sample` that returns Trajectories.
    samples : slice
        Which of them; only these are read.

    Returns
    -------
    Trajectories
        In the dtype of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read`; or if the file holds something else.
    """
    with _complete(Path(path), "trajectories") as file:
        name = json.loads(file.attrs["facts"])["name"]
        return Trajectories(_rows(file["samples"]["u"], samples), np.asarray(file["common"]["t"]), name)


def _contents(made: Made) -> tuple[Arrays, Arrays, dict[str, Any]]:
    """Arrays with a row a sample, arrays that all samples share, and facts."""
    if isinstance(made, FieldPairs):
        arrays = {"a": made.a, "u": made.u} | ({} if made.coordinates is None else {"coordinates": made.coordinates})
        grid = None if made.grid is None else asdict(made.grid)
        facts = {"kind": "pairs", "name": made.name, "grid": grid, "shape": made.shape}
        return {name: to_numpy(array) for name, array in arrays.items()}, {}, facts
    if isinstance(made, Trajectories):
        return {"u": to_numpy(made.u)}, {"t": made.t}, {"kind": "trajectories", "name": made.name}
    return {name: to_numpy(array) for name, array in made.items()}, {}, {"kind": "arrays"}


def _create(part: Path, made: Made, count: int, config: str) -> None:
    """Lay out a file for `count` samples like those that are made; it appears under its name when it is whole."""
    h5py = _h5py()
    fresh = part.with_name(f"{part.name}.{os.getpid()}")
    arrays, common, facts = _contents(made)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)  # the same samples make the same bytes
    try:
        with h5py.File(fresh, "w") as file:
            file.attrs["format"], file.attrs["config"], file.attrs["count"] = FORMAT, config, count
            file.attrs["facts"] = json.dumps(facts, sort_keys=True)
            samples = file.create_group("samples")
            for name, array in arrays.items():
                space = h5py.h5s.create_simple((count, *array.shape[1:]))
                h5py.h5d.create(samples.id, name.encode(), h5py.h5t.py_create(array.dtype), space, layout)
            shared = file.create_group("common")
            for name, array in common.items():
                shared[name] = array
            file["done"] = np.int64(0)
        os.replace(fresh, part)
    finally:
        fresh.unlink(missing_ok=True)


def _write(file: Any, made: Made, done: int, size: int) -> None:
    """Write samples, and then that they are there."""
    arrays, _, _ = _contents(made)
    room = file["samples"]
    if set(arrays) != set(room):
        raise ValueError(f"sample made {', '.join(arrays)}: expected {', '.join(room)}, as in its first piece")
    for name, array in arrays.items():
        if array.shape != (size, *room[name].shape[1:]):
            raise ValueError(f"sample({done}, {size}) made {name} with shape {array.shape}: expected "
                             f"{(size, *room[name].shape[1:])}")  # fmt: skip
        if array.dtype.kind in "fc" and not np.all(np.isfinite(array)):
            raise ValueError(f"sample({done}, {size}) made {name} with values that are NaN or infinite: nothing of "
                             "this piece was written")  # fmt: skip
    for name, array in arrays.items():
        room[name][done : done + size] = array
    file.flush()
    file["done"][()] = done + size
    file.flush()


def _rows(data: Any, samples: slice, stride: int = 1, axes: int = 0) -> NDArray[Any]:
    """Read some rows, and of each every stride-th entry along its last axes."""
    rows = range(len(data))[samples]
    if stride == 1 and rows.step == 1:
        return np.asarray(data[rows.start : max(rows.start, rows.stop)])
    every = (..., *(slice(None, None, stride),) * axes)
    thin = np.empty((0, *data.shape[1:]), dtype=np.bool_)[every]
    out = np.empty((len(rows), *thin.shape[1:]), dtype=data.dtype)
    for row, i in enumerate(rows):
        out[row] = data[i][every]
    return out


def _grid(facts: Mapping[str, Any]) -> Grid:
    """Make a grid of what JSON kept of it."""
    return Grid(**{key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()})


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise ImportError("files of samples need h5py: pip install conjugo[learned]") from error


@contextmanager
def _opened(path: Path, mode: str = "r") -> Iterator[Any]:
    """Open one of our files, or say what it is not."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file (working directory {Path.cwd()})")
    try:
        file = _h5py().File(path, mode)
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5 ({error}); it was left as it was: move it away to start over, "
                         "or wait for the run that writes it") from error  # fmt: skip
    with file:
        if file.attrs.get("format") != FORMAT or not {"samples", "common", "done"} <= set(file):
            raise ValueError(f"{path} is HDF5, but not samples that conjugo made; it was left as it was: choose "
                             "another name")  # fmt: skip
        yield file


def _check_same(path: Path, file: Any, config: str, count: int) -> None:
    """Refuse a file that was made from something else."""
    found, there = json.loads(file.attrs["config"]), int(file.attrs["count"])
    if found != json.loads(config) or there != count:
        raise ValueError(f"{path} holds {there} samples of {json.dumps(found, sort_keys=True)}, but {count} of "
                         f"{config} were asked for; it was left as it was: choose another name")  # fmt: skip


@contextmanager
def _complete(path: Path, kind: str | None = None) -> Iterator[Any]:
    """Open a file that holds all of its samples, of the kind that is wanted."""
    part = path.with_name(path.name + ".part")
    if not path.exists() and part.exists():
        raise ValueError(f"{path} is not complete: {part.name} is what there is; run its command again to go on")
    with _opened(path) as file:
        done, count = int(file["done"][()]), int(file.attrs["count"])
        if done < count:
            raise ValueError(f"{path} holds {done} of {count} samples: run its command again to go on")
        found = json.loads(file.attrs["facts"])["kind"]
        if kind is not None and found != kind:
            raise ValueError(f"{path} holds {found}: expected {kind}; use read or the other loader")
        yield file
