"""Wrong input: each message names the value, what was expected, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conjugo.pde import Grid, convection_diffusion, gaussian_field, helmholtz, poisson
from conjugo.pde.poisson.coefficients import COEFFICIENTS
from conjugo.pde.poisson.masks import MASKS

NOT_A_NUMBER = np.full((8, 8), np.nan)
EMPTY = np.zeros((8, 8), dtype=bool)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coefficient": -1.0}, "minimum -1.0: expected positive values; use mask="),
        ({"coefficient": np.zeros((8, 8))}, "minimum 0.0"),
        ({"coefficient": NOT_A_NUMBER}, "64 values that are NaN"),
        ({"coefficient": np.ones((8, 7))}, r"shape \(8, 7\): expected \(8, 8\)"),
        ({"coefficient": "marble"}, "expected one of constant, smooth, lognormal"),
        ({"coefficient": "channels", "contrast": 0.5}, "contrast = 0.5"),
        ({"coefficient": "channels", "rhs": "exact"}, "rhs='discrete'"),
        ({"coefficient": 2.0, "contrast": 10.0}, "contrast = 10.0 is for a named coefficient"),
        ({"bc": "robin"}, "expected one of dirichlet, neumann, periodic"),
        ({"bc": ["dirichlet"] * 3}, "3 entries"),
        ({"bc": [("periodic", "neumann"), "neumann"]}, "periodic at both ends or at none"),
        ({"centring": "edge"}, "expected 'vertex' or 'cell'"),
        ({"lengths": (1.0, 2.0, 3.0)}, "each of the 2 axes"),
        ({"lengths": -1.0}, "length = -1.0: expected a positive number"),
        ({"rhs": "loud"}, "expected one of white, smooth, exact, discrete"),
        ({"rhs": np.ones(63)}, r"rhs has shape \(63,\)"),
        ({"rhs": NOT_A_NUMBER}, "rhs has values that are NaN"),
        ({"anisotropy": (1.0, -1.0)}, "expected 2 positive factors"),
        ({"anisotropy": (1.0,)}, "expected 2 positive factors"),
        ({"mask": EMPTY}, "keeps none of the 64 unknowns"),
        ({"mask": np.ones((8, 7), dtype=bool)}, "expected bool of shape"),
        ({"mask": np.ones((8, 8))}, "type float64: expected bool"),
        ({"mask": "star"}, "expected one of disc, flower"),
        ({"mask": "disc", "mask_bc": "robin"}, "expected 'dirichlet' or 'neumann'"),
        ({"shift": np.inf}, "shift = inf: expected a finite number"),
        ({"rhs": "exact", "boundary_value": 1.0}, "must stay 0"),
    ],
)
def test_poisson(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poisson((8, 8), **options)


def test_shapes() -> None:
    with pytest.raises(ValueError, match="expected 1, 2 or 3 axes"):
        poisson((4, 4, 4, 4))
    with pytest.raises(ValueError, match="an int each"):
        poisson((4.5, 4))  # type: ignore[arg-type]
    assert poisson(np.int64(5), lengths=np.float32(2.0)).n == 5  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected at least 3"):
        poisson((2, 8), bc="periodic")
    with pytest.raises(ValueError, match="expected at least 2"):
        poisson((1, 8))
    with pytest.raises(ValueError, match="lengths"):
        Grid((4,), (1.0,), (0.0,), "cell", (1.0, 2.0))


def test_errors_of_problems() -> None:
    problem = poisson((4, 4), mask=np.eye(4, dtype=bool))
    with pytest.raises(ValueError, match="no exact solution: make it with"):
        problem.error(problem.b)
    with pytest.raises(ValueError, match=r"x has 16 rows: expected 4"):
        problem.expand(problem.b)
    with pytest.raises(ValueError, match=r"x has shape \(3,\): expected \(16,\)"):
        poisson((4, 4), rhs="exact").error(np.ones(3))


def test_regions_without_walls_are_bounded() -> None:
    n = 512
    islands = np.zeros((n, n), dtype=bool)
    islands[::2, ::2] = True
    with pytest.raises(ValueError, match="65536 enclosed regions"):
        poisson((n, n), mask=islands, mask_bc="neumann", bc="neumann", centring="cell")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diffusion": 0.0}, "expected a positive number; use 1e-6"),
        ({"scheme": "quick"}, "expected 'upwind' or 'central'"),
        ({"velocity": (1.0, 2.0, 3.0)}, "3 components: expected 2"),
        ({"velocity": (1.0, np.nan)}, "finite"),
        ({"velocity": "storm"}, "expected 'recirculating'"),
        ({"bc": "periodic"}, "singular: give a Dirichlet wall, or shift > 0"),
        ({"rhs": "discrete"}, "expected 'white', 'smooth', 'exact'"),
    ],
)
def test_convection(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convection_diffusion((8, 8), **options)


def test_others() -> None:
    with pytest.raises(ValueError, match=r"1\.88 points a wavelength"):
        helmholtz((29, 29), wavenumber=100.0)
    with pytest.raises(ValueError, match="finite number"):
        helmholtz((8, 8), wavenumber=np.nan)
    with pytest.raises(ValueError, match="positive lengths"):
        gaussian_field((8,), correlation_length=0.0)
    with pytest.raises(ValueError, match="2 or 3 axes"):
        convection_diffusion(8, velocity="recirculating")
    for name in ("disc", "flower", "l_shape"):
        with pytest.raises(ValueError, match="2 or 3 axes"):
            MASKS[name](Grid((8,), (1.0,), (0.0,)))
    assert set(COEFFICIENTS) == {
        "constant", "smooth", "lognormal", "checkerboard", "inclusions", "channels", "two_phase", "noise"
    }  # fmt: skip
