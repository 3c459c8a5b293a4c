"""The tests of measurements: right operators pass them, wrong ones are refused by what is wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from conjugo.pde.inverse.operator import (
    Adjoint,
    ImageOperator,
    Measurement,
    Normal,
    adjoint_mismatch,
    check_data,
    check_measurement,
)
from conjugo.pde.inverse.sensors import Sensors

torch = pytest.importorskip("torch")


class Matrix(ImageOperator):
    """A dense matrix, with an adjoint that may be wrong on purpose."""

    def __init__(self, matrix: Any, adjoint: Any = None) -> None:
        super().__init__((matrix.shape[1],), matrix.shape[0])
        self.matrix = matrix
        self.adjoint = matrix.T if adjoint is None else adjoint

    def measure(self, images: Any) -> Any:
        return images @ self.matrix.T

    def scatter(self, data: Any) -> Any:
        return data @ self.adjoint.T


class Squared(Matrix):
    def measure(self, images: Any) -> Any:
        return images**2 @ self.matrix.T


class Shifted(Matrix):
    def measure(self, images: Any) -> Any:
        return images @ self.matrix.T + 1


def matrix(m: int = 5, n: int = 8) -> Any:
    return np.random.default_rng(3).standard_normal((m, n))


def test_a_right_operator_passes_in_both_libraries_and_precisions() -> None:
    A = Matrix(matrix())
    assert isinstance(A, Measurement)
    check_measurement(A)
    assert adjoint_mismatch(A) < 1e-14
    for dtype, bound in ((torch.float64, 1e-14), (torch.float32, 1e-5)):
        B = Matrix(torch.asarray(matrix(), dtype=dtype))
        like = torch.zeros(1, dtype=dtype)
        check_measurement(B, like=like)
        assert adjoint_mismatch(B, like=like) < bound


def test_vectors_blocks_and_the_adjoint_of_the_adjoint() -> None:
    A, x = Matrix(matrix()), np.random.default_rng(0).standard_normal((8, 3))
    assert np.allclose(A @ x, matrix() @ x, rtol=1e-14)
    assert np.allclose(A @ x[:, 1], matrix() @ x[:, 1], rtol=1e-14)
    y = A @ x
    assert np.allclose(A.H @ y, matrix().T @ y, rtol=1e-14)
    assert np.allclose(A.H @ y[:, 0], matrix().T @ y[:, 0], rtol=1e-14)
    assert A.H.H is A
    assert A.H.shape == (8, 5)
    assert A.H.image_shape == (8,)


@pytest.mark.parametrize(
    ("A", "words"),
    [
        (Matrix(matrix(), 1.01 * matrix().T), "the dot test is off by"),
        (Squared(matrix()), "A is not linear"),
        (Shifted(matrix()), "subtract A"),
        (Matrix(matrix() * 1j), "view complex data as pairs"),
        (Matrix(matrix() * np.inf), "not finite"),
        (np.eye(3), "ndarray without image_shape, H"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_wrong_operators_are_refused(A: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_measurement(A)


def test_wrong_shapes_are_refused() -> None:
    A = Matrix(matrix())
    A.image_shape = (7,)
    with pytest.raises(ValueError, match=r"images \(7,\): expected"):
        check_measurement(A)
    B = Matrix(matrix())
    B.shape = (6, 8)
    with pytest.raises(ValueError, match=r"shape \(5, 2\) for x of shape \(8, 2\): expected \(6, 2\)"):
        check_measurement(B)
    with pytest.raises(ValueError, match=r"x has shape \(7,\): expected \(8,\) or \(8, k\)"):
        Matrix(matrix()) @ np.ones(7)
    with pytest.raises(ValueError, match="complex images as two channels"):
        Matrix(matrix()) @ np.ones(8, dtype=complex)


def test_a_slightly_wrong_adjoint_passes_where_the_tolerance_says_so() -> None:
    A = Matrix(matrix(), (1 + 1e-5) * matrix().T)
    check_measurement(A, rtol=1e-4)
    with pytest.raises(ValueError, match="pass rtol if the defect is known"):
        check_measurement(A)


def test_the_mismatch_measures_a_known_defect() -> None:
    """A^H = (1 + e) A^T: the mismatch is e |cos(Ax, y)|, at most e."""
    A = Matrix(matrix(), 1.01 * matrix().T)
    assert 1e-4 < adjoint_mismatch(A, draws=20) <= 0.01 + 1e-14
    assert adjoint_mismatch(Matrix(0 * matrix())) == 0.0
    assert adjoint_mismatch(Matrix(0 * matrix(), matrix().T)) == np.inf


@pytest.mark.parametrize(
    ("y", "sigma", "words"),
    [
        (np.ones(4), 0.1, r"y has shape \(4,\): expected \(5,\)"),
        (np.ones((2, 5)), 0.1, r"y has shape \(2, 5\)"),
        (np.ones(5) * 1j, 0.1, "A is real"),
        (np.array([1, 2, np.nan, 4, 5]), 0.1, "NaN"),
        (np.ones(5), -0.1, "sigma = -0.1"),
        (np.ones(5), np.nan, "sigma = nan"),
    ],
)
def test_wrong_data_are_refused(y: Any, sigma: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_data(Matrix(matrix()), y, sigma)


def test_right_data_pass() -> None:
    for y in (np.ones(5), np.ones((5, 3)), torch.ones(5, 2)):
        check_data(Matrix(matrix()), y, 0.0)


def test_the_normal_operator_equals_its_matrix_and_counts() -> None:
    A, x = Matrix(matrix()), np.random.default_rng(0).standard_normal((8, 3))
    gamma = np.array([1.0, 2.0, 0.5])
    N = Normal(A, shift=2.0, gamma=gamma)
    assert np.allclose(N @ x, 2 * x + matrix().T @ (matrix() @ x) * gamma, rtol=1e-13)
    assert N.applications == 6
    plain = Normal(A, shift=0.0)
    assert np.allclose(plain @ x[:, 0], matrix().T @ (matrix() @ x[:, 0]), rtol=1e-13)
    assert (plain.applications, plain.shape) == (2, (8, 8))


def test_the_adjoint_type_is_named() -> None:
    assert isinstance(Sensors((3, 3), [1]).H, Adjoint)


def test_torch_is_not_imported() -> None:
    script = "import sys, conjugo.pde.inverse; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
