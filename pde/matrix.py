"""Anybody's matrix: Matrix Market and SciPy's npz files as linear problems."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp
from numpy.typing import NDArray

from conjugo.pde.problem import LinearProblem

SUFFIXES = (".mtx", ".mtx.gz", ".npz")


def load(path: str | Path, b: str | Path | NDArray[np.float64] | None = None) -> LinearProblem:
    """Read a sparse matrix and make it a problem.

    Parameters
    ----------
    path : str or Path
        A Matrix Market file (.mtx, .mtx.gz; symmetric ones are filled) or one of `scipy.sparse.save_npz` (.npz).
    b : str, Path or array, optional
        Right-hand side: an array (n,) or (n, k), or a file of one. By default the file `<name>_b` beside the matrix
        (SuiteSparse's habit) if there is one, else A @ ones, whose solution is known.

    Returns
    -------
    LinearProblem
        With A as `scipy.sparse.csr_array`, and `exact` where b = A @ ones.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For other file types, matrices that are complex, not square or not finite, and right-hand sides that do not fit.

    References
    ----------
    R. Boisvert, R. Pozo, K. Remington, *The Matrix Market Exchange Formats*, NISTIR 5935 (1996).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(sp.diags_array([1.0, 2.0]), Path(folder) / "small.mtx")
    ...     load(Path(folder) / "small.mtx").b
    array([1., 2.])
    """
    path = Path(path)
    A = _read(path)
    if A.ndim != 2 or A.shape[0] != A.shape[1] or A.shape[0] == 0:
        raise ValueError(
            f"{path}: the matrix has shape {A.shape}: expected a square one; least squares are not solved here"
        )
    matrix = sp.csr_array(A, dtype=np.float64)
    matrix.sum_duplicates()
    if not np.all(np.isfinite(matrix.data)):
        raise ValueError(f"{path}: the matrix has NaN or infinite entries: expected finite numbers")
    name = _stem(path)
    if b is None:
        beside = [path.with_name(f"{name}_b{suffix}") for suffix in SUFFIXES]
        b = next((candidate for candidate in beside if candidate.exists()), None)
    if b is None:
        ones = np.ones(matrix.shape[0])
        return LinearProblem(matrix, matrix @ ones, ones, None, name)
    rhs = np.asarray(b if isinstance(b, np.ndarray) else _dense(_read(Path(b))), dtype=np.float64)
    if rhs.ndim == 2 and rhs.shape[1] == 1:
        rhs = rhs[:, 0]
    if rhs.ndim not in (1, 2) or rhs.shape[0] != matrix.shape[0] or not np.all(np.isfinite(rhs)):
        raise ValueError(f"b has shape {rhs.shape}: expected {matrix.shape[0]} rows of finite numbers, one a row of A")
    return LinearProblem(matrix, rhs, None, None, name)


def save(problem: LinearProblem | sp.sparray, path: str | Path) -> Path:
    """Write a matrix, and a problem's right-hand side beside it as `<name>_b`.

    Parameters
    ----------
    problem : LinearProblem or sparse array
        What to write; of a masked problem, the active unknowns.
    path : str or Path
        Ends in .mtx, .mtx.gz or .npz.

    Returns
    -------
    Path
        The file of the matrix; `load` finds the right-hand side beside it.

    Raises
    ------
    ValueError
        For other endings.

    Examples
    --------
    >>> import tempfile
    >>> from conjugo.pde import poisson
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(poisson(7, rhs="smooth"), Path(folder) / "line.npz")
    ...     load(path).n
    7
    """
    path = Path(path)
    suffix = _suffix(path)
    if isinstance(problem, LinearProblem):
        problem = problem.compress()
        _write(path.with_name(f"{_stem(path)}_b{suffix}"), np.asarray(problem.b), suffix)
        A = sp.csr_array(problem.A)
    else:
        A = sp.csr_array(problem)
    _write(path, A, suffix)
    return path


def _suffix(path: Path) -> str:
    suffix = next((s for s in SUFFIXES if path.name.endswith(s)), None)
    if suffix is None:
        raise ValueError(f"{path}: expected a file name that ends in {', '.join(SUFFIXES)}")
    return suffix


def _stem(path: Path) -> str:
    return path.name.removesuffix(_suffix(path))


def _read(path: Path) -> sp.sparray | NDArray[np.generic]:
    """Read a file, sparse or dense."""
    suffix = _suffix(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file (working directory {Path.cwd()})")
    try:
        A = _read_npz(path) if suffix == ".npz" else scipy.io.mmread(path, spmatrix=False)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"{path}: not a readable {suffix} matrix: {error}") from error
    if A.dtype.kind == "c":
        raise ValueError(f"{path}: the entries are complex: expected real ones; split real and imaginary parts first")
    return A


def _read_npz(path: Path) -> sp.sparray | NDArray[np.generic]:
    """Read SciPy's npz, or one plain array."""
    with np.load(path, allow_pickle=False) as archive:
        if archive.files == ["b"]:
            return np.asarray(archive["b"])
    return sp.load_npz(path)


def _write(path: Path, array: sp.sparray | NDArray[np.float64], suffix: str) -> None:
    """Write a sparse matrix or a dense right-hand side."""
    if suffix == ".npz":
        if isinstance(array, np.ndarray):
            np.savez_compressed(path, b=array)
        else:
            sp.save_npz(path, array)
        return
    if isinstance(array, np.ndarray):
        array = array.reshape(len(array), -1)
    if suffix == ".mtx":
        scipy.io.mmwrite(path, array, precision=17)
        return
    with gzip.open(path, "wb") as stream:
        scipy.io.mmwrite(stream, array, precision=17)


def _dense(array: sp.sparray | NDArray[np.generic]) -> NDArray[np.generic]:
    return np.asarray(array if isinstance(array, np.ndarray) else array.toarray())
