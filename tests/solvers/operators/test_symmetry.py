"""The randomised symmetry test, and what an operator may be."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from conjugo.solvers.operators.protocol import LinearOperator, as_operator, is_linear, is_symmetric
from conjugo.solvers.operators.symmetry import check_symmetric


def test_symmetric_positive_and_indefinite() -> None:
    A = np.diag([3.0, 1.0, 2.0])
    report = check_symmetric(A, -np.eye(3))
    assert report.asymmetry < 1e-15
    assert report.quotient >= 1.0
    assert report.quotient_of_M == pytest.approx(-1.0)


def test_asymmetry_is_found() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((20, 20))
    report = check_symmetric(A + A.T, np.tril(A))
    assert report.asymmetry < 1e-13
    assert report.asymmetry_of_M is not None
    assert report.asymmetry_of_M > 1e-3


def test_hermitian_is_symmetric_here() -> None:
    rng = np.random.default_rng(0)
    H = rng.standard_normal((9, 9)) + 1j * rng.standard_normal((9, 9))
    assert check_symmetric(H + H.conj().T).asymmetry < 1e-13
    assert check_symmetric(H + H.T).asymmetry > 1e-3


def test_samples_must_be_positive() -> None:
    with pytest.raises(ValueError, match="samples = 0"):
        check_symmetric(np.eye(2), samples=0)


class OnlyMatvec:
    """What SciPy calls an operator: no `@`."""

    shape = (2, 2)
    dtype = np.dtype(float)

    def matvec(self, x: np.ndarray) -> np.ndarray:
        return 2 * x


@pytest.mark.parametrize(
    "A",
    [
        [[2.0, 0.0], [0.0, 2.0]],
        2 * np.eye(2),
        2 * sp.eye_array(2, format="lil"),
        sp.coo_matrix(2 * np.eye(2)),
        spla.aslinearoperator(2 * np.eye(2)),
        OnlyMatvec(),
    ],
    ids=lambda A: type(A).__name__,
)
def test_operators_of_every_kind(A: object) -> None:
    operator = as_operator(A)
    assert isinstance(operator, LinearOperator)
    np.testing.assert_allclose(operator @ np.ones(2), [2.0, 2.0])


def test_facts_default_to_true() -> None:
    assert is_linear(object())
    assert is_symmetric(object())
