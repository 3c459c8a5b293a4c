"""DMD, EDMD and kernel EDMD on systems whose spectrum is known, and what they refuse and report."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.learned.dynamics.systems import A, B, C, follow, quadratic

from conjugo.learned.dynamics import (
    DMD,
    EDMD,
    ForecastEDMD,
    Identity,
    KernelEDMD,
    LinearModel,
    NystromFeatures,
    OnModes,
    Polynomials,
    Radial,
    Reduced,
    nearest,
    nrmse,
)
from conjugo.pde.evolution import duffing
from conjugo.pde.trajectories import Trajectories

ROTATION = np.array([[0.9, 0.3, 0.0], [-0.3, 0.9, 0.0], [0.0, 0.1, 0.5]])


def test_dmd_finds_the_matrix_of_a_linear_system() -> None:
    data = follow(ROTATION, np.random.default_rng(0).standard_normal((7, 3)), 5, dt=0.1)
    model = DMD().fit(data)
    np.testing.assert_allclose(model.C.T @ model.K @ model.C, ROTATION, atol=1e-12)
    known = np.array([0.9 + 0.3j, 0.9 - 0.3j, 0.5])
    np.testing.assert_allclose(model.eigenvalues, known, atol=1e-12)
    np.testing.assert_allclose(model.exponents, np.log(known) / 0.1, atol=1e-10)
    np.testing.assert_allclose(model.predict(data.u[:, 0], 5), data.u, atol=1e-12)
    x = data.u[:, 2]
    np.testing.assert_allclose(model.eigenfunctions(x) @ model.modes, x, atol=1e-12)
    phi = model.eigenfunctions(data.u[:, :-1].reshape(-1, 3))
    np.testing.assert_allclose(np.mean(np.abs(phi) ** 2, axis=0), 1.0, rtol=1e-12)


def test_dmd_of_low_rank_states_sees_their_rank() -> None:
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((40, 3)))[0]
    data = follow(ROTATION, np.random.default_rng(0).standard_normal((7, 3)), 5)
    high = Trajectories(data.u @ basis.T, data.t)
    assert DMD().fit(high).K.shape == (3, 3)
    np.testing.assert_allclose(DMD().fit(high).predict(high.u[:, 0], 5), high.u, atol=1e-12)
    with pytest.raises(ValueError, match="rank = 4: expected 1 to 3"):
        DMD(4).fit(high)


@pytest.mark.parametrize("basis", ["chebyshev", "monomial"])
@pytest.mark.parametrize("ridge", [0.0, 1e-12, "gcv", "validation"])
def test_edmd_finds_eigenfunctions_of_a_quadratic_map(basis: str, ridge: float | str) -> None:
    data = quadratic(60, 6)
    model = EDMD(Polynomials(2, basis), ridge=ridge).fit(data)  # type: ignore[arg-type]
    for eigenvalue in (1.0, A, B, A**2):
        assert abs(model.eigenvalues[nearest(model.eigenvalues, eigenvalue)] - eigenvalue) < 1e-6
    x = np.random.default_rng(5).uniform(-1, 1, (50, 2))
    phi = model.eigenfunctions(x)[:, nearest(model.eigenvalues, B)]
    known = x[:, 1] - C * x[:, 0] ** 2
    scale = np.vdot(known, phi) / np.vdot(known, known)
    np.testing.assert_allclose(phi, scale * known, atol=1e-5 * abs(scale))


def test_the_state_evolves_linearly_where_the_dictionary_is_invariant() -> None:
    """x, y and x^2 are closed under the map, so the encoded-once forecast is exact."""
    test = quadratic(20, 12, seed=9)
    model = EDMD(Polynomials(2), ridge=0.0).fit(quadratic(60, 6))
    np.testing.assert_allclose(model.predict(test.u[:, 0], 12), test.u, atol=1e-9)
    assert nrmse(model.predict(test.u[:, 0], 12), test.u, 12) < 1e-8


def test_forecasts_by_hand() -> None:
    data = quadratic(60, 6)
    model = EDMD(Polynomials(1)).fit(data)  # not closed: the three ways differ
    x0 = data.u[:5, 0]
    linear, relifted, mixed = (model.predict(x0, 5, reencode=k) for k in (None, 1, 2))
    z, x = model.encode(x0), x0
    for step in range(1, 6):
        z, x = z @ model.K, model.decode(model.encode(x) @ model.K)
        np.testing.assert_allclose(linear[:, step], model.decode(z), atol=1e-14)
        np.testing.assert_allclose(relifted[:, step], x, atol=1e-14)
    np.testing.assert_allclose(mixed[:, 4], model.predict(mixed[:, 2], 2)[:, 2], atol=1e-14)
    np.testing.assert_array_equal(linear[:, 0], x0)


def test_relifted_polynomials_follow_duffing() -> None:
    train, test = duffing(300, 10, seed=0), duffing(50, 40, seed=1)
    model = EDMD(Polynomials(9)).fit(train)
    assert nrmse(model.predict(test.u[:, 0], 40, reencode=1), test.u, 10) < 1e-4
    assert nrmse(model.predict(test.u[:, 0], 40), test.u, 10) > 0.05  # and linearly they do not


def test_many_short_trajectories_are_as_good_as_one() -> None:
    """No pair crosses from one trajectory into the next."""
    data = quadratic(30, 8)
    windows = Trajectories(data.windows(3, every=2), data.t[:3])
    one, other = (EDMD(Polynomials(2), ridge=0.0).fit(part) for part in (data, windows))
    np.testing.assert_allclose(other.predict(data.u[:, 0], 8), one.predict(data.u[:, 0], 8), atol=1e-9)


def test_kernel_edmd_with_all_states_as_centres_is_kernel_dmd() -> None:
    """K = S^-1 Q^T k(Y, X) Q S^-1, formed densely."""
    data = duffing(15, 1, seed=3)
    x, y = data.u[:, 0], data.u[:, 1]
    model = KernelEDMD(100, width=0.5, ridge=0.0).fit(data)
    features = NystromFeatures(100, width=0.5).fit(x)
    gram, cross = features._values(x), features._values(y)
    values, Q = np.linalg.eigh(gram)
    K = (Q / np.sqrt(values)).T @ cross @ (Q / np.sqrt(values))
    known = np.linalg.eigvals(K)
    known = known[np.lexsort((-known.imag, -np.round(np.abs(known), 12)))]
    np.testing.assert_allclose(model.eigenvalues, known, atol=1e-6)


@pytest.mark.parametrize("kernel", ["gaussian", "laplace", "polynomial"])
def test_kernel_edmd_forecasts_from_new_states(kernel: str) -> None:
    test = quadratic(20, 5, seed=4)
    model = KernelEDMD(60, kernel=kernel, width=2.0).fit(quadratic(60, 6))  # type: ignore[arg-type]
    limit = 0.3 if kernel == "laplace" else 1e-3  # a kernel with a kink, for a smooth map
    assert nrmse(model.predict(test.u[:, 0], 5), test.u, 5) < limit


@pytest.mark.parametrize("kind", ["gaussian", "thin_plate", "multiquadric"])
@pytest.mark.parametrize("choice", ["kmeans", "random", "farthest"])
def test_radial_dictionaries_forecast_duffing(kind: str, choice: str) -> None:
    train, test = duffing(200, 10, seed=0), duffing(50, 4, seed=1)
    model = EDMD(Radial(100, kind, 1.0, choice=choice)).fit(train)  # type: ignore[arg-type]
    assert nrmse(model.predict(test.u[:, 0], 4), test.u, 1) < 0.05


def test_polynomials_of_modes_forecast_within_their_span() -> None:
    data = quadratic(40, 6)
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((30, 2)))[0]
    high = Trajectories(data.u @ basis.T + 3.0, data.t)
    model = EDMD(OnModes(2, Polynomials(2)), ridge=0.0).fit(high)
    np.testing.assert_allclose(model.predict(high.u[:, 0], 6), high.u, atol=1e-8)
    with pytest.raises(ValueError, match="rank = 31"):
        EDMD(OnModes(31, Polynomials(2))).fit(high)


def test_an_invariant_dictionary_with_a_constant_finds_the_affine_fixed_point() -> None:
    step = np.array([[0.8]])
    data = follow(step, np.random.default_rng(0).standard_normal((9, 1)), 4)
    shifted = Trajectories(data.u + 2.0, data.t)
    model = EDMD(Identity(constant=True), ridge=0.0).fit(shifted)
    np.testing.assert_allclose(model.predict(np.array([[2.0]]), 9)[0], 2.0, atol=1e-12)


def test_rank_deficiency_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    line = Trajectories(quadratic(30, 3).u[..., :1].repeat(2, axis=-1), np.arange(4.0))  # both components equal
    with caplog.at_level(logging.WARNING):
        model = EDMD(Polynomials(2)).fit(line)
    assert model.diagnostics.deficient
    assert model.diagnostics.rank == 3  # 1, x, x^2
    assert "rank 3 of 6" in caplog.text
    assert nrmse(model.predict(line.u[:, 0], 3), line.u, 3) < 1e-6


def test_an_unstable_model_says_so_when_it_forecasts(caplog: pytest.LogCaptureFixture) -> None:
    data = follow(np.array([[1.5]]), np.ones((3, 1)), 4)
    model = DMD().fit(data)
    with caplog.at_level(logging.WARNING):
        forecast = model.predict(np.ones((1, 1)), 3000)
    assert "spectral radius 1.5" in caplog.text
    assert "1 of 1 forecasts are not finite" in caplog.text
    assert not np.isfinite(forecast[0, -1]).all()
    assert model.diagnostics.spectral_radius == pytest.approx(1.5)


def _bad(**change: Any) -> Trajectories:
    return replace(quadratic(10, 4), **change)


@pytest.mark.parametrize("model", [DMD(), EDMD(Polynomials(2)), KernelEDMD(20)])
def test_bad_trajectories_are_refused(model: LinearModel) -> None:
    holed = quadratic(10, 4).u.copy()
    holed[3, 2, 0] = np.nan
    with pytest.raises(ValueError, match="not finite in 1 trajectories, first in number 3"):
        model.fit(_bad(u=holed))
    with pytest.raises(ValueError, match=r"does not increase"):
        model.fit(_bad(t=np.zeros(5)))
    with pytest.raises(ValueError, match="one step for all"):
        model.fit(_bad(t=np.array([0.0, 1.0, 2.0, 3.0, 5.0])))
    with pytest.raises(ValueError, match="3 arrays of 4 to 6 snapshots; cut them to one length"):
        model.fit([np.zeros((k, 2)) for k in (4, 5, 6)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least two snapshots"):
        model.fit(Trajectories(np.zeros((3, 1, 2)), np.zeros(1)))
    with pytest.raises(ValueError, match="complex128: expected real"):
        model.fit(_bad(u=1j * holed))


def test_too_few_samples_and_bad_options_are_refused() -> None:
    data = quadratic(2, 4)
    with pytest.raises(ValueError, match="8 pairs of snapshots for 66 observables"):
        EDMD(Polynomials(10)).fit(data)
    with pytest.raises(ValueError, match="1 to 8 centres"):
        EDMD(Radial(50)).fit(data)
    with pytest.raises(ValueError, match="one trajectory"):
        EDMD(Polynomials(1), ridge="validation").fit(data[:1])
    with pytest.raises(ValueError, match="ridge = -1"):
        EDMD(Polynomials(1), ridge=-1.0)
    with pytest.raises(ValueError, match="not fitted"):
        EDMD(Polynomials(1)).predict(data.u[:, 0], 1)
    with pytest.raises(ValueError, match="width = 0"):
        EDMD(Radial(3, width=0.0)).fit(data)
    with pytest.raises(ValueError, match="degree 0"):
        Polynomials(0)
    with pytest.raises(ValueError, match="kernel 'box'"):
        KernelEDMD(3, kernel="box").fit(data)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="component 1 is constant"):
        EDMD(Polynomials(1)).fit(Trajectories(data.u * np.array([1.0, 0.0]), data.t))


def test_bad_initial_states_are_refused() -> None:
    model = DMD().fit(quadratic(5, 4))
    with pytest.raises(ValueError, match=r"x has shape \(2,\): expected \(N, 2\)"):
        model.predict(np.zeros(2), 3)
    with pytest.raises(ValueError, match="steps = -1"):
        model.predict(np.zeros((1, 2)), -1)
    with pytest.raises(ValueError, match="reencode = 0"):
        model.predict(np.zeros((1, 2)), 1, reencode=0)
    with pytest.raises(ValueError, match="x is not finite"):
        model.encode(np.full((1, 2), np.inf))
    with pytest.raises(ValueError, match="z has shape"):
        model.decode(np.zeros((1, 3)))


def test_forecasts_as_observables_are_a_companion_matrix() -> None:
    """x, f(x), f^2(x) of the quadratic map obey the recurrence with roots A, B and A^2, and so do their forecasts."""
    train, test = quadratic(60, 6), quadratic(20, 12, seed=9)
    model = ForecastEDMD(EDMD(Polynomials(2), ridge=0.0), 2, ridge=0.0).fit(train)
    for known in (A, B, A**2):
        assert abs(model.eigenvalues[nearest(model.eigenvalues, known)] - known) < 1e-6
    np.testing.assert_allclose(model.predict(test.u[:, 0], 12), test.u, atol=1e-8)
    with pytest.raises(ValueError, match="length = 0"):
        ForecastEDMD(EDMD(Polynomials(2)), 0)


def test_few_dimensions_of_forecasts_meet_the_gates_on_duffing() -> None:
    """Ten steps, 16 dimensions, K alone: at most .01."""
    train, test = duffing(200, 20, seed=0), duffing(100, 10, seed=1)
    model = Reduced(ForecastEDMD(EDMD(Polynomials(9)), 10), 16, horizon=10).fit(train)
    assert model.K.shape == (16, 16)
    assert nrmse(model.predict(test.u[:, 0], 10), test.u, 10) < 0.01
