"""The solve on the faces agrees with the toolkit's own solver, and its gradient with differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.operators.face_solve import Faces, node_faces, product, solve_faces
from conjugo.pde.darcy import solve_darcy


def coefficient(count: int, n: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.where(np.random.default_rng(seed).standard_normal((count, n, n)) > 0, 12.0, 3.0))


@pytest.mark.parametrize(("power", "kind"), [(-1.0, "harmonic"), (0.0, "geometric"), (1.0, "arithmetic")])
def test_it_solves_what_the_stencil_solver_solves(power: float, kind: Any) -> None:
    a = coefficient(3, 31)
    u = solve_faces(node_faces(a, power=power), torch.ones(3, 29, 29, dtype=torch.float64), steps=40)
    torch.testing.assert_close(u, solve_darcy(a, faces=kind, rtol=1e-12), rtol=0, atol=1e-11)


def test_fourteen_steps_are_enough_at_a_contrast_of_four() -> None:
    a = coefficient(2, 85)
    f = torch.ones(2, 83, 83)
    u = solve_faces(node_faces(a.float()), f).double()
    truth = solve_darcy(a, faces="geometric", rtol=1e-12)
    assert (u - truth).norm() < 1e-5 * truth.norm()  # 2 / 3^14 in the energy norm, and float32


def random_faces(n: int, cross: bool) -> Faces:
    generator = torch.Generator().manual_seed(1)
    across, along = (
        1 + 3 * torch.rand(2, *shape, generator=generator, dtype=torch.float64) for shape in ((n - 1, n), (n, n - 1))
    )
    mixed = 0.9 * (2 * torch.rand(2, n - 1, n - 1, generator=generator, dtype=torch.float64) - 1) if cross else None
    return Faces(across, along, mixed)


def test_the_operator_with_cross_terms_is_symmetric_and_definite() -> None:
    faces, m = random_faces(7, cross=True), 5
    basis = torch.eye(m * m, dtype=torch.float64).reshape(m * m, m, m)
    each = Faces(*(part[:1].expand(m * m, -1, -1) for part in faces if part is not None))
    matrix = product(each, basis).reshape(m * m, m * m)
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).min() > 0
    u = solve_faces(faces, torch.ones(2, m, m, dtype=torch.float64), steps=25)[:1, 1:-1, 1:-1]
    torch.testing.assert_close(product(Faces(*(p[:1] for p in faces if p is not None)), u), torch.ones_like(u) / 36)


def test_a_cross_term_turns_the_coefficient() -> None:
    # K = [[2, 1], [1, 2]] and u = (1 - x^2) (1 - y^2) on a square of side 2: differences are exact for such a u
    x = torch.linspace(-1, 1, 17, dtype=torch.float64)[:, None]
    y = x.T
    u = (1 - x**2) * (1 - y**2)
    f = 4 * (1 - y**2) + 4 * (1 - x**2) - 8 * x * y
    two = 2 * torch.ones(1, 16, 17, dtype=torch.float64)
    faces = Faces(two, two.transpose(1, 2), torch.ones(1, 16, 16, dtype=torch.float64))
    found = solve_faces(faces, 4 * f[None, 1:-1, 1:-1], steps=30)[0]  # on a square of side 1
    torch.testing.assert_close(found, u, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cross", [False, True])
def test_the_gradient_is_that_of_differences(cross: bool) -> None:
    faces, f = random_faces(6, cross), torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    leaves = [part.requires_grad_() for part in faces if part is not None]
    assert torch.autograd.gradcheck(lambda *parts: solve_faces(Faces(*parts[1:]), parts[0], steps=16), (f, *leaves))


def test_a_source_of_zero_gives_zero_and_finite_gradients() -> None:
    across = torch.ones(1, 5, 6, requires_grad=True)
    u = solve_faces(Faces(across, torch.ones(1, 6, 5)), torch.zeros(1, 4, 4))
    u.sum().backward()  # type: ignore[no-untyped-call]
    assert not u.any()
    assert across.grad is not None
    assert bool(torch.isfinite(across.grad).all())


def test_autocast_leaves_it_alone() -> None:
    faces = node_faces(coefficient(1, 17).float())
    f = torch.ones(1, 15, 15)
    with torch.autocast("cpu", torch.bfloat16):
        inside = solve_faces(faces, f)
    assert torch.equal(inside, solve_faces(faces, f))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Faces(torch.ones(1, 4, 5), torch.ones(1, 4, 5)), torch.ones(1, 3, 3)), "across has shape"),
        ((Faces(torch.ones(1, 4, 5), torch.ones(1, 5, 4)), torch.ones(1, 5, 5)), "f has shape"),
    ],
)
def test_wrong_input_is_named(arguments: tuple[Faces, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        solve_faces(*arguments)
    with pytest.raises(ValueError, match="steps = 0"):
        solve_faces(random_faces(5, False), torch.ones(2, 3, 3), steps=0)
