"""The case that trains direction networks: a few steps, its files, and a model that loads again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conjugo.cases.train_dcdm import Config, main
from conjugo.learned.training.models import load_model


@pytest.mark.parametrize(
    "options",
    [{}, {"data": "ritz", "loss": "residual", "replay": 0}],
    ids=["multiscale, energy, replay", "as published"],
)
def test_fast_run_writes_weights_card_and_scores(options: dict[str, Any], tmp_path: Path) -> None:
    folder = main(Config(fast=True, folder=tmp_path, **options))
    scores = json.loads((folder / "result.json").read_text())["scores"]
    assert [row["problem"] for row in scores] == ["Neumann box", "Dirichlet box", "solids"]
    assert load_model(folder / "weights.safetensors").config.dimension == 2  # type: ignore[union-attr]
    assert "conjugo train dcdm" in (folder / "weights.md").read_text()
    assert (folder / "plot.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3])
def test_published_network_trains(dimension: Any, tmp_path: Path) -> None:
    folder = main(Config(fast=True, folder=tmp_path, dimension=dimension, network="published"))
    assert (folder / "weights.safetensors").is_file()
