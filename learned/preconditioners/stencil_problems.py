"""Fresh random problems for the training of the learned V-cycle, by name and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from conjugo.pde.poisson.assemble import poisson
from conjugo.pde.poisson.pressure import pressure
from conjugo.pde.poisson.rotated import rotated
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil

type Stencil = VariableStencil | CompactStencil
type Family = Callable[[tuple[int, ...], np.random.Generator], Stencil]

_SIDES = ("dirichlet", "neumann")


def _medium(name: str) -> Family:
    """A named coefficient with a contrast between 1 and 1e6 and random walls."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> Stencil:
        contrast, seed = 10 ** rng.uniform(0.0, 6.0), int(rng.integers(2**31))
        bc = [tuple(rng.choice(_SIDES, 2)) for _ in shape]
        if all(side == ("neumann", "neumann") for side in bc):
            bc[0] = ("dirichlet", "dirichlet")
        return _varying(poisson(shape, coefficient=name, contrast=contrast, seed=seed, bc=bc, centring="cell").A)

    return draw


def _cells(name: str) -> Family:
    """A pressure problem with solids or air."""

    def draw(shape: tuple[int, ...], rng: np.random.Generator) -> Stencil:
        return _varying(pressure(_random_cells(name, shape, rng)).A)

    return draw


def _random_cells(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random balls or slabs of solid (1); for "surface" air (2) above a random wave."""
    x = np.stack(np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij"))
    cells = np.zeros(shape, dtype=int)
    for _ in range(int(rng.integers(0, 8))):
        centre, radius = rng.random(len(shape)), rng.uniform(0.02, 0.2)
        away = x - centre.reshape(-1, *(1,) * len(shape))
        if name == "slabs":
            axis = int(rng.integers(len(shape)))
            gap = np.abs(away[axis - 1]) < rng.uniform(0.03, 0.3)
            cells[(np.abs(away[axis]) < radius / 8) & ~gap] = 1
        else:
            cells[(away**2).sum(0) < radius**2] = 1
    if name == "surface":
        level = rng.uniform(0.3, 0.9) + 0.1 * np.sin(2 * np.pi * (rng.integers(1, 4) * x[0] + rng.random()))
        cells[x[-1] > level] = 2
    return cells


def _anisotropic(shape: tuple[int, ...], rng: np.random.Generator) -> Stencil:
    """A rotated anisotropy of ratio 1 to 1000."""
    ratio, angle, tilt = 10 ** rng.uniform(0.0, 3.0), rng.uniform(0, np.pi), rng.uniform(-np.pi / 2, np.pi / 2)
    A = rotated(shape, angle=angle, ratio=ratio, tilt=tilt if len(shape) == 3 else 0.0).A
    if not isinstance(A, CompactStencil):
        raise TypeError(f"rotated returned a {type(A).__name__}")
    return A


def _varying(A: object) -> Stencil:
    """The operator, whose coefficients vary."""
    if not isinstance(A, VariableStencil | CompactStencil):
        raise TypeError(f"expected a stencil with arrays, got a {type(A).__name__}")
    return A


FAMILIES: dict[str, Family] = {
    **{name: _medium(name) for name in ("inclusions", "channels", "two_phase", "noise", "lognormal", "checkerboard")},
    **{name: _cells(name) for name in ("solids", "surface", "slabs")},
    "rotated": _anisotropic,
}
"""Families by name. Their seeds lie below 1e6 in training and from there on in tests."""


def draw(names: Sequence[str], shape: tuple[int, ...], seed: int) -> Stencil:
    """Draw a problem of one of the families.

    Parameters
    ----------
    names : sequence of str
        Families to choose from.
    shape : tuple of int
        Unknowns an axis.
    seed : int
        Decides everything.

    Returns
    -------
    VariableStencil or CompactStencil
        The operator.

    Raises
    ------
    ValueError
        For unknown names.

    Examples
    --------
    >>> from conjugo.learned.preconditioners.stencil_problems import draw
    >>> draw(["noise"], (12, 10), seed=3).grid_shape
    (12, 10)
    """
    if unknown := [name for name in names if name not in FAMILIES]:
        raise ValueError(f"families {unknown}: expected some of {', '.join(FAMILIES)}")
    rng = np.random.default_rng(seed)
    return FAMILIES[names[int(rng.integers(len(names)))]](shape, rng)
