"""Residuals tell true eigenvalues from spurious ones, on held-out data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.learned.dynamics.systems import A, B, follow, quadratic

from conjugo.learned.dynamics import (
    DMD,
    EDMD,
    KernelEDMD,
    Polynomials,
    Reduced,
    nearest,
    pseudospectrum,
    resdmd_residuals,
)
from conjugo.learned.dynamics.regression import moments
from conjugo.pde.trajectories import Trajectories

STEP = np.array([[0.9, 0.2], [0.0, 0.6]])
"""A linear system of two observables, eigenvalues 0.9 and 0.6."""


@dataclass
class Superfluous:
    """The state and one observable more: the dictionary of Otto and Rowley's example 2.1."""

    extra: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def fit(self, x: NDArray[np.float64]) -> Self:
        return self

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([x, self.extra(x)])

    def decoder(self) -> NDArray[np.float64]:
        return np.eye(3, 2)


def wild(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A function that no finite set of observables with the state is closed under."""
    result: NDArray[np.float64] = np.cos(3 * x[:, 0]) * np.exp(x[:, 1])
    return result


@pytest.fixture
def data() -> Trajectories:
    return follow(STEP, np.random.default_rng(2).uniform(-1, 1, (200, 2)), 3)


def test_a_spurious_eigenvalue_has_a_large_residual_and_true_ones_none(data: Trajectories) -> None:
    """Example 2.1: three pairs determine three observables, so the training residual is zero for all eigenvalues."""
    train = data[:1]
    model = EDMD(Superfluous(wild), ridge=0.0).fit(train)
    assert resdmd_residuals(model, train).max() < 1e-10  # which proves nothing
    held_out = resdmd_residuals(model, data[1:])
    true = [nearest(model.eigenvalues, known) for known in (0.9, 0.6)]
    np.testing.assert_allclose(model.eigenvalues[true], [0.9, 0.6], atol=1e-9)
    assert held_out[true].max() < 1e-6
    (spurious,) = set(range(3)) - set(true)
    assert held_out[spurious] > 0.1


def test_with_fewer_pairs_than_observables_every_eigenvalue_is_spurious(data: Trajectories) -> None:
    """Two pairs, least norm: eigenvalue zero and two others, all wrong; more data mend it. EDMD itself refuses two."""
    short = Trajectories(data.u[:1, :3], data.t[:3])
    model = EDMD(Superfluous(wild), ridge=0.0)
    with pytest.raises(ValueError, match="2 pairs of snapshots for 3 observables"):
        model.fit(short)
    psi = Superfluous(wild)
    rows = psi(short.u[0])
    model._learned(np.linalg.pinv(rows[:2]) @ rows[1:], psi.decoder(), np.eye(3), dt=1.0, found=DMD().fit(short)._found)
    assert np.abs(model.eigenvalues).min() < 1e-12
    assert resdmd_residuals(model, short)[:2].max() < 1e-10
    assert resdmd_residuals(model, data[1:])[:2].min() > 0.1


def test_residuals_against_the_three_gram_matrices(data: Trajectories) -> None:
    model = EDMD(Polynomials(3)).fit(quadratic(40, 4))
    test = quadratic(30, 3, seed=7)
    x, y = test.u[:, :-1].reshape(-1, 2), test.u[:, 1:].reshape(-1, 2)
    now, then = model.encode(x), model.encode(y)
    G, cross, L = now.T @ now, now.T @ then, then.T @ then
    known = []
    for value, v in zip(model.eigenvalues, model.eigenvectors.T, strict=True):
        middle = L - value * cross.T - value.conj() * cross + abs(value) ** 2 * G
        known.append(np.sqrt(max((v.conj() @ middle @ v).real / (v.conj() @ G @ v).real, 0.0)))
    np.testing.assert_allclose(resdmd_residuals(model, test), known, atol=2e-7)


@pytest.mark.parametrize("kind", ["edmd", "kernel", "reduced"])
def test_true_eigenvalues_of_every_model_are_told(kind: str) -> None:
    train, test = quadratic(80, 5), quadratic(30, 4, seed=7)
    model = {
        "edmd": EDMD(Polynomials(4)),
        "kernel": KernelEDMD(60, kernel="polynomial", degree=4),
        "reduced": Reduced(EDMD(Polynomials(4)), 3),
    }[kind].fit(train)
    residuals = resdmd_residuals(model, test)
    for known in (A, B):
        assert residuals[nearest(model.eigenvalues, known)] < 1e-4
    if kind != "reduced":
        assert residuals.max() > 0.01


def test_the_pseudospectrum_of_a_rotation_is_the_distance_to_its_spectrum() -> None:
    """For isotropic data and a normal K the least residual at a point is its distance to the nearest eigenvalue."""
    rotation = np.array([[0.6, 0.8], [-0.8, 0.6]])
    corners = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    data = follow(rotation, corners, 2)
    model = DMD().fit(data)
    points = np.array([[0.6 + 0.9j, 0.0], [1.0, 2.0 - 1.0j]])
    distance = np.abs(points[..., None] - np.array([0.6 + 0.8j, 0.6 - 0.8j])).min(axis=-1)
    np.testing.assert_allclose(pseudospectrum(model, data, points), distance, atol=1e-8)


def test_the_pseudospectrum_is_below_every_residual() -> None:
    train, test = quadratic(80, 5), quadratic(40, 4, seed=7)
    model = EDMD(Polynomials(3)).fit(train)
    least = pseudospectrum(model, test, model.eigenvalues)
    assert (least <= resdmd_residuals(model, test) + 1e-6).all()
    assert moments(model.encode, [test.u]).samples == 160


def test_another_time_step_is_refused(data: Trajectories) -> None:
    model = DMD().fit(data)
    with pytest.raises(ValueError, match=r"dt = 2\.0: expected the model's, 1\.0"):
        resdmd_residuals(model, Trajectories(data.u, 2 * data.t))
