"""Coefficients, random fields, masks and manufactured solutions, each against what defines it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conjugo.pde import Grid, gaussian_field
from conjugo.pde.poisson.boundary import make_grid
from conjugo.pde.poisson.coefficients import COEFFICIENTS, lognormal, smooth_coefficient, two_phase
from conjugo.pde.poisson.exact_solutions import plane_wave, product_solution, source
from conjugo.pde.poisson.masks import CELLS, MASKS, disc, flower, l_shape

GRIDS = [make_grid(shape, centring="cell")[0] for shape in ((64,), (48, 40), (16, 20, 24))]


@pytest.mark.parametrize("grid", GRIDS, ids=["1-D", "2-D", "3-D"])
@pytest.mark.parametrize("contrast", [1.0, 50.0, 1e8])
@pytest.mark.parametrize("name", sorted(COEFFICIENTS))
def test_contrast(name: str, contrast: float, grid: Grid) -> None:
    k = COEFFICIENTS[name](grid, contrast=contrast, seed=1)
    assert k.shape == grid.shape
    assert np.all(k > 0)
    ratio = k.max() / k.min()
    if name == "constant":
        assert ratio == 1
    elif name == "smooth":
        assert contrast**0.8 <= ratio <= contrast * (1 + 1e-12)  # the grid need not meet the extremes
    else:
        assert ratio == pytest.approx(contrast, rel=1e-10)


@pytest.mark.parametrize("name", ["lognormal", "inclusions", "channels", "two_phase", "noise"])
def test_seeds(name: str) -> None:
    first, again, other = (COEFFICIENTS[name](GRIDS[1], seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.7])
def test_two_phase_volume_fraction(fraction: float) -> None:
    k = two_phase(Grid((100, 120), (0.01, 0.01), (0.0, 0.0)), contrast=9.0, fraction=fraction)
    assert np.mean(k == 9.0) == pytest.approx(fraction, abs=2 / k.size)
    with pytest.raises(ValueError, match="between 0 and 1"):
        two_phase(GRIDS[1], fraction=fraction + 1)


@pytest.mark.parametrize("n", [63, 127])
def test_two_phase_is_the_same_medium_on_a_finer_grid(n: int) -> None:
    coarse, fine = (two_phase(Grid((m, m), (1 / (m + 1),) * 2, (1 / (m + 1),) * 2, lengths=(1.0, 1.0)), seed=2)
                    for m in (n, 2 * n + 1))  # fmt: skip
    assert np.mean(coarse == fine[1::2, 1::2]) > 0.98  # but for the rounding of the threshold


@pytest.mark.parametrize("lag", [1, 2, 4, 16])
@pytest.mark.parametrize("length", [1 / 64, 1 / 32])
def test_two_phase_correlation(lag: int, length: float) -> None:
    """Probability that two points share a phase, of level cuts at the median, over ten draws."""
    grid = Grid((256, 256), (1 / 256,) * 2, (0.0, 0.0))
    draws = [two_phase(grid, correlation_length=length, seed=seed) for seed in range(10)]
    rho = np.exp(-((lag / 256 / length) ** 2) / 2)
    assert np.mean([k[lag:] == k[:-lag] for k in draws]) == pytest.approx(0.5 + np.arcsin(rho) / np.pi, abs=0.03)


def test_noise_fraction() -> None:
    k = COEFFICIENTS["noise"](Grid((400, 400), (1.0, 1.0), (0.0, 0.0)), contrast=9.0, fraction=0.3)
    assert np.mean(k == 9.0) == pytest.approx(0.3, abs=0.005)  # four standard deviations


@pytest.mark.parametrize("d", [1, 2, 3])
def test_gradient_of_the_smooth_coefficient(d: int) -> None:
    k = smooth_coefficient((1.0, 2.0, 0.5)[:d], contrast=20.0)
    x = np.random.default_rng(0).random((d, 5))
    for axis in range(d):
        step = np.zeros((d, 1))
        step[axis] = 1e-6
        difference = (k.value(*(x + step)) - k.value(*(x - step))) / 2e-6
        np.testing.assert_allclose(k.gradient(*x)[axis], difference, rtol=1e-7)


@pytest.mark.parametrize("periodic", [True, False])
def test_gaussian_field_has_its_covariance(periodic: bool) -> None:
    """Sample correlation at lag s over many draws against exp(-s^2 / (2 l^2))."""
    length, lag = 3.0, 4
    fields = np.stack(
        [gaussian_field((32, 32), correlation_length=length, seed=s, periodic=periodic) for s in range(200)]
    )
    variance = np.mean(fields**2)
    covariance = np.mean(fields[:, lag:] * fields[:, :-lag])
    assert np.mean(fields) == pytest.approx(0, abs=0.05)
    assert variance == pytest.approx(1, abs=0.06)
    assert covariance / variance == pytest.approx(np.exp(-(lag**2) / (2 * length**2)), abs=0.05)


def test_gaussian_field_edges() -> None:
    """Opposite sides are alike on a torus and independent in a box."""

    def across(periodic: bool) -> float:
        draws = [gaussian_field((64,), correlation_length=6.0, seed=s, periodic=periodic) for s in range(300)]
        return float(np.mean([g[0] * g[-1] for g in draws]))

    assert across(True) > 0.8
    assert abs(across(False)) < 0.25


def test_lognormal_sigma() -> None:
    k = lognormal(Grid((256, 256), (1 / 256, 1 / 256), (0.0, 0.0)), sigma=0.5, correlation_length=0.02, seed=2)
    assert np.std(np.log(k)) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("name", sorted(MASKS))
def test_masks_keep_some_and_drop_some(name: str) -> None:
    for grid in GRIDS[1:]:
        mask = MASKS[name](grid)
        assert mask.shape == grid.shape
        assert mask.dtype == bool
        assert 0.1 < mask.mean() < 1


def test_areas() -> None:
    grid, _ = make_grid((400, 400), centring="cell")
    assert disc(grid, radius=0.8).mean() == pytest.approx(np.pi * 0.4**2, rel=1e-3)
    assert l_shape(grid).mean() == pytest.approx(0.75)
    petals = (0.7**2 + 0.2**2 / 2) * np.pi / 4  # the integral of r(angle)^2 / 2 in units of the box
    assert flower(grid, holes=0).mean() == pytest.approx(petals, rel=1e-3)
    assert flower(grid, holes=5).mean() == pytest.approx(petals - 5 * np.pi * 0.1**2 / 4, rel=1e-2)


@pytest.mark.parametrize("name", sorted(CELLS))
def test_cells(name: str) -> None:
    for shape in ((20,), (20, 24), (12, 10, 14)):
        cells = CELLS[name](shape)
        assert cells.shape == shape
        assert np.any(cells == 0)


D, N, P = "dirichlet", "neumann", "periodic"
ENDS: list[Any] = [(D, D), (N, N), (D, N), (N, D), (P, P)]


@pytest.mark.parametrize("ends", ENDS)
def test_product_solution_meets_its_walls(ends: Any) -> None:
    u = product_solution([ends], [1.7])
    for kind, wall in zip(ends, (0.0, 1.7), strict=True):
        if kind == "dirichlet":
            assert u.value(wall) == pytest.approx(0, abs=1e-14)
        elif kind == "neumann":
            assert u.gradient(wall)[0] == pytest.approx(0, abs=1e-13)
    if ends[0] == "periodic":
        assert u.value(0.0) == pytest.approx(u.value(1.7))
        assert u.gradient(0.0)[0] == pytest.approx(u.gradient(1.7)[0])


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("family", ["product", "plane wave"])
def test_source_against_differences(family: str, d: int) -> None:
    """-div(a k grad u) + v . grad u + shift u by central differences of the fluxes."""
    lengths, factors, wind = (1.0, 1.5, 2.0)[:d], (1.0, 4.0, 0.5)[:d], (0.3, -1.0, 2.0)[:d]
    u = product_solution(ENDS[:d], lengths) if family == "product" else plane_wave((1.0, 2.0, 0.5)[:d])
    k = smooth_coefficient(lengths, contrast=5.0)
    x = 0.2 + 0.5 * np.random.default_rng(1).random((d, 6))
    h, expected = 1e-4, 0.7 * u.value(*x)
    for axis in range(d):
        step = np.zeros((d, 1))
        step[axis] = h / 2
        places = [x - 2 * step, x, x + 2 * step]
        slopes = np.diff([u.value(*place) for place in places], axis=0) / h
        flux = factors[axis] * np.stack([k.value(*(x - step)), k.value(*(x + step))]) * slopes
        expected = expected - (flux[1] - flux[0]) / h
        expected = expected + wind[axis] * (u.value(*(x + step)) - u.value(*(x - step))) / h
    found = source(u, list(x), coefficient=k, anisotropy=factors, velocity=wind, shift=0.7)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
