"""The Duffing equation: DOP853 as oracle, the exponents of its fixed points, energy, and reproducible samples."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate

from conjugo.pde.evolution import duffing
from conjugo.pde.evolution.duffing import evolve


def _oracle(u0: np.ndarray, times: np.ndarray) -> np.ndarray:
    def slope(t: float, z: np.ndarray) -> list[float]:
        return [z[1], -0.5 * z[1] - z[0] * (z[0] ** 2 - 1.0)]

    return np.stack(
        [
            scipy.integrate.solve_ivp(
                slope, (0, times[-1]), state, method="DOP853", rtol=1e-13, atol=1e-13, t_eval=times
            ).y.T
            for state in u0
        ]
    )


def test_against_dop853() -> None:
    """To 1e-8 over t = 15, from all over the box, corners included, and from a state that passes near the saddle."""
    hard = np.array([[2.0, 2.0], [-2.0, 2.0], [2.0, -2.0], [-2.0, -2.0], [0.1, -2.0]])
    u0 = np.concatenate([hard, duffing(12, 1, seed=5).u[:, 0]])
    data = evolve(u0, 60)
    assert np.abs(data.u - _oracle(u0, data.t)).max() < 1e-8
    assert data.dt == 0.25


@pytest.mark.parametrize(("point", "slope"), [(1.0, 2.0), (0.0, -1.0)])
def test_exponents_of_the_fixed_points(point: float, slope: float) -> None:
    """The map over dt has the eigenvalues exp(exponent dt) there, with exponent^2 + exponent / 2 + slope = 0."""
    exponents = np.roots([1.0, 0.5, slope]).astype(complex)
    small = 1e-6
    u0 = np.array([[point, 0.0]]) + small * np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    u = evolve(u0, 1).u[:, 1]
    jacobian = (u[:2] - u[2:]).T / (2 * small)
    found = np.log(np.linalg.eigvals(jacobian).astype(complex)) / 0.25
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(exponents), atol=1e-8)


def test_energy_is_kept_without_damping() -> None:
    u = evolve(np.array([[2.0, -1.0], [0.3, 0.1]]), 200, damping=0.0).u
    x, v = u[..., 0], u[..., 1]
    energy = v**2 / 2 - x**2 / 2 + x**4 / 4
    np.testing.assert_allclose(energy, energy[:, :1] * np.ones_like(energy), atol=1e-8)


def test_samples_do_not_depend_on_the_count() -> None:
    whole = duffing(6, 20, seed=2)
    np.testing.assert_array_equal(whole.u[4:], duffing(2, 20, seed=2, first=4).u)
    assert not np.array_equal(whole.u, duffing(6, 20, seed=3).u)
    assert np.abs(duffing(500, 1, box=0.5).u[:, 0]).max() <= 0.5
    many = duffing(2000, 1).u[:, 0]
    assert np.all(np.abs(many.mean(axis=0)) < 4 * np.sqrt(4 / 3 / 2000))  # uniform: variance box^2 / 3
    np.testing.assert_allclose(many.var(axis=0), 4 / 3, rtol=0.1)


def test_any_time_between_snapshots() -> None:
    """A dt that 0.005 does not divide gets a shorter step: the same states at the same times."""
    u0 = np.array([[1.2, -0.4]])
    np.testing.assert_allclose(evolve(u0, 7, dt=0.1 / 7).u[:, -1], evolve(u0, 1, dt=0.1).u[:, -1], atol=1e-12)


def test_runaway() -> None:
    with pytest.raises(FloatingPointError, match="runs away"):
        evolve(np.array([[2.0, 2.0]]), 20, cubic=-1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: duffing(0, 1), "count = 0"),
        (lambda: duffing(1, 0), "steps = 0"),
        (lambda: duffing(1, 1, dt=0.0), "dt = 0.0"),
        (lambda: duffing(1, 1, box=-1.0), "box = -1.0"),
        (lambda: duffing(1, 1, first=-1), "first = -1"),
        (lambda: evolve(np.zeros(2), 1), r"u0 has shape \(2,\)"),
        (lambda: evolve(np.full((1, 2), np.nan), 1), "finite"),
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
