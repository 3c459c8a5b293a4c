"""Darcy's equation on the nodes of a square: means of the coefficient at the faces, and the linear system."""

from __future__ import annotations

from typing import Literal

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from conjugo.pde.grid import Grid
from conjugo.pde.problem import LinearProblem
from conjugo.solvers.operators.protocol import Array
from conjugo.solvers.operators.variable import VariableStencil

type Faces = Literal["harmonic", "geometric", "arithmetic"]

FACES = ("harmonic", "geometric", "arithmetic")


def darcy_faces(a: Array, faces: Faces = "harmonic") -> tuple[Array, Array]:
    """Average the coefficient between neighbouring nodes.

    Parameters
    ----------
    a : (..., n, n) array
        Coefficient on the nodes, the walls included; NumPy or torch.
    faces : {"harmonic", "geometric", "arithmetic"}
        Which mean of the two nodes beside a face.

    Returns
    -------
    (..., n - 1, n - 2), (..., n - 2, n - 1) arrays
        Coefficient at the faces across the first and the second axis that an interior node touches.

    Examples
    --------
    >>> across, along = darcy_faces(np.array([[3.0, 3, 3], [12, 12, 3], [3, 3, 3]]))
    >>> across.ravel(), along.ravel()
    (array([4.8, 4.8]), array([12. ,  4.8]))
    """
    xp = array_namespace(a)
    pairs = ((a[..., :-1, 1:-1], a[..., 1:, 1:-1]), (a[..., 1:-1, :-1], a[..., 1:-1, 1:]))
    if faces == "harmonic":
        first, second = (2.0 * low * high / (low + high) for low, high in pairs)
    elif faces == "geometric":
        first, second = (xp.sqrt(low * high) for low, high in pairs)
    elif faces == "arithmetic":
        first, second = (0.5 * (low + high) for low, high in pairs)
    else:
        raise ValueError(f"faces = {faces!r}: expected one of {', '.join(FACES)}")
    return first, second


def darcy_problem(
    a: NDArray[np.floating], *, faces: Faces = "harmonic", f: float | NDArray[np.floating] = 1.0
) -> LinearProblem:
    """Discretise -div(a grad u) = f on the unit square with u = 0 on its walls.

    Parameters
    ----------
    a : (n, n) array
        Coefficient on the nodes, the walls included; n at least 3.
    faces : {"harmonic", "geometric", "arithmetic"}
        Mean of a at the faces.
    f : float or (n, n) array
        Source, on the nodes.

    Returns
    -------
    LinearProblem
        Of the (n - 2)^2 interior nodes, with a `VariableStencil`; it carries a as its `coefficient`.

    Raises
    ------
    ValueError
        If a is not square, not finite, or not positive where the mean needs it.

    Notes
    -----
    The five-point finite volumes: (A u)_ij = h^-2 sum over the four faces of a_face (u_ij - u_neighbour).

    Examples
    --------
    >>> from conjugo.solvers import cg
    >>> problem = darcy_problem(np.ones((17, 17)))
    >>> bool(abs(cg(problem.A, problem.b).x.max() - 0.0737) < 1e-3)  # the torsion of a square
    True
    """
    a = np.asarray(a)
    check_coefficient(a[None], faces)
    n = a.shape[-1]
    across, along = darcy_faces(a.astype(np.float64, copy=False) * (n - 1.0) ** 2, faces)
    diag = across[1:] + across[:-1] + along[:, 1:] + along[:, :-1]
    below, right = -across[1:], -along[:, 1:]
    below[-1] = right[:, -1] = 0.0
    source = np.broadcast_to(np.asarray(f, dtype=np.float64), a.shape)[1:-1, 1:-1]
    h = 1.0 / (n - 1)
    grid = Grid((n - 2, n - 2), (h, h), (h, h), lengths=(1.0, 1.0))
    A = VariableStencil(diag, [below, right])
    return LinearProblem(A, source.ravel(), None, grid, f"darcy {faces}", coefficient=a)


def check_coefficient(a: Array, faces: str) -> None:
    """Say what is wrong with a batch of coefficients.

    Raises
    ------
    ValueError
        If they are not (N, n, n) finite numbers with n at least 3, positive unless the mean is arithmetic.

    Examples
    --------
    >>> check_coefficient(np.ones((1, 5, 5)), "harmonic")
    """
    if faces not in FACES:
        raise ValueError(f"faces = {faces!r}: expected one of {', '.join(FACES)}")
    if a.ndim != 3 or a.shape[1] != a.shape[2] or a.shape[1] < 3:
        raise ValueError(f"a has shape {tuple(a.shape)}: expected (samples, n, n) nodes with the walls, n at least 3")
    if len(a) == 0:
        return
    xp = array_namespace(a)
    if not bool(xp.all(xp.isfinite(a))):
        raise ValueError("a has values that are NaN or infinite: expected finite coefficients")
    if faces != "arithmetic" and not bool(xp.all(a > 0)):
        raise ValueError(f"a has minimum {float(xp.min(a))}: {faces} means need positive coefficients")
