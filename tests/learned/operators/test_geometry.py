"""The geometry-aware LSM: transforms against FFTs and sums, the map, sizes, orders of points, bad input."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from conjugo.learned.operators.coordinate_map import CoordinateMap
from conjugo.learned.operators.geometry import GeometryLSM, GeometryLSMConfig
from conjugo.learned.operators.losses import relative_l2
from conjugo.learned.operators.point_fourier import PointFourier, grid_points
from conjugo.learned.training import load_model, save_model

SMALL = GeometryLSMConfig(width=8, tokens=2, modes=4, waves=4, resolution=16, codes=3)


def made(config: GeometryLSMConfig = SMALL) -> GeometryLSM:
    torch.manual_seed(0)
    return GeometryLSM(config).eval()


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes_are_the_papers() -> None:
    """5,402,785 with complex numbers counted once, and 63,746 of the map."""
    model = GeometryLSM(GeometryLSMConfig())
    twice = sum(p.numel() for p in model.fourier_parameters()) // 2
    assert count(model.map) == 63_746
    assert count(model) - twice - count(model.map) == 5_402_785


def test_coefficients_on_a_grid_are_the_ffts() -> None:
    layer, n = PointFourier(2, modes=3), 10
    f = torch.randn(2, 2, n, n)
    expected = torch.fft.fft2(f, norm="forward")[:, :, [0, 1, 2, -3, -2, -1], :3]
    found = torch.view_as_complex(layer.analyse(f.flatten(2), grid_points(n, f.device)))
    assert torch.allclose(found, expected, atol=1e-6)


def test_with_unit_matrices_it_keeps_waves_that_it_holds() -> None:
    layer = PointFourier(2, modes=4)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[..., 0] = torch.eye(2)[None, :, :, None, None]

    def f(x: Tensor) -> Tensor:
        turns = 2 * torch.pi * x
        one = 0.5 + torch.cos(3 * turns[..., 0] - 2 * turns[..., 1])
        return torch.stack([one, torch.sin(turns[..., 0]) - torch.sin(3 * turns[..., 1])], dim=1)

    grid, anywhere = grid_points(9, torch.device("cpu")), torch.rand(1, 30, 2)
    assert torch.allclose(layer(f(grid), grid, anywhere), f(anywhere), atol=1e-5)


def test_the_layer_is_a_sum_over_complex_waves() -> None:
    torch.manual_seed(0)
    layer = PointFourier(3, modes=2)
    f, source, target = torch.randn(2, 3, 7), torch.rand(2, 7, 2), torch.rand(2, 5, 2)
    weight = torch.view_as_complex(layer.weight.detach())
    expected = torch.zeros(2, 3, 5)
    for i, k in enumerate((0, 1, -2, -1)):
        for j in range(2):
            wave = torch.tensor([k, j]).float()
            down = torch.exp(-2j * torch.pi * (source @ wave))
            coefficient = (f * down[:, None]).mean(-1)
            mixed = torch.einsum("bi,io->bo", coefficient, weight[i // 2, :, :, i % 2, j])
            up = torch.exp(2j * torch.pi * (target @ wave))
            expected += (2 if j else 1) * (mixed[:, :, None] * up[:, None]).real
    assert torch.allclose(layer(f, source, target), expected, atol=1e-6)


def test_the_map_starts_near_the_points_and_hears_the_code() -> None:
    torch.manual_seed(0)
    phi, points, code = CoordinateMap(codes=3), torch.rand(2, 20, 2), torch.randn(2, 3)
    mapped = phi(points, code)
    assert mapped.shape == points.shape
    assert not torch.allclose(mapped, phi(points, 2 * code))
    assert torch.allclose(phi(points[:, :5], code), mapped[:, :5], atol=1e-6)  # each point for itself
    assert bool((phi(torch.zeros(1, 1, 2)) == 0).all())  # phi(x) = x + x net(x)
    points.requires_grad_()
    phi(torch.zeros_like(points) + points * 0, code).sum().backward()
    assert points.grad is not None
    assert bool(torch.isfinite(points.grad).all())  # the angle at the origin


def test_order_and_repetition_of_points_do_not_matter() -> None:
    model, x, code = made(), torch.rand(2, 2, 40), torch.randn(2, 3)
    y = model(x, code=code)
    assert y.shape == (2, 1, 40)
    order = torch.randperm(40)
    assert torch.allclose(model(x[..., order], code=code), y[..., order], atol=1e-5)
    twice = model(torch.cat([x, x], dim=2), code=code)
    assert torch.allclose(twice, torch.cat([y, y], dim=2), atol=1e-5)


def test_a_field_on_the_points_is_taken(tmp_path: Path) -> None:
    model = made(GeometryLSMConfig(width=8, waves=4, resolution=16, codes=0, in_channels=2, out_channels=3))
    x, a, u = torch.rand(4, 2, 30), torch.randn(4, 2, 30), 7 + torch.randn(4, 3, 30)
    model.scaling.measure(a, u)
    y = model(x, a)
    assert y.shape == (4, 3, 30)
    again = load_model(save_model(model, tmp_path / "points.safetensors"))
    assert torch.equal(again(x, a), y)


def test_it_learns_a_field_on_points() -> None:
    model, x = made().train(), torch.rand(8, 2, 60)
    u = torch.sin(3 * x[:, :1]) + x[:, 1:]
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = relative_l2(model(x, code=x[:, 0, :3]), u)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 < losses[0]


def test_bad_input_is_named() -> None:
    model, x = made(), torch.rand(2, 2, 9)
    with pytest.raises(ValueError, match=r"coordinates has shape \(2, 9, 2\): expected \(batch, 2, points\)"):
        model(x.mT)
    with pytest.raises(ValueError, match=r"a is of shape .*expected none, as in_channels = 0"):
        model(x, x)
    with pytest.raises(ValueError, match=r"code has shape \(2, 4\): expected \(2, 3\), or none"):
        model(x, code=torch.rand(2, 4))
    for what, message in (({"resolution": 40}, "a multiple of 16"), ({"waves": 60}, "holds at most 48")):
        with pytest.raises(ValueError, match=message):
            GeometryLSMConfig(**what)
