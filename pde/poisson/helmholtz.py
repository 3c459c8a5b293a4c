"""Helmholtz' equation at a real wave number: symmetric and indefinite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Centring
from conjugo.pde.poisson.assemble import RightHandSide, poisson
from conjugo.pde.poisson.boundary import Boundary, make_grid
from conjugo.pde.problem import LinearProblem


def points_per_wavelength(wavenumber: float, spacing: float | Sequence[float]) -> float:
    """Return 2 pi / (k h) on the coarsest axis.

    Parameters
    ----------
    wavenumber : float
        k (radians over length).
    spacing : float or sequence of float
        h.

    Returns
    -------
    float
        About 10 are needed for a phase error of a per cent a few waves away; the error grows with k^3 h^2.

    References
    ----------
    F. Ihlenburg, I. Babuska, *Finite element solution of the Helmholtz equation with high wave number I*,
    Comput. Math. Appl. 30 (1995) 9-37.

    Examples
    --------
    >>> round(points_per_wavelength(20.0, 0.01), 1)
    31.4
    """
    return 2 * math.pi / (abs(wavenumber) * float(np.max(spacing))) if wavenumber else math.inf


def helmholtz(
    shape: Sequence[int] | int,
    *,
    wavenumber: float = 20.0,
    bc: Boundary = "dirichlet",
    centring: Centring = "vertex",
    lengths: float | Sequence[float] = 1.0,
    rhs: RightHandSide = "white",
    seed: int = 0,
    mask: str | NDArray[np.bool_] | None = None,
) -> LinearProblem:
    """Discretise -laplace u - k^2 u = f: symmetric, indefinite as soon as k passes the lowest eigenfrequency.

    Parameters
    ----------
    shape, bc, centring, lengths, rhs, seed, mask
        As for `poisson`.
    wavenumber : float
        k (radians over length).

    Returns
    -------
    LinearProblem
        Its name tells the points per wavelength.

    Raises
    ------
    ValueError
        If the grid has fewer than two points a wavelength (it cannot carry the wave), or k is not finite.

    Notes
    -----
    Singular where k^2 is an eigenvalue of the discrete Laplacian, nearly so close by. The walls reflect: this is a
    cavity, not a scattering problem. Use minres or fgmres; cg is not defined for it.

    Examples
    --------
    >>> helmholtz((63, 63), wavenumber=20.0).name
    'helmholtz 63x63 k=20 (20.1 points a wavelength)'
    """
    if not math.isfinite(wavenumber):
        raise ValueError(f"wavenumber = {wavenumber}: expected a finite number")
    grid, _ = make_grid(shape, bc=bc, centring=centring, lengths=lengths)
    points = points_per_wavelength(wavenumber, grid.spacing)
    if points < 2:
        raise ValueError(f"wavenumber = {wavenumber} has {points:.2f} points a wavelength on this grid: expected at "
                         "least 2, better 10; refine the grid")  # fmt: skip
    problem = poisson(
        shape, bc=bc, centring=centring, lengths=lengths, rhs=rhs, seed=seed, mask=mask, shift=-(wavenumber**2)
    )
    size = "x".join(str(n) for n in grid.shape)
    return replace(problem, name=f"helmholtz {size} k={wavenumber:g} ({points:.1f} points a wavelength)")
