"""Relative errors against integrals worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.operators.losses import Faces, energy, relative_h1, relative_l2


def nodes(n: int) -> tuple[Tensor, Tensor]:
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    return x[:, None], x[None, :]


def field(values: Tensor) -> Tensor:
    return values[None, None]


def test_relative_l2_is_the_mean_over_samples() -> None:
    u = torch.tensor([[3.0, 4.0], [0.0, 2.0]]).reshape(2, 1, 2, 1)
    p = u + torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(2, 1, 2, 1)
    assert float(relative_l2(p, u)) == pytest.approx((1 / 5 + 1 / 2) / 2)
    assert relative_l2(p.bfloat16(), u.bfloat16()).dtype == torch.float32


def h1_error(n: int) -> float:
    """u = sin(pi x) sin(pi y), e = x^2 y: both norms are known."""
    x, y = nodes(n)
    u, e = torch.sin(math.pi * x) * torch.sin(math.pi * y), x.square() * y
    exact = math.sqrt((1 / 15 + 4 / 9 + 1 / 5) / (1 / 4 + math.pi**2 / 2))
    return abs(float(relative_h1(field(u + e), field(u), 1 / (n - 1))) - exact)


def test_relative_h1_converges_to_the_integrals_with_order_two() -> None:
    errors = [h1_error(n) for n in (65, 129, 257)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(order - 2) < 0.1 for order in orders), orders


def test_periodic_h1_is_exact_for_waves() -> None:
    """int over [0, 1) x [0, 2): |e|^2 = 1/4 area with wave vector (4 pi, 3 pi), u with (2 pi, pi)."""
    x, y = torch.arange(16, dtype=torch.float64)[:, None] / 16, torch.arange(20, dtype=torch.float64)[None] / 10
    u = torch.sin(2 * math.pi * x) * torch.cos(math.pi * y)
    e = torch.cos(4 * math.pi * x) * torch.sin(3 * math.pi * y)
    value = relative_h1(field(u + 0.1 * e), field(u), (1 / 16, 1 / 10), periodic=True)
    pi2 = math.pi**2
    assert float(value) == pytest.approx(0.1 * math.sqrt((1 + 16 * pi2 + 9 * pi2) / (1 + 4 * pi2 + pi2)), rel=1e-12)


def energy_error(n: int) -> float:
    """a = 1 + x, u = x (1 - x) y (1 - y), e = sin(pi x) sin(2 pi y); int a f(x) = 3/2 int f for f even about 1/2."""
    x, y = nodes(n)
    u = x * (1 - x) * y * (1 - y)
    e = torch.sin(math.pi * x) * torch.sin(2 * math.pi * y)
    exact = math.sqrt((1.5 * 5 * math.pi**2 / 4) / (1.5 * 2 * (1 / 3) * (1 / 30)))
    a = (1 + x).expand(n, n)
    return abs(float(energy(field(u + e), field(u), field(a), 1 / (n - 1))) / exact - 1)


def test_energy_converges_to_the_integrals_with_order_two() -> None:
    errors = [energy_error(n) for n in (17, 33, 65)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(order - 2) < 0.1 for order in orders), orders


@pytest.mark.parametrize(("faces", "mean"), [("harmonic", 2 * 3 * 12 / 15), ("geometric", 6.0), ("arithmetic", 7.5)])
def test_energy_is_the_quadratic_form_of_the_five_point_matrix(faces: Faces, mean: float) -> None:
    """e^T A e with A written out: columns of nodes with a = 3 and 12 in turn, e zero on the walls."""
    n = 8
    a = np.where(np.arange(n) % 2, 3.0, 12.0)[None, :].repeat(n, 0)
    rng = np.random.default_rng(0)
    u, e = np.zeros((n, n)), np.zeros((n, n))
    u[1:-1, 1:-1], e[1:-1, 1:-1] = rng.standard_normal((2, n - 2, n - 2))

    def form(v: np.ndarray) -> float:
        total = 0.0
        for i in range(1, n - 1):
            for j in range(1, n - 1):
                along = a[i, j] * (2 * v[i, j] - v[i - 1, j] - v[i + 1, j])
                across = mean * (2 * v[i, j] - v[i, j - 1] - v[i, j + 1])
                total += v[i, j] * (along + across)
        return total

    p, truth, coefficient = (torch.from_numpy(v)[None, None] for v in (u + e, u, a))
    assert float(energy(p, truth, coefficient, 0.1, faces=faces)) == pytest.approx(
        math.sqrt(form(e) / form(u)), rel=1e-12
    )


def test_a_perfect_answer_has_error_zero_and_a_finite_gradient() -> None:
    u = torch.rand(2, 1, 8, 8)
    for loss in (
        relative_l2,
        lambda p, u: relative_h1(p, u, 0.1),
        lambda p, u: relative_h1(p, u, 0.1, periodic=True),
        lambda p, u: energy(p, u, 1 + u, 0.1),
    ):
        p = u.clone().requires_grad_()
        value = loss(p, u)
        value.backward()  # type: ignore[no-untyped-call]
        assert value.item() == 0
        assert p.grad is not None
        assert bool(torch.isfinite(p.grad).all())


def test_errors_do_not_depend_on_units() -> None:
    u, p, a = torch.rand(3, 2, 1, 9, 9, dtype=torch.float64)
    assert float(relative_l2(1e-8 * p, 1e-8 * u)) == pytest.approx(float(relative_l2(p, u)))
    assert float(energy(p, u, 1e9 * a, 0.2)) == pytest.approx(float(energy(p, u, a, 0.1)))


def test_bad_input_is_named() -> None:
    u = torch.rand(2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"p has shape \(2, 8, 8\) and u \(2, 1, 8, 8\)"):
        relative_l2(u[:, 0], u)
    with pytest.raises(ValueError, match="spacing = 0: expected a positive number"):
        relative_h1(u, u, 0)
    with pytest.raises(ValueError, match=r"spacing = \(0.1,\).*each of 2 axes"):
        energy(u, u, u, (0.1,))
    with pytest.raises(ValueError, match="at least 3 nodes"):
        relative_h1(u[..., :2], u[..., :2], 0.1)
    with pytest.raises(ValueError, match="a has shape"):
        energy(u, u, u[:1], 0.1)
    with pytest.raises(ValueError, match="faces = 'mean'"):
        energy(u, u, u, 0.1, faces="mean")  # type: ignore[arg-type]
