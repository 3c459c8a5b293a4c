"""Cells of the contexts' range, within which a choice is kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from conjugo.learned.tuning.learner import Context

BINS = 16
"""Cells of every context."""

REGION = 2
"""Cells that count as one when it is asked whether a context is new."""

type Ends = tuple[float | Sequence[float], float | Sequence[float]]
type Cell = tuple[int, ...]


class Cells:
    """Equal cells of a box; contexts outside belong to those at its edge.

    Parameters
    ----------
    ends : (low, high) or None
        The box; None where there are no contexts, and then there is one cell.

    Examples
    --------
    >>> cells = Cells((0.0, 1.0))
    >>> cells(0.5), cells.region(cells(0.5)), Cells(None)(None)
    ((8,), 4, ())
    """

    def __init__(self, ends: Ends | None) -> None:
        self.dimension = 0
        self._line: tuple[float, float] | None = None
        if ends is not None:
            low, high = (np.atleast_1d(np.asarray(end, dtype=np.float64)) for end in ends)
            self._low, self._span, self.dimension = low, high - low, len(low)
            if self.dimension == 1:
                self._line = float(low[0]), BINS / float(high[0] - low[0])

    def __call__(self, context: Context) -> Cell:
        """Return the cell of a context.

        Raises
        ------
        ValueError
            If the context is missing, of another dimension, NaN or infinite.
        """
        if not self.dimension:
            return ()
        if context is None:
            raise ValueError(f"context is missing: expected {self.dimension} numbers, as this solver has contexts")
        if self._line is not None and isinstance(context, float) and math.isfinite(context):
            return (min(BINS - 1, max(0, int((context - self._line[0]) * self._line[1]))),)
        values = np.atleast_1d(np.asarray(context, dtype=np.float64))
        if values.shape != (self.dimension,) or not np.all(np.isfinite(values)):
            raise ValueError(f"context = {context}: expected {self.dimension} finite numbers")
        return tuple(int(cell) for cell in np.clip((values - self._low) / self._span * BINS, 0, BINS - 1))

    def region(self, cell: Cell) -> int | Cell:
        """Return the larger region of a cell."""
        return cell[0] // REGION if len(cell) == 1 else tuple([place // REGION for place in cell])

    def ends(self, regions: Collection[int | Cell] | None) -> tuple[float, float]:
        """Return the ends of all contexts from the first to the last of some regions; all numbers where there are none.

        Parameters
        ----------
        regions : collection of regions or None
            Of a one-dimensional range; None for any context.
        """
        if self._line is None:
            return -math.inf, math.inf
        if regions is None:
            return -1e300, 1e300  # NaN and infinity are not among them
        places = [place for place in regions if isinstance(place, int)]
        low, scale = self._line
        first, last = min(places) * REGION / scale + low, (max(places) + 1) * REGION / scale + low
        return -1e300 if min(places) == 0 else first, 1e300 if max(places) == BINS // REGION - 1 else last

    def middle(self, share: float) -> float | None:
        """Return the context at a share of a one-dimensional range; None for others."""
        return float(self._low[0] + share * self._span[0]) if self.dimension == 1 else None
