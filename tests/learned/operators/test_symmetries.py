"""The symmetries are groups, and commute with the solution operators."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.learned.operators.symmetries import GridSymmetries, group_average, square_symmetries, vorticity_symmetries
from conjugo.pde.darcy import solve_darcy

GROUPS = [square_symmetries(7), vorticity_symmetries(8)]


@pytest.mark.parametrize("group", GROUPS, ids=["square", "vorticity"])
def test_it_is_a_group(group: GridSymmetries) -> None:
    fields = torch.randn(2, 3, group.size, group.size)
    assert torch.equal(group.apply(0, fields), fields)
    images = {tuple(group.apply(g, fields).flatten().tolist()) for g in range(group.order)}
    assert len(images) == group.order  # all elements differ
    for g in range(group.order):
        assert torch.equal(group.apply(group.inverse(g), group.apply(g, fields)), fields)
        for h in range(0, group.order, 3):  # closed: compose finds an element, and it is the right one
            both = group.apply(g, group.apply(h, fields))
            assert torch.equal(group.apply(group.compose(g, h), fields), both)


def test_the_orders() -> None:
    assert (square_symmetries(85).order, vorticity_symmetries(64).order) == (8, 256)


def test_each_sample_may_have_its_own_element() -> None:
    group = vorticity_symmetries(8)
    chosen = group.draw(5, torch.Generator().manual_seed(3))
    fields = torch.randn(5, 2, 8, 8)
    moved = group.apply(chosen, fields)
    for k, g in enumerate(chosen.tolist()):
        assert torch.equal(moved[k : k + 1], group.apply(g, fields[k : k + 1]))


def test_darcy_solutions_move_with_the_coefficient() -> None:
    group = square_symmetries(33)
    a = torch.from_numpy(np.where(np.random.default_rng(0).standard_normal((1, 33, 33)) > 0, 12.0, 3.0))
    u = solve_darcy(a, rtol=1e-12)
    for g in range(8):
        torch.testing.assert_close(solve_darcy(group.apply(g, a), rtol=1e-12), group.apply(g, u), rtol=0, atol=1e-12)


def test_the_forcing_is_invariant() -> None:
    x = torch.arange(16, dtype=torch.float64) / 16
    phase = 2 * torch.pi * (x[:, None] + x)
    forcing = (phase.sin() + phase.cos())[None]
    group = vorticity_symmetries(16)
    for g in range(group.order):
        torch.testing.assert_close(group.apply(g, forcing), forcing, rtol=0, atol=1e-13)


def test_the_average_is_equivariant_where_the_model_is_not() -> None:
    group, x = square_symmetries(6), torch.randn(2, 1, 6, 6, dtype=torch.float64)
    weight = torch.randn(1, 1, 3, 3, dtype=torch.float64)

    def model(a: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(a, weight, padding=1).exp()

    plain = model(x)
    for g in range(1, 8):
        assert (model(group.apply(g, x)) - group.apply(g, plain)).abs().max() > 1e-3
        averaged = group_average(model, group.apply(g, x), group)
        torch.testing.assert_close(averaged, group.apply(g, group_average(model, x, group)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: square_symmetries(1), "size = 1"),
        (lambda: vorticity_symmetries(10), "multiple of 4"),
        (lambda: GROUPS[0].apply(0, torch.zeros(1, 6, 6)), "make the group for the size"),
        (lambda: GROUPS[0].apply(8, torch.zeros(1, 7, 7)), "elements 0 to 7"),
        (lambda: GROUPS[0].apply(torch.tensor([0, 1]), torch.zeros(3, 7, 7)), "one a sample"),
        (lambda: group_average(lambda a: a, torch.zeros(1, 1, 7, 7), GROUPS[0], []), "elements is empty"),
    ],
)
def test_wrong_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
