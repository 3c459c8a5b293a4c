"""Batches of pairs, generators from several numbers, and roll-outs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from conjugo.learned.operators.batches import PairBatches, seeded
from conjugo.learned.operators.rollout import rollout
from conjugo.learned.operators.vorticity_batches import rollout_loss


def test_every_row_comes_once_an_epoch_with_its_partner() -> None:
    x = torch.arange(11)
    batches = PairBatches(x, x**2, batch=3, seed=5)
    assert batches.steps_an_epoch == 3
    for epoch in range(3):
        rows = [batches(3 * epoch + place) for place in range(3)]
        assert all(torch.equal(b, a**2) for a, b in rows)
        assert len(set(torch.cat([a for a, _ in rows]).tolist())) == 9
    assert not torch.equal(batches(0)[0], batches(3)[0])


def test_a_batch_is_a_function_of_the_step_in_any_order() -> None:
    x = torch.arange(40)
    batches = PairBatches(x, batch=4, seed=2)
    forward = [batches(step)[0] for step in range(25)]
    fresh = PairBatches(x, batch=4, seed=2)
    assert all(torch.equal(fresh(step)[0], forward[step]) for step in reversed(range(25)))
    assert not torch.equal(PairBatches(x, batch=4, seed=3)(0)[0], forward[0])


def test_bad_batches_are_named() -> None:
    with pytest.raises(ValueError, match=r"the tensors have \[3, 4\] rows"):
        PairBatches(torch.zeros(3), torch.zeros(4), batch=1)
    for batch in (0, 4):
        with pytest.raises(ValueError, match=f"batch = {batch}: it must be at least 1 and at most .*, 3"):
            PairBatches(torch.zeros(3), batch=batch)


def test_generators_of_other_numbers_draw_other_numbers() -> None:
    """Torch keeps 32 bits of a seed on the CPU: `(seed << 32) + step` would make all seeds alike."""
    drawn = {
        tuple(torch.rand(2, generator=seeded(seed, step)).tolist())
        for seed in (0, 1, 2**31, 2**32, 2**40)
        for step in range(20)
    }
    assert len(drawn) == 100


def extrapolated(w: Tensor) -> Tensor:
    """A straight line through the last two frames."""
    return 2 * w[:, -1:] - w[:, -2:-1]


def test_a_rollout_goes_on_from_its_own_frames() -> None:
    rng = np.random.default_rng(0)
    at, slope = (torch.as_tensor(rng.standard_normal((3, 1, 4, 5))) for _ in range(2))
    t = torch.arange(9.0, dtype=torch.float64)[None, :, None, None]
    line = at + slope * t
    torch.testing.assert_close(rollout(extrapolated, line[:, :3], 6), line[:, 3:])


def test_gradients_flow_through_all_steps() -> None:
    factor = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    made = rollout(lambda w: factor * w[:, -1:], torch.ones(1, 2, 1, dtype=torch.float64), 5)
    (gradient,) = torch.autograd.grad(made[0, -1, 0], factor)
    assert float(gradient) == pytest.approx(5 * 2.0**4)


def test_bad_rollouts_are_named() -> None:
    w = torch.zeros(2, 3, 4)
    with pytest.raises(ValueError, match="steps = 0"):
        rollout(extrapolated, w, 0)
    with pytest.raises(ValueError, match=r"maps \(2, 3, 4\) to \(2, 3, 4\): one frame, \(2, 1, 4\)"):
        rollout(lambda w: w, w, 1)


def test_the_loss_takes_a_base_for_the_first_frame_only() -> None:
    class Corrects(torch.nn.Module):
        def forward(self, w: Tensor, base: Tensor | None = None) -> Tensor:
            return w[:, -1:] + 1 if base is None else base

    past = torch.zeros(2, 3, 4, 4)
    base = torch.full((2, 1, 4, 4), 5.0)
    future = torch.full((2, 2, 4, 4), 5.0)
    future[:, 1] = 6.0
    assert float(rollout_loss(Corrects(), {"past": past, "future": future, "base": base})) == 0.0
    assert float(rollout_loss(Corrects(), {"past": past, "future": future})) > 0.5
