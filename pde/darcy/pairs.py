"""Coefficients of Darcy's equation and its solutions, to learn the operator from."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import scipy.interpolate
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.pde.darcy.coefficients import Variant, darcy_coefficients, darcy_grid
from conjugo.pde.darcy.solver import solve_darcy
from conjugo.pde.pairs import FieldPairs
from conjugo.solvers.operators.protocol import Array


def darcy(
    count: int,
    size: int = 421,
    *,
    seed: int = 0,
    first: int = 0,
    variant: Variant = "clean",
    values: tuple[float, float] = (12.0, 3.0),
    rtol: float = 1e-8,
    xp: Any = None,
    device: Any = None,
) -> FieldPairs:
    """Generate pairs for -div(a grad u) = 1 on the unit square, u = 0 on its walls.

    Parameters
    ----------
    count : int
        Pairs to generate.
    size : int
        Points along each axis.
    seed, first : int
        Sample i is made from (seed, first + i) alone.
    variant : {"clean", "spline"}
        How the equation is discretised; see the notes.
    values : (float, float)
        The two values of the coefficient.
    rtol : float
        Of the solves (`solve_darcy`).
    xp : namespace or "torch", optional
        Array library of the result, in which it is solved too; NumPy by default.
    device : optional
        Device of that library.

    Returns
    -------
    FieldPairs
        a, u: (count, size, size) float64. Random numbers come from NumPy, so that every library makes the same samples.

    Raises
    ------
    ValueError
        As `darcy_coefficients` and `solve_darcy`; for a device without a library.
    ConvergenceError
        If a solve did not converge.

    Notes
    -----
    "clean": a and u live on the nodes x_i = i / (size - 1), the walls included. a is 12 where a Gaussian field is not
    negative, else 3; faces between nodes take the harmonic mean, five-point finite volumes, u = 0 on the walls.

    "spline": the steps of the original script `solve_gwf.m`. a is given in the centres (i + 1/2) / size; a not-a-knot
    cubic spline takes it to the nodes; faces take the arithmetic mean; the solution goes back to the centres by another
    spline. So the values of u next to the walls are not zero. The spline overshoots at jumps: what is solved is not
    bounded by the two values, and is negative at some nodes. The original transposes twice, which changes nothing.

    References
    ----------
    Z. Li et al., Fourier neural operator for parametric partial differential equations, ICLR (2021), appendix A.3.2,
    and the script solve_gwf.m that was published with it.

    Examples
    --------
    >>> pairs = darcy(4, 41, seed=3)
    >>> bool(np.array_equal(darcy(2, 41, seed=3, first=2).u, pairs.u[2:])), pairs.stride(5).u.shape
    (True, (4, 9, 9))
    """
    if xp is None and device is not None:
        raise ValueError(f"device = {device!r} without a library: pass xp='torch' too")
    xp = import_module("array_api_compat.torch") if xp == "torch" else np if xp is None else xp
    a = darcy_coefficients(count, size, seed=seed, first=first, variant=variant, values=values)
    stored = xp.asarray(a, device=device)
    u: Array
    if variant == "clean":
        u = solve_darcy(stored, rtol=rtol)
    else:
        inwards, outwards = (_moved(to_nodes, size, xp, device) for to_nodes in (False, True))
        u = _spline(solve_darcy(_spline(stored, outwards), faces="arithmetic", rtol=rtol), inwards)
    return FieldPairs(stored, u, darcy_grid(size, variant), name=f"darcy {variant}")


@lru_cache(maxsize=8)
def spline_matrix(size: int, *, to_nodes: bool) -> NDArray[np.float64]:
    """Interpolate by a not-a-knot cubic spline: a matrix from values in the centres to values on the nodes, or back.

    Examples
    --------
    >>> centres, nodes = darcy_grid(9, "spline").coordinates()[0], darcy_grid(9).coordinates()[0]
    >>> np.allclose(spline_matrix(9, to_nodes=True) @ centres**3, nodes**3)
    True
    """
    centres, nodes = darcy_grid(size, "spline").coordinates()[0], darcy_grid(size).coordinates()[0]
    given, wanted = (centres, nodes) if to_nodes else (nodes, centres)
    matrix: NDArray[np.float64] = scipy.interpolate.make_interp_spline(given, np.eye(size), k=3)(wanted)
    matrix.flags.writeable = False
    return matrix


def _moved(to_nodes: bool, size: int, xp: Any, device: Any) -> Array:
    return xp.asarray(spline_matrix(size, to_nodes=to_nodes).copy(), device=device)


def _spline(fields: Array, matrix: Array) -> Array:
    """Interpolate along both axes, one by one: a product must not depend on the fields beside it."""
    out = array_namespace(fields).empty_like(fields)
    for i in range(len(fields)):
        out[i] = matrix @ fields[i] @ matrix.T
    return out
