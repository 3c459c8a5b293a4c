"""A run that was killed and resumed ends with the same bits; a checkpoint is whole, safe, and knows whose it is."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.learned.training.toy import Replay, Toy, batch, toy, train

from conjugo.learned.training import History
from conjugo.learned.training.checkpoint import read_checkpoint, write_checkpoint
from conjugo.learned.training.files import write_whole

SCRIPT = Path(__file__).with_name("toy.py")
ROOT = Path(__file__).resolve().parents[3]
EVERYTHING: dict[str, Any] = {"warmup": 3, "accumulate": 2, "weight_decay": 0.01, "seed": 5}


def assert_same(a: History, b: History, one: Toy, other: Toy) -> None:
    for name in ("steps", "losses", "learning_rates", "gradient_norms", "validation"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert a.best_step == b.best_step
    assert_same_weights(one, other)


def assert_same_weights(one: Toy, other: Toy) -> None:
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def environment() -> dict[str, str]:
    threads = str(torch.get_num_threads())
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": threads}


def test_a_run_that_was_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path) -> None:
    settings = {**EVERYTHING, "memory": True, "kill_at": 23, "dropout": 0.2}
    command = [sys.executable, str(SCRIPT), str(tmp_path), json.dumps(settings)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_checkpoint(tmp_path / "run.pt")["step"] == 20
    resumed, straight = toy(7, dropout=0.2), toy(0, dropout=0.2)  # other weights: the checkpoint's must replace them
    a = train(tmp_path / "run.pt", Replay(), resumed, **EVERYTHING)
    b = train(tmp_path / "straight.pt", Replay(), straight, **EVERYTHING)
    assert_same(a, b, resumed, straight)
    one, other = read_checkpoint(tmp_path / "run.pt"), read_checkpoint(tmp_path / "straight.pt")
    for name in one["average"]:
        assert torch.equal(one["average"][name], other["average"][name])
    for name, value in one["optimizer"]["state"][0].items():
        assert torch.equal(value, other["optimizer"]["state"][0][name])


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "step"])
@pytest.mark.parametrize("stop_at", [1, 14, 39])
def test_a_run_that_failed_at_any_step_goes_on_as_if_it_had_not(tmp_path: Path, stop_at: int, schedule: str) -> None:
    def failing(step: int) -> Any:
        if step == stop_at:
            raise RuntimeError("power cut")
        return batch(step)

    model, straight = toy(), toy()
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "run.pt", failing, model, schedule=schedule, checkpoint_every=1)
    model = toy(3)
    a = train(tmp_path / "run.pt", batch, model, schedule=schedule, checkpoint_every=1)
    assert_same(a, train(None, batch, straight, schedule=schedule), model, straight)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, second = toy(), toy(1)
    a = train(tmp_path / "run.pt", batch, first)

    def untouched(step: int) -> Any:
        raise AssertionError(step)

    b = train(tmp_path / "run.pt", untouched, second)
    assert_same(a, b, first, second)
    assert b.seconds >= a.seconds * 0.5


def test_more_steps_go_on_where_the_run_ended(tmp_path: Path) -> None:
    model, straight = toy(), toy()
    train(tmp_path / "run.pt", batch, model, schedule="constant", steps=21)
    a = train(tmp_path / "run.pt", batch, model, schedule="constant", steps=42)
    assert_same(a, train(None, batch, straight, schedule="constant", steps=42), model, straight)


def test_the_callers_random_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    train(None, Replay(), toy(), steps=3)
    assert torch.equal(torch.rand(3), expected[0])
    np.testing.assert_array_equal(np.random.rand(3), expected[1])  # noqa: NPY002


@pytest.mark.parametrize(
    ("settings", "model", "words"),
    [
        (
            {"learning_rate": 0.5},
            {},
            r"learning_rate = 0.5 \(there 0.001\); restore them, or give another checkpoint path",
        ),
        ({"ema": None}, {}, r"ema = None \(there 0.9\)"),
        ({}, {"widths": (9,)}, r"layers.0.weight is \(8, 2\) there and \(9, 2\) here \(3 tensors differ\)"),
        ({}, {"dimension": 3}, r"layers.0.weight is \(8, 2\) there and \(8, 3\) here"),
        ({"steps": 5}, {}, "the checkpoint is at step 10 but steps = 5"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    tmp_path: Path, settings: dict[str, Any], model: dict[str, Any], words: str
) -> None:
    train(tmp_path / "run.pt", batch, toy(), steps=10)
    before = (tmp_path / "run.pt").read_bytes()
    with pytest.raises(ValueError, match=rf"cannot resume from .*run.pt: .*{words}"):
        train(tmp_path / "run.pt", batch, toy(**model), **{"steps": 10, **settings})
    assert (tmp_path / "run.pt").read_bytes() == before


def test_a_checkpoint_of_more_processes_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run.pt", batch, toy(), steps=2)
    state = read_checkpoint(tmp_path / "run.pt")
    state.pop("format")
    state["processes"] *= 2
    write_checkpoint(tmp_path / "run.pt", state)
    with pytest.raises(ValueError, match=r"of 2 processes but this run has 1: start as many \(torchrun"):
        train(tmp_path / "run.pt", batch, toy(), steps=2)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps({"format": Path("x")}, protocol=2)])
def test_another_file_is_no_checkpoint(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"run.pt is no checkpoint"):
        train(tmp_path / "run.pt", batch, toy())


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    torch.save({"model": {}}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="no checkpoint of this version"):
        read_checkpoint(tmp_path / "run.pt")


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    class Careless(Replay):
        def state_dict(self) -> dict[str, Any]:
            return {"memory": [self.memory.numpy()]}

    with pytest.raises(
        ValueError, match=r"\['processes'\]\[0\]\['batches'\]\['memory'\]\[0\] is a numpy.ndarray.*torch.from_numpy"
    ):
        train(tmp_path / "run.pt", Careless(), toy())
    assert not (tmp_path / "run.pt").exists()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_text("old")

    def save(beside: Path) -> None:
        beside.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, save)
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    assert path.read_text() == "old"


def test_ctrl_c_ends_after_the_step_and_the_run_goes_on_later(tmp_path: Path) -> None:
    def pressed(step: int) -> Any:
        if step == 16:
            signal.raise_signal(signal.SIGINT)
        return batch(step)

    handler = signal.getsignal(signal.SIGINT)
    model, straight = toy(), toy()
    history = train(tmp_path / "run.pt", pressed, model)
    assert history.interrupted
    assert history.steps[-1] in (17, 18)
    assert signal.getsignal(signal.SIGINT) is handler
    a = train(tmp_path / "run.pt", batch, model)
    assert not a.interrupted
    assert_same(a, train(None, batch, straight), model, straight)


def test_a_second_ctrl_c_is_raised() -> None:
    def pressed(step: int) -> Any:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(None, pressed, toy())


def test_the_time_limit_ends_a_run_in_good_order(tmp_path: Path) -> None:
    history = train(tmp_path / "run.pt", batch, toy(), steps=10**7, time_limit=0.2)
    assert history.interrupted
    assert history.seconds < 5
    assert read_checkpoint(tmp_path / "run.pt")["step"] == history.steps[-1]
    assert history.validation[-1, 0] == history.steps[-1]


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path) -> None:
    def poisoned(step: int) -> Any:
        x, y = batch(step)
        return (x, y * float("nan")) if step == 12 else (x, y)

    model = toy()
    with pytest.raises(
        FloatingPointError, match=r"loss is nan .* at step 12; .*run.pt holds the last good .*learning_rate"
    ):
        train(tmp_path / "run.pt", poisoned, model)
    assert read_checkpoint(tmp_path / "run.pt")["step"] == 10
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    straight = toy()
    assert_same(train(tmp_path / "run.pt", batch, model), train(None, batch, straight), model, straight)
