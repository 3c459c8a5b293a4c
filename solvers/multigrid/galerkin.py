"""Operator-dependent interpolation and the Galerkin product of black-box multigrid."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from conjugo.solvers.kernels.black_box_setup import add_products, normalise, row_sums
from conjugo.solvers.multigrid.parity import Parity, directions
from conjugo.solvers.multigrid.terms import galerkin_terms, sum_terms, weight_terms

NOISE = 4 * float(np.finfo(np.float64).eps)
"""Share of its terms that rounding leaves of a sum that is zero."""


def interpolation(grid: Parity, a: NDArray[np.float64], eps: float) -> NDArray[np.float64]:
    """Weights from which a fine node reads the coarse nodes around it.

    Parameters
    ----------
    grid : Parity
        The level.
    a : (rows, size) float64
        Diagonals and couplings of the sub-grids, ghosts of periodic axes wrapped.
    eps : float
        Row sums below `eps` times the sum of the magnitudes are rounding noise.

    Returns
    -------
    (3 + 3^d - 1, size) float64
        Row 0 ones, row 1 injection (1 at coarse nodes that couple to anything), then the weights, then scratch.

    Notes
    -----
    A node that lies between coarse nodes along the axes F takes the stencil summed over the other axes,
    w_c = sum_{n_F != 0} -a_n w(n_F)_c / (sum_{n_F != 0} -a_n + s), where s is the row sum and w(n_F) the weights of
    the neighbour towards n, which is coarse or lies between coarse nodes along fewer axes. Where s = 0 the weights
    sum to 1.
    A node whose coarse neighbours are all cut off (inactive, behind a wall) takes the value of one of them, which
    then stands for a patch of fine nodes and not for a node: constants are kept along Neumann walls of any shape.

    References
    ----------
    J. E. Dendy, Black box multigrid, J. Comput. Phys. 48 (1982) 366-386, section 3. J. E. Dendy and J. D. Moulton,
    Black box multigrid with coarsening by a factor of three, Numer. Linear Algebra Appl. 17 (2010) 577-598.

    Examples
    --------
    On a line, 2 w = 1 between two coarse nodes:

    >>> import numpy as np
    >>> from conjugo.solvers.multigrid.galerkin import interpolation
    >>> from conjugo.solvers.multigrid.parity import Parity
    >>> grid = Parity((4,), (False,), (1,), 0, compact=False)
    >>> a = np.array([[0, 2.0, 2, 0], [0, 2.0, 2, 0], [0, -1.0, -1, 0], [0, -1.0, 0, 0]])  # diagonals, then couplings
    >>> interpolation(grid, a, 1e-14)[2:-1, 1:-1]  # to the node before and to the node after
    array([[0. , 0.5],
           [0.5, 0.5]])
    """
    p = np.zeros((3 + len(grid.weights), grid.size))
    p[0] = 1.0
    exists = np.zeros(grid.padded)
    exists[tuple(slice(1, n + 1) for n in grid.coarse)] = 1.0
    grid.wrap(exists)
    sums = np.zeros((2, grid.size))
    last = grid.parts - 1
    grid.share(partial(row_sums, sums, a, a[last], sum_terms(grid, last), eps))
    p[1] = sums[1] * exists.ravel()
    grid.wrap(p[1])
    for kind in grid.kinds:
        home, corners = grid.home(kind), grid.corners(kind)
        grid.share(partial(row_sums, sums, a, a[home], sum_terms(grid, home), eps))
        p[-1] = 0.0
        grid.share(partial(add_products, p, a, p, weight_terms(grid, kind)))
        table = np.array([(2 + grid.weights[c], grid.corner_shift(c)) for c in corners], dtype=np.int64)
        grid.share(partial(normalise, p, sums, p[-1], exists.ravel(), table))
        for row in table[:, 0]:
            grid.wrap(p[row])
    return p


def galerkin(
    grid: Parity, a: NDArray[np.float64], p: NDArray[np.float64], scale: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Diagonal and compact couplings of P^T A P, one flat padded coarse grid a row; the last row is the next `scale`.

    Parameters
    ----------
    grid, a, p
        The level, and its operator and interpolation as `interpolation` has them.
    scale : (parts, size) float64, optional
        The magnitudes that each diagonal was summed from, finer levels included. Default: the diagonals.

    Notes
    -----
    A closed pocket of Neumann walls that has shrunk to one coarse node has no row there: its diagonal is zero, and
    the sum leaves rounding, whose inverse would amplify the rounding of every residual, float32's most of all.
    Diagonals below `NOISE` times their scale are therefore cleared, with their couplings.
    """
    rows = 1 + (3**grid.dimensions - 1) // 2
    out = np.zeros((rows + 1, grid.size))
    terms = galerkin_terms(grid)
    grid.share(partial(add_products, out[:rows], a, p, terms))
    squares = terms[(terms[:, 0] == 0) & (terms[:, 2] < grid.parts)]  # the fine diagonals, times weights squared
    grid.share(partial(add_products, out[rows:], a if scale is None else scale, p, squares))
    noise = (out[0] <= NOISE * out[-1]) & (out[-1] > 0)
    if noise.any():
        keep = np.where(noise, 0.0, 1.0)
        grid.wrap(keep)
        out[0] *= keep
        for way, row in zip(directions(grid.dimensions, True), out[1:rows], strict=True):
            there = np.roll(keep.reshape(grid.padded), [-d for d in way], range(grid.dimensions))
            row *= keep * there.ravel()
    return out
