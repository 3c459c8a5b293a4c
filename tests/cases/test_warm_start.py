"""conjugo warm-start: it ends, its files are whole, and its numbers are those of a plain computation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.fft

from conjugo.cases.starts import ERRORS, OPERATORS, coarse_solve, error_field
from conjugo.cases.warm_start import Config, main
from conjugo.pde.darcy import darcy_coefficients, darcy_problem, solve_darcy
from conjugo.solvers import cg


def test_the_case_ends_and_says_what_it_saw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = main(Config(fast=True, folder=tmp_path))
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "history.csv", "result.json", "plot.png", "tables.md", "weights.safetensors"} <= names
    facts = json.loads((folder / "result.json").read_text())
    assert facts["converged"]
    assert set(facts["absent"]) <= set(OPERATORS.values())
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("coarse solve", *ERRORS, *facts["absent"]))
    rows = {(row["start"], row["method"], row["rtol"]): row for row in facts["starts"]}
    problem = darcy_problem(darcy_coefficients(1, 41, seed=10_000)[0])
    plain = rows["zero", "CG", 1e-8]
    assert plain["iterations"] == cg(problem.A, problem.b, rtol=1e-8).iterations
    for name in ("coarse solve", *ERRORS):
        row = rows[name, "CG", 1e-8]
        assert row["energy"][1] < 1
        assert row["residual"][1] < 1
        assert row["iterations"] <= plain["iterations"]


def test_errors_have_the_spectrum_of_their_names() -> None:
    n = 64
    k = np.hypot(*np.meshgrid(np.arange(1, n + 1), np.arange(1, n + 1), indexing="ij"))
    modes = [scipy.fft.dstn(error_field(kind, n, np.random.default_rng(0)), type=1, norm="ortho") for kind in ERRORS]
    assert np.abs(modes[0][8:]).max() < 1e-12 < np.abs(modes[0][:8, :8]).max()
    np.testing.assert_allclose(modes[1] * k**1.5, modes[2], atol=1e-10)
    assert abs(modes[2].std() - 1) < 0.05
    with pytest.raises(ValueError, match="kind = 'blue'"):
        error_field("blue", n, np.random.default_rng(0))


def test_the_coarse_solve_is_the_finite_difference_solution() -> None:
    torch = pytest.importorskip("torch")
    a = darcy_coefficients(2, 21, seed=1)
    found = coarse_solve(torch.as_tensor(a, dtype=torch.float32)[:, None])
    np.testing.assert_allclose(found[:, 0].numpy(), solve_darcy(a), rtol=1e-4, atol=1e-7)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="coarse = 85: expected 5 to 84 nodes"):
        main(Config(size=85, folder=tmp_path))
    with pytest.raises(ValueError, match="count = 0"):
        main(Config(count=0, folder=tmp_path))
