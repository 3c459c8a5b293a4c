"""Sweeps over stencils, row by row: relaxation in lexicographic order, by colours, and triangular solves.

One layout serves constant and variable coefficients. The grid is seen as rows: x and b are (n0 n1, m), m the contiguous
axis, and row r sits at (i, j) = divmod(r, n1). A coupling is a scalar of the row times a row of a table; A = W S, W the
weights of the rows (1 for variable coefficients), and at node (i, j, k) the entries of S are::

    to (i - 1, j, k):  row[r, 0] * L0[r * step, k]     to (i + 1, j, k):  row[r, 1] * U0[r * step, k]
    to (i, j - 1, k):  row[r, 2] * L1[r * step, k]     to (i, j + 1, k):  row[r, 3] * U1[r * step, k]
    to (i, j, k - 1):  L2[r * step, k]                 to (i, j, k + 1):  U2[r * step, k]
    diagonal:          row[r, 4] + D[r * step, k]      W:  row[r, 5] * weight[k],  1 / W:  row[r, 6] * inverse_weight[k]

Constant coefficients have tables of one row (step = 0), variable ones a table row for every grid row (step = 1) and
row[r] = (1, 1, 1, 1, 0, 1, 1). Where `symmetric` is 1 the lower couplings are read from the upper tables of the
neighbour. Indices wrap around: at the ends of an axis that is not periodic the couplings are zero.

Within a row the sequential part is one fused multiply-add a node, x[k] = c[k] - q[k] x[k - 1]; all else is vectorised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types

OPTIONS: dict[str, Any] = {
    "nogil": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
    "boundscheck": False,
    "_nrt": False,  # no reference counts: a slice a row would otherwise cost more than the row
}


class Layout(NamedTuple):
    """A stencil as rows, see above; every table is C-contiguous and of the precision of x."""

    n0: int
    n1: int
    row: Any
    L0: Any
    U0: Any
    L1: Any
    U1: Any
    L2: Any
    U2: Any
    D: Any
    weight: Any
    inverse_weight: Any
    step: int
    symmetric: int


def _signatures(result: Any, *rest: Any) -> list[Any]:
    """Write result(x, b, layout, work, *rest) for each of the two precisions."""
    whole = types.int64
    named: Any = types.NamedTuple
    found = []
    for scalar in (types.float32, types.float64):
        plane, line = scalar[:, ::1], scalar[::1]
        layout = named((whole, whole, *[plane] * 8, line, line, whole, whole), Layout)
        found.append(result(plane, plane, layout, plane, *rest))
    return found


@njit(**OPTIONS)
def _scale(s: Any, b: Any, factor: Any, inverse_weight: Any) -> None:
    """s = factor inverse_weight b."""
    for k in range(s.size):
        s[k] = factor * inverse_weight[k] * b[k]


@njit(**OPTIONS)
def _subtract(s: Any, scale: Any, table: Any, other: Any) -> None:
    """s -= scale table other."""
    for k in range(s.size):
        s[k] -= scale * table[k] * other[k]


@njit(**OPTIONS)
def _subtract_pair(s: Any, low: Any, lower: Any, before: Any, up: Any, upper: Any, after: Any) -> None:
    """s -= low lower before + up upper after."""
    for k in range(s.size):
        s[k] -= low * lower[k] * before[k] + up * upper[k] * after[k]


@njit(**OPTIONS)
def _product(q: Any, w: Any, coupling: Any) -> None:
    """q = w coupling."""
    for k in range(q.size):
        q[k] = w[k] * coupling[k]


@njit(**OPTIONS)
def _subtract_product(s: Any, w: Any, coupling: Any, other: Any) -> None:
    """s -= w coupling other."""
    for k in range(s.size):
        s[k] -= w[k] * coupling[k] * other[k]


@njit(**OPTIONS)
def _recur_up(x: Any, c: Any, q: Any) -> None:
    """x[0] = c[0], x[k] = c[k] - q[k - 1] x[k - 1]."""
    value = c[0]
    x[0] = value
    x_later, c_later = x[1:], c[1:]
    for k in range(x_later.size):
        value = c_later[k] - q[k] * value
        x_later[k] = value


@njit(**OPTIONS)
def _recur_down(x: Any, c: Any, q: Any) -> None:
    """x[m - 1] = c[m - 1], x[k] = c[k] - q[k] x[k + 1]."""
    last = x.size - 1
    value = c[last]
    x[last] = value
    for back in range(last):
        k = last - 1 - back
        value = c[k] - q[k] * value
        x[k] = value


@njit(**OPTIONS)
def _neighbours(r: int, n0: int, n1: int) -> tuple[int, int, int, int]:
    """Rows before and after row r along the first and along the second axis, wrapped around."""
    i, j = r // n1, r % n1
    return (
        (i - 1 if i > 0 else n0 - 1) * n1 + j,
        (i + 1 if i + 1 < n0 else 0) * n1 + j,
        i * n1 + (j - 1 if j > 0 else n1 - 1),
        i * n1 + (j + 1 if j + 1 < n1 else 0),
    )


@njit(**OPTIONS)
def _couplings(r: int, layout: Layout) -> tuple[Any, Any, Any, Any]:
    """Couplings inside row r: to k - 1 for k >= 1, first to last node; to k + 1 for k < m - 1, last to first node."""
    upper = layout.U2[r * layout.step]
    last = upper.size - 1
    if layout.symmetric:
        return upper[:last], upper[last], upper[:last], upper[last]
    lower = layout.L2[r * layout.step]
    return lower[1:], lower[0], upper[:last], upper[last]


@njit(**OPTIONS)
def _without_other_rows(s: Any, x: Any, b: Any, r: int, layout: Layout) -> None:
    """s = b / W minus the couplings of row r to other rows."""
    row, step, symmetric = layout.row, layout.step, layout.symmetric
    before0, after0, before1, after1 = _neighbours(r, layout.n0, layout.n1)
    _scale(s, b[r], row[r, 6], layout.inverse_weight)
    if layout.n0 > 1:
        lower, upper = layout.L0[(before0 if symmetric else r) * step], layout.U0[r * step]
        _subtract_pair(s, row[r, 0], lower, x[before0], row[r, 1], upper, x[after0])
    if layout.n1 > 1:
        lower, upper = layout.L1[(before1 if symmetric else r) * step], layout.U1[r * step]
        _subtract_pair(s, row[r, 2], lower, x[before1], row[r, 3], upper, x[after1])


@njit(**OPTIONS)
def _scaled_residual(s: Any, x: Any, b: Any, r: int, layout: Layout) -> None:
    """s = (b - A x) / W in row r."""
    _without_other_rows(s, x, b, r, layout)
    lower, first_to_last, upper, last_to_first = _couplings(r, layout)
    here, diagonal, shift = x[r], layout.D[r * layout.step], layout.row[r, 4]
    last = s.size - 1
    for k in range(s.size):
        s[k] -= (diagonal[k] + shift) * here[k]
    one = s.dtype.type(1)
    _subtract(s[:last], one, upper, here[1:])
    _subtract(s[1:], one, lower, here[:last])
    s[0] -= first_to_last * here[last]
    s[last] -= last_to_first * here[0]


@njit(_signatures(types.void, types.float64, types.boolean), cache=True, **OPTIONS)
def lexicographic(x: Any, b: Any, layout: Layout, work: Any, omega: float, backward: bool) -> None:
    """One sweep of successive over-relaxation in the order of the unknowns, or in the opposite order."""
    rows, m = x.shape
    last = m - 1
    s, w, q = work[0], work[1], work[2]
    relax = x.dtype.type(omega)
    keep = x.dtype.type(1 - omega)
    for count in range(rows):
        r = rows - 1 - count if backward else count
        _without_other_rows(s, x, b, r, layout)
        lower, first_to_last, upper, last_to_first = _couplings(r, layout)
        here, diagonal, shift = x[r], layout.D[r * layout.step], layout.row[r, 4]
        for k in range(m):
            w[k] = relax / (diagonal[k] + shift)
        for k in range(m):
            s[k] = keep * here[k] + w[k] * s[k]
        if backward:
            _subtract_product(s[1:], w[1:], lower, here[:last])
            _product(q[:last], w, upper)
            s[last] -= w[last] * last_to_first * here[0]
            _recur_down(here, s, q)
            here[0] -= w[0] * first_to_last * here[last]
        else:
            _subtract_product(s[:last], w, upper, here[1:])
            _product(q[:last], w[1:], lower)
            s[0] -= w[0] * first_to_last * here[last]
            _recur_up(here, s, q)
            here[last] -= w[last] * last_to_first * here[0]


@njit(**OPTIONS)
def _relax_row(x: Any, b: Any, layout: Layout, s: Any, mask: Any, relax: Any, r: int) -> float:
    """Relax the nodes of row r under a mask of 0 and 1; return the sum of their squared residuals before that."""
    _scaled_residual(s, x, b, r, layout)
    here, diagonal, shift, weights = x[r], layout.D[r * layout.step], layout.row[r, 4], layout.weight
    factor, squares = np.float64(layout.row[r, 5]), 0.0
    for k in range(s.size):  # the whole row under the mask, because that is vectorised
        s[k] *= mask[k]
        residual = np.float64(s[k] * weights[k])
        squares += residual * residual
    if relax != 0:
        for k in range(s.size):
            here[k] += relax * s[k] / (diagonal[k] + shift)
    return factor * factor * squares


@njit(**OPTIONS)
def _masks(even: Any, odd: Any) -> None:
    """Fill the two colours of a row."""
    for k in range(even.size):
        odd[k] = k & 1
        even[k] = 1 - (k & 1)


@njit(_signatures(types.float64, types.float64, types.int64, types.int64, types.int64), cache=True, **OPTIONS)
def one_colour(x: Any, b: Any, layout: Layout, work: Any, omega: float, colour: int, lo: int, hi: int) -> float:
    """Relax the nodes of one colour in rows lo to hi; return the sum of their squared residuals before that."""
    s, even, odd = work[0], work[1], work[2]
    _masks(even, odd)
    relax = x.dtype.type(omega)
    total = 0.0
    for r in range(lo, hi):
        mask = odd if (r // layout.n1 + r % layout.n1 + colour) & 1 else even
        total += _relax_row(x, b, layout, s, mask, relax, r)
    return total


@njit(_signatures(types.float64, types.float64), cache=True, **OPTIONS)
def both_colours(x: Any, b: Any, layout: Layout, work: Any, omega: float) -> float:
    """Relax red, then black, in one pass over memory; return ||b - A x||^2 afterwards.

    Black follows red at the distance of the farthest neighbour, and the red residuals follow black: each row is still
    in the cache. The slowest axis must not be periodic.
    """
    s, even, odd = work[0], work[1], work[2]
    _masks(even, odd)
    n1 = layout.n1
    rows, lag = x.shape[0], n1 if layout.n0 > 1 else 1
    relax, none = x.dtype.type(omega), x.dtype.type(0)
    red, black = 0.0, 0.0
    for front in range(rows + 2 * lag):
        if front < rows:
            _relax_row(x, b, layout, s, odd if (front // n1 + front % n1) & 1 else even, relax, front)
        r = front - lag
        if 0 <= r < rows:
            black += _relax_row(x, b, layout, s, even if (r // n1 + r % n1) & 1 else odd, relax, r)
        r = front - 2 * lag
        if r >= 0:
            red += _relax_row(x, b, layout, s, odd if (r // n1 + r % n1) & 1 else even, none, r)
    return (1 - omega) ** 2 * black + red


@njit(_signatures(types.float64, types.int64, types.int64), cache=True, **OPTIONS)
def residual_square(x: Any, b: Any, layout: Layout, work: Any, lo: int, hi: int) -> float:
    """Sum of the squares of b - A x in rows lo to hi."""
    s = work[0]
    total = 0.0
    weights = layout.weight
    for r in range(lo, hi):
        _scaled_residual(s, x, b, r, layout)
        factor, squares = np.float64(layout.row[r, 5]), 0.0
        for k in range(s.size):
            residual = np.float64(s[k] * weights[k])
            squares += residual * residual
        total += factor * factor * squares
    return total


@njit(**OPTIONS)
def _without_triangle(s: Any, z: Any, r: int, later: bool, layout: Layout) -> None:
    """Subtract from s the couplings of row r to the rows after it (`later`) or before it."""
    row, step, symmetric = layout.row, layout.step, layout.symmetric
    before0, after0, before1, after1 = _neighbours(r, layout.n0, layout.n1)
    if layout.n0 > 1:
        if (before0 > r) == later:
            _subtract(s, row[r, 0], layout.L0[(before0 if symmetric else r) * step], z[before0])
        if (after0 > r) == later:
            _subtract(s, row[r, 1], layout.U0[r * step], z[after0])
    if layout.n1 > 1:
        if (before1 > r) == later:
            _subtract(s, row[r, 2], layout.L1[(before1 if symmetric else r) * step], z[before1])
        if (after1 > r) == later:
            _subtract(s, row[r, 3], layout.U1[r * step], z[after1])


@njit(_signatures(types.void), cache=True, **OPTIONS)
def solve_factors(z: Any, pivots: Any, layout: Layout, work: Any) -> None:
    """z = (P + U)^-1 P (P + L)^-1 z in place, L and U the strict triangles of A; `pivots` holds W / P."""
    rows, m = z.shape
    last = m - 1
    s, q = work[0], work[1]
    for r in range(rows):
        here, p = z[r], pivots[r]
        _scale(s, here, layout.row[r, 6], layout.inverse_weight)
        _without_triangle(s, z, r, False, layout)
        lower, _, _, last_to_first = _couplings(r, layout)
        for k in range(m):
            s[k] *= p[k]
        _product(q[:last], p[1:], lower)
        _recur_up(here, s, q)
        here[last] -= p[last] * last_to_first * here[0]
    for r in range(rows - 1, -1, -1):
        here, p = z[r], pivots[r]
        for k in range(m):
            s[k] = 0
        _without_triangle(s, z, r, True, layout)
        _, first_to_last, upper, _ = _couplings(r, layout)
        for k in range(m):
            s[k] = here[k] + p[k] * s[k]
        _product(q[:last], p, upper)
        _recur_down(here, s, q)
        here[0] -= p[0] * first_to_last * here[last]
