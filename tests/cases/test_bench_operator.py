"""The benchmark of the LSM: both orders compute the same, and the table says what was run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from conjugo.cases.bench_operator import WAYS, Config, Timing, main, tabulate
from conjugo.cases.published_lsm import as_published
from conjugo.learned.operators.lsm import LSM, LSMConfig


@pytest.mark.parametrize(
    "config",
    [LSMConfig(width=8, grid=(33, 20)), LSMConfig(dimension=3, width=8, grid=(16, 17, 16), scaling="channel")],
    ids=["2-D", "3-D"],
)
def test_the_published_order_computes_the_same_gradients(config: LSMConfig) -> None:
    torch.manual_seed(0)
    a = torch.randn(2, 1, *config.grid)
    ours, theirs = LSM(config).double(), LSM(config).double()
    theirs.load_state_dict(ours.state_dict())
    as_published(theirs)
    results = []
    for model in (ours, theirs):
        model.eval()
        model(a.double()).square().sum().backward()
        results.append([p.grad for p in model.parameters()])
    for ours_grad, theirs_grad in zip(*results, strict=True):
        assert ours_grad is not None
        assert theirs_grad is not None
        assert torch.allclose(ours_grad, theirs_grad, rtol=1e-8, atol=1e-10)


def test_the_fast_run_times_the_ways_of_the_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = main(Config(fast=True, folder=tmp_path))
    facts = json.loads((folder / "result.json").read_text())
    names = [t["name"] for t in facts["timings"]]
    assert names == ["eager fp32, as published", "eager fp32", "eager bf16"]
    assert facts["left_out"] == []
    losses = [t["loss"] for t in facts["timings"]]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0] == pytest.approx(losses[2], rel=0.02)
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["way"] for row in rows] == names
    assert "s/epoch" in capsys.readouterr().out


def test_ratios_are_to_the_two_baselines() -> None:
    timings = [Timing(WAYS[0].name, 40.0, 1, 2.0, 0.5, 1), Timing(WAYS[2].name, 20.0, 1, None, 0.5, 1)]
    rows = tabulate(timings, batch=20).rows
    assert [row[1] for row in rows] == ["25.0", "50.0"]
    assert [row[4] for row in rows] == ["2.00", "1.00"]
    assert [row[6:8] for row in rows] == [["1.00", "0.500"], ["2.00", "1.00"]]


@pytest.mark.gpu
def test_every_way_runs_on_a_device(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    folder = main(Config(width=16, batch=4, steps=3, warmup=2, folder=tmp_path))
    facts = json.loads((folder / "result.json").read_text())
    assert [t["name"] for t in facts["timings"]] == [way.name for way in WAYS], facts["left_out"]
