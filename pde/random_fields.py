"""Gaussian random fields by their spectrum: N(0, sigma^2 (-Laplacian + tau^2)^-alpha) on a box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from conjugo.pde.grid import Centring

type Boundary = Literal["neumann", "dirichlet", "periodic"]
type Values = NDArray[np.float64]


def matern_field(
    shape: int | Sequence[int],
    count: int = 1,
    *,
    alpha: float,
    tau: float,
    sigma: float = 1.0,
    boundary: Boundary = "neumann",
    centring: Centring = "cell",
    lengths: Sequence[float] | None = None,
    zero_mean: bool = False,
    seed: int = 0,
    first: int = 0,
) -> Values:
    """Draw Gaussian fields whose covariance is a power of an elliptic operator.

    Parameters
    ----------
    shape : int or sequence of int
        Points along each axis.
    count : int
        Fields to draw.
    alpha : float
        Decay of the spectrum; above half the number of axes, or the variance grows with the points.
    tau : float
        Inverse correlation length. 0 needs Dirichlet walls or `zero_mean`.
    sigma : float
        Factor of the field.
    boundary : {"neumann", "dirichlet", "periodic"}
        Boundary condition of the Laplacian: whose eigenfunctions the field is made of.
    centring : {"cell", "vertex"}
        Points in cell centres, or on nodes: with the walls (Neumann), without them (Dirichlet).
    lengths : sequence of float, optional
        Side lengths of the box; 1 by default.
    zero_mean : bool
        Whether to leave out the constant, which Dirichlet fields do not have.
    seed, first : int
        Field i is made from (seed, first + i) alone.

    Returns
    -------
    (count, *shape) float64
        The fields.

    Raises
    ------
    ValueError
        For numbers that make no field, among them a constant of infinite variance.

    Notes
    -----
    g(x) = sigma sum_k (lambda_k + tau^2)^(-alpha / 2) xi_k phi_k(x), with independent normal xi_k and the eigenpairs of
    -Laplacian, orthonormal in L2 of the box; as many as there are points. They are summed by fast transforms: cosines
    (types I, II), sines (I, II) or Fourier. With Neumann walls both centrings show the same function for the same seed.

    References
    ----------
    F. Lindgren, H. Rue, J. Lindstrom, An explicit link between Gaussian fields and Gaussian Markov random fields: the
    stochastic partial differential equation approach, J. R. Stat. Soc. B 73 (2011), 423-498, section 2.
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), appendix A.3.

    Examples
    --------
    >>> fields = matern_field((32, 32), 4, alpha=2.0, tau=3.0, seed=1)
    >>> fields.shape, bool(np.all(fields[2] == matern_field((32, 32), alpha=2.0, tau=3.0, seed=1, first=2)[0]))
    ((4, 32, 32), True)
    """
    points = (int(shape),) if isinstance(shape, int | np.integer) else tuple(int(n) for n in shape)
    sides = (1.0,) * len(points) if lengths is None else tuple(float(length) for length in lengths)
    _check(points, sides, count, first, alpha, tau, sigma, boundary, centring, zero_mean)
    squares = [
        _frequencies(n, boundary).reshape([-1 if a == axis else 1 for a in range(len(points))]) / length**2
        for axis, (n, length) in enumerate(zip(points, sides, strict=True))
    ]
    power: Values = reduce(np.add, squares) + tau**2
    if boundary != "dirichlet" and zero_mean:
        power.flat[0] = np.inf
    amplitude = sigma * power ** (-alpha / 2) / np.sqrt(np.prod(sides))
    synthesise = _synthesis(points, boundary, centring)
    fields = np.empty((count, *points))
    for i in range(count):
        noise = np.random.default_rng([seed, first + i]).standard_normal(points)
        fields[i] = synthesise(noise, amplitude)
    return fields


def _frequencies(n: int, boundary: Boundary) -> Values:
    """Eigenvalues of -d^2/dx^2 on the unit interval, in the order of the transform's modes."""
    if boundary == "periodic":
        return (2 * np.pi * scipy.fft.fftfreq(n, 1 / n)) ** 2
    return (np.pi * (np.arange(n) + (boundary == "dirichlet"))) ** 2


def _synthesis(points: Sequence[int], boundary: Boundary, centring: Centring) -> Callable[[Values, Values], Values]:
    """Return what sums amplitude_k xi_k phi_k, with phi_k orthonormal on the unit box."""
    if boundary == "periodic":
        return lambda noise, amplitude: np.real(
            scipy.fft.ifftn(scipy.fft.fftn(noise, norm="ortho") * amplitude, norm="forward")
        )
    if centring == "cell":
        transform: Any = scipy.fft.idctn if boundary == "neumann" else scipy.fft.idstn
        scale = reduce(np.multiply.outer, [_cell_weights(n, boundary) for n in points])
        return lambda noise, amplitude: transform(scale * amplitude * noise, type=2, norm="ortho")
    if boundary == "dirichlet":
        half = 0.5 ** (len(points) / 2)  # sqrt(2) sin(pi k x); type I sums 2 sin
        return lambda noise, amplitude: half * scipy.fft.dstn(amplitude * noise, type=1)
    weights = reduce(np.multiply.outer, [_end_weights(n) for n in points])
    return lambda noise, amplitude: scipy.fft.dctn(weights * amplitude * noise, type=1)


def _cell_weights(n: int, boundary: Boundary) -> Values:
    """Norms in R^n of the modes: sqrt(n), and of sqrt(2) sin(pi n x), which is +-sqrt(2) in the centres, sqrt(2 n)."""
    weights = np.full(n, float(n) ** 0.5)
    if boundary == "dirichlet":
        weights[-1] *= 2.0**0.5
    return weights


def _end_weights(n: int) -> Values:
    """What turns coefficients of 1, sqrt(2) cos(pi k x) into those of the cosine transform of type I."""
    weights = np.full(n, 0.5**0.5)
    weights[0] = 1.0
    weights[-1] = 2.0**0.5
    return weights


def _check(
    points: tuple[int, ...],
    sides: tuple[float, ...],
    count: int,
    first: int,
    alpha: float,
    tau: float,
    sigma: float,
    boundary: str,
    centring: str,
    zero_mean: bool,
) -> None:
    if not points or min(points) < 2:
        raise ValueError(f"shape = {points}: expected at least 2 points along each axis")
    if len(sides) != len(points) or not all(length > 0 for length in sides):
        raise ValueError(f"lengths = {sides}: expected {len(points)} positive side lengths, one an axis")
    if count < 0 or first < 0:
        raise ValueError(f"count = {count}, first = {first}: expected numbers of at least 0")
    if boundary not in ("neumann", "dirichlet", "periodic") or centring not in ("cell", "vertex"):
        raise ValueError(f"boundary = {boundary!r}, centring = {centring!r}: expected 'neumann', 'dirichlet' or "
                         "'periodic', and 'cell' or 'vertex'")  # fmt: skip
    if not all(np.isfinite([alpha, tau, sigma])) or tau < 0:
        raise ValueError(f"alpha = {alpha}, tau = {tau}, sigma = {sigma}: expected finite numbers, and tau >= 0")
    if tau == 0 and boundary != "dirichlet" and not zero_mean and alpha > 0:
        raise ValueError("tau = 0 gives the constant infinite variance: pass zero_mean=True or tau > 0")
