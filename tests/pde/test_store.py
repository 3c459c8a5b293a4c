"""The store of samples: stopped and gone on with, read in pieces, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from conjugo.pde import FieldPairs, Grid, Trajectories, generate, load_pairs, load_trajectories
from conjugo.pde.store import read

GRID = Grid((5, 5), (0.25, 0.25), (0.0, 0.0), lengths=(1.0, 1.0))
CONFIG = {"seed": 1, "values": [12.0, 3.0]}


def _pairs(first: int, count: int) -> FieldPairs:
    u = np.stack([np.random.default_rng([1, i]).standard_normal((5, 5)) for i in range(first, first + count)])
    return FieldPairs(u**2, u.astype(np.float32), GRID, name="noise")


def _make(path: Path, sample: Any = _pairs, count: int = 10, **options: Any) -> Path:
    return generate(path, sample, count, **({"config": CONFIG, "chunk": 3, "progress": False} | options))


def test_what_is_read_is_what_was_made(tmp_path: Path) -> None:
    path = _make(tmp_path / "new" / "pairs.h5")
    whole, made = load_pairs(path), _pairs(0, 10)
    np.testing.assert_array_equal(whole.a, made.a)
    np.testing.assert_array_equal(whole.u, made.u)
    assert whole.u.dtype == np.float32
    assert (whole.grid, whole.name) == (GRID, "noise")
    some = load_pairs(path, slice(4, 9, 2), stride=2)
    np.testing.assert_array_equal(some.a, made.a[4:9:2, ::2, ::2])
    assert some.grid == made.stride(2).grid
    assert len(load_pairs(path, slice(7, 2))) == 0
    assert read(path)[1] == CONFIG
    assert list(path.parent.iterdir()) == [path]


def test_trajectories_keep_their_times_and_scattered_points_their_places(tmp_path: Path) -> None:
    u, t = np.random.default_rng(0).standard_normal((7, 4, 2)), 0.5 * np.arange(4)
    path = _make(tmp_path / "t.h5", lambda first, count: Trajectories(u[first : first + count], t, "random"), 7)
    found = load_trajectories(path, slice(2, 5))
    np.testing.assert_array_equal(found.u, u[2:5])
    np.testing.assert_array_equal(found.t, t)
    points = np.random.default_rng(1).standard_normal((7, 2, 4))
    scattered = lambda first, count: FieldPairs(u[first : first + count, :, 0], u[first : first + count, :, 1],  # noqa: E731
                                                coordinates=points[first : first + count])  # fmt: skip
    mapped = load_pairs(_make(tmp_path / "p.h5", scattered, 7), slice(3, 7), stride=3)
    np.testing.assert_array_equal(mapped.coordinates, points[3:, :, ::3])
    assert mapped.grid is None


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """The process ends without any clean-up, in its third piece."""
    code = f"""
import os
from pathlib import Path
from tests.pde.test_store import _make, _pairs
_make(Path({str(tmp_path / "killed.h5")!r}), lambda first, count: os._exit(9) if first >= 6 else _pairs(first, count))
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 9
    part = tmp_path / "killed.h5.part"
    assert list(tmp_path.iterdir()) == [part]
    with h5py.File(part, "r+") as file:
        assert file["done"][()] == 6
        file["samples/u"][6] = np.nan  # a piece that was under way
    with pytest.raises(ValueError, match=r"killed\.h5 is not complete: killed\.h5\.part"):
        load_pairs(tmp_path / "killed.h5")
    with pytest.raises(ValueError, match=r"holds 6 of 10 samples: run its command again"):
        load_pairs(part)
    asked: list[int] = []
    path = _make(tmp_path / "killed.h5", lambda first, count: asked.append(first) or _pairs(first, count), chunk=2)
    assert asked == [6, 8]
    assert path.read_bytes() == _make(tmp_path / "whole.h5").read_bytes()


def test_a_complete_file_is_not_made_again(tmp_path: Path) -> None:
    path = _make(tmp_path / "pairs.h5")
    before = path.stat().st_mtime_ns
    assert _make(path, sample=None) == path
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("suffix", ["", ".part"])
def test_other_files_are_refused_and_left_alone(tmp_path: Path, suffix: str) -> None:
    path, there = tmp_path / "x.h5", tmp_path / f"x.h5{suffix}"

    def refused(message: str) -> None:
        before = there.read_bytes()
        with pytest.raises(ValueError, match=message):
            _make(path, sample=None)
        assert there.read_bytes() == before

    _make(tmp_path / "good.h5", config={"seed": 2}).rename(there)
    refused(r'holds 10 samples of {"seed": 2}, but 10 of {"seed": 1, "values": \[12\.0, 3\.0\]} were asked for')
    _make(tmp_path / "good.h5", count=9).rename(there)
    refused("holds 9 samples of .*but 10 of")
    there.write_bytes(_make(tmp_path / "good.h5").read_bytes()[:-500])
    refused("cannot be read as HDF5.*truncated.*left as it was")
    there.write_text("notes")
    refused("cannot be read as HDF5")
    with h5py.File(there, "w") as file:
        file["u"] = np.zeros(3)
    refused("not samples that conjugo made")


def test_bad_samples_are_named_and_what_was_made_before_stays(tmp_path: Path) -> None:
    def broken(first: int, count: int) -> dict[str, Any]:
        x = np.arange(first, first + count, dtype=float)
        return {"x": np.where(x == 4, np.nan, x)}

    with pytest.raises(ValueError, match=r"sample\(3, 3\) made x with values that are NaN"):
        _make(tmp_path / "x.h5", broken)
    path = _make(tmp_path / "x.h5", lambda first, count: {"x": np.arange(first, first + count, dtype=float)})
    np.testing.assert_array_equal(read(path)[0]["x"], np.arange(10.0))
    with pytest.raises(ValueError, match=r"made x with shape \(2,\): expected \(3,\)"):
        _make(tmp_path / "y.h5", lambda first, count: {"x": np.zeros(2 if first else 3)})
    with pytest.raises(ValueError, match="made y: expected x"):
        _make(tmp_path / "z.h5", lambda first, count: {"y" if first else "x": np.zeros(count)})
    with pytest.raises(ValueError, match="count = 0"):
        _make(tmp_path / "w.h5", count=0)


def test_the_wrong_loader_says_so(tmp_path: Path) -> None:
    path = _make(tmp_path / "pairs.h5")
    with pytest.raises(ValueError, match="holds pairs: expected trajectories"):
        load_trajectories(path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_pairs(tmp_path / "none.h5")
