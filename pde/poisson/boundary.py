"""Boundary conditions: what each side of the box does, and where that puts the unknowns along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Centring, Grid
from conjugo.solvers.operators.separable import Axis

type Kind = Literal["dirichlet", "neumann", "periodic"]
type Ends = tuple[Kind, Kind]
type Boundary = Kind | Sequence[Kind | tuple[Kind, Kind]]

KINDS = ("dirichlet", "neumann", "periodic")


def parse_boundary(bc: Boundary, dimensions: int) -> tuple[Ends, ...]:
    """Say what each side does.

    Parameters
    ----------
    bc : str or sequence
        One kind for all sides, or one entry an axis, each a kind or a pair (low side, high side).
    dimensions : int
        Number of axes.

    Returns
    -------
    tuple of (low, high)
        One pair an axis.

    Raises
    ------
    ValueError
        For an unknown kind, a wrong number of axes, or an axis that is periodic at one end only.

    Examples
    --------
    >>> parse_boundary([("dirichlet", "neumann"), "periodic"], 2)
    (('dirichlet', 'neumann'), ('periodic', 'periodic'))
    """
    entries: list[Any] = [bc] * dimensions if isinstance(bc, str) else list(bc)
    if dimensions == 1 and len(entries) == 2:  # the two ends of the only axis
        entries = [tuple(entries)]
    if len(entries) != dimensions:
        raise ValueError(f"bc = {bc!r} has {len(entries)} entries: expected one kind, or one entry for each of the "
                         f"{dimensions} axes")  # fmt: skip
    pairs = []
    for entry in entries:
        pair = (entry, entry) if isinstance(entry, str) else tuple(entry)
        if len(pair) != 2 or any(kind not in KINDS for kind in pair):
            raise ValueError(f"bc entry {entry!r}: expected one of {', '.join(KINDS)}, or a pair (low side, high side)")
        if (pair[0] == "periodic") != (pair[1] == "periodic"):
            raise ValueError(f"bc entry {entry!r}: an axis is periodic at both ends or at none; use 'periodic' alone")
        pairs.append(pair)
    return tuple(pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """The unknowns along one axis: n control volumes and the n + 1 faces around them.

    Parameters
    ----------
    ends : (low, high)
        What the two sides do.
    spacing : float
        Distance h between neighbours (length).
    first : float
        Coordinate of the first unknown.
    weight : (n,) array
        Control volume over h: 1, or 1/2 at a vertex-centred Neumann end.
    conductance : (n + 1,) array
        1 / (h d) for each face, d the distance between what it separates (1 / length^2); 0 at a Neumann end.
    reach : (low, high)
        Distance from the outermost unknowns to the walls.
    """

    ends: Ends
    spacing: float
    first: float
    weight: NDArray[np.float64]
    conductance: NDArray[np.float64]
    reach: tuple[float, float]

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def periodic(self) -> bool:
        """Whether the axis closes on itself."""
        return self.ends[0] == "periodic"

    def axis(self, factor: float = 1.0) -> Axis:
        """Return the tridiagonal of -factor d^2/dx^2 as an axis of a SeparableStencil.

        Examples
        --------
        >>> make_line(3, 1.0, ("dirichlet", "dirichlet"), "cell").axis().diag / 9
        array([3., 2., 3.])
        """
        low, high = factor * self.conductance[:-1] / self.weight, factor * self.conductance[1:] / self.weight
        lower, upper = -low, -high
        if not self.periodic:
            lower[0] = upper[-1] = 0.0
        return Axis(lower=lower, diag=low + high, upper=upper, weight=self.weight, periodic=self.periodic)


def make_line(n: int, length: float, ends: Ends, centring: Centring) -> Line:
    """Place n unknowns on [0, length].

    Parameters
    ----------
    n : int
        Number of unknowns.
    length : float
        Length of the axis.
    ends : (low, high)
        What the two sides do.
    centring : {"vertex", "cell"}
        Vertex: Dirichlet ends are not unknowns and lie h outside, Neumann ends are unknowns with half a control
        volume. Cell: every wall lies h / 2 outside.

    Returns
    -------
    Line
        The axis.

    Raises
    ------
    ValueError
        If there are too few unknowns or the length is not positive.

    Examples
    --------
    >>> make_line(3, 1.0, ("dirichlet", "neumann"), "vertex").weight
    array([1. , 1. , 0.5])
    """
    least = 3 if ends[0] == "periodic" else 2
    if n < least:
        raise ValueError(f"{n} unknowns along an axis with ends {ends}: expected at least {least}; refine the grid")
    if not (length > 0 and math.isfinite(length)):
        raise ValueError(f"length = {length}: expected a positive number")
    weight = np.ones(n)
    if ends[0] == "periodic" or centring == "cell":
        h = length / n
        first = 0.0 if centring == "vertex" else h / 2
        reach = (h, h) if ends[0] == "periodic" else (h / 2, h / 2)
    else:
        neumann = [kind == "neumann" for kind in ends]
        h = length / (n + 1 - sum(neumann))
        first = 0.0 if neumann[0] else h
        reach = (0.0 if neumann[0] else h, 0.0 if neumann[1] else h)
        weight[[0, -1]] = np.where(neumann, 0.5, 1.0)
    conductance = np.full(n + 1, 1.0 / h**2)
    for side in (0, 1):
        conductance[-side] = 0.0 if ends[side] == "neumann" else 1.0 / (h * reach[side])
    return Line(ends, h, first, weight, conductance, reach)


def make_grid(
    shape: Sequence[int] | int,
    *,
    bc: Boundary = "dirichlet",
    centring: Centring = "vertex",
    lengths: float | Sequence[float] = 1.0,
) -> tuple[Grid, tuple[Line, ...]]:
    """Place the unknowns of a box.

    Parameters
    ----------
    shape : sequence of int
        Unknowns per axis; an int means one axis.
    bc, centring, lengths
        As for `poisson`.

    Returns
    -------
    grid : Grid
        Where the unknowns sit.
    lines : tuple of Line
        Control volumes and faces along each axis.

    Raises
    ------
    ValueError
        As for `parse_boundary` and `make_line`.

    Examples
    --------
    >>> grid, lines = make_grid((3, 4), bc=["dirichlet", "periodic"])
    >>> grid.spacing
    (0.25, 0.25)
    """
    counts = tuple(np.atleast_1d(shape).tolist())
    if not 1 <= len(counts) <= 3 or not all(isinstance(n, int) for n in counts):
        raise ValueError(f"shape = {shape}: expected 1, 2 or 3 axes, an int each")
    if centring not in ("vertex", "cell"):
        raise ValueError(f"centring = {centring!r}: expected 'vertex' or 'cell'")
    sides = tuple(np.atleast_1d(np.asarray(lengths, dtype=np.float64)).tolist())
    sides = sides * len(counts) if len(sides) == 1 else sides
    if len(sides) != len(counts):
        raise ValueError(f"lengths = {lengths}: expected one number, or one for each of the {len(counts)} axes")
    ends = parse_boundary(bc, len(counts))
    lines = tuple(make_line(n, side, pair, centring) for n, side, pair in zip(counts, sides, ends, strict=True))
    spacing, origin = tuple(line.spacing for line in lines), tuple(line.first for line in lines)
    return Grid(counts, spacing, origin, centring, sides), lines
