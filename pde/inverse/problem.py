"""Linear inverse problems whose exact answer is known: operator, data, prior and truth in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.inverse.bases import CosineBasis, SineBasis, TrigonometricBasis
from conjugo.pde.inverse.bayes import GaussianPosterior
from conjugo.pde.inverse.gain import ROWS
from conjugo.pde.inverse.heat import BackwardHeat
from conjugo.pde.inverse.joint import Composed, SourceAndField
from conjugo.pde.inverse.operator import ImageOperator, Measurement, Scaled
from conjugo.pde.inverse.sensors import Sensors
from conjugo.pde.inverse.source import Green, SourceToSensors
from conjugo.pde.inverse.variable_source import VariableGreen

type Values = NDArray[np.float64]
type Equation = Literal["poisson", "helmholtz"]
type Direction = Literal["forward", "inverse", "both"]


@dataclass(frozen=True, slots=True, eq=False)
class InverseProblem:
    """Find x, given y = A x + sigma noise and x ~ N(0, C).

    Parameters
    ----------
    A : Measurement
        (m, n), scaled so that the data have mean variance 1 under the prior.
    y : (m, k) float64
        Data of k images.
    sigma : float
        Standard deviation of the noise, so relative to the data's.
    truth : (n, k) float64 or None
        The images, of mean variance 1 under the prior; None where nobody knows them.
    spectrum : (*A.image_shape) float64
        Variances of the prior's coefficients.
    basis : TrigonometricBasis
        In which these coefficients are independent.
    name : str
        For tables.
    target : Measurement, optional
        What errors are measured of, if not x itself: `Green` where the field of the sources is asked for.

    Examples
    --------
    >>> from conjugo.pde.inverse.problem import sensor_problem
    >>> problem = sensor_problem(32, 100, count=2)
    >>> x = problem.posterior().mean
    >>> bool(np.all(problem.relative_error(x) < 0.4))
    True
    """

    A: Measurement
    y: Values
    sigma: float
    truth: Values | None
    spectrum: Values
    basis: TrigonometricBasis
    name: str = ""
    target: Measurement | None = None

    def posterior(self) -> GaussianPosterior:
        """Return the exact answer, set up anew at each call."""
        return GaussianPosterior(self.A, self.y, self.sigma, 0.0, self.spectrum, self.basis)

    def bayes_error(self) -> float:
        """Return the least root mean square error that any estimate has, relative to the prior's."""
        return self.posterior().relative_error(self.target)

    def relative_error(self, x: Values) -> Values:
        """Return ||L (x - truth)|| / ||L truth|| of each of (n, k) images, with L the target or the identity."""
        if self.truth is None:
            raise ValueError(f"{self.name or 'the problem'} has no truth: expected one to measure errors against")
        x = np.asarray(x, dtype=np.float64)
        if x.shape != self.truth.shape:
            raise ValueError(f"x has shape {x.shape}: expected {self.truth.shape}, as the truth")
        error, truth = x - self.truth, self.truth
        if self.target is not None:
            error, truth = self.target @ error, self.target @ truth
        return np.asarray(np.linalg.norm(error, axis=0) / np.linalg.norm(truth, axis=0))


def field_spectrum(
    basis: TrigonometricBasis, alpha: float = 2.0, tau: float = 3.0, *, zero_mean: bool = True
) -> Values:
    """Variances of a Gaussian field's coefficients, (lambda + tau^2)^-alpha, scaled to mean variance 1 in the cells.

    Parameters
    ----------
    basis : TrigonometricBasis
        Of the field: cosines for Neumann walls.
    alpha, tau : float
        Decay, and inverse correlation length, as for `matern_field`.
    zero_mean : bool
        Whether to leave out the constant, as the widespread generator of these fields does.

    Raises
    ------
    ValueError
        For a tau that is negative or leaves the constant infinite.

    References
    ----------
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), appendix A.3.

    Examples
    --------
    >>> from conjugo.pde.inverse.bases import CosineBasis
    >>> c = field_spectrum(CosineBasis((8, 8)))
    >>> float(c[0, 0]), round(float(c.mean()), 12)
    (0.0, 1.0)
    """
    if not (np.isfinite(alpha) and np.isfinite(tau) and tau >= 0):
        raise ValueError(f"alpha = {alpha}, tau = {tau}: expected finite numbers, and tau >= 0")
    power = basis.laplacian() + tau**2
    if zero_mean and basis.kind == "cosine":
        power.flat[0] = np.inf
    if not np.all(power > 0):
        raise ValueError("tau = 0 gives the constant infinite variance: pass zero_mean=True or tau > 0")
    spectrum = np.asarray(power**-alpha)
    return spectrum / np.mean(spectrum)


def draw_fields(spectrum: Values, basis: TrigonometricBasis, count: int, seed: int = 0) -> Values:
    """Draw (n, count) fields with independent coefficients; field i is made from (seed, i) alone.

    Parameters
    ----------
    spectrum : (*shape) float64
        Variances of the coefficients.
    basis : TrigonometricBasis
        Of the coefficients.
    count, seed : int
        How many, and which.
    """
    if count < 1:
        raise ValueError(f"count = {count}: expected at least 1 image")
    coefficients = np.stack([np.random.default_rng([seed, i]).standard_normal(spectrum.shape) for i in range(count)])
    return np.asarray(basis.inverse(np.sqrt(spectrum) * coefficients)).reshape(count, -1).T


def data_variance(A: Measurement, spectrum: Values, basis: TrigonometricBasis) -> float:
    """Return the mean variance of A x under the prior, tr(A C A^H) / m, by m adjoint products or in closed form."""
    diagonal = getattr(A, "diagonal", None)
    if diagonal is not None and diagonal.basis == basis:
        return float(np.mean(diagonal.values**2 * spectrum))
    m, total = A.shape[0], 0.0
    for lo in range(0, m, ROWS):
        unit = np.eye(m, min(ROWS, m - lo), -lo)
        images = np.asarray(A.H @ unit).T.reshape(-1, *spectrum.shape)
        total += float(np.sum(spectrum * basis.forward(images) ** 2))
    return total / m


def observe(
    A: Measurement,
    sigma: float,
    spectrum: Values,
    basis: TrigonometricBasis,
    *,
    count: int = 1,
    seed: int = 0,
    name: str = "",
    target: Measurement | None = None,
) -> InverseProblem:
    """Scale A to data of mean variance 1, draw truths from the prior and measure them with noise.

    Parameters
    ----------
    A : Measurement
        (m, n), NumPy.
    sigma : float
        Standard deviation of the noise, relative to that of the data.
    spectrum, basis
        The prior.
    count, seed : int
        Images: i follows from (seed, i), and its noise from (seed, 1, i).
    name, target
        As for `InverseProblem`.

    Raises
    ------
    ValueError
        For a negative sigma, or less than one image.
    """
    if not (np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma = {sigma}: expected a finite standard deviation, 0 or more")
    truth = draw_fields(spectrum, basis, count, seed)
    A = Scaled(A, data_variance(A, spectrum, basis) ** -0.5)
    noise = np.stack([np.random.default_rng([seed, 1, i]).standard_normal(A.shape[0]) for i in range(count)], axis=1)
    return InverseProblem(A, np.asarray(A @ truth) + sigma * noise, float(sigma), truth, spectrum, basis, name, target)


def source_problem(
    size: int = 64,
    sensors: int = 125,
    sigma: float = 0.01,
    *,
    count: int = 1,
    seed: int = 0,
    wavenumber: float = 0.0,
    coefficient: Any = None,
    contrast: float | None = None,
    rtol: float = 1e-10,
    cycles: int | None = None,
    alpha: float = 2.0,
    tau: float = 3.0,
    zero_mean: bool = True,
) -> InverseProblem:
    """Find the sources f of -div(a grad u) - k^2 u = f on the unit square, u = 0 on its walls, from u at sensors.

    Parameters
    ----------
    size : int
        Cells along each side.
    sensors : int
        Cells where u is seen, drawn from the seed.
    sigma : float
        Standard deviation of the noise, relative to that of the data.
    count, seed : int
        Images, and the seed of everything.
    wavenumber : float
        k in radians over length; needs a = 1.
    coefficient, contrast, rtol, cycles
        a and how its equation is solved, see `VariableGreen`; None is a = 1, solved by sine transforms.
    alpha, tau, zero_mean
        The prior of f, see `field_spectrum`.

    Raises
    ------
    ValueError
        For a wave number in a varying medium, and what the parts refuse.

    Examples
    --------
    >>> from conjugo.pde.inverse.problem import source_problem
    >>> problem = source_problem(32, 60)
    >>> problem.name, problem.y.shape, round(problem.bayes_error(), 2)
    ('source 32x32, 60 sensors, sigma 0.01', (60, 1), 0.17)
    """
    basis = CosineBasis((size, size))
    nodes = Sensors.random(basis.shape, sensors, seed=seed).nodes
    if coefficient is None:
        G: ImageOperator = Green(basis.shape, wavenumber)
    elif wavenumber:
        raise ValueError(
            f"wavenumber = {wavenumber} with a coefficient: expected 0, as multigrid needs a definite problem"
        )
    else:
        G = VariableGreen(basis.shape, coefficient, contrast=contrast, seed=seed, rtol=rtol, cycles=cycles)
    A = SourceToSensors(basis.shape, nodes, G=G)
    medium = "helmholtz " if wavenumber else f"{coefficient} " if isinstance(coefficient, str) else ""
    name = f"{medium}source {size}x{size}, {sensors} sensors, sigma {sigma:g}"
    spectrum = field_spectrum(basis, alpha, tau, zero_mean=zero_mean)
    return observe(A, sigma, spectrum, basis, count=count, seed=seed, name=name)


def sensor_problem(
    size: int = 64,
    sensors: int = 400,
    sigma: float = 0.05,
    *,
    count: int = 1,
    seed: int = 0,
    alpha: float = 2.0,
    tau: float = 3.0,
    zero_mean: bool = True,
) -> InverseProblem:
    """Find a field on the unit square from its values at random sensors; parameters as for `source_problem`.

    Examples
    --------
    >>> from conjugo.pde.inverse.problem import sensor_problem
    >>> round(sensor_problem(32, 100).bayes_error(), 2)
    0.16
    """
    basis = CosineBasis((size, size))
    A = Sensors.random(basis.shape, sensors, seed=seed)
    name = f"sensors {size}x{size}, {sensors} sensors, sigma {sigma:g}"
    spectrum = field_spectrum(basis, alpha, tau, zero_mean=zero_mean)
    return observe(A, sigma, spectrum, basis, count=count, seed=seed, name=name)


def heat_problem(
    size: int = 64,
    time: float = 1e-3,
    sigma: float = 0.01,
    *,
    count: int = 1,
    seed: int = 0,
    alpha: float = 2.0,
    tau: float = 3.0,
    zero_mean: bool = True,
) -> InverseProblem:
    """Find the temperature before a time t of heat flow on the unit square; parameters as for `source_problem`.

    Examples
    --------
    >>> from conjugo.pde.inverse.problem import heat_problem
    >>> round(heat_problem().bayes_error(), 3)
    0.052
    """
    basis = CosineBasis((size, size))
    spectrum = field_spectrum(basis, alpha, tau, zero_mean=zero_mean)
    name = f"heat {size}x{size}, t {time:g}, sigma {sigma:g}"
    return observe(BackwardHeat(basis.shape, time), sigma, spectrum, basis, count=count, seed=seed, name=name)


def joint_problem(
    equation: Equation = "poisson",
    direction: Direction = "inverse",
    size: int = 128,
    sensors: int = 500,
    sigma: float = 0.0,
    *,
    count: int = 1,
    seed: int = 0,
    alpha: float = 2.0,
    tau: float = 3.0,
    zero_mean: bool = True,
) -> InverseProblem:
    """Source and field of Poisson's or Helmholtz' equation (k = 1), one of them or both seen at random sensors.

    Parameters
    ----------
    equation : {"poisson", "helmholtz"}
        -Laplacian u - k^2 u = f with k = 0 or 1, u = 0 on the walls.
    direction : {"inverse", "forward", "both"}
        See u and find f; see f and find u, by the f that the prior completes; see both, at the same cells, and find f.
    size, sensors, sigma, count, seed, alpha, tau, zero_mean
        As for `source_problem`.

    Notes
    -----
    The unknown is f in either direction: u = G f carries the prior over, and the joint law of (f, u) stays Gaussian.
    Forward problems have `target` G, so that errors are those of u.

    References
    ----------
    J. Huang, G. Yang, Z. Wang, J. J. Park, DiffusionPDE: generative PDE-solving under partial observation, NeurIPS
    (2024), section 4 (the geometry; not their data).

    Examples
    --------
    >>> from conjugo.pde.inverse.problem import joint_problem
    >>> problem = joint_problem("helmholtz", "forward", 32, 60)
    >>> problem.bayes_error() < 0.1
    True
    """
    if equation not in ("poisson", "helmholtz"):
        raise ValueError(f"equation = {equation!r}: expected 'poisson' or 'helmholtz'")
    if direction not in ("forward", "inverse", "both"):
        raise ValueError(f"direction = {direction!r}: expected 'forward', 'inverse' or 'both'")
    basis = CosineBasis((size, size))
    G = Green(basis.shape, 1.0 if equation == "helmholtz" else 0.0)
    nodes = Sensors.random(basis.shape, sensors, seed=seed).nodes
    spectrum = field_spectrum(basis, alpha, tau, zero_mean=zero_mean)
    if direction == "forward":
        A: ImageOperator = Sensors(basis.shape, nodes)
    elif direction == "inverse":
        A = SourceToSensors(basis.shape, nodes, G=G)
    else:
        unit = (
            float(np.mean(G.diagonal.values**2 * basis.power(spectrum, SineBasis(basis.shape)))) ** -0.5
        )  # u's deviation is 1
        A = Composed(Sensors((2, *basis.shape), nodes, channels=[0, 1]), SourceAndField(G, unit))
    name = f"{equation} {direction} {size}x{size}, {sensors} sensors, sigma {sigma:g}"
    target = G if direction == "forward" else None
    return observe(A, sigma, spectrum, basis, count=count, seed=seed, name=name, target=target)
