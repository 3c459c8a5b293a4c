"""`conjugo generate`: every equation in --fast mode, a stopped run that goes on, options that make no sense."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conjugo import cli
from conjugo.cases import generate as case
from conjugo.cases.generators import GENERATORS, parameters, sampler
from conjugo.pde import darcy, load_pairs
from conjugo.pde.store import load, read

FILES = {"config.json", "history.csv", "result.json", "plot.png"}
NUMPY = sorted(set(GENERATORS) - {"pipe"})


def run(tmp_path: Path, *args: str) -> tuple[int, dict[str, Any], Path]:
    """Run the command; return its exit code, result.json and folder."""
    before = set(tmp_path.glob("generate/*"))
    code = cli.main(["generate", *args, "--folder", str(tmp_path)])
    (folder,) = set(tmp_path.glob("generate/*")) - before
    return code, json.loads((folder / "result.json").read_text()), folder


@pytest.mark.parametrize("equation", NUMPY)
def test_fast(equation: str, tmp_path: Path) -> None:
    code, result, folder = run(tmp_path, equation, "--fast")
    assert code == 0
    assert {path.name for path in folder.iterdir()} == FILES | {f"{equation}.h5"}
    made = load(result["file"])
    assert len(made) == 8
    config = read(result["file"])[1]
    assert (config["equation"], config["seed"], config["dtype"]) == (equation, 0, "float32")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("dolfinx") is None, reason="needs the extra fem")
def test_fast_pipe(tmp_path: Path) -> None:
    code, result, _ = run(tmp_path, "pipe", "--fast")
    assert code == 0
    assert load_pairs(result["file"]).coordinates is not None


@pytest.mark.parametrize("equation", NUMPY)
def test_samples_do_not_depend_on_the_chunk(equation: str) -> None:
    sample = sampler(equation, parameters(equation, {}, fast=True), dtype="float64", device="numpy")
    together, later = sample(0, 3), sample(2, 1)
    np.testing.assert_allclose(np.asarray(later.u)[0], np.asarray(together.u)[2], rtol=1e-9, atol=1e-12)


def test_options_reach_the_generator(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "d.h5"
    options = [
        "--size",
        "21",
        "--variant",
        "spline",
        "--count",
        "5",
        "--chunk",
        "2",
        "--seed",
        "3",
        "--dtype",
        "float64",
    ]
    code, result, _ = run(tmp_path, "darcy", *options, "--out", str(out))
    assert code == 0
    assert result["made"] == 5
    np.testing.assert_array_equal(load_pairs(out).u, darcy(5, 21, seed=3, variant="spline").u)
    code, result, _ = run(tmp_path, "darcy", *options, "--out", str(out))  # complete: nothing is made
    assert (code, result["made"]) == (0, 0)


def test_a_stopped_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d.h5"
    options = ["darcy", "--size", "21", "--count", "6", "--chunk", "2", "--out", str(out)]

    def stopped(*args: Any, **kwargs: Any) -> Any:
        sample = sampler(*args, **kwargs)

        def interrupted(first: int, count: int) -> Any:
            if first == 4:
                raise KeyboardInterrupt
            return sample(first, count)

        return interrupted

    monkeypatch.setattr(case, "sampler", stopped)
    code, result, _ = run(tmp_path, *options)
    assert code == 130
    assert result["made"] == 4
    assert "run the same command again" in capsys.readouterr().out
    monkeypatch.undo()
    code, result, _ = run(tmp_path, *options)
    assert (code, result["made"]) == (0, 2)
    assert len(load_pairs(out)) == 6


def test_a_solve_that_fails_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, result, _ = run(tmp_path, "darcy", "--fast", "--rtol", "1e-30")
    assert code == 1
    assert not result["interrupted"]
    assert "Darcy solves failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["duffing", "--viscosity", "3"], "--viscosity 3.0 means nothing to duffing: it takes --steps"),
        (["duffing"], "duffing needs --steps"),
        (["duffing", "--fast", "--device", "cuda"], "duffing runs on NumPy only"),
        (["darcy", "--size", "3", "--count", "1"], "size = 3"),
    ],
)
def test_bad_input(options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.h5"
    code = cli.main(["generate", *options, "--out", str(out), "--folder", str(tmp_path)])
    assert code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
