"""Sensitivities of receive coils on a ring around the body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RING = 1.5
"""Radius of the ring of coils, in half sides of the image."""


def birdcage(coils: int, size: int, *, radius: float = RING) -> NDArray[np.complex128]:
    """Return the sensitivities of wires on a ring, driven one after the other in phase.

    Parameters
    ----------
    coils : int
        Wires, at equal angles.
    size : int
        Pixels along a side.
    radius : float
        Of the ring, in half sides of the image; above sqrt(2), or a wire runs through a corner.

    Returns
    -------
    (coils, size, size) complex128
        Whose squares of magnitude have the sum 1 in every pixel: the adjoint of all coils is then the inverse of a
        scan without gaps.

    Raises
    ------
    ValueError
        For no coil, or a ring that cuts the image.

    Notes
    -----
    The transverse field of a long wire at w falls off as 1 / |z - w| and turns about it: as a complex number of the
    point z it is proportional to 1 / (w - z). With the current's phase conj(w) / |w| coil c has
    S_c(z) = 1 / (R - z exp(-i theta_c)), w = R exp(i theta_c), so that all coils agree in the middle.

    References
    ----------
    P. Roemer et al., The NMR phased array, Magn. Reson. Med. 16 (1990), 192-225, eq. (26) (their combination).

    Examples
    --------
    >>> maps = birdcage(4, 16)
    >>> maps.shape, bool(np.allclose((abs(maps) ** 2).sum(axis=0), 1))
    ((4, 16, 16), True)
    """
    if coils < 1 or size < 1:
        raise ValueError(f"coils = {coils}, size = {size}: expected at least 1 of both")
    if not radius > 2**0.5:
        raise ValueError(f"radius = {radius}: expected more than sqrt(2) half sides, or a coil lies in the image")
    at = (np.arange(size) + 0.5) / size * 2 - 1
    z = at[None, :] - 1j * at[:, None]  # rows run downwards
    turns = np.exp(-2j * np.pi * np.arange(coils) / coils)
    maps = 1 / (radius - z * turns[:, None, None])
    return np.asarray(maps / np.sqrt((np.abs(maps) ** 2).sum(axis=0)))
