"""The smoke case: its files, the same systems for all methods, and what it refuses."""

from __future__ import annotations

import csv
import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conjugo import cli, solvers
from conjugo.cases.methods import METHODS, Method
from conjugo.cases.smoke import Config, build, reference, small_shape
from conjugo.cases.smoke_race import Race, from_guess, usual
from conjugo.pde import pressure

PNG = b"\x89PNG\r\n\x1a\n"


def run(tmp_path: Path, *args: str) -> tuple[int, dict[str, Any], Path]:
    code = cli.main(["smoke", *args, "--folder", str(tmp_path)])
    (folder,) = tmp_path.glob("smoke/*")
    assert {path.name for path in folder.iterdir()} == {"config.json", "history.csv", "result.json", "plot.png"}
    assert (folder / "plot.png").read_bytes().startswith(PNG)
    return code, json.loads((folder / "result.json").read_text()), folder


def test_every_method_solves_every_step(tmp_path: Path) -> None:
    options = ["--shape", "24", "16", "--steps", "4", "--methods", "cg", "cg + mic", "cg + multigrid", "splu"]
    code, result, folder = run(tmp_path, *options)
    assert code == 0
    assert [facts["method"] for facts in result["methods"]] == ["cg", "cg + mic", "cg + multigrid", "splu"]
    for facts in result["methods"]:
        assert facts["steps_converged"] == 4
        assert facts["largest_residual"] <= 1.1e-6
        assert facts["seconds_with_setup"] > 0
    iterations = {facts["method"]: facts["median_iterations"] for facts in result["methods"]}
    assert iterations["cg"] > iterations["cg + mic"] > iterations["cg + multigrid"]
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert {row["step"] for row in rows} == {"1", "2", "3", "4"}


@pytest.mark.parametrize(
    "args",
    [
        ["--shape", "12", "10", "8", "--scene", "blocks"],
        ["--shape", "20", "16", "--top", "closed", "--scene", "porous", "--guess", "zero"],
        ["--shape", "20", "16", "--sides", "periodic", "--scene", "empty", "--scheme", "semi-lagrangian"],
    ],
    ids=" ".join,
)
def test_scenes(tmp_path: Path, args: list[str]) -> None:
    code, result, _ = run(tmp_path, *args, "--steps", "2", "--methods", "cg + mic")
    assert code == 0
    assert result["methods"][0]["status"] == "converged"


def test_fast_takes_the_usual_methods(tmp_path: Path) -> None:
    code, result, _ = run(tmp_path, "--fast")
    assert code == 0
    assert result["steps"] == 6
    assert {"cg", "cg + mic", "cg + multigrid"} <= {facts["method"] for facts in result["methods"]}


def test_a_method_that_is_too_slow_leaves_the_race_and_the_plume_goes_on(tmp_path: Path) -> None:
    options = [
        "--shape",
        "160",
        "120",
        "--steps",
        "3",
        "--methods",
        "gauss-seidel",
        "cg + multigrid",
        "--budget",
        "0.3",
    ]
    code, result, _ = run(tmp_path, *options)
    slow, quick = result["methods"]
    assert code == 0
    assert (slow["status"], slow["steps"]) == ("time budget", 1)
    assert quick["steps_converged"] == 3


def test_a_method_that_refuses_is_named_and_the_others_run() -> None:
    config = Config(shape=(16, 12))
    plume = build(config, config.shape)

    def picky(problem: Any) -> Any:
        raise ValueError("only powers of two")

    race = Race(plume.problem, plume.problem, reference("cg + multigrid"), rtol=1e-6, budget=5.0)
    race.enter(Method("picky", "Krylov", picky))
    race.enter(reference("cg"))
    *_, state = plume.run(race, steps=2)
    assert race.refused == {"picky": "only powers of two"}
    assert [lap.converged for lap in race.entrants[0].laps] == [True, True]
    assert len(race.reference_laps) == 2  # it is not among the entrants, and still advances the plume
    assert state.result.converged


def test_a_guess_is_used_and_the_tolerance_stays_that_of_b() -> None:
    problem = pressure("tank", (24, 24))
    A, b = problem.A, problem.b
    exact = solvers.cg(A, b, rtol=1e-12).x
    solve: Any = partial(solvers.cg, A)
    near = from_guess(solve, A, b, exact * (1 + 1e-4), rtol=1e-6)
    far = from_guess(solve, A, b, np.zeros_like(b), rtol=1e-6)
    assert near.iterations < far.iterations
    for result in (near, far):
        assert np.linalg.norm(b - A @ result.x) <= 1.001e-6 * np.linalg.norm(b)


def test_the_usual_methods_exist_and_learned_ones_join_by_name() -> None:
    names = {method.name for method in METHODS}
    chosen = usual(build(Config(shape=(12, 10)), (12, 10)).problem)
    assert set(chosen) <= names
    assert all(name in chosen for name in ("fcg + dcdm", "cg + learned multigrid") if name in names)


def test_the_small_grid_keeps_a_dimension_and_its_proportions() -> None:
    assert small_shape((12, 10)) == (12, 10)
    assert small_shape((1920, 1280)) == (48, 32)
    assert len(small_shape((96, 64, 64))) == 3


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--steps", "0"], "expected at least 1"),
        (["--rtol", "2"], "0 < rtol < 1"),
        (["--methods", "magic"], "method 'magic' is unknown"),
        (["--reference", "Krylov"], "expected one method"),
        (["--shape", "64"], "expected 2 or 3 axes"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str) -> None:
    assert cli.main(["smoke", *args, "--folder", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err.strip().splitlines()[-1]


def test_ctrl_c_keeps_the_steps_that_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Race.__call__

    def interrupted(self: Race, A: Any, b: Any, x0: Any) -> Any:
        if len(self.reference_laps) == 3:
            signal.raise_signal(signal.SIGINT)
        return whole(self, A, b, x0)

    monkeypatch.setattr(Race, "__call__", interrupted)
    code, result, _ = run(tmp_path, "--shape", "20", "16", "--steps", "9", "--methods", "cg")
    assert code == 130
    assert result["interrupted"] is True
    assert (result["steps"], result["methods"][0]["steps_converged"]) == (3, 3)


def test_ctrl_c_before_the_first_step_still_writes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Race, method: Method) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Race, "enter", interrupted)
    code, result, _ = run(tmp_path, "--shape", "20", "16", "--steps", "9", "--methods", "cg")
    assert code == 130
    assert result["steps"] == 0
