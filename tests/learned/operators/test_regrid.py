"""Regridding: every k-th node down, cubic splines up, with and without walls, and models of cell centres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from conjugo.learned.operators.regrid import Regrid
from conjugo.pde import poisson
from conjugo.pde.grid import Grid


def test_splines_are_exact_for_cubics_in_one_two_and_three_dimensions() -> None:
    for shape, size in [((29,), (6,)), ((29, 29), (11, 6)), ((9, 11, 13), (9, 4, 8))]:
        grid = Grid(
            shape, tuple(1 / (n + 1) for n in shape), tuple(1 / (n + 1) for n in shape), lengths=(1.0,) * len(shape)
        )
        nodes = np.meshgrid(*[np.linspace(0, 1, n + 2) for n in shape], indexing="ij")
        regrid = Regrid(grid, [n + 2 for n in shape], size, hold=False)
        places = [regrid.down(axis[None])[0] for axis in nodes]
        wanted = sum(axis**3 - axis for axis in grid.mesh())
        answer = regrid.up(sum(axis**3 - axis for axis in places)[None])[0]
        np.testing.assert_allclose(answer, wanted, atol=1e-12)
        as_torch = regrid.up(torch.as_tensor(sum(axis**3 - axis for axis in places)[None]))[0]
        np.testing.assert_allclose(as_torch.numpy(), answer, atol=1e-12)


def test_unknowns_without_walls_and_walls_that_are_held() -> None:
    grid = poisson((7, 7)).grid
    assert grid is not None
    u = np.random.default_rng(1).standard_normal((2, 7, 7))
    np.testing.assert_array_equal(Regrid(grid, (7, 7)).up(u), u)
    walled = np.random.default_rng(1).standard_normal((2, 9, 9))
    np.testing.assert_array_equal(Regrid(grid, (9, 9)).up(walled), walled[:, 1:-1, 1:-1])
    held, free = (Regrid(grid, (9, 9), (5, 5), hold=hold) for hold in (True, False))
    coarse = walled[:, ::2, ::2].copy()
    assert np.abs(held.up(coarse) - free.up(coarse)).max() > 0.1
    coarse[:, [0, -1]] = 0.0
    coarse[:, :, [0, -1]] = 0.0
    np.testing.assert_allclose(held.up(coarse), free.up(coarse))


@pytest.mark.parametrize("side", [421, 129])
def test_a_model_of_cell_centres_is_read_where_its_nodes_are(side: int) -> None:
    grid = poisson((side - 2, side - 2)).grid
    assert grid is not None
    x = (5 * np.arange(85) + 0.5) / 421
    centres = Regrid(grid, (side, side), (85, 85), inset=0.5 / 421)
    if side == 421:
        kept = np.arange(421.0)[None].repeat(421, axis=0)[None]
        np.testing.assert_array_equal(centres.down(kept)[0, 0], 5 * np.arange(85))

    def field(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.sin(np.pi * x) * np.sin(2 * np.pi * y))

    answer, wanted = field(x[:, None], x)[None], field(*grid.mesh())
    np.testing.assert_allclose(centres.up(answer)[0], wanted, atol=2e-5)
    walls = Regrid(grid, (side, side), (85, 85))
    assert np.abs(walls.up(answer)[0] - wanted).max() > 2e-3  # half a cell of 421 away
    np.testing.assert_allclose(Regrid(grid, (side, side), (85, 85), hold=False, inset=0.5 / 421).up(answer)[0], wanted,
                               atol=2e-5)  # fmt: skip


def test_an_inset_that_makes_no_sense_is_named() -> None:
    grid = poisson((7, 7)).grid
    assert grid is not None
    for inset in (-0.1, 0.2):
        with pytest.raises(ValueError, match=f"inset = {inset}"):
            Regrid(grid, (9, 9), (5, 5), inset=inset)
    with pytest.raises(ValueError, match="fields with the walls"):
        Regrid(grid, (7, 7), (5, 5), inset=0.01)
