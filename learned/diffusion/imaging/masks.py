"""Which columns of k-space a faster scan keeps: drawn without replacement, so that x4 is x4."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

type Pattern = Literal["uniform1d", "gaussian1d"]

ACS = 0.08
"""Share of columns about the centre that are always kept (autocalibration)."""


def column_mask(
    size: int, *, acceleration: float = 4.0, pattern: Pattern = "uniform1d", acs: float = ACS, seed: int = 0
) -> NDArray[np.bool_]:
    """Draw the kept columns of centred k-space.

    Parameters
    ----------
    size : int
        Columns; the constant is column size // 2.
    acceleration : float
        Columns for one that is kept: round(size / acceleration) are kept, the central ones among them.
    pattern : {"uniform1d", "gaussian1d"}
        Whether the others are equally likely, or by a normal density about the centre, of standard deviation
        15 / 128 of the columns.
    acs : float
        Share of columns about the centre that are kept: round(acs * size).
    seed : int
        Of the draw.

    Returns
    -------
    (size,) bool
        Which columns are kept.

    Raises
    ------
    ValueError
        For an unknown pattern, or an acceleration that leaves no column beside the central ones.

    Notes
    -----
    Drawing with replacement, as is often done, keeps fewer columns than it says: a nominal 4 became 4.46.

    References
    ----------
    H. Chung, J. C. Ye, Score-based diffusion models for accelerated MRI, Med. Image Anal. 80 (2022), 102479: the
    patterns.

    Examples
    --------
    >>> mask = column_mask(64)
    >>> int(mask.sum()), bool(mask[30:35].all())
    (16, True)
    """
    if pattern not in ("uniform1d", "gaussian1d"):
        raise ValueError(f"pattern = {pattern!r}: expected 'uniform1d' or 'gaussian1d'")
    if not (acceleration >= 1 and 0 <= acs < 1):
        raise ValueError(f"acceleration = {acceleration}, acs = {acs}: expected at least 1, and a share in [0, 1)")
    kept, central = round(size / acceleration), round(acs * size)
    if kept <= central:
        raise ValueError(f"acceleration = {acceleration} keeps {kept} of {size} columns, but acs = {acs} alone keeps "
                         f"{central}: lower one of them")  # fmt: skip
    mask = np.zeros(size, dtype=np.bool_)
    start = size // 2 - central // 2
    mask[start : start + central] = True
    others = np.flatnonzero(~mask)
    weights = np.ones(len(others))
    if pattern == "gaussian1d":
        weights = np.exp(-0.5 * ((others - size // 2) / (15 / 128 * size)) ** 2)
    chosen = np.random.default_rng([seed, size]).choice(others, kept - central, False, weights / weights.sum())
    mask[chosen] = True
    return mask
