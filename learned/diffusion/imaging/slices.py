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


def slices(volume: Volume, size: int, *, field: float | None = None, planes: Sequence[int] | None = None) -> Values:
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

    Returns
    -------
    (count, size, size) float32
        In [0, 1]. A pixel is the mean of the volume over its area; outside the volume is 0.

    Raises
    ------
    ValueError
        For planes that the volume has not, none at all, or a size below 2.

    Examples
    --------
    >>> volume = Volume(np.ones((3, 6, 4), np.float32), (1.0, 1.0, 1.0), "block")
    >>> slices(volume, 3)[0].tolist()
    [[0.5, 1.0, 0.5], [0.5, 1.0, 0.5], [0.5, 1.0, 0.5]]
    """
    _, dh, dw = volume.spacing
    depth, h, w = volume.values.shape
    chosen = list(range(depth)) if planes is None else [int(z) for z in planes]
    if not chosen or not all(0 <= z < depth for z in chosen):
        raise ValueError(f"planes = {chosen}: expected some of 0 to {depth - 1}, the slices of {volume.name}")
    if size < 2:
        raise ValueError(f"size = {size}: expected at least 2 pixels a side")
    centre, side = (h / 2, w / 2), max(h * dh, w * dw)
    if field is not None:
        centre, side = _middle(volume), float(field)
    rows = area_weights(h, size, centre=centre[0], pixel=side / size / dh)
    columns = area_weights(w, size, centre=centre[1], pixel=side / size / dw)
    return np.clip(rows @ volume.values[chosen] @ columns.T, 0, 1).astype(np.float32)


def planes_showing(volume: Volume, *, share: float = CONTENT, field: float = FIELD) -> list[int]:
    """Return the axial slices in which voxels above 0.1 fill at least a share of a square of `field` millimetres.

    Raises
    ------
    ValueError
        If there is none.
    """
    _, dh, dw = volume.spacing
    area = (volume.values > EMPTY).sum(axis=(1, 2)) * dh * dw
    planes = [int(z) for z in np.flatnonzero(area >= share * field**2)]
    if not planes:
        raise ValueError(f"{volume.name} fills {area.max() / field**2:.2f} of the square of {field} mm: expected "
                         f"{share}; is it a head, with its spacing in millimetres?")  # fmt: skip
    return planes


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


def mri_split(test: Volume, size: int, *, train: Volume | None = None, fine: int = 1, field: float = FIELD) -> Split:
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
    fine : int
        The slices to train on have fine * size pixels a side, so that moving them blurs nothing.
    field : float
        Millimetres along a side of the square.

    Returns
    -------
    Split
        Slices that are filled to at least 15 %. Validation: two bands of 6 slices of the training volume, with 2
        left out on each side of a band. Without `train`, the middle third is the test, 4 left out on each side.

    Raises
    ------
    ValueError
        If a volume shows too little.
    """
    tested = planes_showing(test, field=field)
    if train is not None:
        seen, name = planes_showing(train, field=field), f"{train.name} to {test.name}: another head"
    else:
        third, name = len(tested) // 3, f"{test.name}: other slices of the same head"
        seen = tested[: third - 4] + tested[-third + 4 :]
        tested, train = tested[third:-third], test
    validated, trained = _bands(seen)
    return Split(
        slices(train, size * fine, field=field, planes=trained),
        slices(train, size, field=field, planes=validated),
        slices(test, size, field=field, planes=tested),
        name,
    )


def ct_split(volume: Volume, size: int, *, fine: int = 1) -> Split:
    """Share out the slices of one CT volume of at least 108: trained on z <= 34 and z >= 78, tested on 42 to 70.

    Parameters
    ----------
    volume : Volume
        A head, bottom slice first.
    size : int
        Pixels along a side.
    fine : int
        The slices to train on have fine * size pixels a side.

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
    validated, trained = _bands([*range(35), *range(78, depth)])
    return Split(
        slices(volume, size * fine, planes=trained),
        slices(volume, size, planes=validated),
        slices(volume, size, planes=range(42, 71)),
        f"{volume.name}: other slices of the same head",
    )


def _bands(planes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Two bands of 6 at a quarter and three quarters of the planes, and the planes further than 2 from them."""
    starts = [len(planes) // 4 - 3, 3 * len(planes) // 4 - 3]
    if starts[0] < 2 or starts[1] - starts[0] < 10:
        raise ValueError(f"{len(planes)} slices to train on: expected at least 20, or none is left beside validation")
    inner = [z for place, z in enumerate(planes) if any(s <= place < s + 6 for s in starts)]
    outer = [z for place, z in enumerate(planes) if not any(s - 2 <= place < s + 8 for s in starts)]
    return inner, outer


def _middle(volume: Volume) -> tuple[float, float]:
    """Middle of the box, along h and w, around all voxels that show something."""
    shown = volume.values > EMPTY
    if not shown.any():
        raise ValueError(f"{volume.name} has no voxel above {EMPTY}: there is nothing to centre on")
    ends = [np.flatnonzero(shown.any(axis=(0, axis)))[[0, -1]] for axis in (2, 1)]
    return (float(ends[0].sum() + 1) / 2, float(ends[1].sum() + 1) / 2)
