"""conjugo inverse-heat: it ends, and counts the modes that are left in the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conjugo.cases.inverse_heat import Config, main
from conjugo.cases.inverse_methods import BAYES, MEAN
from conjugo.pde.inverse.problem import heat_problem


def test_the_case_ends_and_says_what_it_saw(tmp_path: Path) -> None:
    folder = main(Config(fast=True, samples=4, folder=tmp_path))
    facts = json.loads((folder / "result.json").read_text())
    assert (folder / "plot.png").exists()
    for time in (1e-4, 1e-3):
        problem = heat_problem(16, time, 0.01)
        values = problem.A.diagonal.values  # type: ignore[attr-defined]
        count = int(np.sum(values**2 * problem.spectrum > 1e-4))
        assert facts["informed_modes"][problem.name] == count
        errors = {row["method"]: row["error"] for row in facts["scores"] if row["problem"] == problem.name}
        assert errors[MEAN] == pytest.approx(errors[BAYES], rel=0.02)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="times is empty"):
        main(Config(times=(), folder=tmp_path))
