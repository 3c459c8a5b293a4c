"""Two processes under torchrun train like one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from conjugo.learned.training.checkpoint import read_checkpoint

SCRIPT = Path(__file__).with_name("toy.py")
ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def end_of(folder: Path, processes: int, **settings: Any) -> dict[str, Any]:
    """Train the toy by its script and return what rank 0 wrote."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, *(TORCHRUN if processes > 1 else ()), str(SCRIPT), str(folder), json.dumps(settings)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    end: dict[str, Any] = torch.load(folder / "end.pt", weights_only=True)
    return end


@pytest.mark.slow
def test_two_processes_train_like_one_and_resume(tmp_path: Path) -> None:
    one = end_of(tmp_path / "one", 1, memory=False)
    two = end_of(tmp_path / "two", 2, memory=False)  # 13 rows: 7 and 6; rank 1 starts from other weights
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(two["validation"], one["validation"], rtol=1e-5, atol=1e-7)
    for name, value in one["model"].items():
        torch.testing.assert_close(two["model"][name], value, rtol=1e-4, atol=1e-5)
    assert len(read_checkpoint(tmp_path / "two" / "run.pt")["processes"]) == 2
    settings = {"memory": True, "schedule": "constant", "dropout": 0.3}
    end_of(tmp_path / "resumed", 2, **settings, steps=20)
    resumed, straight = end_of(tmp_path / "resumed", 2, **settings), end_of(tmp_path / "straight", 2, **settings)
    torch.testing.assert_close(resumed, straight, rtol=0, atol=0)
