"""Slices: exact area averages, and splits that share no plane."""

from __future__ import annotations

import numpy as np
import pytest

from conjugo.learned.diffusion.imaging.slices import (
    CONTENT,
    Split,
    area_weights,
    ct_split,
    mri_split,
    planes_showing,
    slices,
)
from conjugo.learned.diffusion.imaging.volumes import Values, Volume


def labelled(depth: int, name: str = "labelled", edge: int = 40, low: float = 0.2) -> Volume:
    """A block whose grey value is low + 0.7 z / depth: a slice says where it comes from."""
    levels = (low + 0.7 * np.arange(depth) / depth).astype(np.float32)
    return Volume(np.broadcast_to(levels[:, None, None], (depth, edge, edge)).copy(), (1.0, 1.0, 1.0), name)


def planes(images: Values, depth: int) -> list[int]:
    middle = images.shape[-1] // 2
    return [round(float(z)) for z in (images[:, middle, middle] - 0.2) / 0.7 * depth]


@pytest.mark.parametrize(("n", "size", "pixel"), [(12, 4, 3.0), (10, 4, 2.5), (7, 9, 0.9), (6, 5, 2.0)])
def test_area_weights_integrate_linear_functions(n: int, size: int, pixel: float) -> None:
    """The mean of a linear function over a pixel is its value in the middle, where the pixel is inside."""
    weights = area_weights(n, size, centre=n / 2, pixel=pixel)
    edges = n / 2 + pixel * (np.arange(size + 1) - size / 2)
    primitive = np.interp(edges, np.arange(n + 1), np.concatenate([[0], np.cumsum(np.arange(n) + 0.5)]))
    assert np.allclose(weights @ (np.arange(n) + 0.5), np.diff(primitive) / pixel)
    assert np.allclose(weights.sum(axis=1), np.diff(np.clip(edges, 0, n)) / pixel)


def test_slices_keep_the_mean_and_block_averages() -> None:
    values = np.random.default_rng(0).random((3, 12, 12), dtype=np.float32)
    volume = Volume(values, (1.0, 1.0, 1.0), "noise")
    assert np.allclose(slices(volume, 4), values.reshape(3, 4, 3, 4, 3).mean(axis=(2, 4)), atol=1e-6)
    assert np.allclose(slices(volume, 5).mean(axis=(1, 2)), values.mean(axis=(1, 2)), atol=1e-6)
    assert np.array_equal(slices(volume, 12, planes=[2, 0]), values[[2, 0]])


def test_the_field_is_centred_on_what_is_shown_and_knows_millimetres() -> None:
    values = np.zeros((1, 20, 30), np.float32)
    values[0, 2:6, 20:28] = 1.0  # 8 mm by 8 mm
    volume = Volume(values, (1.0, 2.0, 1.0), "off centre")
    image = slices(volume, 16, field=16.0)[0]
    expected = np.zeros((16, 16), np.float32)
    expected[4:12, 4:12] = 1.0
    assert np.array_equal(image, expected)


def separated(split: Split, depth: int) -> tuple[set[int], set[int], set[int]]:
    return tuple(set(planes(part, depth)) for part in (split.train, split.validation, split.test))  # type: ignore[return-value]


def test_the_ct_split_is_the_stated_one() -> None:
    split = ct_split(labelled(108), 8, fine=2)
    train, validation, test = separated(split, 108)
    assert test == set(range(42, 71))
    assert len(validation) == 12
    assert all(z <= 34 or z >= 78 for z in train | validation)
    assert min(abs(a - b) for a in train for b in validation) == 3
    assert split.train.shape[1:] == (16, 16)
    assert split.validation.shape[1:] == split.test.shape[1:] == (8, 8)
    with pytest.raises(ValueError, match="has 60 slices: the split needs 108"):
        ct_split(labelled(60), 8)


def test_the_mri_split_keeps_volumes_apart() -> None:
    train_volume, test_volume = labelled(60, "one"), labelled(80, "two")
    split = mri_split(test_volume, 8, train=train_volume, field=60.0)
    train, validation, _ = separated(split, 60)
    assert len(split.test) == 80
    assert train | validation < set(range(60))
    assert "another head" in split.name
    assert min(abs(a - b) for a in train for b in validation) == 3
    alone = mri_split(test_volume, 8, field=60.0)
    train, validation, test = separated(alone, 80)
    assert test == set(range(26, 54))
    assert "same head" in alone.name
    assert min(abs(a - b) for a in train | validation for b in test) == 5


def test_empty_planes_are_left_out() -> None:
    volume = labelled(30, low=0.2)
    volume.values[:4] = 0
    assert planes_showing(volume, field=40.0) == list(range(4, 30))
    assert planes_showing(volume, field=40 / CONTENT**0.5 * 0.999) == list(range(4, 30))
    with pytest.raises(ValueError, match="is it a head, with its spacing in millimetres"):
        planes_showing(volume, field=40 / CONTENT**0.5 * 1.001)


def test_wrong_planes_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected some of 0 to 29"):
        slices(labelled(30), 8, planes=[30])
    with pytest.raises(ValueError, match="expected at least 2 pixels"):
        slices(labelled(30), 1)
    with pytest.raises(ValueError, match="19 slices to train on: expected at least 20"):
        mri_split(labelled(30), 8, train=labelled(19), field=60.0)
    with pytest.raises(ValueError, match="nothing to centre on"):
        slices(Volume(np.zeros((2, 4, 4), np.float32), (1.0, 1.0, 1.0), "void"), 2, field=3.0)
