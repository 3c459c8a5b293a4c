"""Flow through bent pipes: a geometry as input, the steady velocity as output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from tqdm import tqdm

from conjugo.pde.fem.quadratic import block, join
from conjugo.pde.fem.steady import SteadyFlow, steady
from conjugo.pde.fem.taylor_hood import TaylorHood
from conjugo.pde.pairs import FieldPairs

type Values = NDArray[np.float64]

LENGTH, WIDTH, CONTROLS = 10.0, 1.0, 5


def pipe(
    count: int,
    size: int = 129,
    *,
    seed: int = 0,
    first: int = 0,
    bend: float = 1.0,
    viscosity: float = 0.005,
    progress: bool = False,
) -> FieldPairs:
    """Solve the steady flow through bent pipes of length 10 and width 1.

    Parameters
    ----------
    count : int
        Samples.
    size : int
        Nodes along and across the pipe, odd, at least 9.
    seed, first : int
        Sample i depends on seed and first + i alone.
    bend : float
        The centreline's heights at x = 2.5, 5, 7.5 and 10 are uniform in (-bend, bend); 0 is a straight pipe.
    viscosity : float
        nu, positive; the Reynolds number of the width and the largest inflow is 1 / nu.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    FieldPairs
        a: (count, 2, size, size), the coordinates of the nodes, along the pipe first; u: (count, size, size), the
        horizontal velocity there; coordinates: as a.

    Raises
    ------
    ValueError
        If numbers are out of range.
    RuntimeError
        If Newton's method does not converge for a sample: it names it.
    ImportError
        Without dolfinx.

    Notes
    -----
    The centreline is a cubic spline through 5 evenly spaced points, level at both ends. The mesh shifts the straight
    pipe's columns vertically, so that every section x = const has width 1 and carries the same flow, 2/3. The inflow is
    u = 1 - 4 s^2, s the height over the centreline; walls stick; the end is open ("do nothing"). P2/P1 elements on
    curved triangles: the output's nodes are the velocity's own, nothing is interpolated. The set follows the pipes
    of Li et al.; their distribution of centrelines is another.

    References
    ----------
    Z. Li, D. Z. Huang, B. Liu, A. Anandkumar, J. Mach. Learn. Res. 24 (2023) 388, section 4.4.

    Examples
    --------
    >>> pairs = pipe(2, 17, seed=1)
    >>> pairs.a.shape, pairs.u.shape
    ((2, 2, 17, 17), (2, 17, 17))
    """
    if count < 1 or first < 0 or size < 9 or size % 2 == 0:
        raise ValueError(f"count = {count}, first = {first}, size = {size}: expected at least one sample, the first "
                         "not negative, and an odd size of at least 9")  # fmt: skip
    if not (0 <= bend <= 2):
        raise ValueError(f"bend = {bend}: expected between 0 and 2; a pipe that is bent further is nearly shut")
    coordinates, u = np.empty((count, 2, size, size)), np.empty((count, size, size))
    for i in tqdm(range(count), desc="pipes", unit="pipe", disable=not progress):
        heights = bend * np.random.default_rng([seed, first + i]).uniform(-1, 1, CONTROLS - 1)
        nodes = pipe_nodes(np.concatenate([[0.0], heights]), size)
        flow, index = pipe_flow(nodes, viscosity)
        if flow.status != "converged":
            last = f"Newton's method ended as {flow.status} with residual {flow.residuals[-1]:.1e}"
            raise RuntimeError(
                f"pipe {first + i} of seed {seed}: {last}; take a finer size, less bend or more viscosity"
            )
        coordinates[i] = np.moveaxis(nodes, -1, 0)
        u[i] = flow.u[index, 0].reshape(size, size)
    return FieldPairs(coordinates.copy(), u, coordinates=coordinates, name=f"pipe {size}")


def pipe_nodes(heights: Values, size: int) -> Values:
    """Nodes of a pipe whose centreline passes through evenly spaced points.

    Parameters
    ----------
    heights : (k,) array
        Of the centreline from the inflow to the end; level there.
    size : int
        Nodes along and across.

    Returns
    -------
    (size, size, 2) array
        Along the pipe first, from wall to wall second.

    Examples
    --------
    >>> pipe_nodes(np.zeros(5), 9)[-1, :, 1]
    array([-0.5  , -0.375, -0.25 , -0.125,  0.   ,  0.125,  0.25 ,  0.375,  0.5  ])
    """
    x, s = np.linspace(0.0, LENGTH, size), np.linspace(-WIDTH / 2, WIDTH / 2, size)
    centre = CubicSpline(np.linspace(0.0, LENGTH, len(heights)), heights, bc_type="clamped")(x)
    return np.stack(np.broadcast_arrays(x[:, None], centre[:, None] + s), axis=-1)


def pipe_flow(nodes: Values, viscosity: float = 0.005) -> tuple[SteadyFlow, NDArray[np.int64]]:
    """Solve the steady flow on the nodes of a pipe.

    Parameters
    ----------
    nodes : (size, size, 2) array
        From `pipe_nodes`.
    viscosity : float
        nu.

    Returns
    -------
    SteadyFlow
        In the elements' own order.
    (size^2,) int array
        Which unknown of the velocity each node is.
    """
    space = TaylorHood(join(block(nodes)))
    index = _matched(nodes.reshape(-1, 2), space.nodes)
    number = index.reshape(nodes.shape[:2])
    fixed = np.concatenate([number[0], number[1:, 0], number[1:, -1]])
    profile = np.zeros((len(fixed), 2))
    s = np.linspace(-0.5, 0.5, nodes.shape[1])
    profile[: nodes.shape[1], 0] = 1 - 4 * s**2
    return steady(space, viscosity, fixed, profile), index


def _matched(points: Values, others: Values) -> NDArray[np.int64]:
    """Index in `others` of each of `points`, the same in another order."""
    order = [np.lexsort(np.round(p / 1e-9).T) for p in (points, others)]
    index = np.empty(len(points), dtype=np.int64)
    index[order[0]] = order[1]
    if not np.allclose(others[index], points, atol=1e-8):
        raise AssertionError("the nodes of the mesh are not those it was made from")
    return index
