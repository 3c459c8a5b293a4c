"""Normalisation: statistics by hand, other grids, nodes that never change, files, bad data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conjugo.learned.operators import scaling as module
from conjugo.learned.operators.scaling import FLOOR, Scaling


def test_statistics_are_numpys_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, u = 1e3 + rng.standard_normal((10, 2, 5, 4)), 1e-6 * rng.standard_normal((10, 1, 5, 4))
    monkeypatch.setattr(module, "CHUNK", 3)
    nodes = Scaling(2, 1, (5, 4)).measure(a, u)
    channels = Scaling(2, 1).measure(torch.from_numpy(a), torch.from_numpy(u))
    assert np.allclose(nodes.mean_a, a.mean(0))
    assert np.allclose(nodes.scale_a, a.std(0), rtol=1e-5)
    assert np.allclose(nodes.scale_u, u.std(0), rtol=1e-5, atol=0)  # small units lose nothing
    assert np.allclose(channels.mean_a, a.mean((0, 2, 3)))
    assert np.allclose(channels.scale_a, a.std((0, 2, 3)), rtol=1e-5)


def test_encoding_is_undone_by_decoding() -> None:
    torch.manual_seed(0)
    u = 3 + 2 * torch.randn(8, 3, 6, 7, 5)
    for shape in (None, (6, 7, 5)):
        scaling = Scaling(3, 3, shape).measure(u, u)
        encoded = scaling.encode_output(u)
        assert torch.equal(encoded, scaling.encode(u))
        assert torch.allclose(scaling.decode(encoded), u, atol=1e-5)
        assert float(encoded.mean().abs()) < 1e-5
        assert abs(float(encoded.std(unbiased=False)) - 1) < 1e-4


def test_until_measured_it_does_nothing() -> None:
    x = torch.randn(2, 1, 9, 9)
    assert torch.equal(Scaling(1, 1, (5, 5)).encode(x), x)
    assert torch.equal(Scaling(1, 1).decode(x), x)


def test_another_grid_gets_interpolated_numbers() -> None:
    """Mean and deviation are linear in x: interpolation is exact for them."""
    coarse, fine = torch.linspace(0, 1, 5), torch.linspace(0, 1, 9)
    signs = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)

    def data(x: torch.Tensor) -> torch.Tensor:
        return (2 * x + signs * (1 + x)).expand(2, 1, len(x), len(x))

    scaling = Scaling(1, 1, (5, 5)).measure(data(coarse), data(coarse))
    assert torch.allclose(scaling.encode(data(fine)), signs.expand(2, 1, 9, 9), atol=1e-6)


def test_walls_and_constant_channels_divide_by_no_zero() -> None:
    u = torch.randn(6, 2, 5, 5)
    u[:, 0, 0] = 0.0
    u[:, 1] = 0.1
    scaling = Scaling(2, 2, (5, 5)).measure(u, u)
    assert torch.allclose(scaling.scale_u[0, 0], FLOOR * scaling.scale_u[0].max(), atol=0)
    assert bool((scaling.scale_u[1] == 1).all())
    assert bool((scaling.decode(torch.randn(3, 2, 5, 5))[:, 0, 0].abs() < 1e-4).all())
    assert bool((Scaling(2, 2).measure(u, u).scale_u[1] == 1).all())


def test_it_is_saved_and_moves_with_the_model() -> None:
    u = torch.randn(6, 1, 4, 4)
    first, second = Scaling(1, 1, (4, 4)).measure(u, u), Scaling(1, 1, (4, 4))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.encode(u), second.encode(u))
    assert not list(first.parameters())


def test_bad_data_leave_it_as_it_was() -> None:
    scaling, u = Scaling(1, 1, (4, 4)), torch.randn(6, 1, 4, 4)
    bad = u.clone()
    bad[4, 0, 1, 1] = torch.inf
    with pytest.raises(ValueError, match="u has NaN or infinity in 1 of 6 samples, the first at index 4"):
        scaling.measure(u, bad)
    assert torch.equal(scaling.encode(u), u)
    with pytest.raises(ValueError, match=r"a has shape \(6, 1, 5, 4\): expected \(samples, 1, 4, 4\)"):
        scaling.measure(torch.zeros(6, 1, 5, 4), u)
    with pytest.raises(ValueError, match="a has 5 samples and u 6"):
        scaling.measure(u[:5], u)
    with pytest.raises(ValueError, match=r"expected \(batch, channels, \*spatial\) with 1 channels on 2 axes"):
        scaling.encode(u[:, 0])
    with pytest.raises(ValueError, match="shape = \\(1, 4\\)"):
        Scaling(1, 1, (1, 4))
