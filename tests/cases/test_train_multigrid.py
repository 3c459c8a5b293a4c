"""`conjugo train multigrid`: it ends with weights that load, a card and a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conjugo.cases.train_multigrid import Config, completed, main
from conjugo.learned.preconditioners.learned_multigrid import LearnedMultigrid
from conjugo.learned.preconditioners.stencil_problems import draw
from conjugo.solvers import cg


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_fast_run_leaves_weights_a_card_and_a_table(dimension: int, tmp_path: Path) -> None:
    families = ("noise", "rotated") if dimension == 2 else ("noise",)
    folder = main(Config(dimension=dimension, families=families, fast=True, folder=tmp_path))  # type: ignore[arg-type]
    names = {"weights.safetensors", "weights.md", "history.csv", "result.json", "plot.png", "tables.md", "config.json"}
    assert names <= {path.name for path in folder.iterdir()}
    scores = json.loads((folder / "result.json").read_text())["scores"]
    assert [row["family"] for row in scores] == list(families)
    A = draw(["noise"], (14, 15, 16)[:dimension], 0)
    b = A @ (A.diag.ravel() * 0 + 1)
    assert cg(A, b, M=LearnedMultigrid(A, folder / "weights.safetensors"), rtol=1e-6).converged


def test_steps_follow_from_a_time_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = ((9, 10),)
    small = Config(families=("noise",), shapes=shapes, test_shape=(12, 12), width=4, pool=2, batch=2, vectors=2,
                   validation=1, problems=1, time_limit=0.5, folder=tmp_path)  # fmt: skip
    main(small)
    assert int(capsys.readouterr().out.split(" steps")[0].split()[-1]) >= 20


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="steps = 0 without a time limit"):
        completed(Config())
    with pytest.raises(ValueError, match=r"shapes \[\(9, 9, 9\)\]: expected 2 axes"):
        completed(Config(shapes=((9, 9, 9),), steps=5))
