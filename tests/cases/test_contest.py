"""The contest of learned and classical methods: what counts as reached, who wins, and the case end to end."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conjugo import cli
from conjugo.cases.contest import Entry, draw, for_method, race, summary, table, verdict
from conjugo.cases.methods import METHODS
from conjugo.cases.subdomains import subdomain_vectors
from conjugo.cases.trial import Outcome
from conjugo.pde import poisson
from conjugo.solvers.result import Status


def entry(method: str, family: str, seed: int, seconds: float, *, status: str = Status.CONVERGED) -> Entry:
    """A solve whose residual falls tenfold an iteration."""
    residuals = np.power(10.0, -np.arange(11 if status == Status.CONVERGED else 4), dtype=np.float64)
    times = 1.0 + seconds * np.arange(len(residuals)) / 6
    outcome = Outcome(method, family, status, len(residuals) - 1, 1.0, residuals=residuals, times=times)
    return Entry("p", seed, outcome)


def test_reached_tolerances() -> None:
    one = entry("cg", "Krylov", 0, 0.6)
    assert one.iterations(1e-6) == 6
    assert one.seconds(1e-6) == pytest.approx(0.6)
    assert one.seconds(1e-10, setup=True) == pytest.approx(2.0)
    lost = entry("cg", "Krylov", 0, 0.6, status="time budget")
    assert math.isinf(lost.iterations(1e-6))
    assert math.isinf(lost.seconds(1e-10))


@pytest.mark.parametrize(
    ("seconds", "line"),
    [(0.5, "net wins only where its set-up is reused: 0.50 times"), (2.0, "cg wins: net takes 2.00 times")],
)
def test_verdicts(seconds: float, line: str) -> None:
    entries = [entry("cg", "Krylov", s, 1.0) for s in range(3)] + [
        entry("net", "learned", s, seconds) for s in range(3)
    ]
    rows = summary(entries)
    for row in rows:
        if row["method"] == "cg":
            row["total_1e-06"] = (1.0, 1.0)
    assert verdict("box", rows)["line"].startswith(line)
    assert verdict("box", [row for row in rows if row["method"] == "cg"])["line"].startswith("cg is best")


def test_failures_count_as_lost_and_are_shown() -> None:
    good = [entry("cg", "Krylov", s, 1.0) for s in range(4)]
    bad = [entry("net", "learned", s, 0.1, status="time budget") for s in range(2)]
    bad += [entry("net", "learned", s, 0.1) for s in (2, 3)]
    rows = summary([*good, *bad])
    net = next(row for row in rows if row["method"] == "net")
    assert math.isinf(net["seconds_1e-06"][0])
    assert net["failures"] == {"time budget": 2}
    assert "fails" in table(rows).text()
    assert "solves less than half" in verdict("box", rows)["line"]
    one = [e for e in bad if e.seed == 3]  # not given the other problems
    assert math.isinf(next(row for row in summary([*good, *one]) if row["method"] == "net")["seconds_1e-06"][0])


def test_the_box_keeps_its_matrix_as_a_separable_stencil() -> None:
    problem = draw("box", (9, 12), 1_000_000)
    cg = next(m for m in METHODS if m.name == "cg")
    twin = for_method(cg, "box", problem)
    assert type(twin.A).__name__ == "SeparableStencil"
    np.testing.assert_allclose(twin.A.tocsr().toarray(), problem.A.tocsr().toarray(), atol=1e-9)
    assert for_method(cg, "solids", problem) is problem


def test_contest_seeds_are_unseen() -> None:
    with pytest.raises(ValueError, match="at least 1000000"):
        draw("box", (8, 8), 7)
    with pytest.raises(ValueError, match="unknown"):
        draw("cube", (8, 8), 1_000_000)


def test_subdomains_and_deflation() -> None:
    problem = draw("solids", (16, 16), 1_000_001)
    W = subdomain_vectors(problem, 16)
    assert problem.active is not None
    np.testing.assert_array_equal(W.sum(axis=1), problem.active)
    with pytest.raises(ValueError, match="no grid"):
        subdomain_vectors(poisson((8, 8)).compress())
    chosen = [m for m in METHODS if m.name in ("cg", "deflated cg + ic0", "cg + multigrid x2")]
    outcomes = race(chosen, "solids", problem, budget=5.0)
    assert all(o.converged for o in outcomes)
    assert {o.method: o.iterations for o in outcomes}["deflated cg + ic0"] < 60


def test_the_case_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--classes", "solids", "rotated", "--methods", "cg + multigrid", "cg + mic", "--folder", str(tmp_path)]
    assert cli.main(["learned", "--fast", *options]) == 0
    (folder,) = (tmp_path / "compare_learned").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert names >= {"config.json", "history.csv", "result.json", "plot.png", "convergence.png", "tables.md"}
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert [v["class"] for v in result["verdicts"]] == ["solids", "rotated"]
    assert len(result["solves"]) == 2 * 2 * 2
    assert all(solve["residual"] <= 1.1e-10 for solve in result["solves"])
    assert set(result["sizes"]) == {"16", "32"}
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert {row["class"] for row in rows} == {"solids", "rotated"}
    assert "baselines only" in capsys.readouterr().out


def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["learned", "--classes", "cube", "--folder", str(tmp_path)]) == 2
    assert cli.main(["learned", "--medium", "mud", "--folder", str(tmp_path)]) == 2
    assert "unknown" in capsys.readouterr().err
