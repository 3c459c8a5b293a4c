"""The pressure solve: against a cell-by-cell reference, its null vectors, and what it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse.linalg import cg, spsolve

from conjugo.pde import poisson, pressure
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.faces import face_conductances
from conjugo.pde.poisson.masks import CELLS, Cell
from conjugo.pde.poisson.pressure import divergence, random_velocity


def reference(cells: Any, h: float) -> Any:
    """Loop over cells: +1/h^2 on the diagonal for each fluid or air neighbour, -1/h^2 beside it for fluid."""
    index = np.arange(cells.size).reshape(cells.shape)
    A = np.eye(cells.size)
    for place in np.ndindex(cells.shape):
        if cells[place] != Cell.FLUID:
            continue
        i = index[place]
        A[i, i] = 0.0
        for axis in range(cells.ndim):
            for step in (-1, 1):
                near = list(place)
                near[axis] += step
                if not 0 <= near[axis] < cells.shape[axis] or cells[tuple(near)] == Cell.SOLID:
                    continue
                A[i, i] += 1 / h**2
                if cells[tuple(near)] == Cell.FLUID:
                    A[i, index[tuple(near)]] -= 1 / h**2
        if A[i, i] == 0:  # a fluid cell among solids counts as solid
            A[i, i] = 1.0
    return A


@pytest.mark.parametrize("shape", [(12, 12), (7, 7, 7)])
@pytest.mark.parametrize("name", sorted(CELLS))
def test_against_the_reference(name: str, shape: tuple[int, ...]) -> None:
    cells = CELLS[name](shape)
    problem = pressure(cells)
    np.testing.assert_allclose(problem.A.tocsr().toarray(), reference(cells, 1 / shape[0]), rtol=1e-12)


def test_all_fluid_is_the_neumann_problem() -> None:
    a, b = pressure("enclosed", (6, 7)), poisson((6, 7), bc="neumann", centring="cell")
    assert abs(a.compress().A - b.compress().A).max() < 1e-12
    np.testing.assert_allclose(a.nullspace, b.nullspace)  # type: ignore[arg-type]


def test_null_vectors_of_enclosed_regions() -> None:
    cells = np.full((10, 10), int(Cell.SOLID))
    cells[1:4, 1:9] = Cell.FLUID  # enclosed
    cells[5:8, 1:4] = Cell.FLUID  # enclosed
    cells[5:8, 6:9] = Cell.FLUID
    cells[5, 6] = Cell.AIR  # open to the air
    cells[9, 9] = Cell.FLUID  # alone: no neighbour to exchange with
    problem = pressure(cells)
    N, active = problem.nullspace, problem.active
    assert N is not None
    assert active is not None
    assert N.shape == (100, 2)
    assert not active[99]
    assert abs(problem.compress().A @ N[active]).max() < 1e-10
    assert abs(N.T @ problem.b).max() < 1e-12


@pytest.mark.parametrize("bc", ["neumann", "periodic", ("neumann", "dirichlet")])
@pytest.mark.parametrize("name", ["enclosed", "tank", "porous"])
def test_divergence_is_compatible_and_the_projection_removes_it(name: str, bc: Any) -> None:
    """v - grad p has no divergence in fluid cells; that is the purpose of the solve."""
    cells = CELLS[name]((16, 16))
    problem = pressure(cells, bc=bc, seed=3)
    raw = pressure(cells, bc=bc, seed=3)
    np.testing.assert_array_equal(problem.b, raw.b)
    small = problem.compress()
    p, info = cg(small.A, small.b, rtol=1e-12, maxiter=2000)
    assert info == 0
    grid, lines = make_grid((16, 16), bc=bc, centring="cell")
    assert problem.active is not None
    fluid = problem.active.reshape(16, 16)
    full = problem.expand(p).reshape(16, 16)
    open_faces = face_conductances(1.0, lines, (1.0, 1.0))
    for axis, line in enumerate(lines):
        pads: Any = [(1, 1) if a == axis else (0, 0) for a in range(2)]
        mode: Any = {"mode": "wrap"} if line.periodic else {"constant_values": False}
        flows, solid = np.pad(fluid, pads, **mode), np.pad(cells == Cell.SOLID, pads, **mode)
        n = 16
        pick = [np.take(flows, range(s, s + n + 1), axis) for s in (0, 1)]
        wall = [np.take(solid, range(s, s + n + 1), axis) for s in (0, 1)]
        open_faces[axis] *= (pick[0] | pick[1]) & ~(wall[0] | wall[1])
    v = random_velocity(open_faces, [line.periodic for line in lines], seed=3)
    new = []
    for axis, (component, c, line) in enumerate(zip(v, open_faces, lines, strict=True)):
        pads = [(1, 1) if a == axis else (0, 0) for a in range(2)]
        padded = np.pad(full, pads, mode="wrap") if line.periodic else np.pad(full, pads)
        new.append(component - c * grid.spacing[axis] * np.diff(padded, axis=axis))
    before, after = (divergence(field, grid.spacing)[fluid] for field in (v, new))
    assert np.linalg.norm(after) < 1e-9 * np.linalg.norm(before)


def test_hydrostatic_column() -> None:
    """-p'' = 2 below a surface at 1/2 has the solution 1/4 - x^2: first order, as p = 0 is imposed h/2 too high."""
    errors = []
    for n in (32, 64, 128):
        cells = np.where(np.arange(n) < n // 2, int(Cell.FLUID), int(Cell.AIR))
        small = pressure(cells, rhs=np.full(n, 2.0)).compress()
        x = (np.arange(n // 2) + 0.5) / n
        errors.append(np.abs(spsolve(small.A, small.b) - (0.25 - x**2)).max())
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(1, abs=0.1)


def test_seeds_and_own_right_hand_side() -> None:
    a, b, c = (pressure("tank", (12, 12), seed=s).b for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    problem = pressure("enclosed", (4, 4), rhs=np.ones((4, 4)))
    np.testing.assert_allclose(problem.b, 0, atol=1e-15)  # a source without a sink: nothing of it is compatible


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("lake", "expected one of enclosed"),
        (np.full((4, 4), 1), "no fluid cell"),
        (np.full((4, 4), 7), r"codes \[7\]"),
        (np.zeros((4, 4)), "integers"),
    ],
)
def test_bad_cells(cells: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pressure(cells)
    with pytest.raises(ValueError, match="needs shape="):
        pressure("tank")
