"""Transport along a staggered velocity: semi-Lagrangian, and with MacCormack's correction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.parallel import get_threads, run_rows

type Values = NDArray[np.float64]
type Scheme = Literal["semi-lagrangian", "maccormack"]

SCHEMES = ("maccormack", "semi-lagrangian")
CENTRE = -1
"""As `axis` of `Paths`: one value a cell."""


class Paths:
    """The paths along which one time step moves the values of one kind: in the cells, or on the faces across an axis.

    Parameters
    ----------
    velocity : sequence of arrays
        Components on the faces across each axis of a 2-D or 3-D grid (length over time).
    steps : sequence of float
        Time step over cell size, an axis (time over length).
    axis : int
        Across which axis the faces lie that hold the values; -1 for cell values.
    periodic : sequence of bool, optional
        Which axes close on themselves; default none.
    scheme : {"maccormack", "semi-lagrangian"}
        The second smooths (first order in time and space), the first corrects that.

    Raises
    ------
    ValueError
        For an unknown scheme, or shapes that disagree.

    Notes
    -----
    The path that arrives at a point is traced back by the midpoint rule, and the field interpolated linearly where it
    began: f_hat = L f. MacCormack adds half of what a step forward and a step back miss, f_hat + (f - L^-1 f_hat) / 2,
    clamped to the values that the interpolation used: of second order where the field is smooth.

    References
    ----------
    J. Stam, "Stable fluids", SIGGRAPH (1999), section 2.2; A. Selle, R. Fedkiw, B. Kim, Y. Liu and J. Rossignac, "An
    unconditionally stable MacCormack method", J. Sci. Comput. 35 (2008), equations 2 to 4 and section 3.3.

    Examples
    --------
    >>> wind = [np.zeros((3, 4)), np.ones((2, 5))]
    >>> paths = Paths(wind, (1.0, 1.0), periodic=(False, True))
    >>> paths.carry(np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]))
    array([[4., 1., 2., 3.],
           [8., 5., 6., 7.]])
    """

    def __init__(
        self,
        velocity: Sequence[Values],
        steps: Sequence[float],
        *,
        axis: int = CENTRE,
        periodic: Sequence[bool] | None = None,
        scheme: Scheme = "maccormack",
    ) -> None:
        d = len(velocity)
        if scheme not in SCHEMES:
            raise ValueError(f"scheme = {scheme!r}: expected one of {', '.join(SCHEMES)}")
        if d not in (2, 3) or len(steps) != d or any(u.ndim != d for u in velocity):
            raise ValueError(f"velocity has {d} components with {[u.ndim for u in velocity]} axes, steps {len(steps)} "
                             "numbers: expected 2 or 3 of each")  # fmt: skip
        cells = tuple(n - (a == 0) for a, n in enumerate(velocity[0].shape))
        for a, u in enumerate(velocity):
            wanted = tuple(n + (b == a) for b, n in enumerate(cells))
            if u.shape != wanted:
                raise ValueError(f"velocity[{a}] has shape {u.shape}: expected {wanted}, the faces of {cells} cells")
        self.shape = tuple(n + (a == axis) for a, n in enumerate(cells))
        self._periods = _spread([n if c else 0 for n, c in zip(cells, periodic or (False,) * d, strict=True)], 0)
        wind = [_three(part) for part in velocity]
        if d == 2:
            wind.insert(1, np.zeros((1, 1, 1)))  # no kernel reads it
        offsets = _spread([0.0 if a == axis else 0.5 for a in range(d)], 0.5)
        self._back = self._traced(wind, offsets, _spread(steps, 0.0))
        self._forth = None if scheme != "maccormack" else self._traced(wind, offsets, _spread([-c for c in steps], 0.0))

    def carry(self, field: Values) -> Values:
        """Return a field after the step; its values lie between the smallest and the largest of those before.

        Raises
        ------
        ValueError
            If the field has another shape than the paths.
        """
        from conjugo.pde.evolution import advection_kernels as kernels

        if np.shape(field) != self.shape:
            raise ValueError(f"field has shape {np.shape(field)}: expected {self.shape}, the shape of these paths")
        f = _three(field)
        out = np.empty_like(f)
        _shared(kernels.interpolate, len(f), f, *self._back, *self._periods, out)
        if self._forth is not None:
            again = np.empty_like(f)
            _shared(kernels.interpolate, len(f), out, *self._forth, *self._periods, again)
            _shared(kernels.correct, len(f), f, again, *self._back, *self._periods, out)
        return out.reshape(self.shape)

    def _traced(self, wind: Sequence[Values], offsets: Sequence[float], steps: Sequence[float]) -> tuple[Values, ...]:
        from conjugo.pde.evolution import advection_kernels as kernels  # compiled or loaded at first use

        shape = self.shape if len(self.shape) == 3 else (self.shape[0], 1, self.shape[1])
        x, z = np.empty(shape), np.empty(shape)
        y = np.empty(shape if len(self.shape) == 3 else (1, 1, 1))
        _shared(kernels.trace, shape[0], *wind, *offsets, *steps, *self._periods, x, y, z)
        return x, y, z


def _shared(kernel: Callable[..., None], planes: int, *arguments: Any) -> None:
    """Run a kernel on all planes, in as many threads as are set."""
    run_rows(lambda lo, hi: kernel(*arguments, lo, hi), planes, get_threads())


def _three(values: Values) -> Values:
    """View an array with three axes: (planes, n) becomes (planes, 1, n)."""
    whole = np.ascontiguousarray(values, dtype=np.float64)
    return whole if whole.ndim == 3 else whole[:, None, :]


def _spread[T: (int, float)](numbers: Sequence[T], filler: T) -> tuple[T, ...]:
    """Three numbers, where two axes have two."""
    return tuple(numbers) if len(numbers) == 3 else (numbers[0], filler, numbers[1])
