"""conjugo inverse-source: every table ends, and its numbers are those of the exact posterior."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conjugo.cases.inverse_geometry import PUBLISHED, geometry_table
from conjugo.cases.inverse_methods import BAYES, MEAN, SAMPLE, Task, methods
from conjugo.cases.inverse_methods import PUBLISHED as FIXED
from conjugo.cases.inverse_mixture import field_mixture, mixture_task
from conjugo.cases.inverse_source import Config, main, seen
from conjugo.learned.diffusion.gaussian import GaussianPrior
from conjugo.pde.inverse.problem import joint_problem, sensor_problem, source_problem


def test_the_table_of_four_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = main(Config(exact=True, fast=True, samples=4, folder=tmp_path))
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "history.csv", "result.json", "plot.png", "tables.md"}
    facts = json.loads((folder / "result.json").read_text())
    rows = {(row["problem"].split()[0], row["method"], row["evaluations"]): row for row in facts["scores"]}
    assert {problem for problem, _, _ in rows} == {"source", "sensors", "heat", "poisson"}
    for problem in ("source", "sensors", "heat", "poisson"):
        bayes = rows[problem, BAYES, 0]
        for evaluations in (2, 4):
            mean, sample = rows[problem, MEAN, evaluations], rows[problem, SAMPLE, evaluations]
            assert mean["error"] == pytest.approx(bayes["error"], rel=0.15)
            assert 1.1 < sample["ratio"] < 1.8
            assert mean["spread"] == 0 < sample["spread"]
            assert rows[problem, FIXED, evaluations]["error"] > mean["error"]
    assert set(facts["quality"]) >= {SAMPLE, "exact samples"}
    printed = capsys.readouterr().out
    assert "DDS, noiseless or tuned, has a smaller error" in printed


@pytest.mark.parametrize("options", [{"mixture": True}, {"coefficient": "inclusions", "contrast": 100.0}])
def test_other_priors_and_media(options: dict[str, object], tmp_path: Path) -> None:
    folder = main(Config(fast=True, samples=4, folder=tmp_path, **options))  # type: ignore[arg-type]
    facts = json.loads((folder / "result.json").read_text())
    ratios = {row["method"]: row["ratio"] for row in facts["scores"] if row["evaluations"] in (0, 4)}
    assert ratios[BAYES] == 1.0
    assert ratios[MEAN] < 1.6
    assert (folder / "plot.png").stat().st_size > 10_000


def test_the_geometry(tmp_path: Path) -> None:
    table, facts = geometry_table(16, 30, (3, 4), 6, 0)
    assert len(facts) == 2 * len(PUBLISHED) == len(table.rows)
    for row in facts:
        assert row["bayes"] == pytest.approx(row["expected"], rel=0.5)  # of six truths
        assert row["mean"][-1] < 1.35 * row["bayes"]
    main(Config(geometry=True, fast=True, folder=tmp_path))


def test_errors_are_relative_to_the_prior() -> None:
    problem = joint_problem("poisson", "forward", 16, 30, 1e-3, count=40)
    task = Task(problem, GaussianPrior(problem.spectrum, problem.basis), 1)
    assert problem.truth is not None
    assert task.error(np.zeros_like(problem.truth), slice(None)) == pytest.approx(1.0, rel=0.25)
    assert task.exact is not None
    assert task.error(task.mean, slice(None)) == pytest.approx(task.exact.relative_error(problem.target), rel=0.2)


def test_the_mixture_has_variance_one_and_its_posterior_is_best() -> None:
    assert field_mixture(16).covariance_spectrum().mean() == pytest.approx(1.0)
    task = mixture_task(16, 12, 60, 2, 0)
    best = task.error(task.mean, slice(None))
    gaussian = task.problem.posterior().mean  # the best linear estimate
    assert best < task.error(gaussian, slice(None)) * 1.0001


def test_data_are_shown_where_they_were_taken() -> None:
    for problem in (source_problem(8, 5), sensor_problem(8, 5)):
        shown = seen(problem, 0)
        assert shown is not None
        assert np.isfinite(shown).sum() == 5
        np.testing.assert_array_equal(np.sort(shown[np.isfinite(shown)]), np.sort(problem.y[:, 0]))


def test_every_method_has_settings() -> None:
    problem = sensor_problem(8, 5, count=2)
    task = Task(problem, GaussianPrior(problem.spectrum, problem.basis), 1, fields=4)
    for _, trials, _ in methods(task):
        assert len({trial.setting for trial in trials}) == len(trials) >= 1


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        main(Config(exact=True, mixture=True, folder=tmp_path))
    with pytest.raises(ValueError, match="tuning = 12, count = 12"):
        main(Config(tuning=12, folder=tmp_path))
