"""Balanced reduction against Lyapunov equations, and kernel reconstruction against the dense saddle-point system."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from tests.learned.dynamics.systems import follow, quadratic

from conjugo.learned.dynamics import (
    DMD,
    EDMD,
    MultiKernelReconstruction,
    Polynomials,
    Radial,
    Reduced,
    WithReconstruction,
    nearest,
    nrmse,
)
from conjugo.pde.evolution import duffing

RNG = np.random.default_rng(0)


def test_hankel_values_solve_the_lyapunov_equation() -> None:
    """hankel^2 are the eigenvalues of W_c W_o, W_o - F^T W_o F = C^T C, for a long horizon."""
    step = RNG.standard_normal((6, 6))
    step *= 0.8 / np.abs(np.linalg.eigvals(step)).max()
    data = follow(step, RNG.standard_normal((40, 6)), 3)
    model = DMD().fit(data)
    reduced = Reduced(model, 6, horizon=200).fit(data)
    x = data.u[:, :-1].reshape(-1, 6)
    W_c, W_o = x.T @ x / len(x), scipy.linalg.solve_discrete_lyapunov(step, np.eye(6))
    known = np.sort(np.linalg.eigvals(W_c @ W_o).real)[::-1]
    np.testing.assert_allclose(reduced.hankel[:6] ** 2, known, rtol=1e-8)


@pytest.mark.parametrize("method", ["balanced", "energy", "eigenfunctions"])
def test_reduction_to_the_full_dimension_changes_nothing(method: str) -> None:
    data = quadratic(40, 6)
    model = EDMD(Polynomials(2), ridge=0.0).fit(data)
    rank = 3 if method == "balanced" else 6  # x, y and x^2 are what the state sees; the constant, x y and y^2 are not
    reduced = Reduced(model, rank, method=method).fit(data)  # type: ignore[arg-type]
    np.testing.assert_allclose(reduced._D @ reduced._E, np.eye(rank), atol=1e-7)
    np.testing.assert_allclose(reduced.predict(data.u[:, 0], 6), model.predict(data.u[:, 0], 6), atol=1e-7)
    assert nearest(reduced.eigenvalues, 0.5) < rank


def test_outputs_of_many_numbers_are_seen_through_their_modes() -> None:
    data = quadratic(40, 6)
    lift = np.linalg.qr(RNG.standard_normal((50, 2)))[0]
    high = type(data)(data.u @ lift.T, data.t)
    model = Reduced(DMD(), 2).fit(high)
    np.testing.assert_allclose(model.predict(high.u[:, 0], 6), DMD().fit(high).predict(high.u[:, 0], 6), atol=1e-9)


def test_balanced_rank_8_keeps_what_303_features_forecast() -> None:
    """Within 5 % at 10 steps; the modes of the features and the leading eigenfunctions keep far less."""
    train, test = duffing(1000, 10, seed=1), duffing(200, 10, seed=99)
    model = EDMD(Radial(300, "gaussian", 0.5**0.5)).fit(train)

    def error(rank: int, method: str) -> float:
        reduced = Reduced(model, rank, method=method).fit(train)  # type: ignore[arg-type]
        return float(nrmse(reduced.predict(test.u[:, 0], 10), test.u, 10))

    full = float(nrmse(model.predict(test.u[:, 0], 10), test.u, 10))
    assert error(8, "balanced") < 1.05 * full
    assert error(8, "energy") > 2 * full
    assert error(8, "eigenfunctions") > 2 * full


def test_reduction_refuses_bad_arguments() -> None:
    data = quadratic(40, 6)
    with pytest.raises(ValueError, match="at most 3, the rank of the Hankel matrix"):
        Reduced(EDMD(Polynomials(2), ridge=0.0), 5).fit(data)
    with pytest.raises(ValueError, match="at most 6, the large model's dimension"):
        Reduced(EDMD(Polynomials(2)), 7).fit(data)
    with pytest.raises(ValueError, match=r"decay = 1\.5"):
        Reduced(DMD(), 1, decay=1.5)
    with pytest.raises(ValueError, match="method 'best'"):
        Reduced(DMD(), 1, method="best")  # type: ignore[arg-type]


def _curve(count: int) -> tuple[np.ndarray, np.ndarray]:
    z = RNG.uniform(-1, 1, (count, 2))
    return z, np.stack([np.sin(2 * z[:, 0]) + z[:, 1], z[:, 0] * z[:, 1], z @ [1.0, -2.0] + 0.5], axis=1)


def test_reconstruction_solves_the_saddle_point_system() -> None:
    z, x = _curve(60)
    curve = MultiKernelReconstruction((0.5, 1.0), weights=(0.3, 0.7), gamma=1e3).fit(z, x)
    s = (z - z.mean(axis=0)) / z.std(axis=0) / np.sqrt(2)
    squares = scipy.spatial.distance.cdist(s, s) ** 2
    omega = 0.3 * np.exp(-squares / (2 * 0.5**2)) + 0.7 * np.exp(-squares / 2)
    P = np.hstack([np.ones((60, 1)), s])
    saddle = np.block([[np.zeros((3, 3)), P.T], [P, omega + np.eye(60) / 1e3]])
    known = np.linalg.solve(saddle, np.vstack([np.zeros((3, 3)), x]))
    np.testing.assert_allclose(curve(z), P @ known[:3] + omega @ known[3:], atol=1e-9)
    np.testing.assert_allclose(P.T @ curve._alpha, 0, atol=1e-8)


def test_reconstruction_with_little_trust_in_data_is_linear() -> None:
    z, x = _curve(60)
    curve = MultiKernelReconstruction((1.0,), gamma=1e-10).fit(z, x)
    P = np.hstack([np.ones((60, 1)), z])
    np.testing.assert_allclose(curve(z), P @ np.linalg.lstsq(P, x)[0], atol=1e-6)


def test_reconstruction_on_some_centres_comes_near_that_on_all() -> None:
    z, x = _curve(500)
    new, truth = _curve(100)
    fits = [MultiKernelReconstruction((1.0,), gamma=1e8, centres=c).fit(z, x) for c in (500, 120)]
    errors = [np.abs(curve(new) - truth).max() for curve in fits]
    assert errors[0] < 1e-3
    assert errors[1] < 1e-2


def test_validation_chooses_the_kernel() -> None:
    """The width that the data were made with, among one far too narrow and one far too wide."""
    z = RNG.uniform(-1, 1, (400, 1))
    x = np.sin(6 * z)
    curve = MultiKernelReconstruction((0.01, 0.4, 50.0)).fit(z[:300], x[:300])
    assert curve.eta[1] > 0
    assert np.abs(curve(z[300:]) - x[300:]).max() < 1e-3


def test_kernels_reconstruct_duffing_from_three_numbers() -> None:
    train, test = duffing(200, 10, seed=0), duffing(50, 10, seed=1)
    linear = Reduced(EDMD(Radial(150, "gaussian")), 3).fit(train)
    kernels = WithReconstruction(linear).fit(train)
    x = test.u[:, 0]
    errors = [np.linalg.norm(model.decode(model.encode(x)) - x) / np.linalg.norm(x) for model in (linear, kernels)]
    assert errors[1] < 0.5 * errors[0]


def test_reconstruction_refuses_bad_arguments() -> None:
    z, x = _curve(10)
    with pytest.raises(ValueError, match="widths"):
        MultiKernelReconstruction((0.0,))
    with pytest.raises(ValueError, match="weights"):
        MultiKernelReconstruction((1.0, 2.0), weights=(1.0,))
    with pytest.raises(ValueError, match="gamma = 0"):
        MultiKernelReconstruction(gamma=0.0)
    with pytest.raises(ValueError, match="as many rows"):
        MultiKernelReconstruction().fit(z[:5], x)
    with pytest.raises(ValueError, match="not finite"):
        MultiKernelReconstruction().fit(np.full_like(z, np.nan), x)
