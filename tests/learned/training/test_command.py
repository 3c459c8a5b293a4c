"""`conjugo train NAME`: it lists names, and runs the case of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from conjugo import cli


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.TRAINING, "example", ("poisson", "a case that exists"))


@pytest.mark.parametrize(("args", "code"), [([], 2), (["--help"], 0)])
def test_it_lists_the_names(args: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", *args]) == code
    told = capsys.readouterr()
    assert "conjugo train example" in told.out + told.err


def test_an_unknown_name_lists_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "exampel"]) == 2
    assert "there is no model 'exampel'; these exist:" in capsys.readouterr().err


def test_it_runs_the_case_of_a_name(tmp_path: Path) -> None:
    options = ["--shape", "12", "12", "--methods", "cg", "--folder", str(tmp_path)]
    assert cli.main(["train", "example", *options]) == 0
    assert list(tmp_path.glob("*/*/result.json"))


def test_every_training_case_exists() -> None:
    from importlib.util import find_spec

    for module, _ in cli.TRAINING.values():
        assert find_spec(f"conjugo.cases.{module}") is not None
