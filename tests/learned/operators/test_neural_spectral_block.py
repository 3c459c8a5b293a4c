"""The neural spectral block against loops over its formula, and the symmetries that the formula has."""

from __future__ import annotations

import math

import pytest
import torch
from tests.learned.operators import reference
from torch import Tensor

from conjugo.learned.operators.neural_spectral_block import NeuralSpectralBlock, fold, unfold


def made(channels: int = 8, dimension: int = 2, seed: int = 0, **sizes: int) -> NeuralSpectralBlock:
    """A block in float64 whose tokens and series are large enough to matter."""
    torch.manual_seed(seed)
    block = NeuralSpectralBlock(channels, dimension, **sizes).double()
    modes = len(block.frequencies)
    block.frequencies = math.pi * torch.arange(modes, dtype=torch.float64) / modes  # not through float32
    with torch.no_grad():
        block.latent.mul_(channels).sub_(0.3)
        block.spectral.mul_(channels).sub_(0.5)
    return block


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "patch", "sizes"),
    [
        ((2, 8, 6, 4), (3, 2), {"heads": 4, "tokens": 3, "modes": 5}),
        ((1, 16, 4, 4), (4, 4), {}),
        ((2, 8, 4, 2, 3), (2, 1, 3), {"heads": 8}),
        ((1, 4, 2, 2), (1, 1), {"heads": 1, "tokens": 1, "modes": 1}),
    ],
)
def test_it_is_what_the_loops_compute(shape: tuple[int, ...], patch: tuple[int, ...], sizes: dict[str, int]) -> None:
    block = made(shape[1], len(patch), **sizes)
    x = normal(*shape)
    with torch.no_grad():
        expected = reference.block(x, dict(block.named_parameters()), patch, block.heads)
        at_once = reference.block_at_once(x, dict(block.named_parameters()), patch, block.heads)
        assert torch.allclose(at_once, expected, rtol=1e-12, atol=1e-12)
        assert torch.allclose(block(x, patch), expected, rtol=1e-12, atol=1e-12)  # rounding of sums of 30 terms


def test_its_derivative_is_right() -> None:
    block = made(4, heads=2, tokens=2, modes=3)
    x = normal(1, 4, 2, 4).requires_grad_()
    parameters = list(block.parameters())
    assert torch.autograd.gradcheck(lambda *_: block(x, (2, 2)), (x, *parameters))


def test_patches_pixels_and_samples_may_change_places() -> None:
    block = made()
    x = normal(3, 8, 6, 6)
    y = block(x, (3, 3))
    order = torch.tensor([2, 0, 1])
    assert torch.allclose(block(x[order], (3, 3)), y[order])
    assert torch.allclose(block(x.roll(3, dims=2), (3, 3)), y.roll(3, dims=2))  # whole patches move
    pixels = torch.randperm(9)

    def stir(z: Tensor) -> Tensor:
        return unfold(fold(z, (3, 3))[:, pixels], tuple(z.shape), (3, 3))

    assert torch.allclose(block(stir(x), (3, 3)), stir(y))


def test_a_refined_grid_with_rescaled_patches_gives_the_same() -> None:
    """Each pixel three times along each axis: the softmax over three times as many pixels is the same mean."""
    block = made()
    x = normal(2, 8, 4, 4)
    fine = x.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    assert torch.allclose(block(fine, (6, 6))[:, :, ::3, ::3], block(x, (2, 2)))


def test_initial_values_and_dead_weights() -> None:
    block = NeuralSpectralBlock(16, dimension=2)
    for values in (block.latent.detach(), block.spectral.detach()):
        assert 0 <= float(values.min()) < 0.2 / 16
        assert 0.8 / 16 < float(values.max()) < 1 / 16
    assert block.latent.shape == (8, 4, 2)
    assert block.spectral.shape == (16, 24)
    assert "frequencies" in dict(block.named_buffers())
    assert "frequencies" not in block.state_dict()
    block(torch.randn(1, 16, 4, 4), (2, 2)).sum().backward()
    gradient = block.spectral.grad
    assert gradient is not None
    assert bool((gradient[:, 0] == 0).all())  # sin 0: weights that can never matter, as the paper has them
    assert bool((gradient[:, 1:] != 0).all())


def test_it_stays_in_float32_where_bfloat16_would_hurt() -> None:
    block = made().float()
    x = torch.randn(2, 8, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        y = block(x, (4, 4))
    exact = block(x, (4, 4))
    assert ((y - exact).abs().max() / exact.abs().max()).item() < 0.02  # 2^-8 a product, three in a row


def test_the_result_is_in_channels_last() -> None:
    y = made()(normal(2, 8, 4, 4).contiguous(memory_format=torch.channels_last), (2, 2))
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"channels = 12.* heads = 8: all must .* a multiple"):
        NeuralSpectralBlock(12, dimension=2)
