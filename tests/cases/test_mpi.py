"""mpiexec -n 2 gives the serial answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conjugo import cli

pytest.importorskip("mpi4py", reason="extra fem is not installed")
from conjugo.cases.poisson_mpi import AGREEMENT, find_mpiexec


def _result(folder: Path) -> dict[str, list[dict[str, Any]]]:
    (path,) = folder.glob("poisson_mpi/*/result.json")
    facts: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    return facts


def test_two_ranks_give_the_serial_answer(tmp_path: Path) -> None:
    assert cli.main(["mpi", "--fast", "--ranks", "2", "--folder", str(tmp_path)]) == 0
    checks = _result(tmp_path)["checks"]
    assert {check["problem"] for check in checks} == {"dmda", "dolfinx"}
    assert all(check["ranks"] == 2 and check["difference"] <= AGREEMENT for check in checks)


@pytest.mark.mpi
def test_the_case_joins_the_ranks_of_mpiexec(tmp_path: Path) -> None:
    import sys

    command = [
        find_mpiexec(),
        "-n",
        "2",
        sys.executable,
        "-m",
        "conjugo.cli",
        "mpi",
        "--fast",
        "--folder",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(check["difference"] <= AGREEMENT for check in _result(tmp_path)["checks"])


@pytest.mark.mpi
def test_larger_problems_and_three_ranks_agree_too(tmp_path: Path) -> None:
    options = ["--cells", "128", "--per-rank", "64", "--ranks", "1", "2", "3", "--folder", str(tmp_path)]
    assert cli.main(["mpi", *options]) == 0
    assert all(check["difference"] <= AGREEMENT for check in _result(tmp_path)["checks"])
