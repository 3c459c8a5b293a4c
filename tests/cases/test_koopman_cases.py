"""The cases of models of dynamics: they write their files, and the honest baselines are in their tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conjugo.cases import koopman_duffing, koopman_ks, train_lran
from conjugo.cases.train_lran import System
from conjugo.learned.dynamics.lran import LRAN
from conjugo.learned.training.models import load_model


def names(folder: Path) -> list[str]:
    return [row["model"] for row in json.loads((folder / "result.json").read_text())["scores"]]


def test_duffing_table_has_baselines_and_the_shipped_network(tmp_path: Path) -> None:
    folder = koopman_duffing.main(koopman_duffing.Config(fast=True, folder=tmp_path))
    assert {"DMD", "relifted EDMD deg 9", "LRAN d = 16", "LRAN d = 16, re-encoded"} <= set(names(folder))
    scores = {row["model"]: row for row in json.loads((folder / "result.json").read_text())["scores"]}
    assert scores["LRAN d = 16"]["errors"]["20"][0] < 0.25  # 100 trajectories: the gate of .12 needs 2,000
    assert scores["DMD"]["errors"]["20"][0] > 0.8
    assert (folder / "plot.png").stat().st_size > 0
    assert "Smallest to largest" in (folder / "tables.md").read_text()


def test_ks_table_has_baselines(tmp_path: Path) -> None:
    folder = koopman_ks.main(koopman_ks.Config(fast=True, folder=tmp_path))
    assert {"persistence", "DMD", "relifted Gaussian 100", "relifted Gaussian 100 on the slice", "LRAN d = 256"} <= set(
        names(folder)
    )
    assert (folder / "plot.png").stat().st_size > 0


@pytest.mark.parametrize("system", ["duffing", "ks"])
def test_training_writes_weights_and_card(system: System, tmp_path: Path) -> None:
    folder = train_lran.main(train_lran.Config(system=system, fast=True, folder=tmp_path))
    assert names(folder) == ["start", "start, re-encoded", "LRAN", "LRAN, re-encoded"]
    assert isinstance(load_model(folder / "weights.safetensors"), LRAN)
    assert "conjugo train lran" in (folder / "weights.md").read_text()
