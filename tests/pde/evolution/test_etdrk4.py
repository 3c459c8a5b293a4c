"""ETDRK4: its coefficients against their Taylor series and closed forms, its order, and a complex L."""

from __future__ import annotations

import math

import numpy as np
import pytest

from conjugo.pde.evolution import ETDRK4


def _phi(k: int, z: complex) -> complex:
    """phi_k(z) = sum_j z^j / (j + k)!, summed up for |z| <= 2, else by its recurrence from phi_0 = e^z."""
    if abs(z) <= 2:
        return sum(z**j / math.factorial(j + k) for j in range(40))
    return np.exp(z) if k == 0 else (_phi(k - 1, z) - 1 / math.factorial(k - 1)) / z


@pytest.mark.parametrize("dtype", [float, complex])
def test_coefficients(dtype: type) -> None:
    """f1 = phi_1 - 3 phi_2 + 4 phi_3, 2 f2 = 2 phi_2 - 4 phi_3, f3 = -phi_2 + 4 phi_3, Q = phi_1(z / 2) / 2."""
    z = np.array([0.0, -1e-9, 1e-3, -0.3, 0.9, -1.0, -1.7, -5.0])
    if dtype is complex:
        z = z * np.exp(0.7j)
    h, rtol = 0.25, 1e-12 if dtype is float else 1e-9  # a point of the contour lies .013 from the origin
    method = ETDRK4(z / h, h)
    phi = [np.array([_phi(k, value) for value in z]) for k in range(4)]
    np.testing.assert_allclose(method._f1, h * (phi[1] - 3 * phi[2] + 4 * phi[3]), rtol=rtol, atol=1e-14)
    np.testing.assert_allclose(method._2f2, h * (2 * phi[2] - 4 * phi[3]), rtol=rtol, atol=1e-14)
    np.testing.assert_allclose(method._f3, h * (4 * phi[3] - phi[2]), rtol=rtol, atol=1e-14)
    half = np.array([_phi(1, value / 2) for value in z])
    np.testing.assert_allclose(method._q, h / 2 * half, rtol=rtol, atol=1e-14)
    assert np.iscomplexobj(method._q) == (dtype is complex)


def test_a_constant_forcing_is_integrated_exactly() -> None:
    """v' = L v + c: v(h) = e^z v + h phi_1(z) c, for slow, stiff and oscillating L."""
    linear, c, v = np.array([0.0, -1.0, -1e4, 3j, -2 + 50j]), 2.0, 1.5
    h = 0.1
    exact = [np.exp(h * value) * v + h * _phi(1, h * value) * c for value in linear]
    step = ETDRK4(linear, h).step(np.full(5, v), lambda v: np.full(5, c))
    np.testing.assert_allclose(step, exact, rtol=1e-12)


@pytest.mark.parametrize("stiffness", [0.0, 1.0, 100.0])
def test_order_four(stiffness: float) -> None:
    """The logistic equation v' = v - v^2 with the split L = 1 - stiffness, N = stiffness v - v^2."""
    exact = 0.5 * math.e / (1 + 0.5 * (math.e - 1))
    errors = []
    for n in (10, 20, 40) if stiffness < 50 else (160, 320, 640):
        method, v = ETDRK4(np.array([1.0 - stiffness]), 1 / n), np.array([0.5])
        for _ in range(n):
            v = method.step(v, lambda v: stiffness * v - v * v)
        errors.append(abs(float(v[0]) - exact))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 3.75), (errors, orders)


def test_a_step_leaves_its_state() -> None:
    v = np.ones(3)
    ETDRK4(-np.ones(3), 0.1).step(v, lambda v: v * v)
    np.testing.assert_array_equal(v, 1.0)


@pytest.mark.parametrize(
    ("linear", "h", "message"),
    [(np.ones(2), 0.0, "h = 0.0"), (np.ones(2), np.nan, "h = nan"), (np.array([np.inf]), 0.1, "expected finite")],
)
def test_refusals(linear: np.ndarray, h: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ETDRK4(linear, h)
