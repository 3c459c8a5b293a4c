"""Steps replayed as CUDA graphs: refused where there is no device, and the same losses where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.learned.training.toy import batch, loss, toy, train
from torch import Tensor

from conjugo.learned.training import FitConfig, fit


def test_it_needs_a_cuda_device() -> None:
    model = toy()
    before = model.weight.clone()
    with pytest.raises(
        ValueError, match="graph = True on cpu, 1 processes, accumulate = 1: it needs one process on a CUDA"
    ):
        fit(model, loss, batch, config=FitConfig(steps=2, graph=True), progress=False)
    assert torch.equal(model.weight, before)


def changing(step: int) -> tuple[Tensor, Tensor]:
    """Batches of two shapes: two graphs."""
    return batch(step, rows=12 if step % 3 else 7)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("batches", [batch, changing])
def test_replayed_steps_are_the_plain_ones(batches: Any, precision: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    plain, graphed = toy(), toy()
    first = train(None, batches, plain, device="cuda", precision=precision)
    again = train(None, batches, graphed, device="cuda", precision=precision, graph=True)
    rtol = 1e-5 if precision == "float32" else 1e-2  # the library may take other kernels in a capture
    np.testing.assert_allclose(first.losses, again.losses, rtol=rtol)
    np.testing.assert_allclose(first.validation, again.validation, rtol=rtol)
    assert float(graphed.calls) == float(plain.calls)  # buffers change as often: warm-up and capture leave no trace


@pytest.mark.gpu
def test_dropout_draws_anew_in_every_replay() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = toy(dropout=0.5)
    settings = FitConfig(steps=8, graph=True, device="cuda", learning_rate=1e-12, weight_decay=0.0)
    losses = fit(model, loss, lambda step: batch(0), config=settings, progress=False).losses
    assert len(set(losses)) == 8
