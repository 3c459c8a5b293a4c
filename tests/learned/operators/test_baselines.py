"""FNO and U-NO behind our interface: scaling, grids, files, a clear word where the library is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conjugo.learned.operators.baselines import Baseline, FNOConfig, FNOOperator, UNOConfig, UNOOperator
from conjugo.learned.training import load_model, save_model

pytest.importorskip("neuralop.models")


def fno(**sizes: int) -> FNOOperator:
    torch.manual_seed(0)
    return FNOOperator(FNOConfig(**{"width": 8, "modes": 4, "layers": 2, **sizes}, grid=(21, 18))).eval()  # type: ignore[arg-type]


def uno() -> UNOOperator:
    torch.manual_seed(0)
    return UNOOperator(UNOConfig(width=8, modes=4, grid=(21, 18))).eval()


@pytest.mark.parametrize("make", [fno, uno])
def test_scaling_and_other_grids(make: Callable[[], Baseline]) -> None:
    model = make()
    a = 100 * torch.rand(4, 1, 21, 18)
    model.scaling.measure(a, 1e-3 * a)
    y = model(a)
    assert y.shape == a.shape
    expected = model.scaling.decode(model.net(model.scaling.encode(a)))
    assert torch.equal(y, expected)
    assert y.abs().max().item() < 1  # in the outputs' units
    assert model(torch.rand(2, 1, 40, 33)).shape == (2, 1, 40, 33)


@pytest.mark.parametrize("make", [fno, uno])
def test_files_keep_every_bit(make: Callable[[], Baseline], tmp_path: Path) -> None:
    model = make()
    again = load_model(save_model(model, tmp_path / "model.safetensors"))
    a = torch.rand(2, 1, 21, 18)
    assert isinstance(again, type(model))
    assert torch.equal(again(a), model(a))


def test_the_fourier_operator_hardly_sees_the_grid() -> None:
    """Smooth input, no padding: the same function on 24 and 48 nodes; what is left is the coordinates' jump."""
    torch.manual_seed(0)
    model = FNOOperator(FNOConfig(width=8, modes=4, layers=2, padding=0.0, grid=(24, 24), scaling="channel")).eval()

    def field(n: int) -> torch.Tensor:
        x = 2 * torch.pi * torch.arange(n) / n
        return (torch.sin(x)[:, None] * torch.cos(2 * x))[None, None]

    coarse, fine = model(field(24)), model(field(48))[..., ::2, ::2]
    assert ((coarse - fine).norm() / fine.norm()).item() < 0.05


def test_autocast_does_not_reach_the_transforms() -> None:
    model, a = fno(), torch.rand(2, 1, 21, 18)
    expected = model(a)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(a), expected)


def test_bad_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = fno()
    with pytest.raises(ValueError, match="a has 2 channels"):
        model(torch.rand(1, 2, 21, 18))
    with pytest.raises(ValueError, match="at least 8 nodes an axis"):
        model(torch.rand(1, 1, 21, 6))
    with pytest.raises(ValueError, match="modes = 12: expected one to three axes of at least 24 nodes"):
        FNOConfig(grid=(21, 85))
    with pytest.raises(ValueError, match="modes = 3: an even number"):
        UNOConfig(modes=3)
    monkeypatch.setitem(sys.modules, "neuralop.models", None)
    with pytest.raises(ImportError, match=r"pip install 'conjugo\[operators\]'"):
        fno()
