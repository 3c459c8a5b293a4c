"""Observed orders of every structured discretisation, by manufactured solutions on three grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.pde.convergence import box, last_order, rms_error

from conjugo.pde import convection_diffusion, helmholtz, poisson
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.coefficients import Coefficient
from conjugo.pde.poisson.exact_solutions import ExactSolution, plane_wave
from conjugo.pde.poisson.masks import disc

CELLS = {1: (16, 32, 64), 2: (12, 24, 48), 3: (8, 16, 32)}
LENGTHS = (1.0, 1.5, 0.75)
FREQUENCIES = (1.3, 2.1, 0.7)


def sides(bc: str, d: int) -> list[Any]:
    """One boundary condition an axis."""
    if bc == "mixed":
        return [("dirichlet", "neumann"), "neumann", ("neumann", "dirichlet")][:d]
    if bc == "half periodic":
        return ["dirichlet", "periodic", "neumann"][:d]
    return [bc] * d


@pytest.mark.parametrize("medium", ["constant", "smooth", "anisotropic"])
@pytest.mark.parametrize("bc", ["dirichlet", "neumann", "mixed", "periodic", "half periodic"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_poisson_is_second_order(d: int, centring: Any, bc: str, medium: str) -> None:
    errors = []
    for n in CELLS[d]:
        problem = poisson(
            box((n, 3 * n // 2, n)[:d], sides(bc, d), centring),
            bc=sides(bc, d),
            centring=centring,
            lengths=LENGTHS[:d],
            coefficient="constant" if medium == "constant" else "smooth",
            anisotropy=(1.0, 5.0, 3.0)[:d] if medium == "anisotropic" else None,
            rhs="exact",
        )
        errors.append(rms_error(problem))
    assert last_order(errors) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("coefficient", ["constant", "smooth"])
@pytest.mark.parametrize("bc", ["dirichlet", "neumann", "mixed"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_walls_with_data_keep_second_order(d: int, centring: Any, bc: str, coefficient: str) -> None:
    errors = []
    for n in CELLS[d]:
        shape = box((n,) * d, sides(bc, d), centring)
        wave = plane_wave(FREQUENCIES[:d])
        errors.append(rms_error(poisson(shape, bc=sides(bc, d), centring=centring, coefficient=coefficient, rhs=wave)))
    assert last_order(errors) == pytest.approx(2, abs=0.1)


def test_given_walls_are_those_of_the_manufactured_solution() -> None:
    wave = plane_wave((1.0, 2.0))
    bc: Any = [("dirichlet", "neumann"), "dirichlet"]
    exact = poisson((12, 13), bc=bc, rhs=wave)
    assert exact.grid is not None
    x, y = exact.grid.mesh()
    f = 5.0 * wave.value(x, y)
    given = poisson((12, 13), bc=bc, rhs=f, boundary_value=wave.value, boundary_flux=lambda *s: wave.gradient(*s)[0])
    np.testing.assert_allclose(given.b, exact.b, rtol=1e-13)


@pytest.mark.parametrize("centring", ["vertex", "cell"])
def test_coefficient_by_its_values_is_second_order_too(centring: Any) -> None:
    """Without the wall's k, a wall face takes its unknown's: first order in one face, second in the solution."""
    k = Coefficient(lambda x, y: 1 + x * y, lambda x, y: (y + 0 * x, x + 0 * y))
    errors = []
    for n in (24, 48, 96):
        shape = box((n, n), ["dirichlet"] * 2, centring)
        known = poisson(shape, centring=centring, coefficient=k, rhs="exact")
        assert known.grid is not None
        values = k.value(*known.grid.mesh())
        sampled = poisson(shape, centring=centring, coefficient=values, rhs="white")
        assert known.exact is not None
        problem = type(known)(sampled.A, known.b, known.exact, known.grid)
        errors.append(rms_error(problem))
    assert last_order(errors) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("outer", ["dirichlet", "neumann"])
@pytest.mark.parametrize("mask_bc", ["dirichlet", "neumann"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
def test_mask_whose_edge_follows_the_grid_is_second_order(centring: Any, mask_bc: Any, outer: Any) -> None:
    """The quadrant's edge lies on faces (or, vertex-centred with a Dirichlet edge, on vertices) with the data there."""
    errors = []
    for n in (24, 48, 96):
        shape = box((n, n), [outer] * 2, centring)
        grid, _ = make_grid(shape, centring=centring, bc=outer)
        x, y = grid.mesh()
        beyond = grid.spacing[0] / 4 if centring == "vertex" and mask_bc == "neumann" else -1e-9
        mask = (x < 0.5 + beyond) | (y < 0.5 + beyond)
        wave = plane_wave((2.0, 1.0))
        options: Any = {"centring": centring, "bc": outer, "mask": mask, "mask_bc": mask_bc, "coefficient": "smooth"}
        errors.append(rms_error(poisson(shape, rhs=wave, **options)))
    assert last_order(errors) == pytest.approx(2, abs=0.1)


def test_staircase_disc_is_first_order() -> None:
    """u = R^2 - r^2 vanishes on the circle, but the mask imposes 0 on its staircase, up to h away from it."""
    radius = 0.45
    zero = ExactSolution(
        lambda x, y: radius**2 - (x - 0.5) ** 2 - (y - 0.5) ** 2,
        lambda x, y: (-2 * (x - 0.5), -2 * (y - 0.5)),
        lambda x, y: (-2.0, -2.0),
    )
    errors = []
    for n in (16, 32, 64, 128, 256):
        grid, _ = make_grid((n - 1, n - 1))
        mask = disc(grid, radius=2 * radius)
        problem = poisson(grid.shape, mask=mask, rhs=np.full(grid.shape, 4.0))
        exact = np.where(mask, zero.value(*grid.mesh()), 0.0).ravel()
        errors.append(rms_error(type(problem)(problem.A, problem.b, exact, grid)))
    slope = np.polyfit(np.log2([16, 32, 64, 128, 256]), np.log2(errors), 1)[0]
    assert -slope == pytest.approx(1, abs=0.15)  # the distance of the staircase jumps from grid to grid


def jump_solution(ratio: float) -> ExactSolution:
    """-(k u')' = 1 with k = 1 left of x = 1/2 and `ratio` right of it: u and k u' are continuous."""
    c = (1 / 8 + 3 / (8 * ratio)) / (1 / 2 + 1 / (2 * ratio))  # flux k u' = c - x, from u(0) = u(1) = 0

    def value(x: Any) -> Any:
        left = c * x - x**2 / 2
        return np.where(x < 0.5, left, (c * (x - 1) - (x**2 - 1) / 2) / ratio)

    return ExactSolution(value, lambda x: (0 * x,), lambda x: (0 * x,))


@pytest.mark.parametrize("ratio", [10.0, 1e4, 1e8])
def test_harmonic_mean_keeps_second_order_across_a_jump(ratio: float) -> None:
    errors = []
    for n in (16, 32, 64):
        grid, _ = make_grid(n, centring="cell")
        (x,) = grid.mesh()
        problem = poisson(n, centring="cell", coefficient=np.where(x < 0.5, 1.0, ratio), rhs=np.ones(n))
        errors.append(rms_error(type(problem)(problem.A, problem.b, jump_solution(ratio).value(x), grid)))
    assert last_order(errors) == pytest.approx(2, abs=0.1)


WINDS: dict[str, Any] = {
    "constant": (1.0, -0.7),
    "vortex": "recirculating",
    "function": lambda x, y: [1 + x, 1 + 0.5 * np.sin(2 * np.pi * y)],
}
STREAMS = [(wind, bc) for wind in WINDS for bc in ("dirichlet", "mixed", "half periodic")]
STREAMS.remove(("vortex", "half periodic"))  # the vortex does not close on itself


@pytest.mark.parametrize(("wind", "bc"), STREAMS)
@pytest.mark.parametrize("centring", ["vertex", "cell"])
@pytest.mark.parametrize(("scheme", "order"), [("upwind", 1), ("central", 2)])
def test_convection_orders(scheme: Any, order: int, centring: Any, wind: str, bc: str) -> None:
    walls: Any = [("dirichlet", "neumann"), ("neumann", "dirichlet")] if bc == "mixed" else sides(bc, 2)
    errors = []
    for n in (24, 48, 96):
        shape = box((n, n), walls, centring)
        rhs: Any = "exact" if bc == "half periodic" else plane_wave((1.3, 0.9))
        problem = convection_diffusion(
            shape, velocity=WINDS[wind], diffusion=0.5, scheme=scheme, bc=walls, centring=centring, rhs=rhs
        )
        errors.append(rms_error(problem))
    assert last_order(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("scheme", "order"), [("upwind", 1), ("central", 2)])
@pytest.mark.parametrize("d", [1, 3])
def test_convection_orders_in_one_and_three_dimensions(d: int, scheme: Any, order: int) -> None:
    errors = []
    for n in (32, 64, 128) if d == 1 else (6, 12, 24):
        problem = convection_diffusion((n - 1,) * d, diffusion=1.0, scheme=scheme, rhs=plane_wave(FREQUENCIES[:d]))
        errors.append(rms_error(problem))
    assert last_order(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("bc", ["dirichlet", "neumann", "mixed", "periodic"])
@pytest.mark.parametrize("centring", ["vertex", "cell"])
def test_helmholtz_is_second_order(centring: Any, bc: str) -> None:
    errors = []
    for n in (16, 32, 64):
        shape = box((n, n), sides(bc, 2), centring)
        errors.append(rms_error(helmholtz(shape, wavenumber=5.5, bc=sides(bc, 2), centring=centring, rhs="exact")))
    assert last_order(errors) == pytest.approx(2, abs=0.1)
