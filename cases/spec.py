"""The options that describe a problem, shared by the cases, and the problem that they make."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np

from conjugo.pde import convection_diffusion, helmholtz, poisson, pressure
from conjugo.pde.poisson.exact_solutions import ExactSolution
from conjugo.pde.problem import LinearProblem

type Coefficient = Literal[
    "constant", "smooth", "lognormal", "checkerboard", "inclusions", "channels", "two_phase", "noise"
]
type RightHandSide = Literal["auto", "charges", "exact", "discrete", "white", "smooth"]

OPTIONS: dict[str, frozenset[str]] = {
    "poisson": frozenset({"coefficient", "contrast", "centring", "mask", "anisotropy", "shift", "rhs"}),
    "pressure": frozenset({"cells"}),
    "convection": frozenset({"diffusion", "velocity", "centring", "shift", "rhs"}),
    "helmholtz": frozenset({"wavenumber", "centring", "mask", "rhs"}),
}
"""Options of each problem beside shape, bc and seed, which all of them take."""

DIFFERENTIABLE = ("constant", "smooth")
"""Coefficients with a gradient: only they admit a manufactured solution."""


@dataclass(frozen=True, kw_only=True)
class ProblemSpec:
    """What is solved: a partial differential equation on a box, or A x = b from a file."""

    problem: Literal["poisson", "pressure", "convection", "helmholtz"] = "poisson"
    """poisson: -div(k grad u) + shift u = f. pressure: of an incompressible flow among fluid, solid and air cells.
    convection: -diffusion laplace u + v . grad u + shift u = f. helmholtz: -laplace u - wavenumber^2 u = f."""
    shape: tuple[int, ...] = (256, 256)
    """Unknowns along each axis: one, two or three numbers."""
    coefficient: Coefficient = "constant"
    """The coefficient k."""
    contrast: float | None = None
    """max k / min k of a coefficient that is not constant; each has its default."""
    bc: tuple[str, ...] = ()
    """Boundary: dirichlet, neumann or periodic; one for all, or one for each axis; low:high for two different ends.
    Default dirichlet; for pressure neumann, a solid wall."""
    centring: Literal["vertex", "cell"] = "vertex"
    """Whether unknowns are grid points or cells."""
    mask: Literal["disc", "flower", "l_shape", "obstacles"] | None = None
    """Domain cut out of the box."""
    anisotropy: tuple[float, ...] | None = None
    """Factors of k, one for each axis."""
    shift: float = 0.0
    """Multiple of u: positive for a reaction, negative for Helmholtz."""
    cells: Literal["tank", "enclosed", "dam_break", "porous", "slabs"] = "tank"
    """Scene of a pressure solve; enclosed, porous and slabs have no air, so that they are singular."""
    diffusion: float = 1e-2
    """Diffusion of a convection problem; the smaller, the harder."""
    velocity: Literal["uniform", "recirculating"] = "uniform"
    """Velocity of a convection problem: (1, 1/2, 1/4), or a vortex."""
    wavenumber: float = 20.0
    """Of a Helmholtz problem, radians over length."""
    rhs: RightHandSide = "auto"
    """charges: smooth charges with a known potential; exact: another known solution; discrete: b = A u, so that the
    error is the solver's alone; white: random numbers; smooth: without a known solution; auto: charges where k is
    differentiable, else discrete."""
    matrix: Path | None = None
    """Solve A x = b with A from this file (.mtx, .npz) instead."""
    seed: int = 0
    """Seed of everything random."""

    @property
    def right_hand_side(self) -> str:
        """`rhs`, with auto resolved."""
        if self.rhs != "auto":
            return self.rhs
        return "charges" if self.coefficient in DIFFERENTIABLE and self.shift == 0 else "discrete"

    @property
    def has_discretisation_error(self) -> bool:
        """Whether the exact solution is that of the differential equation, not of its discretisation."""
        return self.matrix is None and self.problem != "pressure" and self.right_hand_side in ("charges", "exact")


def build(spec: ProblemSpec, shape: tuple[int, ...] | None = None) -> LinearProblem:
    """Make the problem that the options describe.

    Parameters
    ----------
    spec : ProblemSpec
        The options.
    shape : tuple of int, optional
        Another size; for warming up.

    Returns
    -------
    LinearProblem

    Raises
    ------
    ValueError
        For options that make no problem.
    """
    if spec.matrix is not None:
        return read_matrix(spec.matrix)
    _check_options(spec)
    size = shape or spec.shape
    common: dict[str, Any] = {"bc": _boundary(spec.bc), "seed": spec.seed}
    if spec.problem == "pressure":
        return pressure(spec.cells, size, bc=_boundary(spec.bc or ("neumann",)), seed=spec.seed)
    rhs: Any = charges(len(size), spec.seed) if spec.right_hand_side == "charges" else spec.right_hand_side
    common |= {"centring": spec.centring, "rhs": rhs}
    if spec.problem == "convection":
        v: Any = None if spec.velocity == "uniform" else spec.velocity
        return convection_diffusion(size, velocity=v, diffusion=spec.diffusion, shift=spec.shift, **common)
    if spec.problem == "helmholtz":
        coarser = min(n / m for n, m in zip(size, spec.shape, strict=True))  # as many points a wavelength as asked for
        return helmholtz(size, wavenumber=spec.wavenumber * min(1.0, coarser), mask=spec.mask, **common)
    k: dict[str, Any] = {"coefficient": spec.coefficient, "contrast": spec.contrast, "anisotropy": spec.anisotropy}
    return poisson(size, mask=spec.mask, shift=spec.shift, **k, **common)


def read_matrix(path: Path) -> LinearProblem:
    """Read A, and b where a file beside it has one; else b = A @ ones, so that the error is known."""
    from conjugo.pde import matrix

    return matrix.load(path)


def charges(dimensions: int, seed: int = 0, count: int = 7) -> ExactSolution:
    """Return the potential u = sum_i q_i exp(-|x - c_i|^2 / (2 s_i^2)) of smooth charges of either sign.

    It vanishes nowhere exactly, so the walls carry its values; its many length scales excite all modes of the grid.

    Parameters
    ----------
    dimensions : int
        1, 2 or 3.
    seed : int
        Seed of places, widths and strengths.
    count : int
        Number of charges.

    Returns
    -------
    ExactSolution
        The potential with its gradient and curvature.

    Examples
    --------
    >>> u = charges(2)
    >>> step = (u.value(0.5 + 1e-6, 0.5) - u.value(0.5 - 1e-6, 0.5)) / 2e-6
    >>> bool(abs(step - u.gradient(0.5, 0.5)[0]) < 1e-6)
    True
    """
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.15, 0.85, (count, dimensions))
    widths = np.geomspace(0.04, 0.16, count)
    strengths = rng.uniform(0.5, 1.0, count) * (-1.0) ** np.arange(count)

    def bump(i: int, x: tuple[Any, ...]) -> Any:
        squares = [((s - c) / widths[i]) ** 2 for s, c in zip(x, places[i], strict=True)]
        return strengths[i] * reduce(np.multiply, [np.exp(-0.5 * q) for q in squares])

    def value(*x: Any) -> Any:
        return sum(bump(i, x) for i in range(count))

    def gradient(*x: Any) -> tuple[Any, ...]:
        return tuple(
            sum(-(x[a] - places[i][a]) / widths[i] ** 2 * bump(i, x) for i in range(count)) for a in range(dimensions)
        )

    def curvature(*x: Any) -> tuple[Any, ...]:
        return tuple(
            sum((((x[a] - places[i][a]) / widths[i]) ** 2 - 1) / widths[i] ** 2 * bump(i, x) for i in range(count))
            for a in range(dimensions)
        )

    return ExactSolution(value, gradient, curvature, "charges")


def small_shape(spec: ProblemSpec, unknowns: int = 4096) -> tuple[int, ...]:
    """Return a small shape with the same number of axes."""
    side = max(8, math.floor(unknowns ** (1 / len(spec.shape))))
    return tuple(min(n, side) for n in spec.shape)


def _check_options(spec: ProblemSpec) -> None:
    """Refuse options that the chosen problem would not read."""
    own = OPTIONS[spec.problem]
    for field in fields(ProblemSpec):
        value = getattr(spec, field.name)
        if value != field.default and field.name not in own and field.name in frozenset.union(*OPTIONS.values()):
            raise ValueError(
                f"--{field.name} {value} means nothing for --problem {spec.problem}, "
                f"which takes {', '.join(sorted(own))}: leave it out"
            )


def _boundary(words: tuple[str, ...]) -> Any:
    """Turn `dirichlet`, `periodic neumann:dirichlet` into what the problems take; nothing is dirichlet."""
    entries = [tuple(word.split(":")) if ":" in word else word for word in words or ("dirichlet",)]
    return entries[0] if len(entries) == 1 and isinstance(entries[0], str) else entries
