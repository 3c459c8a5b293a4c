"""Models on the slice of shifts and reflections: the motions are symmetries, and the forecasts have them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from conjugo.learned.dynamics import EDMD, ForecastEDMD, OnWaves, Polynomials, Radial, Sliced, nrmse
from conjugo.learned.dynamics.slicing import motion_to_slice
from conjugo.pde.evolution import kuramoto_sivashinsky
from conjugo.pde.evolution.kuramoto_sivashinsky import evolve
from conjugo.pde.trajectories import Trajectories

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def train() -> Trajectories:
    return kuramoto_sivashinsky(8, 150, discard=100.0, points=32, h=0.1)


@pytest.fixture(scope="module")
def test() -> Trajectories:
    return kuramoto_sivashinsky(20, 5, discard=100.0, points=32, h=0.1, first=1000)


@pytest.fixture(scope="module")
def sliced(train: Trajectories) -> Sliced:
    gaussian = Radial(400, "gaussian", 0.5, relative=True, choice="farthest")
    return Sliced(EDMD(OnWaves(20, gaussian), ridge=1e-10)).fit(train)


def reflected(u: Floats) -> Floats:
    return -u[..., -np.arange(u.shape[-1])]


def test_slice_has_one_field_of_each_orbit(test: Trajectories) -> None:
    u = test.u[:, 0]
    canonical = motion_to_slice(u)(u)
    a = np.fft.rfft(canonical)
    assert np.abs(a[:, 1].imag).max() < 1e-12
    assert a[:, 1].real.min() > 0
    assert a[:, 2].real.min() >= -1e-12
    for moved in (np.roll(u, 5, axis=1), reflected(u), np.roll(reflected(u), -3, axis=1)):
        np.testing.assert_allclose(motion_to_slice(moved)(moved), canonical, atol=1e-12)


def test_motion_is_a_symmetry_and_is_undone(test: Trajectories) -> None:
    motion = motion_to_slice(test.u[:, 0])
    moved = motion(test.u)
    assert motion.flip.any()
    assert not motion.flip.all()
    np.testing.assert_allclose(motion.back(moved), test.u, atol=1e-12)
    np.testing.assert_allclose(evolve(moved[:, 0], 5, h=0.1).u, moved, atol=1e-8)


def test_forecast_is_equivariant(sliced: Sliced, test: Trajectories) -> None:
    forecast = sliced.predict(test.u[:, 0], 5)
    np.testing.assert_array_equal(forecast[:, 0], test.u[:, 0])
    again = sliced.predict(np.roll(reflected(test.u[:, 0]), 7, axis=1), 5)
    np.testing.assert_allclose(again, np.roll(reflected(forecast), 7, axis=2), atol=1e-8)


def test_slice_makes_more_of_the_same_data(sliced: Sliced, train: Trajectories, test: Trajectories) -> None:
    gaussian = Radial(400, "gaussian", 0.5, relative=True, choice="farthest")
    plain = EDMD(OnWaves(20, gaussian), ridge=1e-10).fit(train)
    plain_error = nrmse(plain.predict(test.u[:, 0], 5, reencode=1), test.u, 5)
    error = nrmse(sliced.predict(test.u[:, 0], 5), test.u, 5)
    assert error < 0.05
    assert error < 0.2 * plain_error


def test_linear_model_of_its_forecasts_follows_them(sliced: Sliced, train: Trajectories, test: Trajectories) -> None:
    linear = ForecastEDMD(sliced, 5).fit(train)
    expected = sliced.predict(test.u[:, 0], 5)
    np.testing.assert_allclose(linear.predict(test.u[:, 0], 5), expected, atol=1e-2)  # K's shifts are fitted


def test_waves_span_every_shift(test: Trajectories) -> None:
    dictionary = OnWaves(20, Polynomials(1)).fit(test.u[:, 0])
    moved = np.roll(test.u[:, 3], 4, axis=1)
    decoder = dictionary.decoder()
    assert decoder is not None
    kept = dictionary(moved) @ decoder
    assert np.abs(kept - moved).max() < 1e-2 * np.abs(moved).max()


def test_bad_input_is_refused(sliced: Sliced, train: Trajectories) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        Sliced(EDMD(OnWaves(20, Polynomials(1)))).predict(train.u[:, 0], 1)
    with pytest.raises(ValueError, match="reencode = None"):
        sliced.predict(train.u[:, 0], 1, reencode=None)
    with pytest.raises(ValueError, match="expected \\(N, 32\\)"):
        sliced.predict(train.u[:, 0, :16], 1)
    for rank in (0, 3, 32):
        with pytest.raises(ValueError, match="even number from 2 to 31"):
            OnWaves(rank, Polynomials(1)).fit(train.u[:, 0])
    with pytest.raises(ValueError, match="at least 6"):
        Sliced(EDMD(OnWaves(2, Polynomials(1)))).fit(Trajectories(train.u[:, :, :4], train.t))
