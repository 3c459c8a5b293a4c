"""Random media of two values: a Gaussian field, cut at zero."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.random_fields import matern_field

type Variant = Literal["clean", "spline"]

VARIANTS = ("clean", "spline")


def darcy_coefficients(
    count: int,
    size: int = 421,
    *,
    seed: int = 0,
    first: int = 0,
    variant: Variant = "clean",
    values: tuple[float, float] = (12.0, 3.0),
    alpha: float = 2.0,
    tau: float = 3.0,
) -> NDArray[np.float64]:
    """Draw coefficients that take two values.

    Parameters
    ----------
    count : int
        Coefficients to draw.
    size : int
        Points along each axis.
    seed, first : int
        Coefficient i is made from (seed, first + i) alone.
    variant : {"clean", "spline"}
        Points on the nodes of the unit square, walls included; or in the centres of size x size cells, where the
        original data has them. The field behind both is the same.
    values : (float, float)
        Where the field is at least zero, and elsewhere; positive.
    alpha, tau : float
        The field is N(0, (-Laplacian + tau^2)^-alpha) with Neumann walls, without its mean (`matern_field`).

    Returns
    -------
    (count, size, size) float64
        The coefficients.

    Raises
    ------
    ValueError
        For an unknown variant, values that are not positive, and what `matern_field` refuses.

    References
    ----------
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), section 5.2 and
    appendix A.3.2.

    Examples
    --------
    >>> a = darcy_coefficients(2, 33)
    >>> a.shape, np.unique(a)
    ((2, 33, 33), array([ 3., 12.]))
    """
    high, low = check_choices(size, variant, values)
    centring: Literal["cell", "vertex"] = "vertex" if variant == "clean" else "cell"
    a = matern_field(
        (size, size), count, alpha=alpha, tau=tau, centring=centring, zero_mean=True, seed=seed, first=first
    )
    return np.where(a >= 0, high, low)


def darcy_grid(size: int, variant: Variant = "clean") -> Grid:
    """Where the values of a variant sit.

    Examples
    --------
    >>> darcy_grid(5).coordinates()[0], darcy_grid(5, "spline").coordinates()[0]
    (array([0.  , 0.25, 0.5 , 0.75, 1.  ]), array([0.1, 0.3, 0.5, 0.7, 0.9]))
    """
    if variant == "clean":
        h = 1.0 / (size - 1)
        return Grid((size, size), (h, h), (0.0, 0.0), lengths=(1.0, 1.0))
    h = 1.0 / size
    return Grid((size, size), (h, h), (h / 2, h / 2), "cell", (1.0, 1.0))


def check_choices(size: int, variant: str, values: tuple[float, float]) -> tuple[float, float]:
    """Return the two values, or say what is wrong.

    Examples
    --------
    >>> check_choices(5, "clean", (12.0, 3.0))
    (12.0, 3.0)
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant = {variant!r}: expected one of {', '.join(VARIANTS)}")
    if size < 5:
        raise ValueError(f"size = {size}: expected at least 5 points along each axis")
    if len(values) != 2 or not all(np.isfinite(v) and v > 0 for v in values):
        raise ValueError(f"values = {values}: expected two positive numbers, such as (12.0, 3.0)")
    return float(values[0]), float(values[1])
