"""The plume: free of divergence, outside solids, bounded, symmetric, and the same whoever solves the pressure."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from conjugo import solvers
from conjugo.pde.evolution import Ball, Block, Smoke, SmokeState, smoke
from conjugo.solvers.result import SolveResult

TIGHT: Any = partial(solvers.cg, rtol=1e-11)
SCENES: dict[str, dict[str, Any]] = {
    "open with solids": {"shape": (36, 24), "solids": [Ball((0.8, 0.4), 0.15), Block((1.1, 0.6), (1.2, 0.9))]},
    "closed": {"shape": (24, 20), "top": "closed", "solids": [Ball((0.7, 0.5), 0.15)]},
    "periodic sides": {"shape": (24, 20), "sides": "periodic", "strength": 0.3},
    "porous": {"shape": (30, 30), "cells": "porous", "top": "closed"},
    "tank with air": {"shape": (24, 24), "cells": "tank", "top": "closed"},
    "three dimensions": {"shape": (16, 12, 10), "solids": [Ball((0.9, 0.5, 0.5), 0.2)], "strength": 0.3},
}


def last(plume: Smoke, steps: int = 6, solve: Any = TIGHT, **start: Any) -> SmokeState:
    *_, state = plume.run(solve, steps=steps, **start)
    return state


@pytest.mark.parametrize("scheme", ["maccormack", "semi-lagrangian"])
@pytest.mark.parametrize("name", SCENES)
def test_every_scene_keeps_what_the_equations_keep(name: str, scheme: Any) -> None:
    plume = Smoke(**SCENES[name], scheme=scheme)
    mac = plume.staggered
    for state in plume.run(partial(solvers.cg, rtol=1e-8), steps=5):
        assert state.result.converged
        left = np.linalg.norm(mac.divergence(state.velocity))
        assert left <= 1.001e-8 * np.linalg.norm(state.b)
        for v, c in zip(state.velocity, mac.conductances, strict=True):
            assert np.all(v[c == 0] == 0)  # nothing flows through a solid
        for values in (state.density, state.temperature):
            assert values.min() >= 0
            assert values.max() <= 1 + 1e-12
            assert np.all(values[~mac.fluid] == 0)
    assert np.abs(state.velocity[0]).max() > 1e-3  # it does rise


@pytest.mark.parametrize("name", SCENES)
def test_divergence_is_minus_the_adjoint_of_the_gradient(name: str) -> None:
    mac = Smoke(**SCENES[name]).staggered
    rng = np.random.default_rng(0)
    p = rng.standard_normal(mac.grid.shape)
    v = mac.closed([rng.standard_normal(c.shape) for c in mac.conductances])
    for axis, closes in enumerate(mac.periodic):
        if closes:
            np.moveaxis(v[axis], axis, 0)[-1] = np.moveaxis(v[axis], axis, 0)[0]
    left = np.sum(mac.divergence(v) * p)
    right = 0.0
    for axis, (u, g, c, h) in enumerate(zip(v, mac.gradient(p), mac.conductances, mac.grid.spacing, strict=True)):
        terms = np.moveaxis(np.divide(u * g, c * h**2, out=np.zeros_like(c), where=c > 0), axis, 0)
        right += float(terms[:-1].sum() if mac.periodic[axis] else terms.sum())
    assert left == pytest.approx(-right, rel=1e-10)
    inside = np.where(mac.fluid, p, 0.0).ravel()
    np.testing.assert_allclose(mac.problem.A @ inside, -mac.divergence(mac.gradient(p)).ravel(), atol=1e-9)


@pytest.mark.parametrize("top", ["open", "closed"])
def test_layered_air_is_at_rest(top: Any) -> None:
    plume = Smoke((20, 16), top=top, source=None)
    layers = np.repeat(np.linspace(0.2, 1.0, 20)[:, None], 16, axis=1)
    state = last(plume, 4, temperature=layers)
    assert max(np.abs(v).max() for v in state.velocity) < 1e-9
    np.testing.assert_allclose(state.temperature, layers, atol=1e-9)
    if top == "closed":  # the pressure is hydrostatic: dp/dz = dt T, half a cell to either side
        p = state.result.x.reshape(20, 16)
        slope = np.diff(p, axis=0) / plume.grid.spacing[0]
        np.testing.assert_allclose(slope, plume.dt * 0.5 * (layers[1:] + layers[:-1]), atol=1e-8)


@pytest.mark.parametrize("scheme", ["maccormack", "semi-lagrangian"])
def test_a_shear_of_whole_cells_is_carried_exactly(scheme: Any) -> None:
    plume = Smoke((6, 16), top="closed", sides="periodic", source=None, buoyancy=0.0, weight=0.0, dt=0.5, scheme=scheme)
    h = plume.grid.spacing[1]
    cells = np.array([0, 1, 2, 3, -1, -2])
    velocity = [np.zeros((7, 16)), np.repeat((cells * h / plume.dt)[:, None], 17, axis=1)]
    density = np.random.default_rng(0).random((6, 16))
    state = last(plume, 3, velocity=velocity, density=density)
    expected = np.stack([np.roll(row, 3 * n) for row, n in zip(density, cells, strict=True)])
    np.testing.assert_allclose(state.density, expected, atol=1e-12)
    np.testing.assert_allclose(state.velocity[1], velocity[1], atol=1e-12)
    assert state.density.sum() == pytest.approx(density.sum(), rel=1e-12)


@pytest.mark.parametrize("shape", [(30, 20), (14, 10, 12)])
def test_what_starts_symmetric_stays_symmetric(shape: tuple[int, ...]) -> None:
    plume = Smoke(shape, strength=0.2, solids=[Ball((0.9, *(0.5 * n / shape[-1] for n in shape[1:])), 0.15)])
    state = last(plume, 8)
    for axis in range(1, len(shape)):
        np.testing.assert_allclose(state.density, np.flip(state.density, axis), atol=1e-8)
        np.testing.assert_allclose(state.velocity[0], np.flip(state.velocity[0], axis), atol=1e-8)
        np.testing.assert_allclose(state.velocity[axis], -np.flip(state.velocity[axis], axis), atol=1e-8)


def test_two_dimensions_are_a_slice_of_three() -> None:
    flat = last(Smoke((16, 12), source=Block((0.1, 0.3), (0.4, 0.7)), solids=[Block((0.6, 0.2), (0.8, 0.5))]), 5)
    walls = [Block((0.6, 0.2, -1.0), (0.8, 0.5, 2.0))]
    deep = Smoke((16, 12, 4), lengths=(16 / 12, 1.0, 4 / 12), source=Block((0.1, 0.3, -1.0), (0.4, 0.7, 2.0)),
                 solids=walls, sides="wall")  # fmt: skip
    state = last(deep, 5)
    for layer in range(4):
        np.testing.assert_allclose(state.density[:, :, layer], flat.density, atol=1e-8)
        np.testing.assert_allclose(state.velocity[0][:, :, layer], flat.velocity[0], atol=1e-8)


def test_every_solver_gives_the_same_plume() -> None:
    plume = Smoke((32, 24), solids=[Ball((0.8, 0.4), 0.15)])
    A = plume.problem.A
    prepared = {
        "mic": partial(solvers.cg, rtol=1e-11, M=solvers.mic(A)),
        "multigrid": partial(solvers.cg, rtol=1e-11, M=solvers.Multigrid(A, symmetric=True)),
        "fcg": partial(solvers.fcg, rtol=1e-11, M=solvers.Multigrid(A)),
    }
    wanted = last(plume, 8)
    for name, solve in prepared.items():
        got = last(plume, 8, solve)
        np.testing.assert_allclose(got.density, wanted.density, atol=1e-7, err_msg=name)
        np.testing.assert_allclose(got.velocity[0], wanted.velocity[0], atol=1e-7, err_msg=name)


def test_the_guess_is_the_last_pressure_and_b_is_compatible() -> None:
    seen: list[Any] = []

    def solve(A: Any, b: Any, x0: Any) -> SolveResult:
        result: SolveResult = solvers.cg(A, b, x0, rtol=1e-9)
        seen.append((b, x0, result.x))
        return result

    plume = Smoke((20, 16), top="closed")
    states = list(plume.run(solve, steps=3))
    assert not seen[0][1].any()
    assert all(np.array_equal(seen[i + 1][1], seen[i][2]) for i in range(2))
    for (b, x0, x), state in zip(seen, states, strict=True):
        assert abs(b.sum()) < 1e-10
        assert state.b is b
        assert state.guess is x0
        assert np.array_equal(state.result.x, x)


def test_states_do_not_share_arrays() -> None:
    first, second = smoke((12, 10), solve=TIGHT, steps=2)
    kept = first.density.copy(), first.velocity[0].copy()
    assert not np.shares_memory(first.density, second.density)
    assert np.array_equal(first.density, kept[0])
    assert first.time < second.time
    assert np.abs(second.velocity[0]).max() > np.abs(kept[1]).max()


def test_confinement_gives_back_swirl_and_rests_where_there_is_none() -> None:
    calm = last(Smoke((30, 24)), 15)
    swirling = last(Smoke((30, 24), strength=1.0), 15)

    def enstrophy(state: SmokeState) -> float:
        up, across = state.velocity
        curl = np.diff(across[:, 1:-1], axis=0) - np.diff(up[1:-1], axis=1)
        return float(np.sum(curl**2))

    assert enstrophy(swirling) > enstrophy(calm)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (8,)}, "expected 2 or 3 axes"),
        ({"top": "ajar"}, "expected one of open, closed"),
        ({"sides": "sticky"}, "wall, periodic"),
        ({"scheme": "upwind"}, "maccormack"),
        ({"dt": -1.0}, "positive time step"),
        ({"buoyancy": float("nan")}, "finite"),
        ({"cells": "moon"}, "enclosed, tank"),
        ({"cells": np.zeros((3, 3), dtype=int)}, "cells have shape"),
        ({"solids": [Ball((0.5, 0.5, 0.5), 0.1)]}, "3 coordinates: expected 2"),
        ({"solids": [Ball((0.5, 0.5), 0.0)]}, "positive radius"),
        ({"solids": [Block((0.5, 0.5), (0.4, 0.9))]}, "low < high"),
        ({"solids": [Block((-9.0, -9.0), (9.0, 9.0))]}, "no fluid cell"),
        ({"source": Ball((0.5, 0.5), 0.1), "solids": [Ball((0.5, 0.5), 0.3)]}, "holds no fluid cell"),
    ],
)
def test_bad_input_is_refused_by_name(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Smoke(**{"shape": (12, 12), **options})


def test_a_start_of_another_shape_is_refused() -> None:
    plume = Smoke((12, 10))
    with pytest.raises(ValueError, match="velocity has shapes"):
        next(plume.run(TIGHT, velocity=[np.zeros((12, 10))] * 2))
    with pytest.raises(ValueError, match="density has shape"):
        next(plume.run(TIGHT, density=np.zeros((10, 12))))
