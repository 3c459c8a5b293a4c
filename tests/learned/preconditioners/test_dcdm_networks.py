"""The networks: parameter counts, scale, coarsening, and where the multilevel one starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch

from conjugo.learned.preconditioners.dcdm import DirectionNet, DirectionNetConfig
from conjugo.learned.preconditioners.grid_laplacian import box_laplacian
from conjugo.learned.preconditioners.multilevel import MultilevelNet, MultilevelNetConfig
from conjugo.learned.preconditioners.residual_loss import energy_loss
from conjugo.learned.training.models import load_model, load_weights, save_model


@pytest.mark.parametrize(("size", "count"), [(64, 97_457), (128, 152_881)])
def test_published_parameter_counts(size: Literal[64, 128], count: int) -> None:
    net = DirectionNet(DirectionNetConfig(dimension=3, size=size))
    assert sum(p.numel() for p in net.parameters()) == count


@pytest.mark.parametrize(("size", "reach"), [(64, 22), (128, 34)])
def test_published_receptive_field(size: Literal[64, 128], reach: int) -> None:
    torch.manual_seed(0)
    net = DirectionNet(DirectionNetConfig(dimension=2, size=size))
    for parameter in net.parameters():
        parameter.data.abs_()  # no ReLU is off
    r = torch.zeros(1, 1, 96, 96, requires_grad=True)
    net(r)[0, 0, 48, 48].backward()
    assert r.grad is not None
    rows = r.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 2 * reach


@pytest.mark.parametrize("dimension", [2, 3])
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_multilevel_is_homogeneous(dimension: Literal[2, 3], activation: Literal["none", "relu"]) -> None:
    torch.manual_seed(0)
    net = MultilevelNet(MultilevelNetConfig(dimension=dimension, activation=activation))
    r = torch.randn(2, 1, *[16] * dimension)
    geometry = box_laplacian((16,) * dimension, wall=0.0).geometry()
    once = net(r, geometry)
    torch.testing.assert_close(
        net(1e3 * r, geometry), 1e3 * once, rtol=1e-4, atol=1e-2 * float(once.detach().abs().max())
    )


@pytest.mark.parametrize(("dimension", "wall", "bound"), [(2, 1.0, 0.05), (2, 0.0, 0.1), (3, 1.0, 0.1)])
def test_multilevel_starts_as_a_cycle(
    dimension: Literal[2, 3], wall: float, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conjugo.learned.preconditioners.multilevel.NOISE", 0.0)
    net = MultilevelNet(MultilevelNetConfig(dimension=dimension))
    A = box_laplacian((32,) * dimension, wall=wall)
    ones = torch.ones(1, 1, *[32] * dimension)
    e = torch.randn(ones.shape, generator=torch.Generator().manual_seed(0))
    batch = {"f": A @ e, "e": e, "active": ones, "diag": A.diag}
    with torch.no_grad():
        assert float(energy_loss(net, batch)) < bound


def test_one_set_of_weights_serves_all_sizes() -> None:
    net = MultilevelNet(MultilevelNetConfig(dimension=2, geometry=False))
    assert [net.coarsening((n, n)) for n in (8, 15, 16, 64, 100, 256)] == [2, 4, 4, 16, 16, 64]
    assert net(torch.randn(1, 1, 16, 32)).shape == (1, 1, 16, 32)


def test_gates_are_what_forward_makes_of_the_geometry() -> None:
    net = MultilevelNet(MultilevelNetConfig(dimension=2))
    geometry = box_laplacian((16, 16), wall=1.0).geometry()
    r = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(net(r, net.gates(geometry)), net(r, geometry))


def test_bad_input_is_named() -> None:
    net, published = MultilevelNet(MultilevelNetConfig(dimension=2)), DirectionNet(DirectionNetConfig(dimension=3))
    with pytest.raises(ValueError, match="a side below 8, which the network cannot coarsen"):
        net(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="expected multiples of 4; NeuralPreconditioner pads"):
        net(torch.zeros(1, 1, 17, 16))
    with pytest.raises(ValueError, match=r"pass GridLaplacian\.geometry"):
        net(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="has 2 axes but the network's dimension is 3"):
        published(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="channels = 8: expected at least 16"):
        MultilevelNetConfig(dimension=3, channels=8)
    with pytest.raises(ValueError, match="size = 32: expected one of 64, 128"):
        DirectionNetConfig(size=32)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "net",
    [DirectionNet(DirectionNetConfig(dimension=2)), MultilevelNet(MultilevelNetConfig(dimension=3))],
    ids=["published", "multilevel"],
)
def test_saved_and_loaded_bit_equal(net: torch.nn.Module, tmp_path: Path) -> None:
    path = save_model(net, tmp_path / "net.safetensors")
    loaded = load_model(path)
    for name, value in net.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_weights_of_another_dimension_are_refused(tmp_path: Path) -> None:
    path = save_model(DirectionNet(DirectionNetConfig(dimension=2)), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="dimension = 2 against 3"):
        load_weights(DirectionNet(DirectionNetConfig(dimension=3)), path)
