"""The loop: it fits, averages, clips, validates, accumulates, and says what is wrong."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.learned.training.toy import VALIDATION, Toy, batch, loss, toy, train
from torch import Tensor, nn

from conjugo.learned.training import FitConfig, StepRecord, fit, tensorboard
from conjugo.learned.training.distributed import World, parts, rows
from conjugo.learned.training.ema import EMA
from conjugo.learned.training.schedules import learning_rate

CPU = torch.device("cpu")


def run(model: nn.Module, batches: Any = batch, **settings: Any) -> Any:
    keys = ("validation", "on_step", "checkpoint")
    given = {key: settings.pop(key) for key in keys if key in settings}
    return fit(model, loss, batches, config=FitConfig(**{"steps": 10, **settings}), progress=False, **given)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_batch_is_overfitted(precision: Any) -> None:
    model = toy(widths=(32, 32))
    history = run(model, lambda step: batch(0), steps=400, learning_rate=0.02, precision=precision)
    assert history.losses[-1] < (1e-3 if precision == "float32" else 1e-2) * history.losses[0]
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


def test_bfloat16_changes_the_arithmetic_and_not_much_else() -> None:
    full, half = run(toy()).losses[0], run(toy(), precision="bfloat16").losses[0]
    assert full != half
    assert half == pytest.approx(full, rel=0.03)  # 8 bits of mantissa


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    a, b, c = (run(toy(dropout=0.5), seed=seed).losses for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_the_average_of_the_weights_follows_its_recursion() -> None:
    model = nn.Linear(3, 2)
    ema = EMA(model, 0.7)
    expected = model.weight.detach().clone()
    for k in range(1, 40):
        nn.init.normal_(model.weight)
        ema.update(k)
        d = min(0.7, k / (k + 9))
        expected = d * expected + (1 - d) * model.weight.detach()
    torch.testing.assert_close(ema.average["weight"], expected)
    own = model.weight.detach().clone()
    with ema.applied():
        assert torch.equal(model.weight, ema.average["weight"])
    assert torch.equal(model.weight, own)


def test_without_validation_the_model_ends_with_the_average() -> None:
    averaged, plain = toy(), toy()
    weights = []
    run(averaged, ema=0.9)
    run(plain, on_step=lambda record: weights.append(plain.weight.clone()))
    expected: Tensor = toy().weight
    for k, weight in enumerate(weights, 1):
        d = min(0.9, k / (k + 9))
        expected = d * expected + (1 - d) * weight
    torch.testing.assert_close(averaged.weight, expected)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_best_weights_of_validation_are_kept(ema: float | None) -> None:
    def misleading(step: int) -> Any:
        x, y = batch(step)
        return x, y if step < 20 else y + 5

    model = toy(widths=(16,))
    history = run(model, misleading, steps=40, validate_every=5, validation=VALIDATION, ema=ema, learning_rate=0.02)
    steps, scores = history.validation.T
    assert steps.tolist() == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    assert history.best_step == steps[np.argmin(scores)]
    assert 0 < history.best_step < 40
    assert not model.training
    with torch.no_grad():
        score = float(np.mean([float(loss(model, part)) for part in VALIDATION]))
    assert score == pytest.approx(float(scores.min()), rel=1e-6)


def test_weights_that_only_get_worse_are_not_kept() -> None:
    model = toy()
    history = run(model, lambda step: (batch(step)[0], batch(step)[1] + 50), validation=VALIDATION, learning_rate=0.1)
    assert history.best_step == 0
    assert torch.equal(model.weight, toy().weight)


def test_validation_leaves_the_training_alone() -> None:
    a, b = toy(dropout=0.3), toy(dropout=0.3)
    with_validation = run(a, validation=VALIDATION, validate_every=2)
    np.testing.assert_array_equal(with_validation.losses, run(b).losses)


def test_a_long_gradient_is_cut_to_its_limit() -> None:
    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2))

    seen: list[Tensor] = []
    model = Line()

    def pull(model: nn.Module, batch: Any) -> Tensor:
        return (model.w * torch.tensor([3.0, 4.0])).sum()  # type: ignore[operator]

    def look(record: StepRecord) -> None:
        assert model.w.grad is not None
        seen.append(model.w.grad.clone())
        assert record.gradient_norm == pytest.approx(5)

    for clip, expected in ((1.0, [0.6, 0.8]), (10.0, [3.0, 4.0]), (None, [3.0, 4.0])):
        config = FitConfig(steps=1, clip=clip)
        fit(model, pull, lambda step: torch.zeros(1), config=config, on_step=look, progress=False)
        torch.testing.assert_close(seen[-1], torch.tensor(expected), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0, {0: 1, 50: 1, 99: 1}),
        ("constant", 4, {0: 0.2, 3: 0.8, 4: 1, 99: 1}),
        ("cosine", 0, {0: 1, 50: 0.5, 99: (1 + math.cos(0.99 * math.pi)) / 2}),
        ("cosine", 20, {0: 1 / 21, 19: 20 / 21, 20: 1, 60: 0.5}),
        ("step", 0, {0: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 99: 0.01}),
        ("step", 20, {20: 1, 59: 1, 60: 0.1, 80: 0.01}),
        ("onecycle", 0, {0: 0.04, 15: 0.52, 30: 1, 99: 4e-6}),
        ("onecycle", 10, {0: 0.04, 5: 0.52, 10: 1, 99: 4e-6}),
    ],
)
def test_schedules_at_known_steps(schedule: Any, warmup: int, expected: dict[int, float]) -> None:
    config = FitConfig(steps=100, learning_rate=2.0, schedule=schedule, warmup=warmup)
    for step, value in expected.items():
        assert learning_rate(config, step) == pytest.approx(2 * value), step
    rates = [learning_rate(config, step) for step in range(100)]
    assert np.argmax(rates) in range((30 if schedule == "onecycle" and not warmup else warmup) + 1)


def test_the_rate_of_the_schedule_is_the_rate_of_the_optimiser() -> None:
    history = run(toy(), steps=12, warmup=3, schedule="onecycle")
    config = FitConfig(steps=12, warmup=3, schedule="onecycle")
    assert history.learning_rates.tolist() == [learning_rate(config, step) for step in range(12)]


@pytest.mark.parametrize("accumulate", [2, 3, 12])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(accumulate: int) -> None:
    whole, cut = toy(), toy()
    a = run(whole, lambda step: batch(step, rows=13))
    b = run(cut, lambda step: batch(step, rows=13), accumulate=accumulate)
    np.testing.assert_allclose(a.losses, b.losses, rtol=1e-5)
    np.testing.assert_allclose(a.gradient_norms, b.gradient_norms, rtol=1e-5)


@pytest.mark.parametrize(("size", "accumulate", "count"), [(2, 1, 13), (3, 2, 13), (4, 1, 4)])
def test_the_parts_of_all_processes_make_up_the_batch(size: int, accumulate: int, count: int) -> None:
    x, y = batch(0, rows=count)
    model = toy()
    loss(model, (x, y)).backward()  # type: ignore[no-untyped-call]
    expected = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    whole = float(loss(model, (x, y)).detach())
    model.zero_grad()
    total, weights, taken = 0.0, 0.0, []
    for rank in range(size):
        for weight, part in parts({"x": x, "y": [y, torch.tensor(3.0)]}, World(rank, size, CPU), accumulate):
            value = weight * loss(model, (part["x"], part["y"][0]))
            value.backward()  # type: ignore[no-untyped-call]
            total, weights = total + float(value.detach()), weights + weight
            taken += part["x"].tolist()
            assert part["y"][1] == 3
    assert weights == pytest.approx(1)
    assert sorted(taken) == sorted(x.tolist())
    assert total == pytest.approx(whole, rel=1e-5)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-7)


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"a batch of 12 rows cannot be cut into 13 parts \(1 processes, accumulate = 13\)"
    ):
        run(toy(), accumulate=13)
    with pytest.raises(ValueError, match=r"tensors of \[2, 3\] rows"):
        rows((torch.zeros(2), [torch.zeros(3)]))
    with pytest.raises(ValueError, match=r"no tensor \(object\)"):
        rows(object())


def test_a_whole_batch_may_be_anything() -> None:
    history = fit(
        toy(),
        lambda model, k: loss(model, batch(k["step"])),
        lambda k: {"step": k},
        config=FitConfig(steps=2),
        progress=False,
    )
    assert history.losses.shape == (2,)


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss returned a tensor of shape \(12,\): it must be a scalar"):
        fit(toy(), lambda model, b: model(b[0]), batch, config=FitConfig(steps=1), progress=False)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ValueError, match="there is nothing to train"):
        run(nn.Identity())


def test_a_parameter_that_the_loss_does_not_use_stays() -> None:
    model = toy()
    model.extra = nn.Parameter(torch.ones(3))
    run(model)
    assert torch.equal(model.extra, torch.ones(3))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "steps = 0: at least 1"),
        ({"accumulate": 0}, "accumulate = 0: at least 1"),
        ({"validate_every": 0}, "validate_every = 0"),
        ({"learning_rate": -1.0}, "learning_rate = -1.0: a positive number"),
        ({"learning_rate": math.nan}, "learning_rate = nan: a positive number"),
        ({"clip": 0.0}, "clip = 0.0: a positive number"),
        ({"weight_decay": -1e-3}, "weight_decay = -0.001: 0 or more"),
        ({"warmup": 10}, "warmup = 10: it must be at least 0 and less than steps = 10"),
        ({"betas": (0.9, 1.0)}, "betas = .*both must lie in"),
        ({"ema": 1.0}, "ema = 1.0: it must lie in"),
        ({"schedule": "linear"}, "schedule = 'linear': choose one of 'constant', 'cosine', 'onecycle', 'step'"),
        ({"precision": "float16"}, "precision = 'float16': choose one of 'float32', 'bfloat16'"),
        ({"time_limit": 0.0}, "time_limit = 0.0: a positive number"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FitConfig(**{"steps": 10, **settings})


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_a_missing_device_is_named() -> None:
    with pytest.raises(ValueError, match='device="cuda" but torch finds no CUDA device here; use device="cpu"'):
        run(toy(), device="cuda")


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(ValueError, match="device 'gpu' is unknown to torch; use"):
        run(toy(), device="gpu")


def test_on_step_sees_every_step_and_the_history_is_written(tmp_path: Path) -> None:
    seen: list[StepRecord] = []
    history = run(toy(), steps=7, validate_every=3, validation=VALIDATION, on_step=seen.append)
    assert [record.step for record in seen] == list(range(1, 8))
    assert [record.validation is not None for record in seen] == [False, False, True, False, False, True, False]
    history.save_csv(tmp_path / "history.csv")
    table = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in table] == list(range(8))
    assert float(table[3]["loss"]) == history.losses[2]
    assert [row["validation"] != "" for row in table] == [True, False, False, True, False, False, True, True]
    assert np.all(np.diff(history.times) >= 0)


def test_the_bar_shows_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    fit(toy(), loss, batch, config=FitConfig(steps=3), progress=True)
    assert "3/3" in capsys.readouterr().err


def test_tensorboard_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        tensorboard(tmp_path)


def test_tensorboard_writes_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            written.append(("flush", 0, 0))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", type(sys)("fake"))
    sys.modules["torch.utils.tensorboard"].SummaryWriter = Writer  # type: ignore[attr-defined]
    history = run(toy(), steps=4, validate_every=2, validation=VALIDATION, on_step=tensorboard(tmp_path, every=2))
    assert ("loss", history.losses[1], 2) in written
    assert [step for name, _, step in written if name == "validation"] == [2, 4]
    assert not [step for name, _, step in written if name == "loss" and step % 2]


@pytest.mark.slow
def test_a_compiled_model_trains_alike() -> None:
    plain, compiled = run(toy()), run(toy(), compile=True)
    np.testing.assert_allclose(plain.losses, compiled.losses, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_trains_alike_and_resumes(tmp_path: Path, precision: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    host = train(None, batch, toy(), precision=precision)
    model: Toy = toy()
    device = train(tmp_path / "run.pt", batch, model, device="cuda", precision=precision)
    np.testing.assert_allclose(host.losses, device.losses, rtol=2e-2 if precision == "bfloat16" else 1e-4)
    assert model.weight.is_cuda
    again = train(tmp_path / "run.pt", batch, toy(), device="cuda", precision=precision)
    np.testing.assert_array_equal(device.losses, again.losses)
