"""Matrices from files: round trips through every format, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from conjugo.pde import LinearProblem, load_matrix, poisson, save_matrix

SUFFIXES = [".mtx", ".mtx.gz", ".npz"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("mask", [None, "disc"])
def test_round_trip(tmp_path: Path, suffix: str, mask: str | None) -> None:
    problem = poisson((7, 9), coefficient="lognormal", mask=mask)
    path = save_matrix(problem, tmp_path / f"medium{suffix}")
    again, small = load_matrix(path), problem.compress()
    assert again.name == "medium"
    np.testing.assert_array_equal(again.A.toarray(), small.A.toarray())
    np.testing.assert_array_equal(again.b, small.b)
    assert again.exact is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_matrix_alone_has_ones_as_solution(tmp_path: Path, suffix: str) -> None:
    A = sp.csr_array(np.array([[4.0, -1.0], [0.5, 3.0]]))
    problem = load_matrix(save_matrix(A, tmp_path / f"two{suffix}"))
    np.testing.assert_allclose(problem.b, A.sum(axis=1))
    assert problem.error(np.ones(2)) == 0


@pytest.mark.parametrize("columns", [1, 3])
def test_right_hand_sides(tmp_path: Path, columns: int) -> None:
    A, b = sp.eye_array(4), np.arange(4.0 * columns).reshape(4, columns)
    path = save_matrix(LinearProblem(sp.csr_array(A), b), tmp_path / "eye.npz")
    expected = b[:, 0] if columns == 1 else b
    np.testing.assert_array_equal(load_matrix(path).b, expected)
    np.testing.assert_array_equal(load_matrix(path, b=b).b, expected)
    np.testing.assert_array_equal(load_matrix(path, b=tmp_path / "eye_b.npz").b, expected)
    with pytest.raises(ValueError, match=r"b has shape \(3,\): expected 4 rows"):
        load_matrix(path, b=np.ones(3))


def test_symmetric_and_dense_files_are_filled(tmp_path: Path) -> None:
    path = tmp_path / "sym.mtx"
    path.write_text("%%MatrixMarket matrix coordinate integer symmetric\n2 2 3\n1 1 4\n2 1 -1\n2 2 3\n")
    np.testing.assert_array_equal(load_matrix(path).A.toarray(), [[4.0, -1.0], [-1.0, 3.0]])
    scipy.io.mmwrite(tmp_path / "dense.mtx", np.array([[2.0, 1.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(load_matrix(tmp_path / "dense.mtx").b, [3.0, 1.0])


def broken(tmp_path: Path, kind: str) -> Path:
    """A file that is no problem."""
    files: dict[str, Any] = {
        "wide": sp.coo_array(np.ones((2, 3))),
        "complex": sp.coo_array(np.array([[1j, 0], [0, 1]])),
        "nan": sp.coo_array(np.array([[np.nan, 0], [0, 1]])),
    }
    path = tmp_path / f"{kind}.mtx"
    if kind in files:
        scipy.io.mmwrite(path, files[kind])
    elif kind == "text":
        path.write_text("once upon a time\n")
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("wide", r"shape \(2, 3\): expected a square one"),
        ("complex", "complex: expected real ones"),
        ("nan", "NaN or infinite"),
        ("text", "not a readable .mtx matrix"),
    ],
)
def test_refused(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_matrix(broken(tmp_path, kind))


def test_missing_and_unknown(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_matrix(tmp_path / "nowhere.mtx")
    with pytest.raises(ValueError, match=r"ends in \.mtx, \.mtx\.gz, \.npz"):
        load_matrix(tmp_path / "matrix.mat")
    np.savez(tmp_path / "other.npz", stuff=np.ones(3))
    with pytest.raises(ValueError, match=r"not a readable \.npz matrix"):
        load_matrix(tmp_path / "other.npz")
    with gzip.open(tmp_path / "bad.mtx.gz", "wt") as stream:
        stream.write("nothing")
    with pytest.raises(ValueError, match=r"not a readable \.mtx\.gz matrix"):
        load_matrix(tmp_path / "bad.mtx.gz")
