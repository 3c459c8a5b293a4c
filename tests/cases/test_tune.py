"""The tuning cases end in --fast mode, keep their files, and say what they show."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conjugo import cli
from conjugo.cases.tuning_replay import ARMS, heat_table, replay, sor_counts
from conjugo.learned.tuning import TsallisINF
from conjugo.pde.evolution import HeatSequence, ShiftedLaplacians
from conjugo.solvers import sor, ssor_cg

FILES = {"config.json", "history.csv", "result.json", "plot.png", "tables.md"}


def _run(tmp_path: Path, *args: str) -> tuple[int, dict[str, Any], Path]:
    code = cli.main([*args, "--folder", str(tmp_path)])
    (folder,) = (path for case in tmp_path.iterdir() for path in case.iterdir())
    assert {path.name for path in folder.iterdir()} >= FILES
    return code, json.loads((folder / "result.json").read_text()), folder


def test_tune_heat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, result, folder = _run(tmp_path, "tune-heat", "--fast")
    assert code == 0
    (table,) = result["iterations"]
    rows = table["all"]
    assert rows["per-step oracle"] <= min(total for name, total in rows.items() if name != "TunedSolver")
    assert {"ChebCB", "Thompson + model", "TunedSolver", "closed form"} <= set(rows)
    assert len(result["races"]) == 5
    for race in result["races"]:
        assert race["oracle_seconds"] <= race["seconds"][race["best_fixed"]] + 1e-12
    text = capsys.readouterr().out
    assert "DST direct" in text
    assert "tuned over default" in text
    with (folder / "history.csv").open() as file:
        assert len(list(csv.reader(file))) > 100


def test_tune_sor(tmp_path: Path) -> None:
    code, result, _ = _run(tmp_path, "tune-sor", "--fast")
    assert code == 0
    for means in result["iterations_a_solve"].values():
        assert means["omega*(c), estimated"] < 1.1 * means["oracle over 20 arms"]
        assert means["oracle over 20 arms"] < means["Thompson + model"] < means["omega = 1"]


def test_tune_fem(tmp_path: Path) -> None:
    pytest.importorskip("mpi4py.MPI")
    pytest.importorskip("dolfinx")
    code, result, _ = _run(tmp_path, "tune-fem", "--fast")
    assert code == 0
    assert result["race"]["steps"] == 80
    assert any(label.startswith("gamg") for label in result["race"]["seconds"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["tune-heat", "--steps", "3"], "expected nx of at least 2, 10 steps"),
        (["tune-sor", "--seeds", "0"], "expected at least 10 systems and 1 seed"),
        (["tune-fem", "--order", "7"], "expected at least 4, at least 10, and 1 to 3"),
    ],
)
def test_bad_input_is_one_line(
    args: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*args, "--folder", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_tables_hold_what_the_solvers_take() -> None:
    sequence = ShiftedLaplacians(10, "high", steps=6)
    b = np.stack(list(sequence.right_hand_sides()))
    counts = sor_counts(b, sequence.shifts, np.full(6, 1.6))
    plain = [sor(A, rhs, omega=1.6, rtol=1e-8).iterations for A, rhs, _ in sequence]
    np.testing.assert_allclose(counts, plain, atol=1)
    _, costs, _ = heat_table(12, 8)
    A, rhs, _ = next(iter(heat := HeatSequence(12, steps=8)))
    assert costs[0, 5] == ssor_cg(A, rhs, heat.u, omega=ARMS[5], rtol=1e-8).iterations
    spent, arms = replay(TsallisINF(20), costs)
    assert spent.tolist() == [costs[t, arm] for t, arm in enumerate(arms)]
