"""Fresh random problems for the training of the learned V-cycle, by name and seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from conjugo.learned.preconditioners.grid_symmetry import turned
from conjugo.pde.poisson import families
from conjugo.pde.poisson.families import CONTEST_SEEDS
from conjugo.solvers.operators.compact import CompactStencil
from conjugo.solvers.operators.variable import VariableStencil

type Stencil = VariableStencil | CompactStencil
type Family = Callable[[tuple[int, ...], np.random.Generator], Stencil]

DECADES = (1.0, 6.0)
"""Contrasts of the media: 10 to these powers, uniformly drawn."""
HEADROOM = ("packed", "noise", "fibres", "slabs", "two-phase", "channels")
"""Families on which black-box multigrid takes many iterations, with couplings along the axes."""
ROTATED = ("rotated", "rotated-field")
"""Families with couplings to the whole box."""


def _medium(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Stencil:
    """A medium with a random contrast."""
    contrast, seed = 10 ** rng.uniform(*DECADES), int(rng.integers(CONTEST_SEEDS))
    return _stencil(families.medium(families.MEDIA[name], shape, seed, contrast=contrast).A)


def _named(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Stencil:
    """A problem of a family that chooses everything by its seed."""
    return _stencil(families.FAMILIES[name](shape, int(rng.integers(CONTEST_SEEDS))).A)


def _stencil(A: object) -> Stencil:
    """The operator, whose coefficients vary."""
    if isinstance(A, VariableStencil | CompactStencil):
        return A
    raise TypeError(f"expected a stencil with arrays, got a {type(A).__name__}")


FAMILIES: dict[str, Family] = {
    **{name: partial(_medium, name) for name in families.MEDIA},
    **{name: partial(_named, name) for name in ("solids", "free-surface", "slabs", *ROTATED)},
}
"""Families by name. The seeds below them stay under `CONTEST_SEEDS`."""


def check_families(names: Sequence[str]) -> None:
    """Refuse unknown names, and families of both kinds of couplings in one list."""
    if unknown := [name for name in names if name not in FAMILIES]:
        raise ValueError(f"families {unknown}: expected some of {', '.join(FAMILIES)}")
    if not names or len({name in ROTATED for name in names}) > 1:
        raise ValueError(f"families {list(names)}: expected one at least, and {' and '.join(ROTATED)} on their own")


def draw(names: Sequence[str], shape: tuple[int, ...], seed: int) -> Stencil:
    """Draw a problem of one of the families, turned or mirrored at random.

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
    check_families(names)
    rng = np.random.default_rng(seed)
    name = names[int(rng.integers(len(names)))]
    axes = tuple(int(axis) for axis in rng.permutation(len(shape)))
    flips = tuple(axis for axis in range(len(shape)) if rng.random() < 0.5)
    before = [0] * len(shape)
    for new, old in enumerate(axes):
        before[old] = shape[new]
    return turned(FAMILIES[name](tuple(before), rng), axes, flips)
