"""What numerics alone makes of the same input: Darcy's equation solved on the coarse nodes, times one fitted scalar."""

from __future__ import annotations

from typing import Literal, get_args

from array_api_compat import array_namespace

from conjugo.pde.darcy import solve_darcy
from conjugo.solvers.operators.protocol import Array

Kind = Literal["harmonic", "geometric"]


def finite_difference_baseline(a: Array, kind: Kind = "harmonic", *, scale: float = 1.0, rtol: float = 1e-8) -> Array:
    """Solve -div(a grad u) = 1 on the nodes that are given, and scale the solution.

    Parameters
    ----------
    a : (N, n, n) or (N, 1, n, n) array
        Coefficient, walls included, perhaps taken from a finer grid; NumPy or torch.
    kind : {"harmonic", "geometric"}
        Mean of a at the faces.
    scale : float
        Factor from `fitted_scale`; 1 for no fit.
    rtol : float
        Tolerance of the solves.

    Returns
    -------
    array like a
        The baseline that every learned operator for these data must be printed beside.

    Raises
    ------
    ValueError
        If a is not of such a shape, or kind or scale is no choice.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.full((2, 1, 9, 9), 3.0)
    >>> u = finite_difference_baseline(a, "geometric")
    >>> u.shape, bool(np.allclose(finite_difference_baseline(a, scale=1.01), 1.01 * u))
    ((2, 1, 9, 9), True)
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind = {kind!r}: choose one of {', '.join(map(repr, get_args(Kind)))}")
    if not scale > 0:
        raise ValueError(f"scale = {scale}: a positive number is needed")
    channel = a.ndim == 4 and a.shape[1] == 1
    if not channel and a.ndim != 3:
        raise ValueError(f"a has shape {tuple(a.shape)}: expected (N, n, n) or (N, 1, n, n)")
    u = solve_darcy(a[:, 0] if channel else a, faces=kind, rtol=rtol)
    return scale * (u[:, None] if channel else u)


def fitted_scale(base: Array, u: Array) -> float:
    """Fit the scalar s that minimises the sum over samples of ||u - s base||^2 / ||u||^2.

    Parameters
    ----------
    base, u : (N, ...) arrays
        Baseline and truth of training samples, of one library.

    Returns
    -------
    float
        s.

    Raises
    ------
    ValueError
        If the shapes differ, or a field is zero.

    Examples
    --------
    >>> import numpy as np
    >>> base = np.ones((2, 3, 3))
    >>> fitted_scale(base, 1.5 * base)
    1.5
    """
    if base.shape != u.shape or not len(u):
        raise ValueError(f"base has shape {tuple(base.shape)} and u {tuple(u.shape)}: expected the same, not empty")
    xp = array_namespace(u)
    base, u = (xp.asarray(x, dtype=xp.float64).reshape((len(u), -1)) for x in (base, u))
    squares, within = xp.sum(u * u, axis=1), xp.sum(base * base, axis=1)
    if not (bool(xp.all(squares > 0)) and bool(xp.all(within > 0))):
        raise ValueError("a field of base or u is zero: leave that sample out")
    return float(xp.sum(xp.sum(u * base, axis=1) / squares) / xp.sum(within / squares))
