"""Operators from training to tables: every recipe for a few steps, both comparisons, pictures, shipped weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conjugo.cases import operator_darcy, operator_navier_stokes
from conjugo.cases.operator_darcy import baselines, tensors
from conjugo.cases.operator_models import Trained, apply, by_label, load, milliseconds, relative, shipped
from conjugo.cases.operator_plots import enstrophy, rings, typical
from conjugo.cases.operator_recipes import RECIPES
from conjugo.cases.train_operator import Config, main
from conjugo.learned.training.models import load_model, read_facts
from conjugo.pde import FieldPairs, Trajectories
from conjugo.pde.darcy import darcy
from conjugo.pde.evolution.navier_stokes import navier_stokes
from conjugo.pde.store import generate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twelve samples of each problem, in files."""
    folder = tmp_path_factory.mktemp("data")

    def pairs(first: int, count: int) -> FieldPairs:
        return darcy(count, 49, seed=0, first=first, variant="spline")

    def flows(first: int, count: int) -> Trajectories:
        return navier_stokes(count, size=32, keep=32, dt=0.05, seed=0, first=first, dtype="float32")

    return {
        "darcy": generate(folder / "darcy.h5", pairs, 12, config={}, progress=False),
        "navier-stokes": generate(folder / "ns.h5", flows, 12, config={}, progress=False),
    }


def trained(problem: Any, model: Any, data: dict[str, Path], folder: Path, **options: Any) -> Path:
    """Train for four steps, two samples each."""
    return main(Config(problem=problem, model=model, data=data[problem], fast=True, folder=folder, **options))


@pytest.mark.parametrize(
    ("problem", "model"),
    [pytest.param(*row, marks=[pytest.mark.slow] if row[1] == "hybrid" else []) for row in RECIPES],
)
def test_every_recipe_trains_and_its_files_are_whole(
    problem: str, model: str, data: dict[str, Path], tmp_path: Path
) -> None:
    width = 32 if model in ("ours", "hybrid") and problem != "darcy" else 8  # four numbers for each attention head
    folder = trained(problem, model, data, tmp_path, width=width)
    facts = json.loads((folder / "result.json").read_text())
    assert facts["converged"]
    assert (facts["problem"], facts["steps"]) == (problem, 4)
    assert facts["label"] == RECIPES[problem, model].label
    assert 0 < facts["validation"] < np.inf
    assert {"history.csv", "plot.png", "weights.md"} <= {path.name for path in folder.iterdir()}
    assert f"{facts['parameters']:,}" in (folder / "weights.md").read_text()
    (item,) = load([folder], problem, CPU)
    assert (item.label, item.seed, item.parameters) == (facts["label"], 0, facts["parameters"])
    frames, side = (1, 25) if problem == "darcy" else (10, 32)
    with torch.no_grad():
        assert item.model(torch.full((2, frames, side, side), 3.0)).shape == (2, 1, side, side)


def test_the_same_seed_trains_the_same_weights(data: dict[str, Path], tmp_path: Path) -> None:
    first, again, other = (
        trained("darcy", "fno", data, tmp_path / str(place), width=4, seed=seed) for place, seed in enumerate((0, 0, 1))
    )
    a, b, c = (load_model(folder / "weights.safetensors").state_dict() for folder in (first, again, other))
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    assert not all(torch.equal(value, c[name]) for name, value in a.items())


def test_half_the_file_a_copy_elsewhere_and_steps_from_a_budget(
    data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    folder = trained("darcy", "ours", data, tmp_path / "a", width=8, half=True, out=out, seed=3, budget=0.01)
    assert "steps of 2" in capsys.readouterr().out
    copy = out / "operator_darcy_ours_8_3.safetensors"
    assert copy.read_bytes() == (folder / "weights.safetensors").read_bytes()
    assert copy.with_suffix(".md").is_file()
    assert copy.stat().st_size < 0.6 * 4 * sum(p.numel() for p in load_model(copy).parameters()) + 20_000


def test_darcy_is_generated_where_there_is_no_file(tmp_path: Path) -> None:
    folder = main(Config(model="fno", width=4, fast=True, folder=tmp_path))
    assert read_facts(folder / "weights.safetensors")["config"]["grid"] == [31, 31]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problem": "darcy", "model": "hybrid"}, "there is no model 'hybrid' for 'darcy'; these exist: darcy ours"),
        ({"data": "darcy", "train": 20}, "holds 12 samples: --train 20 and --validation 100 need 120"),
        ({"device": "cuda", "data": "darcy"}, "CUDA"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str, data: dict[str, Path], tmp_path: Path) -> None:
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    options = {**options, **({"data": data["darcy"]} if "data" in options else {})}
    with pytest.raises(ValueError, match=message):
        main(Config(folder=tmp_path, **options))


def test_the_darcy_comparison(data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tuple(trained("darcy", name, data, tmp_path / name, width=8) for name in ("ours", "fno"))
    folder = operator_darcy.main(operator_darcy.Config(models=models, fast=True, folder=tmp_path / "case"))
    facts = json.loads((folder / "result.json").read_text())
    errors = {row["method"]: row["relative_l2"][0] for row in facts["scores"]}
    ours = "coarse solve + correction"
    assert list(errors) == ["differences, harmonic", "differences, geometric", "FNO", ours, f"{ours}, 8 symmetries"]
    assert errors[ours] < 1.5 * errors["differences, geometric"] < 0.1  # it starts from them
    assert set(facts["resolutions"]["FNO"]) == {"43", "29"}
    made = {path.name for path in folder.iterdir()}
    assert {"plot.png", "spectra.png", "resolutions.png", "tables.md", "history.csv"} <= made
    assert "relative L2 error against the grid that is seen" in capsys.readouterr().out


def test_the_vorticity_comparison(data: dict[str, Path], tmp_path: Path) -> None:
    model = trained("navier-stokes", "fno", data, tmp_path / "fno", width=4)
    config = operator_navier_stokes.Config(models=(model,), size=96, fast=True, folder=tmp_path / "case")
    folder = operator_navier_stokes.main(config)
    rows = {row["method"]: row for row in json.loads((folder / "result.json").read_text())["scores"]}
    assert list(rows) == ["persistence", "spectral solver 24^2", "FNO"]
    assert all(len(row["by_frame"]) == 10 for row in rows.values())
    kept = rows["persistence"]["by_frame"]
    assert rows["spectral solver 24^2"]["by_frame"][0] < kept[0] < kept[-1]
    assert {"plot.png", "rollout.png", "spectra.png"} <= {path.name for path in folder.iterdir()}


def test_shipped_operators_beat_finite_differences_on_unseen_samples() -> None:
    a, u = tensors(darcy(4, 421, seed=0, first=2_000_000, variant="spline").stride(5))
    numerics = relative(apply(baselines(1.0026)["differences, geometric"], a, device=CPU), u).mean()
    assert 0.004 < numerics < 0.007
    errors = {item.label: relative(apply(item.model, a, device=CPU), u).mean() for item in load((), "darcy", CPU)}
    assert len(errors) == len(shipped("darcy")) == 3
    ours = errors.pop("coarse solve + correction")
    assert ours < 0.6 * numerics
    assert all(numerics < error < 0.02 for error in errors.values())  # networks alone do not


def test_files_of_another_problem_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was made for the problem 'darcy', not 'navier-stokes'"):
        load(shipped("darcy"), "navier-stokes", CPU)
    with pytest.raises(ValueError, match=r"no \*\.safetensors in"):
        load([tmp_path], "darcy", CPU)


def test_maps_are_applied_in_chunks_timed_and_scored() -> None:
    a = torch.arange(7.0)[:, None, None, None] * torch.ones(1, 1, 3, 3)
    calls: list[int] = []

    def double(x: Tensor) -> Tensor:
        calls.append(len(x))
        return 2 * x

    assert torch.equal(apply(double, a, batch=3, device=CPU), 2 * a)
    assert calls == [3, 3, 1]
    assert milliseconds(double, a, device=CPU, repeats=2) > 0
    np.testing.assert_allclose(relative(1.1 * a[1:], a[1:]), np.full(6, 0.1), rtol=1e-6)
    items = [Trained(label, seed, 0, nn.Identity(), 0, 0.0, "CPU") for label, seed in (("b", 0), ("a", 0), ("b", 1))]
    assert {label: [item.seed for item in group] for label, group in by_label(items).items()} == {"b": [0, 1], "a": [0]}


def test_spectra_put_a_wave_where_it_belongs() -> None:
    n = 15
    x = np.arange(1, n + 1) / (n + 1)
    energy = rings((np.sin(3 * np.pi * x)[:, None] * np.sin(4 * np.pi * x))[None])
    assert energy.argmax() + 1 == 5
    assert energy.sum() == pytest.approx(energy[4]) == pytest.approx((n + 1) ** 2 / 4)
    t = 2 * np.pi * np.arange(16) / 16
    w = torch.as_tensor(np.sin(3 * t)[:, None] * np.ones(16))[None]
    wavenumbers, enstrophies = enstrophy(w)
    assert wavenumbers[enstrophies.argmax()] == 3
    assert enstrophies.sum() == pytest.approx(float(w.square().mean()) / 2)


def test_the_sample_that_is_drawn_is_the_median_one() -> None:
    assert typical({"x": [np.array([0.1, 0.3, 0.2])], "y": [np.array([1.0, 9.0, 2.0])]}) == 2
