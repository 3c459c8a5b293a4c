"""Pairs of fields: what an operator is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.solvers.operators.protocol import Array

type Samples = slice | Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class FieldPairs:
    """Inputs and outputs of a solution operator, sample by sample.

    Parameters
    ----------
    a : (N, *shape) or (N, c, *shape) array
        Inputs, NumPy or torch.
    u : (N, *shape) or (N, c, *shape) array
        Outputs; its number of channels may differ from a's.
    grid : Grid, optional
        Where the nodes are; its shape is that of the fields. Without it and `coordinates`, the one of a and u with
        fewer axes is taken to have no channels.
    coordinates : (N, d, *shape) array, optional
        Coordinates of the nodes of each sample, for mapped grids and scattered points.
    name : str
        Short name for tables and plots.

    Raises
    ------
    ValueError
        If the arrays do not have the same samples and nodes.

    Examples
    --------
    >>> pairs = FieldPairs(np.zeros((6, 5, 5)), np.ones((6, 5, 5)), Grid((5, 5), (0.25, 0.25), (0.0, 0.0)))
    >>> train, test = pairs.split(4, 2)
    >>> len(train), test.stride(2).u.shape, test.stride(2).grid.spacing
    (4, (2, 3, 3), (0.5, 0.5))
    """

    a: Array
    u: Array
    grid: Grid | None = None
    coordinates: Array | None = None
    name: str = ""

    def __post_init__(self) -> None:
        counts = {"a": self.a, "u": self.u} | ({} if self.coordinates is None else {"coordinates": self.coordinates})
        if len({len(array) for array in counts.values()}) > 1:
            found = ", ".join(f"{name} has {len(array)}" for name, array in counts.items())
            raise ValueError(f"{found} samples: expected the same number; cut them to the samples they share")
        shape = self.shape
        for name, array in counts.items():
            if tuple(array.shape)[-len(shape) :] != shape or array.ndim not in (len(shape) + 1, len(shape) + 2):
                raise ValueError(f"{name} has shape {tuple(array.shape)}: expected (samples, [channels,] "
                                 f"{', '.join(map(str, shape))})")  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        if self.grid is not None:
            return self.grid.shape
        if self.coordinates is not None:
            return tuple(self.coordinates.shape[2:])
        return tuple(min(self.a.shape[1:], self.u.shape[1:], key=len))

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, samples: Samples) -> FieldPairs:
        """Some of the samples; a slice takes views."""
        if isinstance(samples, int | np.integer):
            raise ValueError(
                f"[{samples}]: expected a slice or several indices; one sample is [{samples}:{samples + 1}]"
            )
        coordinates = None if self.coordinates is None else self.coordinates[samples]
        return replace(self, a=self.a[samples], u=self.u[samples], coordinates=coordinates)

    def stride(self, k: int) -> FieldPairs:
        """Keep every k-th node along each axis, from the first on.

        Parameters
        ----------
        k : int
            At least 1. The last node is kept where k divides the number of nodes less one.

        Returns
        -------
        FieldPairs
            Views; the grid has k times the spacing.

        Raises
        ------
        ValueError
            If k is less than 1.
        """
        if k < 1:
            raise ValueError(f"k = {k}: expected a stride of at least 1")
        shape = self.shape
        every = (..., *(slice(None, None, k),) * len(shape))
        grid = None
        if self.grid is not None:
            sizes, spacing = tuple(-(-n // k) for n in shape), tuple(k * h for h in self.grid.spacing)
            grid = replace(self.grid, shape=sizes, spacing=spacing)
        coordinates = None if self.coordinates is None else self.coordinates[every]
        return replace(self, a=self.a[every], u=self.u[every], grid=grid, coordinates=coordinates)

    def split(self, *counts: int) -> tuple[FieldPairs, ...]:
        """Cut into consecutive parts: training, validation, test.

        Parameters
        ----------
        *counts : int
            Samples of each part; those that are left over are dropped.

        Returns
        -------
        tuple of FieldPairs
            Views.

        Raises
        ------
        ValueError
            If a count is negative, or there are fewer samples.
        """
        return tuple(self[part] for part in parts(len(self), counts))


def parts(available: int, counts: Sequence[int]) -> list[slice]:
    """Consecutive slices of so many samples each.

    Examples
    --------
    >>> parts(10, [6, 3])
    [slice(0, 6, None), slice(6, 9, None)]
    """
    if not counts or min(counts) < 0 or sum(counts) > available:
        raise ValueError(f"counts = {tuple(counts)}: expected one or more, not negative, that add up to at most "
                         f"{available}, the samples there are")  # fmt: skip
    return [slice(low, high) for low, high in pairwise(accumulate(counts, initial=0))]
