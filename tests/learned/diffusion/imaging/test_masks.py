"""Masks keep as many columns as they say; coils follow the symmetry of their ring."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.learned.diffusion.imaging.coils import birdcage
from conjugo.learned.diffusion.imaging.masks import Pattern, column_mask


@pytest.mark.parametrize("pattern", ["uniform1d", "gaussian1d"])
@pytest.mark.parametrize("size", [63, 64, 128])
def test_four_times_faster_is_four_times_faster_to_a_line(pattern: Pattern, size: int) -> None:
    for seed in range(20):
        mask = column_mask(size, pattern=pattern, seed=seed)
        assert int(mask.sum()) == round(size / 4)
        central = round(0.08 * size)
        start = size // 2 - central // 2
        assert mask[start : start + central].all()


def test_uniform_columns_are_equally_likely() -> None:
    drawn = np.mean([column_mask(64, seed=seed) for seed in range(2000)], axis=0)
    others = drawn[drawn < 1]
    assert len(others) == 59
    assert np.allclose(others, 11 / 59, atol=5 * (11 / 59 * 48 / 59 / 2000) ** 0.5)


def test_gaussian_columns_lie_about_the_centre() -> None:
    drawn = np.mean([column_mask(128, pattern="gaussian1d", seed=seed) for seed in range(200)], axis=0)
    away = np.abs(np.arange(128) - 64)
    assert drawn[away < 15].mean() > 5 * drawn[(away > 25) & (away < 40)].mean()


def test_masks_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"keeps 4 of 64 columns, but acs = 0\.08 alone keeps 5"):
        column_mask(64, acceleration=16)
    with pytest.raises(ValueError, match="expected 'uniform1d' or 'gaussian1d'"):
        column_mask(64, pattern="radial")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected at least 1, and a share"):
        column_mask(64, acceleration=0.5)


def test_turning_the_image_by_a_quarter_passes_one_coil_on() -> None:
    maps = birdcage(4, 33)
    assert np.allclose((np.abs(maps) ** 2).sum(axis=0), 1)
    for coil in range(4):
        assert np.allclose(np.rot90(maps[coil]), maps[(coil + 1) % 4])
    assert np.allclose(maps[:, 16, 16], 0.5)  # in the middle all agree
    assert np.argmax(np.abs(maps[0, 16])) == 32  # the first coil is on the right


def test_a_coil_has_no_divergence_and_no_curl() -> None:
    """Before it is normalised, the field of a wire is analytic: the Cauchy-Riemann equations hold to the mesh width."""
    maps = birdcage(3, 65)
    ratio = maps[1] / maps[0]  # the normalisation cancels
    h = 2 / 65
    along, down = np.gradient(ratio, h, axis=1)[1:-1, 1:-1], np.gradient(ratio, h, axis=0)[1:-1, 1:-1]
    assert np.abs(down + 1j * along).max() < 0.02 * np.abs(along).max()


def test_a_ring_in_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="expected more than sqrt"):
        birdcage(4, 16, radius=1.0)
    with pytest.raises(ValueError, match="expected at least 1 of both"):
        birdcage(0, 16)
