"""Axial slices of a volume on a square of pixels, by area averages, and how they are shared out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conjugo.learned.diffusion.imaging.volumes import Values, Volume

FIELD = 192.0
"""Millimetres along a side of the square in which a brain is seen: 3 mm a pixel at 64, 1.5 at 128."""

EMPTY = 0.1
"""Grey value above which a pixel shows something."""

CONTENT = 0.15
"""Share of such pixels in a slice of a brain that is used."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Slices to train on, to choose by, and to test on: (count, size, size) float32 each, magnitudes in [0, 1].

    Parameters
    ----------
    train, validation, test : (count, size, size) float32
        The slices.
    name : str
        Of which volumes they are, and in which sense the test is another one.
    """

    train: Values
    validation: Values
    test: Values
    name: str


def slices(
    volume: Volume, size: int, *, field: float | None = None, planes: Sequence[int] | None = None, content: float = 0.0
) -> Values:
    """Cut axial slices to squares.

    Parameters
    ----------
    volume : Volume
        Whose slices.
    size : int
        Pixels along a side.
    field : float, optional
        Millimetres along a side of the square, about the middle of what the volume shows; by default the longer side
        of the volume, about its middle.
    planes : sequence of int, optional
        Which slices; all by default.
    content : float
        Least share of pixels above 0.1; slices that show less are left out.

    Returns
    -------
    (count, size, size) float32
        In [0, 1]. A pixel is the mean of the volume over its area; outside the volume is 0.

    Raises
    ------
    ValueError
        For planes that the volume has not, or where no slice is left.

    Examples
    --------
    >>> volume = Volume(np.ones((3, 6, 4), np.float32), (1.0, 1.0, 1.0), "block")
    >>> slices(volume, 3)[0].tolist()
    [[0.5, 1.0, 0.5], [0.5, 1.0, 0.5], [0.5, 1.0, 0.5]]
    """
    _, dh, dw = volume.spacing
    depth, h, w = volume.values.shape
    chosen = list(range(depth)) if planes is None else [int(z) for z in planes]
    if any(not 0 <= z < depth for z in chosen):
        raise ValueError(f"planes from {min(chosen)} to {max(chosen)}: {volume.name} has slices 0 to {depth - 1}")
    if size < 2:
        raise ValueError(f"size = {size}: expected at least 2 pixels a side")
    centre, side = (h / 2, w / 2), max(h * dh, w * dw)
    if field is not None:
        centre, side = _middle(volume.values), float(field)
    rows = area_weights(h, size, centre=centre[0], pixel=side / size / dh)
    columns = area_weights(w, size, centre=centre[1], pixel=side / size / dw)
    images = np.clip(rows @ volume.values[chosen] @ columns.T, 0, 1).astype(np.float32)
    images = images[(images > EMPTY).mean(axis=(1, 2)) >= content]
    if not len(images):
        raise ValueError(f"{volume.name} shows nothing in the slices asked for: content = {content} is too much, or "
                         "the planes are empty")  # fmt: skip
    return images


def area_weights(n: int, size: int, *, centre: float, pixel: float) -> NDArray[np.float64]:
    """Return the matrix (size, n) of means over pixels: overlaps of `size` intervals of length `pixel` with n of 1.

    Parameters
    ----------
    n, size : int
        Cells [i, i + 1], i = 0, ..., n - 1, and pixels.
    centre : float
        Where the middle of the pixels lies.
    pixel : float
        Length of a pixel, in cells.

    Examples
    --------
    >>> area_weights(3, 2, centre=1.5, pixel=1.5).round(3).tolist()
    [[0.667, 0.333, 0.0], [0.0, 0.333, 0.667]]
    """
    edges = centre + pixel * (np.arange(size + 1) - size / 2)
    cells = np.arange(n)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return np.asarray(np.maximum(overlap, 0) / pixel)


def mri_split(test: Volume, size: int, *, train: Volume | None = None, field: float = FIELD) -> Split:
    """Share out the slices of brains.

    Parameters
    ----------
    test : Volume
        Tested on, whole where `train` is given.
    size : int
        Pixels along a side.
    train : Volume, optional
        Another head, trained and validated on. Without it the slices of `test` are shared out: the same head on both
        sides, which flatters a prior.
    field : float
        Millimetres along a side of the square.

    Returns
    -------
    Split
        Slices of which at least 15 % show something. Validation: two bands of 6 slices of the training volume, with 2
        left out on each side of a band. Without `train`, the middle third is the test, 4 left out on each side.
    """
    if train is not None:
        seen = slices(train, size, field=field, content=CONTENT)
        inner, outer = _bands(np.arange(len(seen)))
        tested = slices(test, size, field=field, content=CONTENT)
        return Split(seen[outer], seen[inner], tested, f"{train.name} to {test.name}: another head")
    every = slices(test, size, field=field, content=CONTENT)
    order = np.arange(len(every))
    third = len(every) // 3
    middle = (order >= third) & (order < len(every) - third)
    near = (order >= third - 4) & (order < len(every) - third + 4)
    inner, outer = _bands(order[~near])
    return Split(every[outer], every[inner], every[middle], f"{test.name}: other slices of the same head")


def ct_split(volume: Volume, size: int) -> Split:
    """Share out the slices of one CT volume of at least 108: trained on z <= 34 and z >= 78, tested on 42 to 70.

    Parameters
    ----------
    volume : Volume
        A head, bottom slice first.
    size : int
        Pixels along a side.

    Returns
    -------
    Split
        Validation: two bands of 6 slices of the training part, with 2 left out on each side of a band.

    Raises
    ------
    ValueError
        For a volume of fewer slices.
    """
    depth = len(volume.values)
    if depth < 108:
        raise ValueError(f"{volume.name} has {depth} slices: the split needs 108")
    inner, outer = _bands(np.array([*range(35), *range(78, depth)]))
    train, validation, test = (slices(volume, size, planes=part.tolist()) for part in (outer, inner, np.arange(42, 71)))
    return Split(train, validation, test, f"{volume.name}: other slices of the same head")


def _bands(planes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two bands of 6 at a quarter and three quarters of the planes, and the planes further than 2 from them."""
    starts = [len(planes) // 4 - 3, 3 * len(planes) // 4 - 3]
    if starts[0] < 2 or starts[1] - starts[0] < 10:
        raise ValueError(f"{len(planes)} slices to train on: expected at least 20, or none is left beside validation")
    place = np.arange(len(planes))
    inner = np.any([(place >= s) & (place < s + 6) for s in starts], axis=0)
    near = np.any([(place >= s - 2) & (place < s + 8) for s in starts], axis=0)
    return planes[inner], planes[~near]


def _middle(values: Values) -> tuple[float, float]:
    """Middle of the box, along h and w, around all voxels that show something."""
    shown = values > EMPTY
    ends = [np.flatnonzero(shown.any(axis=(0, axis)))[[0, -1]] for axis in (2, 1)]
    return (float(ends[0].sum() + 1) / 2, float(ends[1].sum() + 1) / 2)
