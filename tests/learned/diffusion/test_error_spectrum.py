"""ErrorSpectrum: what is measured agrees with what is known, and survives a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conjugo.learned.diffusion.error_spectrum import ErrorSpectrum, Rings, calibrated, levels
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.bases import CosineBasis
from conjugo.pde.inverse.problem import field_spectrum

BASIS = CosineBasis((32, 32))
PRIOR = GaussianPrior(field_spectrum(BASIS, zero_mean=False), BASIS)


def test_the_measured_spectrum_is_the_known_one_to_sampling_error() -> None:
    sigmas, count = [0.02, 0.5, 10.0], 64
    measured = ErrorSpectrum.measure(PRIOR, PRIOR.sample(count, seed=5), sigmas)
    rings = Rings((32, 32))
    for level, sigma in enumerate(sigmas):
        ratio = measured.values[level] / PRIOR.error_spectrum(sigma)
        deviation = np.sqrt(2 / (count * rings.counts[rings.ring]))  # of a mean of squares of normal numbers
        assert np.mean(np.abs(ratio - 1) < 4 * deviation + 0.05) > 0.98  # the rings' width adds some per cent
        assert measured.mean(sigma) == pytest.approx(PRIOR.error_spectrum(sigma).mean(), rel=0.1)


def test_between_levels_and_outside_them() -> None:
    spectrum = ErrorSpectrum.exact(PRIOR, levels())
    for sigma in (0.013, 0.7, 9.0, 150.0):
        np.testing.assert_allclose(spectrum(sigma), PRIOR.error_spectrum(sigma), rtol=0.03)
    np.testing.assert_allclose(spectrum(0.001), spectrum.values[0] / 25)
    np.testing.assert_array_equal(spectrum(1e6), spectrum.values[-1])
    np.testing.assert_allclose(spectrum(spectrum.sigmas[4]), spectrum.values[4])
    assert calibrated(spectrum, 0.1)(0.7) == pytest.approx(100 * spectrum.mean(0.7))


def test_it_is_one_pass_of_chunks_and_a_function_of_the_seed() -> None:
    seen: list[tuple[int, float]] = []

    def denoiser(x: torch.Tensor, sigma: float) -> torch.Tensor:
        seen.append((len(x), sigma))
        return PRIOR(x, sigma)

    samples = PRIOR.sample(5)
    chunked = ErrorSpectrum.measure(denoiser, samples, [0.1, 1.0], batch=2)
    assert seen == [(2, 0.1), (2, 0.1), (1, 0.1), (2, 1.0), (2, 1.0), (1, 1.0)]
    assert chunked.values.shape == (2, 32, 32)
    again = ErrorSpectrum.measure(PRIOR, samples, [0.1, 1.0], batch=2)
    np.testing.assert_array_equal(again.values, chunked.values)


def test_rings_keep_powers_of_the_frequency_and_the_constant() -> None:
    rings = Rings((40, 24))
    power = np.maximum(rings.frequency, 0.5) ** -4.0
    smoothed = rings.smooth(power)
    assert smoothed[0, 0] == pytest.approx(16.0)
    inner = rings.frequency < 0.9 * rings.frequency.max()
    np.testing.assert_allclose(smoothed[inner], power[inner], rtol=0.2)  # two frequencies share the first wide rings
    np.testing.assert_allclose(rings.smooth(np.full((3, 40, 24), 2.5)), 2.5)
    assert Rings((16, 16), modes=1, ratio=1.0).counts.max() <= 8


def test_channels(tmp_path: Path) -> None:
    prior = GaussianPrior(np.stack([PRIOR.spectrum, 3 * PRIOR.spectrum]), BASIS)
    spectrum = ErrorSpectrum.measure(prior, prior.sample(8), [0.1, 1.0], basis=BASIS)
    assert spectrum(0.5).shape == spectrum.shape == (2, 32, 32)
    spectrum.save(tmp_path / "spectrum.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["spectrum.npz"]
    loaded = ErrorSpectrum.load(tmp_path / "spectrum.npz")
    np.testing.assert_array_equal(loaded.values, spectrum.values)
    assert loaded.basis == BASIS


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="increasing"):
        ErrorSpectrum(BASIS, [1.0, 0.5], np.ones((2, 32, 32)))
    with pytest.raises(ValueError, match="values have shape"):
        ErrorSpectrum(BASIS, [1.0], np.ones((2, 32, 32)))
    with pytest.raises(ValueError, match="not positive"):
        ErrorSpectrum(BASIS, [1.0], np.zeros((1, 32, 32)))
    with pytest.raises(ValueError, match="denoiser answered"):
        ErrorSpectrum.measure(lambda x, sigma: x * float("nan"), PRIOR.sample(1), [1.0])
    with pytest.raises(ValueError, match="sigma = 0"):
        ErrorSpectrum(BASIS, [1.0], np.ones((1, 32, 32)))(0.0)
    with pytest.raises(ValueError, match="sigma_y = 0"):
        calibrated(ErrorSpectrum(BASIS, [1.0], np.ones((1, 32, 32))), 0.0)
    (tmp_path / "other.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"other\.npz|pickle"):
        ErrorSpectrum.load(tmp_path / "other.npz")
