"""The Latent Spectral Model: the paper's sizes, a second plain implementation, grids, files, bad input, learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from tests.learned.operators import reference
from torch import Tensor, nn

from conjugo.learned.operators.fields import predict
from conjugo.learned.operators.losses import relative_l2
from conjugo.learned.operators.lsm import LSM, LSMConfig
from conjugo.learned.operators.unet import Double
from conjugo.learned.training import FitConfig, fit, load_model, load_weights, save_model

SMALL = LSMConfig(width=8, grid=(21, 18))


def made(config: LSMConfig = SMALL, seed: int = 0) -> LSM:
    """A model with normalisation measured and running statistics away from their start."""
    torch.manual_seed(seed)
    model = LSM(config)
    a, u = torch.randn(6, config.in_channels, *config.grid), 5 + torch.randn(6, config.out_channels, *config.grid)
    model.scaling.measure(3 * a, u)
    model(a)
    return model.eval()


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ({}, 19_187_457),
        ({"in_channels": 10, "grid": (64, 64)}, 19_188_033),
        ({"width": 32, "grid": (41, 41)}, 4_812_801),
        ({"width": 32, "grid": (221, 51), "in_channels": 2}, 4_812_833),
        ({"width": 48, "grid": (129, 129), "in_channels": 2}, 10_804_913),
        ({"dimension": 3, "width": 32, "grid": (101, 31, 20), "out_channels": 4}, 13_457_828),
    ],
    ids=["darcy", "navier-stokes", "elasticity", "airfoil", "pipe", "plasticity"],
)
def test_parameter_counts_are_the_papers(what: dict[str, Any], count: int) -> None:
    model = LSM(LSMConfig(**what))
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        LSMConfig(dimension=3, width=4, heads=2, grid=(16, 17, 20), in_channels=2, out_channels=3, scaling="channel"),
    ],
    ids=["2-D", "3-D"],
)
def test_it_is_what_the_plain_implementation_computes(config: LSMConfig, training: bool) -> None:
    model = made(config).train(training)
    a = torch.randn(2, config.in_channels, *config.grid)
    shape = (1, -1) if config.scaling == "pixelwise" else (1, -1, *(1,) * config.dimension)
    tensors = {
        k: v.detach().double().reshape(*shape, *v.shape[1:]) if "scaling" in k and v.ndim == 1 else v.detach().double()
        for k, v in model.state_dict().items()
    }
    expected = reference.lsm(a.double(), tensors, config.heads, training)
    error = (model(a) - expected).norm() / expected.norm()
    assert error.item() < 2e-5  # float32 through twenty layers with batch normalisation


def test_interpolation_is_the_librarys() -> None:
    for shape, mode in (((2, 3, 5, 4), "bilinear"), ((1, 2, 3, 2, 4), "trilinear")):
        x = torch.randn(*shape, dtype=torch.float64)
        expected = nn.functional.interpolate(x, scale_factor=2, mode=mode, align_corners=True)
        assert torch.allclose(Double()(x), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(Double()(torch.ones(1, 1, 1, 1)), torch.ones(1, 1, 2, 2))


def test_samples_do_not_see_each_other() -> None:
    model = made()
    a = torch.randn(4, 1, 21, 18)
    together = model(a)
    assert torch.allclose(together, torch.cat([model(x[None]) for x in a]), atol=1e-5)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(model(a[order]), together[order], atol=1e-5)
    assert torch.allclose(model.train()(a)[order], model(a[order]), atol=1e-4)  # the batch's statistics have no order


@pytest.mark.parametrize("grid", [(16, 16), (17, 31), (33, 48), (40, 18)])
def test_other_grids_are_taken(grid: tuple[int, int]) -> None:
    model = made()
    y = model(torch.randn(2, 1, *grid))
    assert y.shape == (2, 1, *grid)
    assert y.is_contiguous()
    assert bool(torch.isfinite(y).all())


def test_memory_layout_changes_nothing_but_speed() -> None:
    model = made()
    a = torch.randn(2, 1, 21, 18)
    expected = model(a)
    model.to(memory_format=torch.channels_last)
    again = model(a.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(again, expected, atol=1e-5)


@pytest.mark.slow
def test_it_compiles_to_one_graph() -> None:
    model = made()
    a = torch.randn(2, 1, 21, 18)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(a), model(a), atol=1e-5)


def test_bfloat16_is_close_and_comes_back_in_float32() -> None:
    model = made()
    a = torch.randn(4, 1, 21, 18)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(a)
    expected = model(a)
    assert y.dtype == torch.float32
    assert (y - expected).abs().max().item() < 0.02  # the outputs' deviation is 1
    assert len(y.unique()) > 0.99 * y.numel()  # no answer rounded to three digits


def test_files_keep_every_bit_and_refuse_other_configurations(tmp_path: Path) -> None:
    model = made()
    path = save_model(model, tmp_path / "lsm.safetensors")
    again = load_model(path)
    a = torch.randn(2, 1, 21, 18)
    assert isinstance(again, LSM)
    assert again.config == model.config
    assert torch.equal(again(a), model(a))
    with pytest.raises(ValueError, match="they differ in tokens = 4 against 8"):
        load_weights(LSM(LSMConfig(width=8, grid=(21, 18), tokens=8)), path)


def test_bad_input_is_named() -> None:
    model = made()
    with pytest.raises(ValueError, match=r"a has shape \(2, 21, 18\): expected \(batch, channels, height, width\)"):
        model(torch.zeros(2, 21, 18))
    with pytest.raises(ValueError, match=r"a has 3 channels .* expected 1"):
        model(torch.zeros(2, 3, 21, 18))
    with pytest.raises(ValueError, match=r"a grid of \(21, 12\): at least 16 nodes an axis"):
        model(torch.zeros(2, 1, 21, 12))
    with pytest.raises(ValueError, match="expected real floating point"):
        model(torch.zeros(2, 1, 21, 18, dtype=torch.int64))
    with pytest.raises(ValueError, match="train with a batch of 2 or more"):
        LSM(LSMConfig(width=8, tokens=2, modes=4, grid=(16, 16)))(torch.zeros(1, 1, 16, 16))
    bad = np.zeros((3, 1, 21, 18))
    bad[1, 0, 4, 4] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 3 samples, the first at index 1"):
        predict(model, bad)
    for what, message in (
        ({"grid": (85,)}, "dimension = 2 and grid"),
        ({"grid": (85, 9)}, "at least 16 nodes"),
        ({"width": 20}, "expected a multiple of heads = 8"),
        ({"modes": 0}, "modes = 0: at least 1"),
        ({"scaling": "pixel"}, "choose one of 'pixelwise', 'channel'"),
    ):
        with pytest.raises(ValueError, match=message):
            LSMConfig(**what)


def test_predict_works_in_batches_and_leaves_the_mode() -> None:
    model = made().train()
    a = np.random.default_rng(0).standard_normal((5, 1, 21, 18))
    out = predict(model, a, batch=2)
    assert model.training
    assert isinstance(out, np.ndarray)
    expected = model.eval()(torch.from_numpy(a).float())
    assert np.allclose(out, expected.detach().numpy(), atol=1e-5)


def poisson_pairs(count: int, n: int) -> tuple[Tensor, Tensor]:
    """Two-valued sources and the exact discrete solutions of -Laplace u = a with zero walls, by sine transforms."""
    rng = np.random.default_rng(0)
    k = np.arange(5)
    waves = np.cos(np.pi * np.outer(np.linspace(0, 1, n), k)) / (1 + k)
    a = np.where(np.einsum("sij,xi,yj->sxy", rng.standard_normal((count, 5, 5)), waves, waves) > 0, 12.0, 3.0)
    m = np.arange(1, n - 1)
    eigen = (2 - 2 * np.cos(np.pi * m / (n - 1))) * (n - 1) ** 2
    u = np.zeros_like(a)
    inner = scipy.fft.dstn(a[:, 1:-1, 1:-1], type=1, axes=(1, 2)) / (eigen[:, None] + eigen)
    u[:, 1:-1, 1:-1] = scipy.fft.idstn(inner, type=1, axes=(1, 2))
    return torch.from_numpy(a)[:, None].float(), torch.from_numpy(u)[:, None].float()


def test_it_learns_sixteen_samples() -> None:
    a, u = poisson_pairs(16, 16)
    torch.manual_seed(0)
    model = LSM(LSMConfig(width=8, tokens=2, modes=4, grid=(16, 16)))
    model.scaling.measure(a, u)
    before = relative_l2(model.eval()(a), u).item()

    def loss(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return relative_l2(net(batch[0]), batch[1])

    config = FitConfig(steps=60, learning_rate=3e-3, schedule="onecycle")
    fit(model, loss, lambda step: (a, u), config=config, progress=False)
    after = relative_l2(model(a), u).item()
    assert after < 0.1 < before  # in eval(), so that the running statistics must be right too


@pytest.mark.gpu
def test_the_device_agrees_with_the_host() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = made()
    a = torch.randn(4, 1, 21, 18)
    expected = model(a)
    model.cuda()
    assert torch.allclose(model(a.cuda()).cpu(), expected, atol=5e-3)  # TF32 convolutions: ten bits
