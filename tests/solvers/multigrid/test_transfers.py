"""One-dimensional coarsening: the identities on which the tensor-product hierarchy rests."""

from __future__ import annotations

import numpy as np
import pytest
from tests.solvers.multigrid.grids import line, stretched

from conjugo.solvers.multigrid.transfers import coarsen, cubic_weights
from conjugo.solvers.operators.separable import Axis

AXES = [line(n, *kind) for n in (7, 8, 21) for kind in (("dd",), ("nd",), ("dn", "cell"), ("nn",), ("nn", "cell"))]
AXES += [line(8, "p"), line(13, "p"), stretched(12), stretched(15)]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: f"{len(axis)}")
def test_coarse_operator_is_galerkin(axis: Axis) -> None:
    coarse, transfer = coarsen(axis)
    P, W = transfer.prolongation(), np.diag(axis.weight)
    np.testing.assert_allclose(coarse.weight, P.T @ axis.weight, rtol=1e-12)
    galerkin = P.T @ W @ axis.tocsr().toarray() @ P
    np.testing.assert_allclose(
        np.diag(coarse.weight) @ coarse.tocsr().toarray(), galerkin, atol=1e-12 * np.abs(galerkin).max()
    )


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: f"{len(axis)}")
def test_restriction_is_the_weighted_adjoint_of_prolongation(axis: Axis) -> None:
    coarse, transfer = coarsen(axis)
    P, R = transfer.prolongation(), transfer.restriction()
    np.testing.assert_allclose(coarse.weight[:, None] * R, P.T * axis.weight, atol=1e-13)


def test_textbook_hierarchy() -> None:
    coarse, transfer = coarsen(line(15, h=1 / 16))
    expected = line(7, h=1 / 8)
    np.testing.assert_allclose(coarse.diag, expected.diag)
    np.testing.assert_allclose(coarse.upper, expected.upper)
    np.testing.assert_allclose(transfer.centre, 0.5)


@pytest.mark.parametrize("axis", [line(21, "nn"), line(20, "nn", "cell"), line(16, "p")])
def test_constants_are_preserved(axis: Axis) -> None:
    coarse, transfer = coarsen(axis)
    np.testing.assert_allclose(transfer.prolongation().sum(axis=1), 1.0)
    np.testing.assert_allclose(transfer.restriction().sum(axis=1), 1.0)
    np.testing.assert_allclose(coarse.tocsr() @ np.ones(len(coarse)), 0.0, atol=1e-9)


@pytest.mark.parametrize("axis", [line(16), line(17, "nn"), stretched(14)])
def test_cubic_interpolation_reproduces_cubics(axis: Axis) -> None:
    _, transfer = coarsen(axis)
    gaps = 1 / (axis.weight[:-1] * -axis.upper[:-1])
    x = np.concatenate([[0.0], np.cumsum(gaps)]) / np.sum(gaps)
    weights, first = cubic_weights(axis, transfer), transfer.first
    coarse = (1 + x - 2 * x**2 + 3 * x**3)[first::2]
    start = np.clip((np.arange(len(axis)) - first - 1) // 2 - 1, 0, len(coarse) - 4)
    values = np.sum(weights * coarse[start[:, None] + np.arange(4)], axis=1)
    np.testing.assert_allclose(values, 1 + x - 2 * x**2 + 3 * x**3, rtol=1e-10)
